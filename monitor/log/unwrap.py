"""What others put around a line of ours: systemd's priority, journald's columns, its JSON, gzip."""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from monitor.core.model import Line
from monitor.log.glimpse import Glimpses
from monitor.log.parse import read_json, read_logfmt

LONGEST_BYTES: Final = 1 << 20  # of a line; of ours none has as much, even byte by byte in JSON
MILLION: Final = 1_000_000

_PRIORITY: Final = re.compile(r"<[0-7]>")
_TIME: Final = r"\d\d:\d\d:\d\d(?:[.,]\d+)?"
_STAMP: Final = (  # of journalctl's forms, and of syslog's files
    rf"(?P<iso>\d{{4}}-\d\d-\d\dT{_TIME}(?:Z|[+-]\d\d:?\d\d))"  # short-iso
    rf"|[A-Z][a-z]{{2}} (?P<full>\d{{4}}-\d\d-\d\d {_TIME}) \S+"  # short-full
    rf"|[A-Z][a-z]{{2}} [ \d]\d {_TIME}"  # short: of no year
    r"|(?P<unix>\d{9,}\.\d+)|\[ *\d+\.\d+\]"  # short-unix, short-monotonic
)
_PREFIX: Final = re.compile(rf"(?:{_STAMP}) \S+ [^\s\[:]+(?:\[\d+\])?: ")
_LOGFMT: Final = re.compile(r"(?:seq=\d+ )?at=")


@dataclass(slots=True)
class Cut:
    """Whether a file ended before it should."""

    off: bool = False


def lines_of(path: Path | None, stdin: BinaryIO, cut: Cut) -> Iterator[bytes]:
    """Yield the lines of a file, of a compressed one too, or of *stdin*; of long ones the beginning.

    Raises:
        OSError: the file cannot be read.
    """
    if path is None:
        yield from _bounded(stdin)
        return
    if path.suffix != ".gz":
        with path.open("rb") as plain:
            yield from _bounded(plain)
        return
    with gzip.open(path) as packed:
        begun = False
        try:
            for line in _bounded(packed):
                begun = True
                yield line
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            if not begun:
                raise OSError("it is no whole gzip file") from error
            cut.off = True  # it is being written, or was cut off


def _bounded(stream: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    while line := stream.readline(LONGEST_BYTES):
        yield line
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_BYTES)


class Reader:
    """Reads the lines of a log, in whichever form each is; what is none of ours it passes by.

    A last line without its end may have been cut anywhere: only JSON shows whether it is whole.
    """

    def __init__(self) -> None:
        self._glimpses = Glimpses()

    def read(self, raw: bytes) -> Line | None:
        """Return what a line says, or None if it is none of ours."""
        text = raw.decode("utf-8", "replace").rstrip("\r\n").removeprefix("\ufeff")
        if text.startswith("{") and '"MESSAGE"' in text and (entry := _entry(text)):
            return self._of(*entry, whole=True)
        whole = raw.endswith(b"\n")
        prefix = _PREFIX.match(text)
        if prefix is None:
            return self._of(text, None, whole=whole)
        return self._of(text[prefix.end() :], _stamp(prefix), whole=whole)

    def _of(self, text: str, stamp: datetime | None, *, whole: bool) -> Line | None:
        if priority := _PRIORITY.match(text):
            text = text[priority.end() :]
        if text.startswith("{"):
            return read_json(text)
        if not whole:
            return None
        return read_logfmt(text) if _LOGFMT.match(text) else self._glimpses.read(text, stamp)


def _entry(text: str) -> tuple[str, datetime | None] | None:
    """Return message and time of an entry as ``journalctl -o json`` prints it; None: it is none."""
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or "MESSAGE" not in entry:
        return None
    message, written = entry["MESSAGE"], entry.get("__REALTIME_TIMESTAMP")
    if isinstance(message, list):  # not UTF-8, or not printable: bytes
        try:
            message = bytes(message).decode("utf-8", "replace")
        except (TypeError, ValueError):
            return "", None
    return str(message), _since_1970(written, MILLION)


def _since_1970(said: object, per_second: int = 1) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(str(said)) / per_second, UTC)
    except (OSError, OverflowError, ValueError):  # no number, or of no year
        return None


def _stamp(prefix: re.Match[str]) -> datetime | None:
    """Return when journald had a line, or nearly: of a zone by name alone it is not known."""
    if prefix["unix"]:
        return _since_1970(prefix["unix"])
    try:
        said = prefix["iso"] or prefix["full"]
        at = datetime.fromisoformat(said.replace(",", ".")) if said else None
    except (OverflowError, ValueError):
        return None
    return at and (at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC))
