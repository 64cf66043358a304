"""The bytes of answers that were not believed, for a person to look at: a few, the newest.

One file for each podcast and reason, so that a feed that is always broken in one way keeps one
place, and not all. It is the feed's own text and may be private: only the owner can read it.
"""

import os
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

MOST = 5  # files
MAX_BYTES = 5_000_000  # of each, compressed; what is longer is cut there
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


class Evidence:
    """A directory of refused bodies, made when the first one comes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keep(self, podcast: str, reason: str, wire: Iterable[bytes], *, gzipped: bool) -> None:
        """Keep what came on the *wire*. A disk that is full or read-only is no reason to fail."""
        name = _UNFIT.sub("_", f"{podcast}-{reason}")[:200] + ".xml.gz"
        with suppress(OSError):
            self._directory.mkdir(mode=0o700, exist_ok=True)
            self._write(name, wire if gzipped else _gzipped(wire))
            self._forget_oldest()

    def _write(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write a file whole, or not at all; nothing where there is nothing to write."""
        left = MAX_BYTES
        with NamedTemporaryFile(dir=self._directory, prefix=".", delete=False) as file:
            try:
                for piece in pieces:
                    file.write(piece[:left])
                    left = max(0, left - len(piece))
                file.flush()
                if left < MAX_BYTES:
                    os.replace(file.name, self._directory / name)  # noqa: PTH105 - it is a text
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(file.name)  # noqa: PTH108 - as above

    def _forget_oldest(self) -> None:
        files = sorted(self._directory.glob("*.xml.gz"), key=lambda path: path.stat().st_mtime)
        for path in files[:-MOST]:
            path.unlink()


def _gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    zipper = zlib.compressobj(wbits=31)
    for piece in pieces:
        yield zipper.compress(piece)
    yield zipper.flush()
