"""Opening a database, with one writer at a time.

SQLAlchemy with sqlite3 as it comes sends no BEGIN before a SELECT and loses updates without an
error (three processes: 1,180 of 2,097 acknowledged commits gone). So the driver's transactions
are off and whatever may write begins IMMEDIATE. On PostgreSQL it begins with one advisory lock,
which comes to the same: a unit of work reads, decides and writes as if it were alone, cannot
deadlock, and events commit in the order of their numbers. A few commits a minute queue for free.

``synchronous=FULL`` because NORMAL forgets acknowledged commits in a power cut;
``journal_mode=TRUNCATE`` because SQLite before 3.51.3 can corrupt a WAL database that two
connections checkpoint, and operators' commands write too.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from monitor.adapters.store.place import create, identity, require
from monitor.adapters.store.trouble import is_conflict, translated, trouble
from monitor.core.model import ConfigError

P = ParamSpec("P")
R = TypeVar("R")

PATIENCE = timedelta(seconds=10)  # with another writer
CONFLICTS_BORNE = 3  # a unit is run once more after each
WRITER = int.from_bytes(b"podcastm")  # the advisory lock's key; any number that nobody else uses
BEGIN = {
    ("sqlite", "write"): "BEGIN IMMEDIATE",
    ("sqlite", "read"): "BEGIN",
    ("postgresql", "write"): f"SELECT pg_advisory_xact_lock({WRITER})",
    ("postgresql", "read"): "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
}
POSTGRESQL_OPTIONS = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # ms; without it a silent partition hangs for minutes
}
POSTGRESQL_SESSION = {
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "20s",  # of a writer that was cut off
}


class Database:
    """A database that is open. One call, one transaction.

    What keeps it from being used is raised as ``DatabaseError``.
    """

    def __init__(self, engine: sa.Engine, path: Path | None) -> None:
        self.engine = engine
        self.path = path  # of a SQLite file; None: a server
        self.kind = engine.dialect.name
        sa.event.listen(engine, "begin", _begin)
        self._reader = engine.execution_options(purpose="read")
        self._file = None if path is None else identity(path)

    def write(
        self, unit: Callable[Concatenate[sa.Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run *unit* in a transaction of its own, as the only writer, and commit it.

        PostgreSQL may undo it because of another program's (a conflict, a deadlock). It is run
        again, a few times: a unit depends on nothing but what it finds in the database.
        """
        with self._told():
            for _ in range(CONFLICTS_BORNE):
                try:
                    return self._write(unit, *args, **kwargs)
                except DBAPIError as error:
                    if not is_conflict(error):
                        raise
            return self._write(unit, *args, **kwargs)

    def _write(
        self, unit: Callable[Concatenate[sa.Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        with self.engine.begin() as conn:
            return unit(conn, *args, **kwargs)

    def read(
        self, unit: Callable[Concatenate[sa.Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run *unit* on one consistent view and leave nothing behind."""
        with self._told(), self._reader.connect() as conn:
            return unit(conn, *args, **kwargs)

    def check_in_place(self) -> None:
        """Refuse a file that is no longer at its path: SQLite would go on writing to nowhere.

        Called before every transaction; it costs one ``stat``.

        Raises:
            DatabaseError: it was deleted or replaced, or nobody can tell.
        """
        if self.path is None:
            return
        try:
            is_there = identity(self.path) == self._file
        except FileNotFoundError:
            is_there = False
        except OSError as error:
            raise trouble(self, "unavailable", str(error.strerror)) from error
        if not is_there:
            raise trouble(self, "replaced")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Translate what a driver says of the database.

        The next transaction gets a new connection: SQLite remembers of one that it was opened
        read-only, or had an error on the disk.
        """
        self.check_in_place()
        try:
            yield
        except DBAPIError as error:
            told = translated(self, error)
            if told is None:
                raise
            self.engine.dispose()
            raise told from error
        except UnicodeDecodeError as error:  # the driver's, of a text that was not written so
            self.engine.dispose()
            raise trouble(self, "corrupt", str(error)) from error

    def close(self) -> None:
        self.engine.dispose()

    def __str__(self) -> str:
        return str(self.path or self.engine.url.render_as_string(hide_password=True))


def _begin(conn: sa.Connection) -> None:
    purpose = conn.get_execution_options().get("purpose", "write")
    conn.exec_driver_sql(BEGIN[conn.dialect.name, purpose])


def connect(
    url: str | sa.URL, *, readonly: bool = False, patience: timedelta = PATIENCE
) -> Database:
    """Return the database at *url*, without asking anything of it yet.

    One that is opened *readonly* is never created or changed. A statement that waits for
    another writer for longer than *patience* raises DatabaseError (``locked``).

    Raises:
        ConfigError: there is no SQLite file that this user may use so, or no driver.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        path = Path(parsed.database or "").absolute()
        return _sqlite(path, readonly=readonly, patience=patience)
    return _postgresql(parsed, readonly=readonly, patience=patience)


# --- PostgreSQL --------------------------------------------------------------------------


def _postgresql(url: sa.URL, *, readonly: bool, patience: timedelta) -> Database:
    session = {
        **POSTGRESQL_SESSION,
        "lock_timeout": f"{patience // timedelta(milliseconds=1)}ms",
        "default_transaction_read_only": "on" if readonly else "off",
    }
    asked_for = url.query.get("options", ())  # such as a search_path
    options = [asked_for] if isinstance(asked_for, str) else [*asked_for]
    options += [f"-c {name}={value}" for name, value in session.items()]
    try:
        engine = sa.create_engine(
            url,
            connect_args={**POSTGRESQL_OPTIONS, "options": " ".join(options)},
            isolation_level="READ COMMITTED",  # what is seen is what the last writer left
            pool_pre_ping=True,
            pool_recycle=1800,
        )
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"database: PostgreSQL needs the package {error.name};"
            " install podcast-monitor with its extra: pip install 'podcast-monitor[postgres]'"
        ) from error
    return Database(engine, None)


# --- SQLite ------------------------------------------------------------------------------


def _sqlite(path: Path, *, readonly: bool, patience: timedelta) -> Database:
    if not readonly:
        create(path)
    require(path, os.R_OK if readonly else os.R_OK | os.W_OK)
    query = {"mode": "ro" if readonly else "rw", "uri": "true"}
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=path.as_uri(), query=query),
        connect_args={"timeout": patience.total_seconds(), "isolation_level": None},
    )
    if not readonly:
        sa.event.listen(engine, "connect", _on_connect)
    return Database(engine, path)


def _on_connect(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode = TRUNCATE")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
