"""What a look at Stenobird teaches about an episode, and what it makes of its request."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor.core import delivery, moves, schedule
from monitor.core.lifecycle import SETTLED, Event, Status
from monitor.core.model import (
    Episode,
    Found,
    LogEvent,
    Lookup,
    LookupFailed,
    Observation,
    Settlement,
    Work,
    iso,
)
from monitor.core.resource import digest
from monitor.core.rules import RequestRules


@dataclass(frozen=True, slots=True)
class Look:
    """The outcome of tracking an episode once."""

    next_track_at: datetime
    settlement: Settlement | None = None  # where the request moves
    stalled: bool = False  # asked twice, and nothing moves: a person's problem


def observe(episode: Episode, found: Found, *, words: frozenset[str]) -> Observation:
    """Return what *found* teaches; *words* are the processing states seen before, of any episode.

    The state is kept verbatim. A word that nobody has seen is said to be new, once, and taken
    for not final.
    """
    resource = found.resource
    state = resource.state or ""
    changed = state != episode.processing_state
    published = digest(resource)
    return Observation(
        found.slug,
        state,
        changed,
        published,
        resource if published != episode.resource_digest else None,
        (_state_changed(episode, state, words),) if changed else (),
    )


def _state_changed(episode: Episode, state: str, words: frozenset[str]) -> LogEvent:
    fields = {"from": episode.processing_state, "to": state}
    if state.casefold() in words:
        return LogEvent("state.changed", episode.podcast, episode.guid, fields=fields)
    fields["note"] = "new word"
    return LogEvent("state.changed", episode.podcast, episode.guid, "warning", fields)


def regressed(episode: Episode, state: str, rules: RequestRules) -> bool:
    """Return whether what was processed is not any more."""
    return rules.is_processed(episode.processing_state) and not rules.is_processed(state)


def look(work: Work, lookup: Lookup, *, now: datetime, jitter: float, rules: RequestRules) -> Look:
    """Decide what a look leads to."""
    if isinstance(lookup, LookupFailed):
        return Look(_after_failure(work, lookup, now=now, jitter=jitter, rules=rules))
    settlement = None
    if isinstance(lookup, Found) and work.request.status not in SETTLED:
        settlement = delivery.settle(work, lookup.resource, now=now, rules=rules)
    if settlement is None and _stalled(work, lookup, now=now, rules=rules):
        settlement = _unmoved(work, lookup, now=now, rules=rules)
        if settlement is None:
            return Look(next_look(work, now=now, jitter=jitter, rules=rules), stalled=True)
    if settlement is not None:
        work = replace(work, request=settlement.request)
    return Look(next_look(work, now=now, jitter=jitter, rules=rules), settlement)


def _unmoved(
    work: Work, lookup: Lookup, *, now: datetime, rules: RequestRules
) -> Settlement | None:
    """Return what becomes of a stalled request: asked once more, then a person's; None.

    One that was asked anew after a failure, and is said to have failed through both, has failed.
    """
    if not work.request.reasks:
        return _reask(work, now=now)
    if isinstance(lookup, Found) and rules.is_failed(lookup.resource.state):
        return moves.settled(work, Event.FAILED, lookup.resource.state, now=now)
    return None


def _stalled(work: Work, lookup: Lookup, *, now: datetime, rules: RequestRules) -> bool:
    """Return whether an accepted request has not moved for too long."""
    request, changed_at = work.request, work.episode.state_changed_at
    if request.status is not Status.ACCEPTED or request.accepted_at is None:
        return False
    if isinstance(lookup, Found) and lookup.resource.state != work.episode.processing_state:
        return False
    since = max(request.accepted_at, changed_at or request.accepted_at)
    return now - since >= rules.stalled_after


def _reask(work: Work, *, now: datetime) -> Settlement:
    """Return the request pending once more; what its POST did counts as unknown again.

    So a state that moves before the second POST leaves is as good as its answer.
    """
    settlement = moves.settled(work, Event.REASKED, "stalled", now=now)
    after = replace(
        settlement.request,
        reasks=work.request.reasks + 1,
        outcome_unknown=True,
        state_before_post=work.episode.processing_state,
    )
    told = LogEvent(
        "request.deferred",
        work.episode.podcast,
        work.episode.guid,
        "warning",
        {
            "generation": after.generation,
            "reason": "stalled",
            "was": work.request.status.value,
            "attempts": after.attempts,
            "next_attempt_at": iso(after.next_attempt_at),
            "created_at": iso(after.created_at),
        },
    )
    return Settlement(after, (told,))


def next_look(work: Work, *, now: datetime, jitter: float, rules: RequestRules) -> datetime:
    """Return when to look at an episode again: its request's age decides."""
    request = work.request
    if request.status in SETTLED or request.status is Status.HELD:
        return now + schedule.SETTLED_AGAIN
    return _by_age(work, now=now, jitter=jitter, rules=rules)


def _after_failure(
    work: Work, failure: LookupFailed, *, now: datetime, jitter: float, rules: RequestRules
) -> datetime:
    """Return when to look again where nothing was learned: soon, of a held episode too."""
    asked_for = min(failure.retry_after or timedelta(), rules.retry.max)
    return max(_by_age(work, now=now, jitter=jitter, rules=rules), now + asked_for)


def _by_age(work: Work, *, now: datetime, jitter: float, rules: RequestRules) -> datetime:
    request = work.request
    since = max(
        request.created_at,
        request.accepted_at or request.created_at,
        work.episode.state_changed_at or request.created_at,
    )
    return schedule.next_look_at(now, rules.track, since=since, jitter=jitter)
