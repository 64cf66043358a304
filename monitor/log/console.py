"""The form for eyes: aligned, calm when all is well, loud when it is not. Pure.

It says less than the other forms: times are relative, and what goes without saying is left out.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from monitor.core.model import LogEvent
from monitor.log.fields import Value, escaped, ordered, quoted

EVENT_WIDTH: Final = 18  # whatever events there will be: older logs are read back by this column
PODCAST_WIDTH: Final = 14
_GUID_WIDTH: Final = 23  # substack:post: and nine digits
MARK: Final = {"info": " ", "warning": "!", "error": "✗"}  # loud without colours too

_DIM, _CALM, _GOOD, _RESET = "\x1b[2m", "\x1b[36m", "\x1b[32m", "\x1b[0m"
_LOUD: Final = {"warning": "\x1b[33m", "error": "\x1b[1;31m"}
_GOOD_NEWS: Final = frozenset({"daemon.ready", "request.processed", "problem.recovered"})

# What goes without saying: a value as ordinary as this is not said at all.
ORDINARY: Final[Mapping[str, Value]] = {
    "attempts": 0,
    "bytes": 0,
    "changed": 0,
    "epoch": 0,
    "failures": 0,
    "found": 0,
    "delays_s": 0,
    "fixed_delays_s": 0,
    "generation": 1,
    "new": 0,
    "omitted": 0,
}

_DATED: Final = frozenset({"daemon.started", "status.summary"})  # so that every time has its day
_COUNTED: Final = frozenset({"episodes", "podcasts", "problems"})

# A phrase is left out where one of its fields is. An event of no entry says all its fields.
PHRASES: Final[Mapping[str, tuple[str, ...]]] = {
    "daemon.started": (
        "podcast-monitor {version}",
        "{mode}",
        "{podcasts}",
        "{database}",
        "pid {pid}",
        "{day}",
    ),
    "daemon.ready": ("after {took_s}",),
    "daemon.stopping": ("{signal}", "{reason}"),
    "daemon.stopped": ("after {took_s}", "was up {uptime_s}"),
    "config.rejected": ("{file}", "{key}", "{reason}"),
    "feed.polled": (
        "{outcome}",
        "{reason}",
        "{new} new",
        "{changed} changed",
        "{failures} in a row",
        "{bytes}",
        "{took_ms}",
        "next {next_poll_at}",
        "{next_poll_reason}",
        "{detail}",  # last: a page's title cannot pass for what follows it
    ),
    "feed.moved": ("now at {to_host}",),
    "episode.discovered": (
        "{title}",
        "{published_at}",
        "{duration_s}",
        "{request}",
        "{reason}",
        "found after {delay_s}",
    ),
    "episode.aliased": ("also known by {kind} {value}",),
    "episode.changed": ("{title}", "new {fields}"),
    "state.changed": ("{from} → {to}", "{note}"),
    "request.enqueued": ("wanted", "generation {generation}"),
    "request.held": ("{reason}", "generation {generation}"),
    "request.released": ("{by}", "was {reason}", "generation {generation}", "wanted {created_at}"),
    "request.skipped": ("{by}", "was {reason}", "generation {generation}"),
    "request.requeued": ("{by}", "was {was}", "{reason}", "generation {generation}"),
    "request.posted": ("attempt {attempt}", "generation {generation}", "epoch {epoch}"),
    "request.accepted": ("http {http}", "{reason}", "generation {generation}"),
    "request.deferred": ("{reason}", "{attempts} tried", "next {next_attempt_at}"),
    "request.processed": ("after {latency_s}", "was held: {held}", "{reason}", "{page_url}"),
    "request.failed": ("{reason}", "generation {generation}"),
    "problem.opened": ("{problem}: {reason}", "since {since}", "{failures} in a row", "{detail}"),
    "problem.reminded": ("{problem}: {reason}", "since {since}", "{detail}"),
    "problem.recovered": ("{problem} is over", "took {took_s}", "was {reason}"),
    "tick.overran": ("{tick}", "took {took_s}"),
    "tick.failed": ("{tick}", "{error}"),
    "clock.jumped": ("by {skew_s}",),
    "status.summary": (
        "{problems}",
        "{mode}",
        "{podcasts}",
        "{episodes}",
        "{requests}",
        "held: {held}",
        "oldest pending {oldest_pending_at}",
        "up {uptime_s}",
        "{day}",
    ),
    "status.feed": (
        "{reason}",
        "{failures} in a row",
        "ok {last_ok_at}",
        "news {last_new_at}",
        "next {next_poll_at}",
        "{next_poll_reason}",
        "{found} found",
        "late by {delays_s} in all",
        "{fixed_delays_s} if polled evenly",
    ),
    "status.request": (
        "{status}",
        "{reason}",
        "{attempts} tried",
        "generation {generation}",
        "next {next_attempt_at}",
        "wanted {created_at}",
    ),
    "log": ("{logger}: {message}",),  # a library's; its traceback follows in lines of its own
    "status.end": ("{omitted} omitted", "as of #{as_of_seq}"),
}


def line(event: LogEvent, at: datetime, seq: int | None, *, colour: bool) -> str:
    """Return *event* as one line in columns: time, mark, event, podcast, guid, what happened."""
    paint = _paint if colour else _unpainted
    loud = _LOUD.get(event.level)
    good = _GOOD if event.name in _GOOD_NEWS else None
    columns = [
        paint(_time(at), _DIM),
        paint(MARK[event.level], loud),
        paint(escaped(event.name).ljust(EVENT_WIDTH), loud or good or _CALM),
        escaped(event.podcast or "").ljust(PODCAST_WIDTH),
    ]
    if event.guid is not None:
        guid = quoted(event.guid) if " " in event.guid else _text(event.guid)
        columns.append(paint(guid.ljust(_GUID_WIDTH), _DIM))
    columns.append(paint(" · ".join(_phrases(event, at)), loud or good))
    if seq is not None:
        columns.append(paint(f" #{seq}", _DIM))
    return " ".join(columns).rstrip()


def continuation(text: str) -> Iterator[str]:
    """Yield the lines of a traceback, set off so that none can pass for a line of the log."""
    for part in text.splitlines():
        yield f"{'':10}│ {escaped(part)}"


def _paint(text: str, colour: str | None) -> str:
    return f"{colour}{text}{_RESET}" if colour and text else text


def _unpainted(text: str, _colour: str | None) -> str:
    return text


def _phrases(event: LogEvent, at: datetime) -> Iterator[str]:
    said = {
        key: _said(key, value, at)
        for key, value in ordered(event)
        if value is not None and value != ORDINARY.get(key) and not _is_empty(value)
    }
    if event.name in _DATED:
        said["day"] = f"{at.astimezone(UTC):%Y-%m-%d}"
    if event.name == "state.changed":
        said.setdefault("from", "∅")
    noun = event.name.partition(".")[0]
    phrases = PHRASES.get(event.name) or PHRASES.get(noun)
    for phrase in phrases or tuple(f"{key} {{{key}}}" for key in said):
        try:
            yield phrase.format_map(said)
        except KeyError:  # one of its fields goes without saying
            continue


def _is_empty(value: object) -> bool:
    return isinstance(value, Mapping) and not any(value.values())


def _said(key: str, value: str | float | Mapping[str, int], at: datetime) -> str:
    """Return *value* as a person would say it at the instant *at*; the key tells its unit."""
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {escaped(name)}" for name, count in value.items() if count)
    if isinstance(value, str):
        if key == "title":
            return quoted(value)
        return _relative(value, at) if key.endswith("_at") or key == "since" else _text(value)
    if key.endswith("_s"):
        return span(float(value))
    if key in _COUNTED:
        return f"{value or 'no'} {key.removesuffix('s') if value == 1 else key}"
    return {"bytes": _size, "took_ms": "{} ms".format}.get(key, str)(value)


def _text(text: str) -> str:
    """Return *text* bare where it can be mistaken for nothing else, else quoted."""
    return text if text.isprintable() and not set(text) & {'"', "·", "→", "\\"} else quoted(text)


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%H:%M:%S")


def _relative(instant: str, at: datetime) -> str:
    try:
        seconds = (datetime.fromisoformat(instant) - at).total_seconds()
    except (TypeError, ValueError):  # not an instant after all
        return _text(instant)
    rounded = round(abs(seconds), None if abs(seconds) >= 10 else 1)
    return f"in {span(rounded)}" if seconds > 0 else f"{span(rounded)} ago"


def span(seconds: float) -> str:
    """Return a duration in its two largest units, rounded down: 45s, 4m, 1h 15m, 3d 4h."""
    if seconds < 0:
        return f"-{span(-seconds)}"
    if seconds < 60:
        return f"{seconds:.3g}s"
    minutes = int(seconds // 60)
    hours, days = minutes // 60, minutes // 1440
    if hours == 0:
        return f"{minutes}m"
    return f"{hours}h {minutes % 60}m" if days == 0 else f"{days}d {hours % 24}h"


def _size(count: float) -> str:
    """Return a number of bytes with the unit that keeps it short: 812 B, 96 kB, 14.5 MB."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
