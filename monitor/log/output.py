"""The one way out: every line of this process, its own and its libraries', leaves through here."""

import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

from monitor.core.model import Level, LogEvent, iso
from monitor.log.console import continuation
from monitor.log.lines import Form, render
from monitor.log.redact import redact
from monitor.log.stream import Stream

_LEVELS: Final[Mapping[Level, int]] = {
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_PRIORITIES: Final[Mapping[Level, int]] = {"info": 6, "warning": 4, "error": 3}  # syslog(3)
_TRACEBACK_CHARS: Final = 16_000  # the end of one, which says what happened
# Below journald's LineMax= (48K): it would split a longer line, and its second half would begin
# with what a feed wrote there, a priority of its own included.
_JOURNAL_LINE_BYTES: Final = 40_000
_MUTE: Final = "no line could be written from %s to %s: those without a seq were lost"

_events: structlog.stdlib.BoundLogger = structlog.wrap_logger(
    logging.getLogger("monitor"),
    processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    wrapper_class=structlog.stdlib.BoundLogger,
)


def emit(event: LogEvent, *, at: datetime, seq: int | None = None) -> bool:
    """Write *event*, which happened at *at*; *seq* is its number where it was committed.

    Returns whether it was written, or was below the level of what is. Never raises, and waits for a
    second at most: a line that cannot be written is lost, and the daemon goes on.
    """
    for handler in _ours():
        handler.taken = True
    _events.log(_LEVELS[event.level], event.name, told=event, at=at, seq=seq)
    return all(handler.taken for handler in _ours())


def setup(
    form: Form | Literal["auto"],
    stream: TextIO,
    *,
    environ: Mapping[str, str],
    level: Level = "info",
) -> None:
    """Send all that is logged, warned of or left uncaught to *stream*. Can be called again.

    *form* ``auto`` is the console on a terminal, logfmt under journald, JSON anywhere else.
    Libraries are heard from WARNING up, whatever the *level* of our own events.
    """
    journal = _is_journal(stream, environ)
    chosen = _fitting(stream, journal=journal) if form == "auto" else form
    handler = next((ours for ours in _ours() if ours.stream is stream), None) or _Lines(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_adopt],
            processors=[_printer(chosen, colour=_has_colours(stream, environ), journal=journal)],
        )
    )
    root = logging.getLogger()
    root.handlers = [other for other in root.handlers if other not in _ours()]
    root.addHandler(handler)
    logging.getLogger("monitor").setLevel(_LEVELS[level])
    root.setLevel(logging.WARNING)  # httpx prints whole URLs at INFO, tokens included
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # warns of what it raises, too
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught


def _fitting(stream: TextIO, *, journal: bool) -> Form:
    if stream.isatty():
        return "console"
    return "logfmt" if journal else "json"


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether *stream* leads to journald, as $JOURNAL_STREAM says (systemd.exec(5)).

    The variable alone is not enough: it is inherited by whatever redirects its output.
    """
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError):  # not a file, or closed
        return False
    return environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


def _has_colours(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether to colour: on a terminal, unless $NO_COLOR is set (no-color.org).

    $FORCE_COLOR is for whoever shows our lines on a terminal of its own, as the demo does.
    """
    if environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


class _Lines(logging.Handler):
    """Writes records to a stream that may take none for a while, or never again."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.taken = True  # whether the last record was
        self.stream = stream
        self._out = Stream(stream)
        self._mute_since: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        taken = True
        try:
            taken = self._out.write(self.format(record))
        except Exception:  # noqa: BLE001 - a fault of ours; logging has a way to tell it
            self.handleError(record)
        if not taken:
            self._mute_since = self._mute_since or record.created
        elif self._mute_since is not None:
            mute = [datetime.fromtimestamp(at, UTC) for at in (self._mute_since, record.created)]
            self._mute_since = None
            logging.getLogger("monitor").warning(_MUTE, *map(iso, mute))
        self.taken = taken


def _ours() -> list[_Lines]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, _Lines)]


def _printer(form: Form, *, colour: bool, journal: bool) -> Processor:
    """Return the last processor: it turns what is told into physical lines."""

    def printed(_logger: object, _method: str, told: EventDict) -> str:
        event: LogEvent = told["told"]
        lines = [render(event, told["at"], told["seq"], form=form, colour=colour)]
        if form == "console" and (trace := event.fields.get("exception")):
            lines += continuation(str(trace))
        return "\n".join(_prioritised(lines, event.level) if journal else lines)

    return printed


def _prioritised(lines: list[str], level: Level) -> Iterator[str]:
    for line in lines:
        whole = line.encode()
        if len(whole) > _JOURNAL_LINE_BYTES:
            line = whole[:_JOURNAL_LINE_BYTES].decode(errors="ignore") + "…"  # noqa: PLW2901 - the same line, cut
        yield f"<{_PRIORITIES[level]}>{line}"


def _adopt(_logger: object, _method: str, told: EventDict) -> EventDict:
    """Turn a library's record into an event: the one kind of name outside the closed list."""
    record: logging.LogRecord = told["_record"]
    level: Level = "info"
    if record.levelno >= logging.WARNING:
        level = "error" if record.levelno >= logging.ERROR else "warning"
    fields = {
        "logger": record.name,
        "message": told["event"].rstrip(),
        "exception": _exception(told),
    }
    told["told"] = LogEvent(f"log.{level}", level=level, fields=fields)
    told["at"] = datetime.fromtimestamp(record.created, UTC)
    told["seq"] = None
    return told


def _exception(told: EventDict) -> str | None:
    kind, error, trace = told.get("exc_info") or (None, None, None)
    if kind is None:
        return told.get("stack_info")
    whole = "".join(traceback.format_exception(kind, error, trace)).rstrip()
    return redact(whole)[-_TRACEBACK_CHARS:]  # in this order: half a URL cannot be recognised


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):  # not a defect; Python ends the process by the signal
        return
    logging.getLogger("monitor").critical("uncaught", exc_info=(kind, error, trace))
