"""What a single value of a published resource means. Nothing here knows a field's name.

Every reader takes any JSON value and answers None where the value is not of its kind: types
are strict (a number is no title), and what is kept is bounded, so that no answer can bloat
the database.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from monitor.core.model import Chapter

T = TypeVar("T")

MAX_ITEMS = 500  # of a list; what follows is not looked at
MAX_SECONDS = 10_000_000  # 115 days: what claims to be longer is no podcast
MAX_LINE = 1_000  # characters of a title, a highlight, a topic
MAX_TEXT = 20_000  # characters of a summary
MAX_WORD = 100  # characters of a processing state

_ADDRESS = re.compile(r"""https?://[^\s\x00-\x1f\x7f"<>\\^`{|}]{1,2000}""", re.IGNORECASE)
_ROOTED = re.compile(r"""/(?!/)[^\s\x00-\x1f\x7f"<>\\^`{|}]{1,2000}""")
_CLOCK = re.compile(r"(?:([0-9]{1,3}):)?([0-9]{1,4}):([0-5][0-9])")
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_CHAPTER = re.compile(r"([0-9]{1,4}(?::[0-5][0-9]){1,2})\s+[-–—]\s+(\S.*)", re.DOTALL)  # noqa: RUF001 - feeds and Stenobird use all three dashes
_ACTION = re.compile(r"([\w-]+):\s+`?([A-Z]+)\s+([^\s`]+)")

_STATE = ("value", "state", "name", "status")
_HREF = ("url", "href", "src")
_LABEL = ("label", "title", "heading", "name")
_BODY = ("text", "content", "description", "summary", "body", "value")
_NAME = ("name", "title", "label", "topic", "tag", "text", "value")
_START = (
    *("start_s", "start_seconds", "start_sec", "start", "start_time", "starts_at", "start_at"),
    *("timestamp", "time", "offset_seconds", "offset", "begin"),
)
_ACTION_NAME = ("name", "rel", "id", "action", "type")
REQUEST = ("request_transcript", "request_transcription", "transcription_requests")


def plain(name: str) -> str:
    """Return *name* without case, ``_``, ``-`` and blanks: processingState is processing_state."""
    return re.sub(r"[\s_-]+", "", name).casefold()


def storable(value: Any) -> Any:
    """Return a JSON value without what a database refuses: NUL and halves of surrogate pairs."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "")
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(name): storable(item) for name, item in value.items()}
    return value


def first(
    members: Mapping[str, object], names: Iterable[str], reader: Callable[[object], T | None]
) -> T | None:
    """Return what *reader* makes of the first of *names* that it can read, in whatever spelling."""
    spelled = {plain(name): value for name, value in members.items()}
    read = (reader(spelled.get(plain(name))) for name in names)
    return next((value for value in read if value is not None), None)


def line(value: object) -> str | None:
    return text(value, MAX_LINE)


def text(value: object, limit: int = MAX_TEXT) -> str | None:
    if not isinstance(value, str):
        return None
    return value.strip()[:limit].rstrip() or None


def word(value: object) -> str | None:
    """Return a processing state, verbatim, from a string or from an object that wraps one."""
    if isinstance(value, dict):
        return first(value, _STATE, word)
    found = text(value, MAX_WORD + 1)
    return None if found is None or len(found) > MAX_WORD or "\n" in found else found


def is_null(value: object) -> bool:
    """Return whether a processing state is there and null, bare or in an object that wraps it."""
    if isinstance(value, dict):
        return next((v is None for name, v in value.items() if plain(name) in _STATE), False)
    return value is None


def address(value: object) -> str | None:
    """Return an absolute http(s) address, from a string or from an object that wraps one."""
    if isinstance(value, dict):
        return first(value, _HREF, address)
    found = text(value)
    return found if found and _ADDRESS.fullmatch(found) else None


def instant(value: object) -> datetime | None:
    """Return an aware UTC instant from ISO 8601, else RFC 822; one without a zone counts as UTC."""
    written = line(value)
    if written is None:
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            at = read(written)
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):  # the year 1 in a zone ahead of UTC overflows
            continue
    return None


def seconds(value: object) -> int | None:
    """Return whole seconds, rounded down, from a number, its digits, ``M:SS`` or ``H:MM:SS``."""
    if isinstance(value, str):
        written = value.strip()
        if clock := _CLOCK.fullmatch(written):
            hours, minutes, rest = (int(part or 0) for part in clock.groups())
            return hours * 3600 + minutes * 60 + rest
        value = float(written) if _NUMBER.fullmatch(written) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= MAX_SECONDS else None


def duration(value: object) -> int | None:
    """Return seconds; 0 says that nobody knows yet."""
    return seconds(value) or None


def points(value: object) -> tuple[str, ...] | None:
    """Return highlights; an object's label and text become ``label: text``, as Markdown has it."""
    return _each(value, _point)


