"""Opening a database, with connections that cannot lose updates.

SQLAlchemy with sqlite3 as it comes sends no BEGIN before a SELECT and loses updates without an
error (three processes: 1,180 of 2,097 acknowledged commits gone). So the driver's transactions
are off and every transaction begins IMMEDIATE. ``synchronous=FULL`` because NORMAL forgets
acknowledged commits in a power cut; ``journal_mode=TRUNCATE`` because SQLite before 3.51.3 can
corrupt a WAL database that two connections checkpoint, and operators' commands write too.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

import sqlalchemy as sa

from monitor.core.model import ConfigError

P = ParamSpec("P")
R = TypeVar("R")

BUSY_TIMEOUT_S = 10
POSTGRESQL_OPTIONS = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # ms; without it a silent partition hangs for minutes
    "options": "-c statement_timeout=30s -c lock_timeout=10s"
    " -c idle_in_transaction_session_timeout=60s",
}


class Database:
    """A database that is open. One call, one transaction."""

    def __init__(self, engine: sa.Engine, path: Path | None) -> None:
        self.engine = engine
        self.path = path  # of a SQLite file; None: a server
        self.kind = engine.dialect.name

    def write(
        self, unit: Callable[Concatenate[sa.Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run *unit* in a transaction of its own and commit it."""
        with self.engine.begin() as conn:
            return unit(conn, *args, **kwargs)

    def read(
        self, unit: Callable[Concatenate[sa.Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run *unit* on one consistent view and leave nothing behind."""
        with self.engine.connect() as conn:
            return unit(conn, *args, **kwargs)

    def close(self) -> None:
        self.engine.dispose()

    def __str__(self) -> str:
        return str(self.path or self.engine.url.render_as_string(hide_password=True))


def connect(url: str, *, readonly: bool = False) -> Database:
    """Return the database at *url*, without asking anything of it yet.

    A SQLite file that is opened *readonly* is never created or changed.

    Raises:
        ConfigError: a SQLite file is asked for where none can be, or is missing and *readonly*.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        engine = sa.create_engine(
            parsed, connect_args=POSTGRESQL_OPTIONS, pool_pre_ping=True, pool_recycle=1800
        )
        return Database(engine, None)
    path = Path(parsed.database or "").absolute()
    if readonly and not path.exists():
        raise ConfigError(
            f"database {path}: there is no such file; `podcast-monitor run` creates it"
        )
    if not readonly:
        _create(path)
    mode = "ro" if readonly else "rw"
    engine = sa.create_engine(
        f"sqlite:///file:{quote(str(path))}?mode={mode}&uri=true",
        connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None},
    )
    sa.event.listen(engine, "connect", _on_connect_readonly if readonly else _on_connect)
    sa.event.listen(engine, "begin", _begin_deferred if readonly else _begin_immediate)
    return Database(engine, path)


def _create(path: Path) -> None:
    """Create the file where it is missing, readable by its owner alone: feeds carry tokens."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise ConfigError(
            f"database {path}: cannot be written ({error.strerror}); "
            "give `database` a path in a directory that this user may write to"
        ) from error


def _on_connect_readonly(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA query_only = ON")


def _on_connect(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode = TRUNCATE")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_immediate(conn: sa.Connection) -> None:
    conn.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(conn: sa.Connection) -> None:
    conn.exec_driver_sql("BEGIN")
