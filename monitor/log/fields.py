"""What a line holds: its keys in their order, its values safe to print. Pure.

What a feed says reaches the log in titles and guids. Nothing in it may end a line, forge
another, or speak to a terminal: every character that is not printable (controls, line
separators, bidi overrides, C1) is written as an escape.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from monitor.core.model import LogEvent, Scalar
from monitor.log.events import EVENTS
from monitor.log.redact import redact

Value = Scalar | Mapping[str, int]  # of a field

_OTHERS_WROTE: Final = frozenset({"error", "reason", "message", "exception"})


def record(event: LogEvent, at: datetime, seq: int | None = None) -> dict[str, Value]:
    """Return what a line holds, its keys in their fixed order.

    None is left out, but for the own fields of ``status.*``, which are promised to readers.
    """
    head: dict[str, Value] = {
        "seq": seq,
        "at": instant(at),
        "level": event.level,
        "event": event.name,
        "podcast": event.podcast,
        "guid": event.guid,
    }
    promised = event.name.startswith("status.")
    own = {key: value for key, value in ordered(event) if promised or value is not None}
    return {key: value for key, value in head.items() if value is not None} | own


def ordered(event: LogEvent) -> Iterator[tuple[str, Value]]:
    """Yield an event's own fields in the order of EVENTS, every listed one, None where absent.

    A field that is not listed (a newer version wrote it to the database) comes last.
    """
    fields: Mapping[str, Value] = event.fields
    kind = EVENTS.get(event.name)
    listed = kind.fields if kind else ()
    for key in (*listed, *(key for key in fields if key not in listed)):
        yield key, _as_printed(key, fields.get(key))


def _as_printed(key: str, value: Value) -> Value:
    if not isinstance(value, str):
        return value
    if key in _OTHERS_WROTE:
        return redact(value)
    if key.endswith("_at") or key == "since":
        try:
            return instant(datetime.fromisoformat(value))
        except ValueError:
            return value
    return value


def instant(at: datetime) -> str:
    """Return *at* as ISO 8601 in UTC, with milliseconds and Z. Naive instants are taken as UTC."""
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def escaped(text: str) -> str:
    r"""Return *text* with every character that is not printable as ``\uXXXX``, as JSON does it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def quoted(text: str) -> str:
    """Return *text* as a JSON string in which all that is printable stands for itself."""
    return escaped(json.dumps(text, ensure_ascii=False))
