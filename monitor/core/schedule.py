"""When to come back: to a feed, to a failed request, to an episode. Pure.

Every answer lies after *now*, and jitter only ever makes it later: a poll that comes early
breaks a publisher's floor, one that comes late costs a minute. Jitter is in [0, 1).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
JITTER = 0.1  # of a delay, at most
JITTER_CAP = timedelta(minutes=1)  # on the polls of a healthy feed
FAILING_MAX = timedelta(hours=6)  # a source is never disabled, it decays to this (miniflux#879)
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


def next_poll_at(
    now: datetime,
    bounds: Bounds,
    *,
    per_day: int,
    floors: Iterable[timedelta | None] = (),
    jitter: float,
) -> datetime:
    """Return when to poll a healthy feed again.

    *floors* are the publisher's wishes (max-age, ttl); each holds, even above ``bounds.max``,
    up to a day.
    """
    floor = max((min(f, FLOOR_CAP) for f in floors if f is not None), default=timedelta())
    delay = max(bounds.clamp(DAY / per_day), floor)
    return now + delay + min(delay * JITTER, JITTER_CAP) * jitter


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
