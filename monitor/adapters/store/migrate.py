"""Bringing a database's schema up to this program's, with a backup first."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from monitor.adapters.store import integrity, schema
from monitor.adapters.store.database import Database
from monitor.adapters.store.place import create
from monitor.adapters.store.trouble import trouble, words
from monitor.core.model import ConfigError, DatabaseError

SCRIPTS = "monitor:migrations"  # where alembic finds the schema's history
UNFIT = frozenset({"corrupt", "not_a_database", "refused"})


def migrate(database: Database, scripts: str = SCRIPTS) -> str | None:
    """Bring the schema up to this program's version; return the path of the backup, if one was made.

    Nothing is written to a file that is found to be damaged.

    Raises:
        ConfigError: the database was written by a newer or another program, is damaged, is
            no database, or its user lacks a right.
        DatabaseError: its server does not answer, or the file is locked.
    """
    with _the_operators():
        found, head = _revisions(database, scripts)
        if found != head or integrity.is_quick(database):
            integrity.require_sound(database)
        if found == head:
            integrity.require_tables(database)
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
        DatabaseError: it cannot be reached or opened now.
    """
    with _the_operators():
        found, head = _revisions(database, SCRIPTS)
    if found != head:
        raise ConfigError(
            f"database {database}: its schema is {found or 'empty'}, this program's is"
            f" {head}; `podcast-monitor run` brings it up to date"
        )


def _revisions(database: Database, scripts: str) -> tuple[str | None, str]:
    """Return the revision found in the database (None: a new one) and this program's."""
    history = ScriptDirectory.from_config(_config(scripts))
    known = {script.revision for script in history.walk_revisions()}
    try:
        found, tables = database.read(_found)
    except DBAPIError as error:  # such as a later format of SQLite's own
        raise trouble(database, "not_a_database", words(error)) from error
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


@contextmanager
def _the_operators() -> Iterator[None]:
    """Raise as the operator's what no waiting mends, when it is met before anything was done."""
    try:
        yield
    except DatabaseError as error:
        if error.reason not in UNFIT:
            raise
        raise ConfigError(str(error)) from error
