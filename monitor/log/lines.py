"""One event as one line: JSON, logfmt, or the form for eyes. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, Literal

from monitor.core.model import LogEvent, Scalar
from monitor.log import console
from monitor.log.fields import Value, escaped, quoted, record

Form = Literal["console", "json", "logfmt"]

_BARE: Final = re.compile(r'[^\s"=\\{}]+')
READS_AS_DATA: Final = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")
_UNFIT_FOR_A_KEY: Final = re.compile(r"[^A-Za-z0-9_.-]")


def render(
    event: LogEvent,
    at: datetime,
    seq: int | None = None,
    *,
    form: Form,
    colour: bool = False,
) -> str:
    """Return *event* as one line, without its line end. *colour* matters to the console only."""
    match form:
        case "json":
            return _json(record(event, at, seq))
        case "logfmt":
            return _logfmt(record(event, at, seq))
        case "console":
            return console.line(event, at, seq, colour=colour)


def _json(line: Mapping[str, Value]) -> str:
    return escaped(json.dumps(line, ensure_ascii=False, separators=(",", ":")))


def _logfmt(line: Mapping[str, Value]) -> str:
    return " ".join(f"{key}={_word(value)}" for key, value in flat(line))


def flat(line: Mapping[str, Value]) -> Iterator[tuple[str, Scalar]]:
    """Yield the pairs of a logfmt line: null left out, objects flattened.

    ``requests`` becomes the six statuses (``pending=1 accepted=0 …``); any other object's keys
    carry its name (``held.bulk=3``).
    """
    for key, value in line.items():
        if isinstance(value, Mapping):
            prefix = "" if key == "requests" else f"{key}."
            for inner, count in value.items():
                yield _UNFIT_FOR_A_KEY.sub("_", prefix + inner), count
        elif value is not None:
            yield _UNFIT_FOR_A_KEY.sub("_", key), value


def _word(value: Scalar) -> str:
    """Return *value* bare where it then reads back as itself, else as a JSON string."""
    if not isinstance(value, str):
        return json.dumps(value)
    bare = value.isprintable() and _BARE.fullmatch(value) and not READS_AS_DATA.fullmatch(value)
    return value if bare else quoted(value)
