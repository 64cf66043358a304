"""When to come back: to a feed, to a failed request, to an episode. Pure.

A healthy feed is polled where its cadence makes an episode likely: between two polls lies the same
sum of the square roots of the rate (Sia, Cho, Cho 2007), that of a week for a week's polls.

Every answer lies after *now*, and jitter only ever makes it later: a poll that comes early
breaks a publisher's floor, one that comes late costs a minute. Jitter is in [0, 1).
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor.core.cadence import Cadence, instant, position

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
JITTER = 0.1  # of a delay, at most
JITTER_CAP = timedelta(minutes=1)  # on the polls of a healthy feed
LATE = 0.2  # of the least interval, at most: what comes later misses what it was placed for
COUNTED = 2_000  # polls of a day at most: who wants more of them has the least interval alone
AHEAD = tuple(HOUR * n for n in (1, 3, 6, 12, 24))  # over which what the cap leaves is spread
FAILING_MAX = timedelta(hours=6)  # a source is never disabled, it decays to this (miniflux#879)
ASKED = "asked"  # a poll's reason: a person's wish, which is done whatever the cap
GONE = timedelta(weeks=1)  # after a 410: a probe, in case it comes back
FLOOR_CAP = timedelta(days=1)  # no publisher's floor may silence us for longer
SETTLED_AGAIN = timedelta(days=30)  # held and settled episodes are looked at this seldom


@dataclass(frozen=True, slots=True)
class Bounds:
    """Least and greatest delay; ``min`` <= ``max``."""

    min: timedelta
    max: timedelta

    def clamp(self, delay: timedelta) -> timedelta:
        return max(self.min, min(delay, self.max))


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a feed before it is polled again."""

    cadence: Cadence | None = None  # None: too few episodes to learn from
    polled: Sequence[
        datetime
    ] = ()  # of the last 24 hours, oldest first, the one just made included


@dataclass(frozen=True, slots=True)
class NextPoll:
    """When a feed is polled next, and what decided it."""

    at: datetime
    reason: str  # interval, expected (and when), quiet, floor, max, budget, backoff or asked


def next_poll_at(
    now: datetime,
    history: History,
    hints: Iterable[timedelta | None],
    bounds: Bounds,
    jitter: float,
    *,
    per_day: int,
) -> NextPoll:
    """Return when to poll a healthy feed again.

    *hints* are the publisher's wishes (max-age, ttl); each holds, even above ``bounds.max``, up to
    a day. *per_day* polls are placed where episodes are expected; of a feed whose cadence is
    unknown, evenly.
    """
    floor = max((min(hint, FLOOR_CAP) for hint in hints if hint), default=bounds.min)
    least = max(bounds.min, floor)
    most = max(bounds.max, least, DAY / per_day)  # a budget too small for the bound outranks it
    wanted = _wanted(now, history, per_day)
    if wanted.at < now + least:
        wanted = NextPoll(now + least, "floor")
    elif wanted.at > now + most:
        wanted = NextPoll(now + most, "max")
    late = min(least * LATE, JITTER_CAP) * jitter
    return replace(wanted, at=wanted.at + late)


def _wanted(now: datetime, history: History, per_day: int) -> NextPoll:
    """Return when the next poll is worth most, whatever the bounds."""
    if history.cadence is None:
        return NextPoll(now + DAY / per_day, "interval")
    x = history.cadence.when(position(now), _step(now, history.cadence, history.polled, per_day))
    hours = history.cadence.expected(x)
    if hours is None:
        return NextPoll(instant(x), "quiet")
    begin, end = map(instant, hours)
    return NextPoll(instant(x), f"expected {begin:%a %H:%M}-{end:%H:%M}")


def _step(now: datetime, cadence: Cadence, polled: Sequence[datetime], per_day: int) -> float:
    """Return the mass between two polls: a week's, and what the cap leaves for the hours to come."""
    begin, mass = position(now), 0.0
    step = cadence.roots[-1] / (7 * per_day)
    for hours in AHEAD:
        mass += cadence.mass(begin, end := position(now + hours))
        left = cap(per_day) - (len(polled) - bisect_right(polled, now + hours - DAY))
        step, begin = max(step, mass / max(left, 0.5)), end
    return step


def cap(per_day: int) -> int:
    """Return how many polls any 24 hours may have."""
    return per_day + per_day // 4


def last_day(polled: Sequence[datetime], now: datetime) -> tuple[datetime, ...]:
    """Return the polls of the last 24 hours, with the one that is made *now*.

    Those in the future (the clock was set back) count as made now.
    """
    recent = (min(at, now) for at in polled if at > now - DAY)
    return (*recent, now)[-COUNTED:]


