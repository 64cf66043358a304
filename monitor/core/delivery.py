"""What to do with a request that is due, and what the answer to its POST means.

The promise is one effect per episode and generation. It rests on four things: the ledger row
is unique and kept for ever; a GET precedes every POST; the Idempotency-Key is derived, so that
it is the same after any crash or restored backup; and an outcome that is not known (a lost
answer, 408, 429, 5xx, a crash) is resolved by what the GET shows, never assumed.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from hashlib import sha256

from monitor.core import schedule
from monitor.core.lifecycle import Event, Status, advance
from monitor.core.model import (
    Found,
    LogEvent,
    Lookup,
    LookupFailed,
    NotListed,
    Post,
    PostAnswered,
    PostLost,
    PostOutcome,
    ProcessingRequest,
    Resource,
    Scalar,
    Settlement,
    Work,
    iso,
)
from monitor.core.schedule import Bounds
from monitor.core.slug import request_url

SAME_5XX = 3  # this many times the same answer to one key…
SAME_5XX_APART = timedelta(hours=1)  # …this far apart, is an answer stored and replayed (Stripe)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator configured for requests."""

    base_url: str
    retry: Bounds
    not_listed: Bounds
    track: Bounds  # the podcast's
    stalled_after: timedelta
    processed_states: frozenset[str]  # casefolded
    failed_states: frozenset[str]  # casefolded
    shadow: bool = False

    def is_processed(self, state: str | None) -> bool:
        return (state or "").casefold() in self.processed_states

    def is_failed(self, state: str | None) -> bool:
        return (state or "").casefold() in self.failed_states


def idempotency_key(podcast_slug: str, guid: str, generation: int, epoch: int) -> str:
    """Return the key of a request: the same from any machine, database or restored backup."""
    return sha256(f"{podcast_slug}\n{guid}\n{generation}\n{epoch}".encode()).hexdigest()


# --- before the POST ---------------------------------------------------------------------


def before_post(
    work: Work, lookup: Lookup, *, now: datetime, jitter: float, rules: Rules
) -> Post | Settlement:
    """Decide, after the GET, whether a due request is POSTed, settled or put off."""
    match lookup:
        case Found(resource, slug):
            settlement = settle(work, resource, now=now, rules=rules)
            if settlement is not None:
                return settlement
            episode = work.episode
            url = request_url(
                resource, base_url=rules.base_url, podcast=episode.podcast_slug, slug=slug
            )
            return _post(work, resource.state, url, now=now)
        case NotListed(reason):
            return _wait(work, reason, now=now, jitter=jitter, bounds=rules.not_listed)
    return _unreadable(work, lookup, now=now, jitter=jitter, rules=rules)


def settle(work: Work, resource: Resource, *, now: datetime, rules: Rules) -> Settlement | None:
    """Return what the state makes of an unsettled or held request; None: nothing."""
    request, state = work.request, resource.state
    if rules.is_processed(state) and not _asked_in_spite(request, state):
        reason = "processed" if request.first_posted_at else "already_processed"
        return processed(work, reason, resource, now=now)
    if not _moved(work, state):
        return None
    if rules.is_failed(state):
        return settled(work, Event.FAILED, state, now=now)
    if request.status is Status.PENDING:
        return settled(work, Event.ACCEPTED, "state_moved", now=now)
    return None


def _asked_in_spite(request: ProcessingRequest, state: str | None) -> bool:
    """Return whether a person asked anew for what is still as it was then, and it was not taken."""
    anew = request.generation > 1 and request.status is not Status.ACCEPTED
    return anew and state == request.state_before_post


def _moved(work: Work, state: str | None) -> bool:
    """Return whether a request that may have reached Stenobird moved anything.

    Of an accepted one every look is recorded, so that failed → queued → failed is seen to move.
    """
    request = work.request
    if request.status is Status.ACCEPTED:
        return {work.episode.processing_state, state} != {request.state_before_post}
    pending = request.status is Status.PENDING
    return pending and request.outcome_unknown and state != request.state_before_post


