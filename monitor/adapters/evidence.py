"""The bytes of answers that were not believed, for a person to look at: a few, the newest.

One file for each podcast and reason, so that a feed that is always broken in one way keeps one
place, and not all. It is the feed's own text and may be private: only the owner can read it. A
file's time is that of the answer, and ``.cut`` in its name says that there was more.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock
from typing import IO

MOST = 5  # files
MAX_BYTES = 5_000_000  # of each, compressed; what is longer is cut there
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


class Evidence:
    """A directory of refused bodies, made when the first one comes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = Lock()

    def keep(self, podcast: str, reason: str, wire: Iterable[bytes], *, gzipped: bool) -> None:
        """Keep what came on the *wire*. A disk that is full or read-only is no reason to fail."""
        name = _UNFIT.sub("_", f"{podcast}-{reason}")[:200]
        with self._lock, suppress(OSError):
            pieces = iter(wire)
            first = next(pieces, b"")
            if not first:
                return  # no answer came, or nothing in it: most failures
            body = chain([first], pieces)
            self._directory.mkdir(mode=0o700, exist_ok=True)
            self._forget(self._directory.glob(".*.part"))  # of a process that was killed
            self._write(name, body if gzipped else _gzipped(body))
            self._forget(self._oldest())

    def _write(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write a file whole, or not at all."""
        whole, cut = (self._directory / f"{name}{end}" for end in (".xml.gz", ".cut.xml.gz"))
        with NamedTemporaryFile(
            dir=self._directory, prefix=".", suffix=".part", delete=False
        ) as file:
            part = Path(file.name)
            try:
                is_whole = _fill(file, pieces)
                part.replace(whole if is_whole else cut)
                self._forget([cut if is_whole else whole])
            finally:
                self._forget([part])

    def _oldest(self) -> list[Path]:
        files = self._directory.glob("*.xml.gz")
        return sorted(files, key=lambda path: path.stat().st_mtime)[:-MOST]

    @staticmethod
    def _forget(files: Iterable[Path]) -> None:
        for file in files:
            file.unlink(missing_ok=True)


def _fill(file: IO[bytes], pieces: Iterable[bytes]) -> bool:
    """Write *pieces*, up to MAX_BYTES; return whether that was all of them."""
    left = MAX_BYTES
    for piece in pieces:
        file.write(piece[:left])
        left -= len(piece)
        if left < 0:
            break
    file.flush()
    return left >= 0


def _gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    zipper = zlib.compressobj(wbits=31)
    for piece in pieces:
        yield zipper.compress(piece)
    yield zipper.flush()
