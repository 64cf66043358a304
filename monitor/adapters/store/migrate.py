"""Bringing a database's schema up to this program's, with a backup first."""

import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DatabaseError, OperationalError

from monitor.adapters.store import schema
from monitor.adapters.store.database import Database, create
from monitor.core.model import ConfigError, MonitorError, UnavailableError

SCRIPTS = "monitor:migrations"  # where alembic finds the schema's history


def migrate(database: Database, scripts: str = SCRIPTS) -> str | None:
    """Bring the schema up to this program's version; return the path of the backup, if one was made.

    Raises:
        ConfigError: the database was written by a newer or another program, is damaged, or is
            no database.
        UnavailableError: its server does not answer, or the file is locked.
    """
    try:
        return _migrate(database, scripts)
    except DatabaseError as error:
        raise _unusable(database, error) from error


def _migrate(database: Database, scripts: str) -> str | None:
    found, head = _revisions(database, scripts)
    if found == head:
        return None
    backup = _back_up(database.path, found) if found and database.path else None
    database.write(_upgrade, scripts)
    return backup


def _upgrade(conn: sa.Connection, scripts: str) -> None:
    config = _config(scripts)
    config.attributes["connection"] = conn
    command.upgrade(config, "head")


def _config(scripts: str) -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", scripts)
    return config


def require_current(database: Database) -> None:
    """Refuse a database whose schema is not this program's.

    Raises:
        ConfigError: it is older, newer, empty or damaged.
        UnavailableError: it cannot be reached or opened now.
    """
    try:
        found, head = _revisions(database, SCRIPTS)
    except DatabaseError as error:
        raise _unusable(database, error) from error
    if found != head:
        raise ConfigError(
            f"database {database}: its schema is {found or 'empty'}, this program's is"
            f" {head}; `podcast-monitor run` brings it up to date"
        )


def _revisions(database: Database, scripts: str) -> tuple[str | None, str]:
    """Return the revision found in the database (None: a new one) and this program's."""
    history = ScriptDirectory.from_config(_config(scripts))
    known = {script.revision for script in history.walk_revisions()}
    found, tables = database.read(_found)
    if found is not None and found not in known:
        raise ConfigError(
            f"database {database}: it was written by a newer podcast-monitor (schema"
            f" {found}); install that version, or restore the backup made before the upgrade"
        )
    if found is None and tables:
        raise ConfigError(
            f"database {database}: it holds another program's tables ({', '.join(sorted(tables))});"
            " set `database` to one of its own"
        )
    return found, str(history.get_current_head())


def _found(conn: sa.Connection) -> tuple[str | None, set[str]]:
    """Return the revision, and which of the tables that are named as ours are there."""
    revision = MigrationContext.configure(conn).get_current_revision()
    return revision, set(sa.inspect(conn).get_table_names()) & set(schema.metadata.tables)


def _back_up(path: Path, revision: str) -> str:
    target = path.with_name(f"{path.name}.before-upgrade-from-{revision}")
    copy(path, target)
    return str(target)


def copy(source: Path, target: Path) -> None:
    """Copy a SQLite file that may be in use, as one consistent whole, for its owner alone.

    Raises:
        ConfigError: *target* cannot be created.
        sqlite3.DatabaseError: it is there and no database, or *source* is none.
    """
    create(target)
    from_ = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
    with closing(from_), closing(sqlite3.connect(target)) as to:
        from_.backup(to)


def _unusable(database: Database, error: DatabaseError) -> MonitorError:
    why = str(error.orig).strip().replace("\n", "; ")
    if getattr(error.orig, "sqlite_errorname", None) == "SQLITE_READONLY_ROLLBACK":
        return UnavailableError(
            f"database {database}: a commit was cut short; `podcast-monitor run` undoes it"
        )
    if isinstance(error, OperationalError):
        return UnavailableError(f"database {database}: cannot be reached or opened ({why})")
    return ConfigError(
        f"database {database}: is no database of podcast-monitor ({why});"
        " set `database` to another path, or restore a backup"
    )
