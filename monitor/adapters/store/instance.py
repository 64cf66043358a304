"""One daemon per SQLite file."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from monitor.adapters.store.database import Database
from monitor.core.model import UnavailableError


@contextmanager
def instance(database: Database) -> Iterator[None]:
    """Hold a SQLite database as its only daemon; several may share a PostgreSQL.

    The lock is the kernel's (flock), so it ends with the process however that ends.

    Raises:
        UnavailableError: another process holds it.
    """
    if database.path is None:
        yield
        return
    path = database.path.with_name(database.path.name + ".lock")
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise UnavailableError(
                f"database {database.path} is held by {holder}; one daemon per SQLite file"
            ) from None
        file.seek(0)
        file.truncate()
        file.write(f"pid {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def is_held(database: Database) -> bool:
    """Return whether a daemon runs on a SQLite file. Of a server it cannot be known: True."""
    try:
        with instance(database):
            return database.path is None
    except UnavailableError:
        return True
