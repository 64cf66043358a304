"""A backup of a SQLite file while its daemon writes.

SQLite's own backup, not ``VACUUM INTO``: that reads in one go, and in rollback mode a commit waits
for every reader. Of a file of 196 MB the longest commit took 1.4 s beside ``VACUUM INTO``, 0.8 s
beside a backup in one go that flushes its copy under the lock, 0.45 s beside one that does not, and
0.05 s beside one in steps. A commit makes the steps begin anew: after a few of those it is one go.
"""

import errno
import os
import shlex
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp

import sqlalchemy as sa

from monitor.adapters.store import events, integrity, migrate, schema
from monitor.adapters.store.database import PATIENCE, Database, connect
from monitor.adapters.store.place import DISK
from monitor.adapters.store.trouble import trouble
from monitor.core.model import ConfigError, UnavailableError

SEE_TO_THE_DISK = "see to its disk, or choose another, and try again"
STEP_PAGES = 256  # a mebibyte
RESTARTS_BORNE = 3
ALL_PAGES = -1
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS})  # FAT, some network file systems
COMPANIONS = ("-journal", "-wal", "-shm", ".lock")  # by which SQLite and we know more of a file
SECRETS = frozenset({"password", "sslpassword"})  # of an address's query


@dataclass(frozen=True, slots=True)
class Backup:
    path: Path
    size_bytes: int
    seq: int  # of the last event that is in it


class _Restarted(Exception):  # noqa: N818 - no error: somebody wrote
    """The copy began anew more often than is borne."""


def back_up(source: Database, target: Path) -> Backup:
    """Copy a SQLite file that may be in use: one moment of it, sound, on the disk, its owner's alone.

    *target* has its name only when all that is certain. A process that is killed leaves a hidden
    ``.part`` beside it; whatever else goes wrong leaves nothing.

    Raises:
        ConfigError: something is at *target*, or no file can be there; *source* is not this
            program's, or a server, which has a better program for it.
        UnavailableError: there is no room, or the disk fails.
        DatabaseError: *source* is locked, or damaged.
    """
    target = target.absolute()
    if source.path is None:
        raise _better(source.engine.url, target)
    migrate.require_current(source)
    with _told(target):
        _require_free(source.path, target)
        _require_room(source.path, target)
        return _make(source.path, target)


def _make(source: Path, target: Path) -> Backup:
    with _part(target.parent) as part:
        _copy(source, part)
        _flush(part)
        seq = _look(source, part)
        made = Backup(target, part.stat().st_size, seq)
        _name(part, target)
    _flush(target.parent)
    return made


def _better(server: sa.URL, target: Path) -> ConfigError:
    """Return what is said of PostgreSQL: its own program, as it is called here, but for a password."""
    bare = sa.URL.create(
        "postgresql",
        username=server.username,
        host=server.host,
        port=server.port,
        database=server.database,
        query={name: value for name, value in server.query.items() if name not in SECRETS},
    )
    words = ("pg_dump", "--format=custom", f"--file={target}", f"--dbname={bare}")
    return ConfigError(f"backup: of PostgreSQL use {shlex.join(words)}")


# --- the place -----------------------------------------------------------------------------


def _require_free(source: Path, target: Path) -> None:
    if target.is_dir():
        raise ConfigError(f"backup {target}: is a directory; name a file in it")
    if os.path.lexists(target):
        raise _taken(target)
    if not target.parent.is_dir():
        raise ConfigError(f"backup {target}: there is no directory {target.parent}")
    its_own = {source.name + end for end in COMPANIONS}
    if target.name in its_own and target.parent.samefile(source.parent):
        raise ConfigError(f"backup {target}: belongs to the database; choose another name")


def _taken(target: Path) -> ConfigError:
    return ConfigError(f"backup {target}: is there already; it is not written over")


def _require_room(source: Path, target: Path) -> None:
    """Refuse to fill the disk, on which the daemon may be at work."""
    needed, free = source.stat().st_size, shutil.disk_usage(target.parent).free
    if free < needed:
        raise UnavailableError(
            f"backup {target}: not made, it needs {needed:,} bytes and {free:,} are free"
        )


@contextmanager
def _part(directory: Path) -> Iterator[Path]:
    """Give a new file that is gone afterwards, unless it has got another name."""
    descriptor, name = mkstemp(dir=directory, prefix=".podcast-monitor-", suffix=".part")
    os.close(descriptor)
    part = Path(name)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _told(target: Path) -> Iterator[None]:
    """Translate what the disk, or SQLite of it, says."""
    try:
        yield
    except OSError as error:
        text = f"backup {target}: not made ({error.strerror})"
        if error.errno in DISK:
            raise UnavailableError(f"{text}; {SEE_TO_THE_DISK}") from error
        raise ConfigError(f"{text}; name a file that this user may write") from error
    except sqlite3.Error as error:
        text = f"backup {target}: not made ({error}); {SEE_TO_THE_DISK}"
        raise UnavailableError(text) from error


def _flush(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name(part: Path, target: Path) -> None:
    """Give the copy its name: by a link, for a rename would replace what came there meanwhile."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise _taken(target) from None
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if os.path.lexists(target):
            raise _taken(target) from None
        part.rename(target)


# --- the copy ------------------------------------------------------------------------------


def _copy(source: Path, part: Path) -> None:
    try:
        _copy_pages(source, part, STEP_PAGES)
    except _Restarted:
        os.truncate(part, 0)
        _copy_pages(source, part, ALL_PAGES)


def _copy_pages(source: Path, part: Path, pages: int) -> None:
    """Copy so many pages at a time.

    Nothing is flushed here: the last step would do it while it still keeps the daemon waiting.
    """
    uri = f"{source.as_uri()}?mode=ro"
    from_ = sqlite3.connect(uri, uri=True, timeout=PATIENCE.total_seconds())
    with closing(from_), closing(sqlite3.connect(part, isolation_level=None)) as to:
        to.execute("PRAGMA synchronous = OFF")
        to.execute("PRAGMA journal_mode = OFF")
        from_.backup(to, pages=pages, progress=_watch(source))


def _watch(source: Path) -> Callable[[int, int, int], None]:
    """Return what is told of each step: its result, and how many pages remain of how many."""
    least: int | None = None
    restarts = 0

    def step(result: int, remaining: int, _total: int) -> None:
        nonlocal least, restarts
        if result == sqlite3.SQLITE_BUSY:  # for as long as PATIENCE
            raise trouble(source, "locked", "database is locked")
        if least is not None and remaining >= least:
            restarts += 1
        least = remaining
        if restarts > RESTARTS_BORNE:
            raise _Restarted

    return step


def _look(source: Path, part: Path) -> int:
    """Return a copy's last seq.

    Raises:
        DatabaseError: it is damaged, as *source* is: pages are copied unread.
    """
    with closing(connect(sa.URL.create("sqlite", database=str(part)), readonly=True)) as copied:
        if found := copied.read(integrity.findings):
            raise trouble(source, "corrupt", "; ".join(found))
        return copied.read(events.counter, schema.SEQ)
