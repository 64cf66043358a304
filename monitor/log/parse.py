"""One line of JSON or logfmt as the event it was: the reverse of ``lines``. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from monitor.core.lifecycle import Status
from monitor.core.model import LEVELS, Line, LogEvent, Scalar
from monitor.log.events import EVENTS
from monitor.log.fields import Value
from monitor.log.lines import READS_AS_DATA

_HEAD: Final = ("seq", "at", "level", "event", "podcast", "guid")
_PAIR: Final = re.compile(r'([A-Za-z0-9_.-]+)=("(?:[^"\\]|\\.)*"|[^\s"=\\]+)(?: |$)')
_STATUSES: Final = frozenset(map(str, Status))


def read_json(text: str) -> Line | None:
    """Return what a JSON line says, or None if it is none of ours."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _line(record) if isinstance(record, dict) else None


def read_logfmt(text: str) -> Line | None:
    """Return what a logfmt line says, or None if it is none of ours, or not whole."""
    try:
        return _line(_nested(dict(_pairs(text))))
    except ValueError:
        return None


def _line(record: Mapping[str, Any]) -> Line | None:
    name: Any = record.get("event")
    level: Any = record.get("level")
    seq, podcast, guid = record.get("seq"), record.get("podcast"), record.get("guid")
    if not isinstance(name, str) or name not in EVENTS or level not in LEVELS:
        return None
    if type(seq) not in (int, type(None)):
        return None
    if not all(isinstance(key, str | None) for key in (podcast, guid)):
        return None
    at = _at(record.get("at"))
    own = {key: value for key, value in record.items() if key not in _HEAD}
    if at is None or not all(map(_is_value, own.values())):
        return None
    return Line(at, LogEvent(name, podcast, guid, level, own), seq)


def _at(said: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(said))
        return at.astimezone(UTC) if at.tzinfo else None
    except (OverflowError, ValueError):
        return None


def _is_value(value: object) -> bool:
    if isinstance(value, dict):
        return all(type(count) is int for count in value.values())
    return isinstance(value, str | int | float | None)


def _pairs(text: str) -> Iterator[tuple[str, Scalar]]:
    """Yield the pairs of a logfmt line. Raises ValueError where it is not whole."""
    at = 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            raise ValueError("neither a pair nor the end")
        key, value = pair.groups()
        is_data = value.startswith('"') or READS_AS_DATA.fullmatch(value)
        yield key, json.loads(value) if is_data else value
        at = pair.end()


def _nested(flat: dict[str, Scalar]) -> dict[str, Value]:
    """Return what ``flat`` made a logfmt line of: the objects whole, of ``status.*`` every field."""
    name = str(flat.get("event"))
    if not name.startswith("status."):
        return {**flat}
    nested: dict[str, Value] = dict.fromkeys(EVENTS[name].fields) if name in EVENTS else {}
    if name == "status.summary":
        counts = {key: value for key, value in flat.items() if isinstance(value, int)}
        nested["requests"] = {key: n for key, n in counts.items() if key in _STATUSES}
        nested["held"] = {
            key.removeprefix("held."): n for key, n in counts.items() if key.startswith("held.")
        }
        flat = {k: v for k, v in flat.items() if k not in _STATUSES and not k.startswith("held.")}
    return nested | flat
