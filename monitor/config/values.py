"""What one value of the configuration may look like.

Each reader returns the value or raises ValueError with what is wrong and what to write
instead. These values hold no secrets, so that messages quote them.
"""

import re
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator, PlainValidator

from monitor.core.baseline import Backfill, Everything, Latest, Within

LONGEST = timedelta(days=36_500)  # keeps every instant that is reckoned from it within datetime
LARGEST_BYTES = 2**40
LARGEST_COUNT = 1_000_000
SHOWN = 60  # characters of an offending value

_UNITS = MappingProxyType(
    {
        "w": timedelta(weeks=1),
        "d": timedelta(days=1),
        "h": timedelta(hours=1),
        "m": timedelta(minutes=1),
        "s": timedelta(seconds=1),
        "ms": timedelta(milliseconds=1),
    }
)
_BYTES = MappingProxyType(
    {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}
)
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ms|s|m|h|d|w)")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?(B|KiB|MiB|GiB|kB|MB|GB)")
_LATEST = re.compile(r"latest:([1-9][0-9]{0,5})")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def shown(value: object) -> str:
    """Return a scalar as TOML has it, a table or an array by its kind; bounded, on one line."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            text = repr(value[:SHOWN])[1:-1].replace('"', '\\"')
            return f'"{text}{"…" if len(value) > SHOWN else ""}"'
        case int() | float():
            return str(value)[:SHOWN]
        case _:
            return kind(value)


def kind(value: object) -> str:
    """Return what a value is in TOML's words."""
    match value:
        case bool():
            return "a boolean"
        case str():
            return "text"
        case int() | float():
            return "a number"
        case dict():
            return "a table"
        case list():
            return "an array"
        case _:
            return "nothing" if value is None else "a date or time"


def written(duration: timedelta) -> str:
    """Return a duration as the configuration spells it, in its greatest whole unit."""
    unit, length = next(
        ((u, d) for u, d in _UNITS.items() if not duration % d), ("ms", _UNITS["ms"])
    )
    return f"{duration // length}{unit}"


def _duration(value: object) -> timedelta:
    how = "write a number and ms, s, m, h, d or w"
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'{value} has no unit; {how}, such as "{value}s"')  # noqa: TRY004 - pydantic collects ValueError only
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{shown(value)} is not a duration; {how}, such as "15m"')
    microseconds = Decimal(match[1]) * (_UNITS[match[2]] // timedelta(microseconds=1))
    if microseconds > LONGEST // timedelta(microseconds=1):
        raise ValueError(f'{shown(value)} is too long; "{written(LONGEST)}" is the most')
    if microseconds < 1:
        raise ValueError(f'{shown(value)} is no time at all; write more than 0, such as "1s"')
    return timedelta(microseconds=int(microseconds))


def _size(value: object) -> int:
    how = "write a number and B, KiB, MiB, GiB, kB, MB or GB"
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'{value} has no unit; {how}, such as "{value}B"')  # noqa: TRY004 - pydantic collects ValueError only
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{shown(value)} is not a size; {how}, such as "64MiB"')
    size = int(Decimal(match[1]) * _BYTES[match[2]])
    if not 1 <= size <= LARGEST_BYTES:
        raise ValueError(f'{shown(value)} is out of range; write "1B" to "1024GiB"')
    return size


def _count(value: object, least: int) -> int:
    """Return a whole number; the environment has it as text."""
    text = str(value) if isinstance(value, int | str) else ""
    if not re.fullmatch(r"[0-9]{1,7}", text) or not least <= int(text) <= LARGEST_COUNT:
        raise ValueError(
            f"{shown(value)} is not a whole number from {least} to {LARGEST_COUNT};"
            " write it in digits, such as 10"
        )
    return int(text)


def _backfill(value: object) -> Backfill:
    if value == "none":
        return Latest(0)
    if value == "all":
        return Everything()
    if isinstance(value, str) and (latest := _LATEST.fullmatch(value)):
        return Latest(int(latest[1]))
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return Within(_duration(value))
    raise ValueError(
        f'{shown(value)} is no backfill; write a duration such as "7d", "none",'
        ' "latest:N" such as "latest:5", or "all"'
    )


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        fitting = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:SHOWN] or "my-podcast"
        raise ValueError(
            f"{shown(value)} is no name; write small letters a to z, digits and hyphens,"
            f' such as "{fitting}"'
        )
    return value


def _slug(value: str) -> str:
    if not _SLUG.fullmatch(value):
        raise ValueError(
            f"{shown(value)} is no slug; write the one path segment that follows /podcast/"
            ' in Stenobird\'s address of the podcast, such as "latent-space-ai-engineer"'
        )
    return value


def _word(value: str) -> str:
    if not value.strip() or value != value.strip():
        raise ValueError(
            f"{shown(value)} is no processing state; write a word without blanks around it,"
            ' such as "processed"'
        )
    return value


Duration = Annotated[timedelta, PlainValidator(_duration)]
Size = Annotated[int, PlainValidator(_size)]
Count = Annotated[int, PlainValidator(lambda value: _count(value, 1))]
CountOrNone = Annotated[int, PlainValidator(lambda value: _count(value, 0))]
HowFarBack = Annotated[Backfill, PlainValidator(_backfill)]
Name = Annotated[str, AfterValidator(_name)]
Slug = Annotated[str, AfterValidator(_slug)]
Word = Annotated[str, AfterValidator(_word)]