def _post(work: Work, state: str | None, url: str, *, now: datetime) -> Post:
    """Return the POST: the same key and address while an earlier one's outcome is unknown."""
    request = work.request
    # What was accepted once keeps its key. Else the state did not move, or we would not be here.
    if request.same_count >= SAME_5XX and request.accepted_at is None:
        request = replace(
            request, epoch=request.epoch + 1, same_count=0, same_digest=None, same_at=None
        )
    if not request.outcome_unknown:
        request = replace(request, state_before_post=state, action_url=None)
    request = replace(
        request,
        action_url=request.action_url or url,
        outcome_unknown=True,
        first_posted_at=request.first_posted_at or now,
    )
    episode = work.episode
    key = idempotency_key(episode.podcast_slug, episode.guid, request.generation, request.epoch)
    told = _told(
        work,
        "request.posted",
        generation=request.generation,
        attempt=request.attempts + 1,
        epoch=request.epoch,
    )
    return Post(request, request.action_url or url, key, told)


def _unreadable(
    work: Work, lookup: LookupFailed, *, now: datetime, jitter: float, rules: Rules
) -> Settlement:
    waits = _wait(work, lookup.reason, now=now, jitter=jitter, bounds=rules.retry)
    if lookup.http in FREEZING:
        return replace(waits, freeze=lookup.reason)
    asked_for = min(lookup.retry_after or timedelta(), rules.retry.max)
    at = max(waits.request.next_attempt_at, now + asked_for)
    return deferred(work, lookup.reason, at, http=lookup.http)


def _wait(work: Work, reason: str, *, now: datetime, jitter: float, bounds: Bounds) -> Settlement:
    """Put off without spending an attempt: the older the request, the rarer the look."""
    at = schedule.next_look_at(now, bounds, since=work.request.created_at, jitter=jitter)
    return deferred(work, reason, at)


# --- after the POST ----------------------------------------------------------------------


class Answer(Enum):
    ACCEPTED = auto()
    CONFLICT = auto()  # a GET decides; by itself it is no error
    NOT_YET = auto()  # Stenobird does not know the episode
    RETRY = auto()  # the outcome is unknown, as if the answer had been lost
    FREEZE = auto()  # nobody is let in; no request's fault
    DEAD = auto()  # refused for good
    UNEXPECTED = auto()


FREEZING = frozenset({401, 402, 403})
CLASSES: dict[Answer, frozenset[int]] = {
    Answer.ACCEPTED: frozenset({*range(200, 300), 303}),
    Answer.CONFLICT: frozenset({409}),
    Answer.NOT_YET: frozenset({404, 425}),
    Answer.RETRY: frozenset({408, 429, *range(500, 600)}),
    Answer.FREEZE: FREEZING,
    Answer.DEAD: frozenset({400, 410, 422}),
}


def classify(http: int) -> Answer:
    """Return what a status of an answer to our POST means."""
    return next((c for c, codes in CLASSES.items() if http in codes), Answer.UNEXPECTED)


def after_post(
    work: Work, post: Post, outcome: PostOutcome, *, now: datetime, jitter: float, rules: Rules
) -> Settlement:
    """Return what the outcome of a POST makes of the request.

    *work* is as it was leased, before the POST: where the answer says that this POST had no
    effect, what an earlier one did may still be unknown.
    """
    begun = Work(work.episode, post.request)
    match outcome:
        case PostAnswered():
            return _answered(work, begun, outcome, now=now, jitter=jitter, rules=rules)
        case PostLost(reason):
            return _retry(begun, reason, now=now, jitter=jitter, bounds=rules.retry)
    restored = _without_effect(work, begun)
    return _retry(restored, outcome.reason, now=now, jitter=jitter, bounds=rules.retry)


def _answered(
    work: Work, begun: Work, answer: PostAnswered, *, now: datetime, jitter: float, rules: Rules
) -> Settlement:
    reason, http = f"http_{answer.http}", answer.http
    restored = _without_effect(work, begun)
    settlement: Settlement
    match classify(http):
        case Answer.ACCEPTED:
            settlement = settled(_spent(begun), Event.ACCEPTED, None, now=now, http=http)
        case Answer.CONFLICT if work.request.reason == reason:
            settlement = settled(_spent(begun), Event.ACCEPTED, "conflict", now=now, http=http)
        case Answer.CONFLICT | Answer.RETRY:
            counted = Work(begun.episode, _counted(begun.request, answer, now))
            settlement = _retry(
                counted,
                reason,
                now=now,
                jitter=jitter,
                bounds=rules.retry,
                http=http,
                retry_after=answer.retry_after,
            )
        case Answer.NOT_YET:
            reason = "not_listed_yet" if http == 404 else "too_early"
            # A slug may follow an edited title: the next POST goes where the GET before it led.
            moved = Work(restored.episode, replace(restored.request, action_url=None))
            settlement = _wait(moved, reason, now=now, jitter=jitter, bounds=rules.not_listed)
        case Answer.FREEZE:
            settlement = _wait(restored, reason, now=now, jitter=jitter, bounds=rules.retry)
            settlement = replace(settlement, freeze=reason)
        case Answer.DEAD:
            settlement = settled(_spent(restored), Event.FAILED, reason, now=now, http=http)
        case _:  # UNEXPECTED: nobody foresaw it, so nobody knows what it did
            settlement = deferred(_spent(begun), reason, now + rules.retry.max, http=http)
    return settlement