def _point(value: object) -> str | None:
    if not isinstance(value, dict):
        return line(value)
    parts = (first(value, _LABEL, line), first(value, _BODY, line))
    return line(": ".join(part for part in parts if part))


def topics(value: object) -> tuple[str, ...] | None:
    """Return topics from a list of names or of objects, or from a line divided by commas."""
    if isinstance(value, str):
        value = [topic for topic in value.split(",") if topic.strip()]
    return _each(value, _topic)


def _topic(value: object) -> str | None:
    return first(value, _NAME, line) if isinstance(value, dict) else line(value)


def chapters(value: object) -> tuple[Chapter, ...] | None:
    """Return chapters from objects, or from lines such as ``1:00 — Title: text``."""
    return _each(value, _chapter)


def _chapter(value: object) -> Chapter | None:
    title: str | None
    if isinstance(value, dict):
        start_s = first(value, _START, seconds)
        title, about = first(value, _LABEL, line), first(value, _BODY, line)
    elif isinstance(value, str) and (match := _CHAPTER.fullmatch(value.strip())):
        start_s = seconds(match[1])
        title, _, about = match[2].partition(": ")
    else:
        return None
    if start_s is None or not (title or about):
        return None
    return Chapter(start_s, line(title) or "", line(about) or "")


def request_address(value: object) -> str | None:
    """Return where a transcript is requested, absolute or rooted (``/v1/…``), if by POST.

    *value* is that address, or the actions: a list of objects or of Markdown's lines, or an
    object by name.
    """
    if isinstance(value, list):
        found = (_of_action(action) for action in value[:MAX_ITEMS])
        return next((target for target in found if target), None)
    if isinstance(value, dict):
        return first(value, REQUEST, _target) or _target(value)
    return _target(value)


def _of_action(action: object) -> str | None:
    if isinstance(action, dict):
        is_named = first(action, _ACTION_NAME, lambda name: _is_request(name) or None)
        return _target(action) if is_named else first(action, REQUEST, _target)
    match = _ACTION.match(action.strip()) if isinstance(action, str) else None
    if match is None or not _is_request(match[1]):
        return None
    return _target({"method": match[2], "href": match[3]})


def _is_request(name: object) -> bool:
    return isinstance(name, str) and plain(name) in map(plain, REQUEST)


def _target(value: object) -> str | None:
    """Return an action's address; one that names no method is a POST."""
    if isinstance(value, dict):
        if (first(value, ("method",), line) or "POST").upper() != "POST":
            return None
        return first(value, _HREF, _target)
    rooted = text(value)
    return address(value) or (rooted if rooted and _ROOTED.fullmatch(rooted) else None)


def _each(value: object, reader: Callable[[object], T | None]) -> tuple[T, ...] | None:
    """Return what could be read of a list; None if it is none, or nothing of it could be read."""
    if not isinstance(value, list):
        return None
    # The bound is on what is looked at: 10 MB of "{}" as chapters took 97 s without it.
    read = (reader(item) for item in value[:MAX_ITEMS])
    kept = tuple(item for item in read if item is not None)
    return kept if kept or not value else None
