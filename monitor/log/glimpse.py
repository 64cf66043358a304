"""A line of the console's form as the event it told of, as far as it did: the reverse of ``console``.

Times come back rounded, and what went without saying as what it was. Pure.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Final

from monitor.core.model import LEVELS, Level, Line, LogEvent
from monitor.core.problems import Kind
from monitor.log.console import EVENT_WIDTH, MARK, ORDINARY, PHRASES, PODCAST_WIDTH
from monitor.log.events import EVENTS
from monitor.log.fields import Value, instant

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_LINE: Final = re.compile(
    r"(?P<time>\d\d:\d\d:\d\d) (?P<mark>[ !✗]) (?P<event>[a-z.]+) *(?P<rest>.*?)(?:  #(?P<seq>\d+))?"
)
_REST_AT: Final = 8 + 1 + 1 + 1 + EVENT_WIDTH + 1  # time, mark and event, each with its space
_LEVEL: Final[Mapping[str, Level]] = {MARK[level]: level for level in LEVELS}
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN: Final = r"-?[\d.]+(?:e\+\d+)?[smhd](?: \d+[hm])?"
_RELATIVE: Final = rf"(?:in {_SPAN}|{_SPAN} ago)"
_COUNTS: Final = r"\d+ [\w.-]+(?:, \d+ [\w.-]+)*"
_OF_KEY: Final = {  # what a value looks like, where not every text will do
    "day": r"\d{4}-\d\d-\d\d",
    "mode": "live|shadow",
    "bytes": r"[\d.]+ [kM]?B",
    "took_ms": r"\d+ ms",
    "since": _RELATIVE,
    "problem": "|".join(Kind),
    "problems": r"(?:no|\d+) problems?",
    "podcasts": r"(?:no|\d+) podcasts?",
    "episodes": r"(?:no|\d+) episodes?",
    "requests": _COUNTS,
    "held": rf"{_COUNTS}|[a-z]+",  # by reason; or of one request its reason
}
_TEXT: Final = ".+"
_PHRASE: Final = re.compile(
    r'(?: · )?((?:"(?:[^"\\]|\\.)*(?:"|$)|(?! · ).)+)'
)  # a quoted dot divides none
_PLACE: Final = re.compile(r"\\\{(\w+)\\\}")  # in an escaped phrase
_OF_AN_EPISODE: Final = re.compile(r"(episode|state|request)\.|status\.request$")
_A_KIND: Final = re.compile(rf"({'|'.join(Kind)})(:| is over)")
_NUMBERS: Final = frozenset(
    {"generation", "attempts", "attempt", "epoch", "http", "failures", "new", "changed"}
    | {"pid", "omitted", "as_of_seq", "found"}
)


class Glimpses:
    """Reads lines one after the other: only some of them say which day it is."""

    def __init__(self) -> None:
        self._last: datetime | None = None

    def read(self, text: str, stamp: datetime | None) -> Line | None:
        """Return what a line says, or None if it is none of ours, or of no known day.

        *stamp* is when journald had it, where that is known.
        """
        found = _LINE.fullmatch(_COLOUR.sub("", text).rstrip())
        if found is None or found["event"] not in EVENTS:
            return None
        try:
            return self._line(found, stamp)
        except (OverflowError, ValueError):  # a word that we do not write there
            return None

    def _line(self, found: re.Match[str], stamp: datetime | None) -> Line | None:
        name = found["event"]
        podcast, guid, said = _columns(name, found.string[_REST_AT : found.end("rest")])
        values = dict(_values(name, said))
        at = self._dated(found["time"], values.get("day"), stamp)
        if at is None:
            return None
        own = _completed(name, {k: _value(k, v, at) for k, v in values.items() if k != "day"}, at)
        event = LogEvent(name, podcast, guid, _LEVEL[found["mark"]], own)
        return Line(at, event, int(found["seq"]) if found["seq"] else None, rough=True)

    def _dated(self, clock: str, day: str | None, stamp: datetime | None) -> datetime | None:
        """Return the instant of a time of day: on the day that is said, else next to what is known."""
        try:
            at = time.fromisoformat(clock)
            near = stamp or self._last
            if day is not None:
                self._last = datetime.combine(date.fromisoformat(day), at, UTC)
            elif near is not None:
                same = datetime.combine(near.date(), at, UTC)
                days = (same + timedelta(days=by) for by in (-1, 0, 1))
                self._last = min(days, key=lambda each: abs(each - near))
        except (OverflowError, ValueError):
            return None
        return self._last


def _columns(name: str, rest: str) -> tuple[str | None, str | None, str]:
    """Return podcast, guid and what is said. Raises ValueError where a quoted guid does not end."""
    podcast = rest.partition(" ")[0]
    rest = rest[max(PODCAST_WIDTH, len(podcast)) + 1 :]
    guid = None
    if _OF_AN_EPISODE.match(name) or (name.startswith("problem.") and not _A_KIND.match(rest)):
        if rest.startswith('"'):
            guid, end = json.JSONDecoder().raw_decode(rest)
            rest = rest[end:]
        else:
            guid, _, rest = rest.partition(" ")
    return podcast or None, guid, rest.strip()


def _values(name: str, said: str) -> Iterator[tuple[str, str]]:
    """Yield the values of the phrases, each found by the first phrase that it may be.

    A phrase that would take any text is tried last: the others know what is theirs.
    """
    after = 0
    for phrase in _PHRASE.findall(said):
        patterns = list(enumerate(_patterns(name)))[after:]
        for place, pattern in sorted(
            patterns, key=lambda each: (_TEXT in each[1].pattern, each[0])
        ):
            if found := pattern.fullmatch(phrase):
                yield from found.groupdict().items()
                after = place + 1
                break


@cache
def _patterns(name: str) -> tuple[re.Pattern[str], ...]:
    """Return the phrases of an event, in their order, as what finds them."""
    phrases = PHRASES.get(name, ())
    return tuple(re.compile(_PLACE.sub(_finds, re.escape(phrase))) for phrase in phrases)


def _finds(place: re.Match[str]) -> str:
    key = place[1]
    otherwise = r"\d+" if key in _NUMBERS else _TEXT
    if key.endswith(("_at", "_s")):
        otherwise = _RELATIVE if key.endswith("_at") else _SPAN
    return f"(?P<{key}>{_OF_KEY.get(key, otherwise)})"


def _value(key: str, said: str, at: datetime) -> Value:
    """Return a value as it was, or nearly, before the console said it."""
    if key in {"requests", "held"} and re.fullmatch(_COUNTS, said):
        pairs = (each.split(" ") for each in said.split(", "))
        return {name: int(count) for count, name in pairs}
    if key in _NUMBERS:
        return int(said)
    if key in {"problems", "podcasts", "episodes"}:
        return int(said.partition(" ")[0].replace("no", "0"))
    if key == "since" or key.endswith("_at"):
        length = timedelta(seconds=_seconds(said.removeprefix("in ").removesuffix(" ago")))
        return instant(at + length if said.startswith("in ") else at - length)
    if key.endswith("_s"):
        seconds = _seconds(said)
        return int(seconds) if seconds.is_integer() else seconds
    return str(json.loads(said)) if said.startswith('"') else said


def _seconds(span: str) -> float:
    sign = -1 if span.startswith("-") else 1
    return sign * sum(float(part[:-1]) * _UNIT_S[part[-1]] for part in span.lstrip("-").split(" "))


def _completed(name: str, own: dict[str, Value], at: datetime) -> dict[str, Value]:
    """Return the fields with what went without saying, and what follows from what was said."""
    listed = EVENTS[name].fields
    own = {key: value for key, value in ORDINARY.items() if key in listed} | own
    if name == "status.summary":
        own = {"requests": {}, "held": {}} | own
    if name == "status.feed" and not own["failures"]:
        own = {"last_attempt_at": own.get("last_ok_at")} | own
    if name == "feed.polled" and own.get("outcome") != "offline":  # of that nothing counts
        own["last_attempt_at"] = instant(at)
        own |= {} if own["failures"] else {"last_ok_at": instant(at)}
        own |= {"last_new_at": instant(at)} if own["new"] else {}
    return own