def _without_effect(work: Work, begun: Work) -> Work:
    """Return the work as begun, but with the outcome as (un)known as it was before this POST."""
    known = replace(
        begun.request,
        outcome_unknown=work.request.outcome_unknown,
        first_posted_at=work.request.first_posted_at,
    )
    return Work(begun.episode, known)


def _spent(work: Work) -> Work:
    return Work(work.episode, replace(work.request, attempts=work.request.attempts + 1))


def _counted(request: ProcessingRequest, answer: PostAnswered, now: datetime) -> ProcessingRequest:
    """Count how often one key got the same 5xx, each at least an hour after the last counted."""
    if answer.http < 500:
        return request
    digest = f"{answer.http}:{answer.digest}"
    if request.same_digest != digest or request.same_at is None:
        return replace(request, same_digest=digest, same_count=1, same_at=now)
    if now - request.same_at < SAME_5XX_APART:
        return request
    return replace(request, same_count=request.same_count + 1, same_at=now)


def _retry(
    work: Work,
    reason: str,
    *,
    now: datetime,
    jitter: float,
    bounds: Bounds,
    http: int | None = None,
    retry_after: timedelta | None = None,
) -> Settlement:
    work = _spent(work)
    attempts = work.request.attempts
    at = schedule.next_attempt_at(
        now, bounds, attempts=attempts, retry_after=retry_after, jitter=jitter
    )
    return deferred(work, reason, at, http=http)


# --- the two ways to end -----------------------------------------------------------------


def deferred(work: Work, reason: str, at: datetime, *, http: int | None = None) -> Settlement:
    """Return the request waiting until *at*, for *reason*."""
    before = work.request
    after = replace(
        before,
        status=advance(before.status, Event.DEFERRED),
        reason=reason,
        next_attempt_at=at,
    )
    told = _told(
        work,
        "request.deferred",
        generation=before.generation,
        reason=reason,
        attempts=after.attempts,
        next_attempt_at=iso(at),
        http=http,
    )
    return Settlement(after, (told,))


def settled(
    work: Work, event: Event, reason: str | None, *, now: datetime, http: int | None = None
) -> Settlement:
    """Return the request after *event*, with its line in the log."""
    before = work.request
    status = advance(before.status, event)
    accepted = event is Event.ACCEPTED
    final = event in {Event.PROCESSED, Event.FAILED}
    after = replace(
        before,
        status=status,
        reason=reason,
        accepted_at=now if accepted else before.accepted_at,
        outcome_unknown=False if accepted or final else before.outcome_unknown,
        next_attempt_at=now,
    )
    told = _told(work, f"request.{event}", generation=before.generation, reason=reason, http=http)
    if event is Event.FAILED:
        told = replace(told, level="error")
    return Settlement(after, (told,))


def processed(work: Work, reason: str, resource: Resource, *, now: datetime) -> Settlement:
    """Return the request settled for good; its line carries what a next program needs."""
    settlement = settled(work, Event.PROCESSED, reason, now=now)
    links: dict[str, Scalar] = {
        "latency_s": round((now - work.episode.first_seen_at).total_seconds()),
        "json_url": resource.json_url,
        "markdown_url": resource.markdown_url,
        "page_url": resource.page_url,
    }
    (told,) = settlement.events
    return replace(settlement, events=(replace(told, fields={**told.fields, **links}),))


def hold_for_shadow(work: Work) -> Settlement:
    """Return a request that shadow mode must not send, held for a person."""
    before = work.request
    after = replace(before, status=advance(before.status, Event.HELD), reason="shadow")
    told = _told(work, "request.held", generation=before.generation, reason="shadow")
    return Settlement(after, (told,))


def _told(work: Work, name: str, **fields: Scalar) -> LogEvent:
    return LogEvent(name, work.episode.podcast, work.episode.guid, fields=fields)
