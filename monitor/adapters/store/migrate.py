"""Bringing a database's schema up to this program's, with a backup first."""

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DatabaseError, OperationalError

from monitor.adapters.store.database import Database
from monitor.core.model import ConfigError, UnavailableError


def migrate(database: Database) -> str | None:
    """Bring the schema up to this program's version; return the path of the backup, if one was made.

    Raises:
        ConfigError: the database was written by a newer program, is damaged, or is no database.
        UnavailableError: its server does not answer, or the file is locked.
    """
    try:
        return _migrate(database)
    except DatabaseError as error:
        raise _unusable(database, error) from error


def _migrate(database: Database) -> str | None:
    found, head = _revisions(database)
    if found == head:
        return None
    backup = _back_up(database, found) if found and database.path else None
    config = AlembicConfig(attributes={"connection": None})
    config.set_main_option("script_location", _migrations())
    with database.engine.begin() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, "head")
    return backup


def require_current(database: Database) -> None:
    """Refuse a database whose schema is not this program's.

    Raises:
        ConfigError: it is older, newer, empty or damaged.
    """
    try:
        found, head = _revisions(database)
    except DatabaseError as error:
        raise _unusable(database, error) from error
    if found != head:
        raise ConfigError(
            f"database {database}: its schema is {found or 'empty'}, this program's is"
            f" {head}; `podcast-monitor run` brings it up to date"
        )


def _revisions(database: Database) -> tuple[str | None, str]:
    """Return the revision found in the database (None: a new one) and this program's."""
    config = AlembicConfig()
    config.set_main_option("script_location", _migrations())
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    with database.engine.connect() as conn:
        found = MigrationContext.configure(conn).get_current_revision()
    if found is not None and found not in known:
        raise ConfigError(
            f"database {database}: it was written by a newer podcast-monitor (schema"
            f" {found}); install that version, or restore the backup made before the upgrade"
        )
    return found, str(scripts.get_current_head())


def _migrations() -> str:
    return str(Path(__file__).parents[2] / "migrations")


def _back_up(database: Database, revision: str) -> str:
    assert database.path is not None
    target = database.path.with_name(f"{database.path.name}.before-upgrade-from-{revision}")
    copy(database.path, target)
    return str(target)


def copy(source: Path, target: Path) -> None:
    """Copy a SQLite file that may be in use, as one consistent whole."""
    with sqlite3.connect(source) as from_, sqlite3.connect(target) as to:
        from_.backup(to)
    from_.close()
    to.close()
    target.chmod(0o600)


def _unusable(database: Database, error: DatabaseError) -> ConfigError | UnavailableError:
    why = str(error.orig).strip().replace("\n", "; ")
    if isinstance(error, OperationalError):
        return UnavailableError(f"database {database}: cannot be reached or opened ({why})")
    return ConfigError(
        f"database {database}: is no database of podcast-monitor ({why});"
        " set `database` to another path, or restore a backup"
    )
