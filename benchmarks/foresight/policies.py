"""Ours, the rivals' and what cannot be reached: each says when to poll next.

The rivals' formulas are read from their sources; their limits are set so that a show without news
gets as many polls a day as ours may make.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from math import ceil, sqrt

from benchmarks.foresight.replay import DAY, Policy
from monitor.core import schedule
from monitor.core.cadence import EDGES, HOUR, NEWEST, WEEK, Cadence, fit, instant, position
from monitor.core.schedule import Bounds, History

BOUNDS = Bounds(timedelta(minutes=5), timedelta(hours=6))
EPOCH_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
UNIFORM = 0.01  # of the oracle's rate, so that it is nowhere 0

# Makes a policy for so many polls a day of a feed whose drops to come are these.
Contender = Callable[[int, Sequence[datetime]], Policy]


class _Learner:
    """Fits a cadence when a drop has been found, as the daemon does."""

    def __init__(self) -> None:
        self._known = -1
        self._cadence: Cadence | None = None

    def __call__(self, found: Sequence[datetime]) -> Cadence | None:
        if self._known != len(found):
            self._known, self._cadence = len(found), fit(found[-2 * NEWEST :])
        return self._cadence


def learned(per_day: int, _coming: Sequence[datetime]) -> Policy:
    """What the daemon does, cap and all."""
    learn = _Learner()
    polled: tuple[datetime, ...] = ()

    def policy(now: datetime, found: Sequence[datetime]) -> datetime:
        nonlocal polled
        polled = schedule.last_day(polled, now)
        history = History(learn(found), polled)
        wanted = schedule.next_poll_at(now, history, (), BOUNDS, 0.0, per_day=per_day)
        return schedule.within_cap(wanted, polled, per_day).at

    return policy


def uncapped(per_day: int, _coming: Sequence[datetime]) -> Policy:
    """As ours, but a day may have any part of its week's polls."""
    learn = _Learner()

    def policy(now: datetime, found: Sequence[datetime]) -> datetime:
        cadence = learn(found)
        assert cadence is not None  # half of at least sixty drops are known
        return _placed(now, cadence, per_day)

    return policy


def _placed(now: datetime, cadence: Cadence, per_day: int) -> datetime:
    """Return where the next of a week's polls is, if a day may have any part of them."""
    at = instant(cadence.when(position(now), cadence.roots[-1] / (7 * per_day)))
    return min(max(at, now + BOUNDS.min), now + BOUNDS.max)


def fixed(per_day: int, _coming: Sequence[datetime]) -> Policy:
    return lambda now, _found: now + DAY / per_day


def reader(per_day: int, _coming: Sequence[datetime]) -> Policy:
    """lemon24/reader (fb77cee): the next multiple of the interval since a Monday."""
    interval = DAY / per_day
    return lambda now, _found: EPOCH_MONDAY + ((now - EPOCH_MONDAY) // interval + 1) * interval


def miniflux(per_day: int, _coming: Sequence[datetime]) -> Policy:
    """Miniflux (106cdd0), ``entry_frequency``: as often as the last week had entries."""

    def policy(now: datetime, found: Sequence[datetime]) -> datetime:
        week = found[bisect_left(found, now - timedelta(weeks=1)) :]
        if len(week) < 2:
            return now + DAY / per_day
        weekly = ceil(timedelta(weeks=1) / ((week[-1] - week[0]) / (len(week) - 1)))
        return now + min(max(timedelta(weeks=1) / weekly, BOUNDS.min), DAY / per_day)

    return policy


def commafeed(per_day: int, _coming: Sequence[datetime]) -> Policy:
    """CommaFeed (689c20d): half the mean gap, more seldom the longer nothing came."""
    most = 4 * DAY / per_day

    def policy(now: datetime, found: Sequence[datetime]) -> datetime:
        silent = now - found[-1]
        for days, part in ((30, 1), (14, 2), (7, 4)):
            if silent >= timedelta(days=days):
                return now + most / part
        gap = (found[-1] - found[0]) / (len(found) - 1)
        return now + min(max(gap / 2, BOUNDS.min), most / 4)

    return policy


def oracle(per_day: int, coming: Sequence[datetime]) -> Policy:
    """Knows how the drops to come lie in the hours of the week: nobody can."""
    counts = [UNIFORM * len(coming) / (WEEK // HOUR)] * (WEEK // HOUR)
    for at in coming:
        counts[int(position(at) % WEEK) // HOUR] += 1
    roots = [*accumulate((sqrt(n) for n in counts for _ in range(HOUR)), initial=0.0)]
    known = Cadence(position(coming[0]), 0.0, [1.0] * len(EDGES), roots)

    return lambda now, _found: _placed(now, known, per_day)


OURS = "podcast-monitor"
UNCAPPED = "the same, uncapped"
CONTENDERS: dict[str, Contender] = {
    OURS: learned,
    UNCAPPED: uncapped,
    "miniflux": miniflux,
    "CommaFeed": commafeed,
    "reader": reader,
    "fixed": fixed,
    "oracle": oracle,
}
