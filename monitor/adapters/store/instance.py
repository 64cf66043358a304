"""One daemon per SQLite file."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
    with _lock(database.path).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise UnavailableError(
                f"database {database.path} is held by {holder}; one daemon per SQLite file: stop it,"
                " or use another `database`"
            ) from None
        with suppress(OSError):  # a full disk: the lock holds without the name
            file.truncate(0)
            os.write(file.fileno(), f"pid {os.getpid()} on {socket.gethostname()}".encode())
        yield


def is_held(database: Database) -> bool:
    """Return whether a daemon runs on a SQLite file. Of a server it cannot be known: True.

    Nothing is created or written. A daemon that starts in the instant of the question is told
    that it comes second; systemd starts it again.
    """
    if database.path is None:
        return True
    try:
        with _lock(database.path).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _lock(path: Path) -> Path:
    return path.with_name(path.name + ".lock")
