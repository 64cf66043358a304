"""What to do with a request that is due, and what the answer to its POST means.

The promise is one effect per episode and generation. It rests on four things: the ledger row
is unique and kept for ever; a GET precedes every POST; the Idempotency-Key is derived, so that
it is the same after any crash or restored backup; and an outcome that is not known (a lost
answer, 408, 429, 5xx, a crash) is resolved by what the GET shows, never assumed.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256

from monitor.core import moves
from monitor.core.answers import FREEZING
from monitor.core.lifecycle import Event, Status
from monitor.core.model import (
    Episode,
    Found,
    Lookup,
    LookupFailed,
    NotListed,
    Post,
    ProcessingRequest,
    Resource,
    Settlement,
    Work,
)
from monitor.core.rules import RequestRules
from monitor.core.slug import is_of, request_url

SAME_500 = 3  # so often the same answer to one key, hours apart, is stored and replayed (Stripe)


def idempotency_key(podcast_slug: str, guid: str, generation: int, epoch: int) -> str:
    """Return the key of a request: the same from any machine, database or restored backup."""
    return sha256(f"{podcast_slug}\n{guid}\n{generation}\n{epoch}".encode()).hexdigest()


def _key(episode: Episode, request: ProcessingRequest) -> str:
    return idempotency_key(episode.podcast_slug, episode.guid, request.generation, request.epoch)


def before_post(
    work: Work, lookup: Lookup, *, now: datetime, jitter: float, rules: RequestRules
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
            if not is_of(work.request.action_url or url, slug, rules.base_url):
                work = replace(work, request=replace(work.request, action_url=None))
            return _post(work, resource.state, url, now=now)
        case NotListed(reason):
            return moves.wait(work, reason, now=now, jitter=jitter, bounds=rules.not_listed)
    return _unreadable(work, lookup, now=now, jitter=jitter, rules=rules)


def settle(
    work: Work, resource: Resource, *, now: datetime, rules: RequestRules
) -> Settlement | None:
    """Return what the state makes of an unsettled or held request; None: nothing."""
    request, state = work.request, resource.state
    if rules.is_processed(state) and not _asked_in_spite(request, state):
        reason = "processed" if request.first_posted_at else "already_processed"
        return moves.processed(work, reason, resource, now=now)
    if not _moved(work, state):
        return None
    if rules.is_failed(state):
        return moves.settled(work, Event.FAILED, state, now=now)
    if request.status is Status.PENDING:
        return moves.settled(work, Event.ACCEPTED, "state_moved", now=now)
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
    before, now = _plain(request.state_before_post), _plain(state)
    if request.status is Status.ACCEPTED:
        return {_plain(work.episode.processing_state), now} != {before}
    pending = request.status is Status.PENDING
    return pending and request.outcome_unknown and now != before


def _plain(state: str | None) -> str | None:
    """Return a state without its case, which says nothing."""
    return None if state is None else state.casefold()


def _post(work: Work, state: str | None, url: str, *, now: datetime) -> Post:
    """Return the POST: the same key and address while an earlier one's outcome is unknown.

    Even if the podcast's slug was corrected meanwhile, of which the key is made.
    """
    request = work.request
    # What was accepted once keeps its key. Else the state did not move, or we would not be here.
    if request.same_count >= SAME_500 and request.accepted_at is None:
        request = replace(
            request, epoch=request.epoch + 1, key=None, same_count=0, same_digest=None, same_at=None
        )
    if not request.outcome_unknown:
        request = replace(request, state_before_post=state, action_url=None, key=None)
    key = request.key or _key(work.episode, request)
    request = replace(
        request,
        action_url=request.action_url or url,
        key=key,
        outcome_unknown=True,
        first_posted_at=request.first_posted_at or now,
    )
    line = moves.told(
        work,
        "request.posted",
        generation=request.generation,
        attempt=request.attempts + 1,
        epoch=request.epoch,
    )
    return Post(request, request.action_url or url, key, line)


def _unreadable(
    work: Work, lookup: LookupFailed, *, now: datetime, jitter: float, rules: RequestRules
) -> Settlement:
    waits = moves.wait(work, lookup.reason, now=now, jitter=jitter, bounds=rules.retry)
    if lookup.http in FREEZING:
        return replace(waits, freeze=lookup.reason)
    asked_for = min(lookup.retry_after or timedelta(), rules.retry.max)
    at = max(waits.request.next_attempt_at, now + asked_for)
    return moves.deferred(work, lookup.reason, at, http=lookup.http)