def is_room_for_two(polled: Sequence[datetime], now: datetime, per_day: int) -> bool:
    """Return whether the cap lets a poll that is made *now* take a second request."""
    return len(last_day(polled, now)) < cap(per_day)


def within_cap(wanted: NextPoll, polled: Sequence[datetime], per_day: int) -> NextPoll:
    """Put a poll off until the 24 hours before it have room for it."""
    most = cap(per_day)
    if len(polled) < most or wanted.at >= polled[-most] + DAY:
        return wanted
    return NextPoll(polled[-most] + DAY, "budget")


def next_poll_after_failure(
    now: datetime,
    bounds: Bounds,
    *,
    failures: int,
    retry_after: timedelta | None = None,
    gone: bool = False,
    jitter: float,
) -> datetime:
    """Return when to poll a feed again that failed *failures* times in a row (at least once).

    Doubles from ``bounds.min``; never sooner than *retry_after*, never later than 6 h unless
    the publisher asked for it, and weekly where the feed is gone.
    """
    slowest = max(bounds.min, GONE if gone else FAILING_MAX)
    delay = slowest if gone else backoff(failures, Bounds(bounds.min, slowest))
    delay = max(delay, min(retry_after or timedelta(), FLOOR_CAP))
    return now + delay * (1 + JITTER * jitter)


def backoff(attempts: int, bounds: Bounds) -> timedelta:
    """Return the wait after *attempts* (at least 1) failures: min, 2 min, 4 min… up to max.

    The exponent is capped, not only the result: 2**1000 does not fit a timedelta (stamina#104),
    and neither does a year doubled 24 times.
    """
    doublings = (bounds.max // bounds.min).bit_length()
    return bounds.clamp(bounds.min * 2 ** min(attempts - 1, doublings))


def next_attempt_at(
    now: datetime,
    bounds: Bounds,
    *,
    attempts: int,
    retry_after: timedelta | None = None,
    jitter: float,
) -> datetime:
    """Return when to try a request again after *attempts* failures.

    Never sooner than *retry_after*, which is itself capped at ``bounds.max``.
    """
    delay = max(backoff(attempts, bounds), min(retry_after or timedelta(), bounds.max))
    return now + delay * (1 + JITTER * jitter)


def next_look_at(now: datetime, bounds: Bounds, *, since: datetime, jitter: float) -> datetime:
    """Return when to look again at what has not moved *since*: the older, the rarer.

    A tenth of the age, within *bounds*: a fresh one every few minutes, an old one daily.
    A *since* in the future (a clock set back) counts as now.
    """
    age = max(now - since, timedelta())
    return now + bounds.clamp(age / 10) * (1 + JITTER * jitter)


@dataclass(frozen=True, slots=True)
class Spent:
    """A POST in the ledger."""

    at: datetime
    request_id: int
    minutes: int  # of audio; 0: it certainly had no effect


MINUTE = timedelta(minutes=1)
UNKNOWN_MINUTES = 90  # what an episode of unknown duration counts


def audio_minutes(duration_s: int | None) -> int:
    """Return what an episode costs of the budget, in whole minutes, at least 1."""
    return UNKNOWN_MINUTES if duration_s is None else max(1, duration_s // 60)


def may_post_at(
    now: datetime,
    ledger: Iterable[Spent],
    *,
    request_id: int,
    minutes: int,
    per_minute: int,
    minutes_per_day: int,
    reserved: int = 0,
) -> tuple[datetime, str | None]:
    """Return when a POST fits pace and budget, and what it waits for (None: it may go now).

    *reserved* minutes are for others, who have waited for long; this one waits until they have
    gone, or the small would pass the large for ever. *ledger*: every POST of the last 24 hours. A request that is POSTed again spends its
    minutes once, and one that had no effect spends none. One that is larger than the whole
    budget goes when the window is empty.
    A POST dated in the future (the clock was set back) counts as one made now.
    """
    latest_first = sorted(ledger, key=lambda s: s.at, reverse=True)
    day = [replace(s, at=min(s.at, now)) for s in latest_first if now - DAY < s.at]
    recent = [s.at for s in day if now - MINUTE < s.at]
    if len(recent) >= per_minute:
        return recent[per_minute - 1] + MINUTE, "pace"
    last_posts = {s.request_id: s for s in reversed(day) if s.minutes}
    if request_id in last_posts:
        return now, None
    spent = sum(s.minutes for s in last_posts.values())
    frees_at = now
    for s in sorted(last_posts.values(), key=lambda s: s.at):
        if spent + reserved + minutes <= minutes_per_day:
            break
        spent -= s.minutes
        frees_at = s.at + DAY
    if reserved and spent + reserved + minutes > minutes_per_day:
        frees_at += HOUR  # the window is empty then: theirs
    return frees_at, "budget" if frees_at > now else None
