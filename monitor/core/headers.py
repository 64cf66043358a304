"""What the headers of an answer ask of us (RFC 9110, RFC 9111)."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_LONGEST = timedelta(days=365)  # beyond this a number is nonsense; callers cap it far lower


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Return how long to wait (RFC 9110, section 10.2.3); None where nothing readable is said.

    A date is taken relative to the answer's own Date, so that a server whose clock is wrong is
    understood all the same. A date that has passed is no wait at all.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"-?\d{1,12}", value):
        return _clamped(timedelta(seconds=int(value)))
    at = _date(value)
    if at is None:
        return None
    return _clamped(at - (_date(headers.get("date", "")) or now))


def max_age(headers: Mapping[str, str]) -> timedelta | None:
    """Return for how much longer the answer is fresh (RFC 9111, section 4.2); None: not said."""
    directives = headers.get("cache-control", "").lower()
    if "no-cache" in directives or "no-store" in directives:
        return None
    found = re.search(r"max-age\s*=\s*\"?(\d{1,12})", directives)
    if found is None:
        return None
    age = re.fullmatch(r"\d{1,12}", headers.get("age", "").strip())
    return _clamped(timedelta(seconds=int(found[1]) - (int(age[0]) if age else 0)))


def _clamped(wait: timedelta) -> timedelta:
    return max(timedelta(), min(wait, _LONGEST))


def _date(value: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(value)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (TypeError, ValueError, IndexError, OverflowError):  # year 9999, west of Greenwich
        return None
