"""Which new episodes are wanted, and which wait for a person."""

from dataclasses import replace
from datetime import datetime, timedelta

from monitor.core import schedule
from monitor.core.arrival import came_at
from monitor.core.baseline import leaves_out, wanted
from monitor.core.lifecycle import Status
from monitor.core.matching import Keys, Match
from monitor.core.model import Feed, Known, NewEpisode, ObservedEpisode
from monitor.core.rules import PollRules

USUAL = timedelta(days=90)  # what a feed published in them is what it usually publishes
WEEK = timedelta(weeks=1)


def decide(
    feed: Feed, known: Known, match: Match, *, unfamiliar: bool, now: datetime, rules: PollRules
) -> tuple[NewEpisode, ...]:
    """Return what was never seen before, each with the status of its first request."""
    new = tuple(observed for observed, _ in match.new)
    if feed.baseline_at is None:
        reasons = {o.guid: None if w else "baseline" for o, w in wanted(new, rules.backfill, now)}
    elif unfamiliar or match.migration or len(new) > rules.bulk_over + _usual(feed, known, now):
        reasons = dict.fromkeys((o.guid for o in new), "bulk")
    else:
        reasons = {o.guid: _backdated(feed, known, o, now, rules) for o in new}
    return tuple(
        _timed(
            _new_episode(observed, keys, reasons[observed.guid], rank, now=now, rules=rules),
            feed,
            now,
            rules,
        )
        for rank, (observed, keys) in enumerate(match.new)
    )


def _usual(feed: Feed, known: Known, now: datetime) -> float:
    """Return how many items the feed usually publishes in the time since its last good answer.

    From what it published in the 90 days before that answer. At least a week is looked at: an
    import of 20 items dated a second apart is no habit.
    """
    looked_at = min(feed.last_ok_at or now, now)
    dates = [e.published_at for e in known.episodes.values() if e.published_at]
    recent = [d for d in dates if timedelta() <= looked_at - d <= USUAL]
    if not recent:
        return 0
    return len(recent) * ((now - looked_at) / max(looked_at - min(recent), WEEK))


def _backdated(
    feed: Feed, known: Known, observed: ObservedEpisode, now: datetime, rules: PollRules
) -> str | None:
    """Return the hold of an item dated long before we last looked, or of the past at the baseline.

    A feed may show more of its past one day: what is older than all that was known, and of what
    the backfill left out, is not new. Otherwise an item may well be dated before it appeared.
    Measured from the last good answer, not from now: what was published while we were away
    for two months is new, not backdated.
    """
    published_at = observed.published_at
    if published_at is None:
        return None
    looked_at = min(feed.last_ok_at or now, now)
    if looked_at - published_at > rules.backdated_over:
        return "backdated"
    oldest = min((e.published_at for e in known.episodes.values() if e.published_at), default=None)
    if feed.baseline_at is None or oldest is None or published_at >= oldest:
        return None
    left_out = leaves_out(rules.backfill, published_at, feed.baseline_at)
    return "backdated" if left_out else None


def _new_episode(
    observed: ObservedEpisode,
    keys: Keys,
    hold: str | None,
    rank: int,
    *,
    now: datetime,
    rules: PollRules,
) -> NewEpisode:
    reason = hold or ("shadow" if rules.shadow else None)
    return NewEpisode(
        observed,
        keys,
        Status.HELD if reason else Status.PENDING,
        reason,
        # A back catalogue is looked at a minute apart; delivery looks at what is wanted.
        next_track_at=now + (rank + 1) * schedule.MINUTE if reason else now + rules.poll.min,
    )


def _timed(episode: NewEpisode, feed: Feed, now: datetime, rules: PollRules) -> NewEpisode:
    """Add how long after its publication it was found: at most since the poll that did not see it."""
    if feed.baseline_at is None:
        return episode
    came = came_at(episode.observed.published_at, now, feed.last_ok_at) or now
    return replace(
        episode,
        delay_s=round((now - came).total_seconds()),
        fixed_delay_s=round(schedule.DAY.total_seconds() / rules.per_day / 2),
    )
