"""A feed's expected rate over the coming week, drawn for eyes, with the polls placed on it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rich.text import Text
from sqlalchemy import Connection

from monitor.adapters.store import polls, reading
from monitor.adapters.store.arrivals import arrivals
from monitor.core import forecast
from monitor.core.cadence import Cadence, fit
from monitor.core.forecast import Hour
from monitor.core.model import ConfigError, Feed
from monitor.core.rules import PollRules
from monitor.core.schedule import DAY, History, NextPoll
from monitor.core.status import FeedStatus
from monitor.log.console import span

BARS = "▁▂▃▄▅▆▇█"
NONE = "·"  # polls in an hour
PLAIN = {**dict(zip(BARS, "_.-=+*%#", strict=True)), NONE: "."}  # for a terminal without them
HOURS = 24  # of a day
DAYS = 7
MANY = 9  # polls that fit one digit; more are a plus
MARGIN = 12


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is expected of a podcast's feed."""

    feed: Feed  # with its cadence
    status: FeedStatus
    hours: Sequence[Hour]  # of seven days, from midnight on


def outlook(conn: Connection, podcast: str, rules: PollRules, now: datetime) -> Outlook:
    """Return what is expected of a podcast whose feed has answered.

    Raises:
        ConfigError: it has not.
    """
    feed = polls.feed(conn, podcast)
    status = next((s for s in reading.snapshot(conn).feeds if s.podcast == podcast), None)
    if feed is None or status is None or feed.last_attempt_at is None:
        raise ConfigError(f"{podcast}: it has never been polled; `podcast-monitor run` does it")
    if feed.last_ok_at is None:
        raise ConfigError(
            f"{podcast}: its feed has never answered well ({feed.reason}), so nothing is known of"
            " it; `podcast-monitor check` asks it again"
        )
    feed = replace(feed, cadence=fit([*arrivals(conn, podcast)]))
    hours = forecast.hours(
        now.replace(hour=0, minute=0, second=0, microsecond=0),
        DAYS * HOURS,
        NextPoll(max(feed.next_poll_at, now), feed.next_poll_reason or ""),
        History(feed.cadence, feed.polled),
        rules.poll,
        per_day=rules.per_day,
    )
    return Outlook(feed, status, [*hours])


def heading(outlook: Outlook, rules: PollRules, now: datetime) -> Iterator[str]:
    """Yield what was learned, what comes next, and what that has been worth."""
    feed, status = outlook.feed, outlook.status
    yield f"{feed.podcast}: {_learned(feed.cadence)}; {rules.per_day} polls a day"
    comes_in = max(feed.next_poll_at - now, timedelta())
    why = f", {feed.next_poll_reason}" if feed.next_poll_reason else ""
    yield f"next poll {feed.next_poll_at:%a %H:%M} UTC, in {span(round(comes_in.total_seconds()))}{why}"
    if status.found:
        late, fixed = (total // status.found for total in (status.delays_s, status.fixed_delays_s))
        yield (
            f"{status.found} episodes were found {span(late)} after they came, on average;"
            f" fixed intervals: {span(fixed)}"
        )


def _learned(cadence: Cadence | None) -> str:
    if cadence is None:
        return "too few episodes to learn from, so it is polled evenly"
    return f"an episode every {span(round(7 * DAY.total_seconds() / cadence.per_week))}"


def chart(hours: Sequence[Hour], now: datetime, *, plain: bool) -> Iterator[Text]:
    """Yield lines: of each day the expected rate, the higher the likelier, and the polls an hour.

    *plain*: in ASCII alone.
    """
    marks = str.maketrans(PLAIN if plain else {})
    highest = max((hour.expected or 0 for hour in hours), default=0)
    scale = "".join(f"{hour:02}".ljust(3) for hour in range(0, HOURS, 3))
    yield Text(f"{'UTC':<{MARGIN}}{scale}", style="dim")
    for begin in range(0, len(hours), HOURS):
        day = hours[begin : begin + HOURS]
        bars, polls = Text(f"{day[0].begins_at:%a %d %b}".ljust(MARGIN)), Text(" " * MARGIN)
        for hour in day:
            passed = hour.begins_at.replace(minute=59) < now
            bars.append(_bar(hour, highest).translate(marks), style="dim" if passed else "green")
            polls.append(_digit(hour.polls).translate(marks), style="dim")
        yield bars
        yield polls


def _bar(hour: Hour, highest: float) -> str:
    if hour.expected is None or not highest:
        return " "
    return BARS[min(int(hour.expected / highest * len(BARS)), len(BARS) - 1)]


def _digit(polls: int) -> str:
    if polls > MANY:
        return "+"
    return str(polls) if polls else NONE
