"""A database that cannot be used now: one exception, with one reason out of a closed list.

SQLite and PostgreSQL number their troubles, each in its own way; the drivers sort them into classes
that mix them (``OperationalError`` is a full disk, a lock, and a column that is missing). What
tells of the database is translated here. What tells of our own SQL (a constraint, a syntax) is
not, and is raised as it is.
"""

import sqlite3
from typing import Literal

from sqlalchemy.exc import DBAPIError, OperationalError

from monitor.core.model import DatabaseError

Reason = Literal[
    "locked",
    "disk_full",
    "read_only",
    "io_error",
    "corrupt",
    "not_a_database",  # something else lies there
    "replaced",  # deleted or replaced while it was open
    "unfinished",  # a commit was cut short, and who only reads may not undo it
    "refused",  # this user may not do this
    "slow",  # a statement took too long
    "unavailable",  # no connection, or no longer
]
LASTING = frozenset({"corrupt", "not_a_database", "replaced"})

SQLITE: dict[str, Reason] = {  # by result code, or by its family: https://sqlite.org/rescode.html
    "SQLITE_READONLY_DBMOVED": "replaced",
    "SQLITE_READONLY_ROLLBACK": "unfinished",
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_PROTOCOL": "locked",
    "SQLITE_FULL": "disk_full",
    "SQLITE_READONLY": "read_only",
    "SQLITE_IOERR": "io_error",
    "SQLITE_CORRUPT": "corrupt",
    "SQLITE_NOTADB": "not_a_database",
    "SQLITE_CANTOPEN": "unavailable",
    "SQLITE_NOMEM": "unavailable",
    "SQLITE_PERM": "refused",
    "SQLITE_AUTH": "refused",
}
DAMAGED_HEADER = ("unsupported file format", "must use the same text encoding")  # SQLITE_ERROR
POSTGRESQL: dict[str, Reason] = {  # by SQLSTATE, or by its class: PostgreSQL's appendix A
    "08": "unavailable",
    "25006": "read_only",
    "25P03": "slow",
    "28": "refused",
    "3D000": "unavailable",
    "40001": "locked",
    "40P01": "locked",
    "42501": "refused",
    "53100": "disk_full",
    "53": "unavailable",
    "55P03": "locked",
    "57014": "slow",
    "57P": "unavailable",
    "58": "io_error",
    "F0": "corrupt",
    "XX001": "corrupt",
    "XX002": "corrupt",
}
CONFLICTS = frozenset({"40001", "40P01"})  # all was undone, and the same again may well succeed

TEXTS: dict[Reason, str] = {
    "locked": "another process keeps it locked ({why}); all goes on when it lets go",
    "disk_full": "the disk is full ({why}); it goes on as soon as there is room",
    "read_only": "it can only be read ({why}); it goes on as soon as it can be written",
    "io_error": "the disk does not do what it is told ({why}); see the kernel's log",
    "corrupt": "it is damaged ({why}); keep the file, and restore a backup",
    "not_a_database": "is no database of podcast-monitor ({why});"
    " set `database` to another path, or restore a backup",
    "replaced": "the file was deleted or replaced while it was open; start again to use what is"
    " there now",
    "unfinished": "a commit was cut short; `podcast-monitor run` undoes it",
    "refused": "this user may not do what is needed ({why}); grant it, or name another user",
    "slow": "it did not answer in time ({why}); all goes on when it does",
    "unavailable": "cannot be reached or opened ({why}); see that it runs, or that its disk is there:"
    " all goes on when it can be",
}


def trouble(database: object, reason: Reason, why: str = "") -> DatabaseError:
    """Return the exception that says what, where and what to do."""
    text = f"database {database}: {TEXTS[reason].format(why=why)}"
    return DatabaseError(text, reason, lasting=reason in LASTING)


def translated(database: object, error: DBAPIError) -> DatabaseError | None:
    """Return what a driver's error says of the database; None as ``reason_of``."""
    reason = reason_of(error)
    return None if reason is None else trouble(database, reason, words(error))


def reason_of(error: DBAPIError) -> Reason | None:
    """Return what is wrong with the database. None: with our SQL."""
    if isinstance(error.orig, sqlite3.Error):
        return _reason_of_sqlite(error.orig)
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return POSTGRESQL.get(state) or POSTGRESQL.get(state[:3]) or POSTGRESQL.get(state[:2])
    # Of a connection that is not made, or is lost, the server's words have no code.
    unconnected = isinstance(error, OperationalError) or error.connection_invalidated
    return "unavailable" if unconnected else None


def _reason_of_sqlite(error: sqlite3.Error) -> Reason | None:
    name = getattr(error, "sqlite_errorname", None)
    if name is None:  # the driver's own: a text that is no UTF-8 was not written by us
        return "corrupt" if isinstance(error, sqlite3.OperationalError) else None
    if any(words in str(error) for words in DAMAGED_HEADER):
        return "corrupt"
    family = "_".join(name.split("_")[:2])
    return SQLITE.get(name) or SQLITE.get(family)


def is_conflict(error: DBAPIError) -> bool:
    """Return whether PostgreSQL undid a transaction only because of another one."""
    return getattr(error.orig, "sqlstate", None) in CONFLICTS


def words(error: DBAPIError) -> str:
    """Return what the database itself said, in one line."""
    return "; ".join(str(error.orig).strip().splitlines())
