"""Where a SQLite file is: created there, or found and fit to be used."""

import errno
import os
from pathlib import Path
from stat import S_ISREG

from monitor.adapters.store.trouble import Reason, trouble
from monitor.core.model import ConfigError

DISK: dict[int, Reason] = {  # what may pass; all else is the operator's to mend
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EIO: "io_error",
}


def create(path: Path) -> None:
    """Create a file where it is missing, readable by its owner alone: feeds carry tokens.

    One that is there is not opened: closing it would drop this process's own locks on it.

    Raises:
        ConfigError: it is missing and cannot be created.
        DatabaseError: the disk is full, or fails.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        if reason := DISK.get(error.errno or 0):
            raise trouble(path, reason, str(error.strerror)) from error
        raise _refused(path, error.strerror) from error


class NotThereError(ConfigError):
    """There is no database yet."""


def require(path: Path, access: int) -> None:
    """Refuse a path at which there is no file that this user may use so.

    Raises:
        NotThereError: there is nothing at all.
        ConfigError: as it says.
    """
    try:
        regular = S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        raise NotThereError(
            f"database {path}: there is no such file; `podcast-monitor run` creates it"
        ) from None
    except OSError as error:
        raise _refused(path, error.strerror) from error
    if not regular:
        raise _refused(path, "it is not a file")
    journal = path.parent  # a writer's, beside the file
    for place, needed in ((path, access), (journal, access & os.W_OK)):
        if not os.access(place, needed, effective_ids=True):
            readonly = needed & os.W_OK and os.statvfs(place).f_flag & os.ST_RDONLY
            raise _refused(place, "Read-only file system" if readonly else "Permission denied")


def identity(path: Path) -> tuple[int, int]:
    """Return which file is at a path, whatever else is called the same."""
    found = path.stat()
    return found.st_dev, found.st_ino


def _refused(path: Path, why: str | None) -> ConfigError:
    return ConfigError(
        f"database {path}: cannot be used ({why});"
        " give `database` a path in a directory that this user may write to"
    )
