"""What the outcome of a POST means, and what it makes of the request."""

from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, auto

from monitor.core import moves, schedule
from monitor.core.lifecycle import Event
from monitor.core.model import (
    Post,
    PostAnswered,
    PostLost,
    PostOutcome,
    ProcessingRequest,
    Settlement,
    Work,
)
from monitor.core.rules import RequestRules
from monitor.core.schedule import Bounds

SAME_500_APART = timedelta(hours=1)  # answers closer than this count as one


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
    work: Work,
    post: Post,
    outcome: PostOutcome,
    *,
    now: datetime,
    jitter: float,
    rules: RequestRules,
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
    work: Work,
    begun: Work,
    answer: PostAnswered,
    *,
    now: datetime,
    jitter: float,
    rules: RequestRules,
) -> Settlement:
    reason, http = f"http_{answer.http}", answer.http
    restored = _without_effect(work, begun)
    settlement: Settlement
    match classify(http):
        case Answer.ACCEPTED:
            settlement = moves.settled(_spent(begun), Event.ACCEPTED, None, now=now, http=http)
        case Answer.CONFLICT if work.request.reason == reason:
            settlement = moves.settled(
                _spent(begun), Event.ACCEPTED, "conflict", now=now, http=http
            )
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
            settlement = moves.wait(moved, reason, now=now, jitter=jitter, bounds=rules.not_listed)
        case Answer.FREEZE:
            settlement = moves.wait(restored, reason, now=now, jitter=jitter, bounds=rules.retry)
            settlement = replace(settlement, freeze=reason)
        case Answer.DEAD:
            settlement = moves.settled(_spent(restored), Event.FAILED, reason, now=now, http=http)
        case _:  # UNEXPECTED: nobody foresaw it, so nobody knows what it did
            settlement = moves.deferred(_spent(begun), reason, now + rules.retry.max, http=http)
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
    """Count how often one key got the same 500, each at least an hour after the last counted.

    502 to 504 are a gateway's word, not Stenobird's: nothing that is stored with a key.
    """
    if answer.http != 500:
        return request
    digest = f"{answer.http}:{answer.digest}"
    if request.same_digest != digest or request.same_at is None:
        return replace(request, same_digest=digest, same_count=1, same_at=now)
    if now - request.same_at < SAME_500_APART:
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
    return moves.deferred(work, reason, at, http=http)
