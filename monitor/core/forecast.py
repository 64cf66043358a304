"""What is expected of a feed in the hours to come, and the polls that are placed on it. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from monitor.core import schedule
from monitor.core.cadence import HOUR, position
from monitor.core.schedule import Bounds, History, NextPoll

MOST = 10_000  # polls that are worked out; where there are more, one hour is as the other


@dataclass(frozen=True, slots=True)
class Hour:
    begins_at: datetime
    expected: float | None  # drops in it, if none comes before; None: nothing is learned yet
    polls: int


def hours(
    begin: datetime,
    count: int,
    due: NextPoll,
    history: History,
    bounds: Bounds,
    *,
    per_day: int,
) -> Iterator[Hour]:
    """Yield *count* hours from *begin*, a full hour, on; *due* is the poll that is planned."""
    ends = begin + count * schedule.HOUR
    to_come = polls(due, ends, history, bounds, per_day=per_day)
    placed = Counter((poll.at - begin) // schedule.HOUR for poll in islice(to_come, MOST))
    crowded = placed.total() == MOST
    for n in range(count):
        at = begin + n * schedule.HOUR
        yield Hour(at, _expected(at, history), per_day // 24 if crowded else placed[n])


def polls(
    due: NextPoll, until: datetime, history: History, bounds: Bounds, *, per_day: int
) -> Iterator[NextPoll]:
    """Yield *due* and the polls that follow it if it and they bring nothing."""
    polled = history.polled
    while due.at < until:
        yield due
        polled = schedule.last_day(polled, due.at)
        after = History(history.cadence, polled)
        wanted = schedule.next_poll_at(due.at, after, (), bounds, 0.0, per_day=per_day)
        due = schedule.within_cap(wanted, polled, per_day)


def _expected(at: datetime, history: History) -> float | None:
    if history.cadence is None:
        return None
    x = position(at)
    return sum(history.cadence.rate(x + cell) for cell in range(HOUR))
