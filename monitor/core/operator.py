"""What the operator's verbs do to a request. Each is idempotent: repeated, it does nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from monitor.core.lifecycle import SETTLED, Event, Status, advance
from monitor.core.model import LogEvent, ProcessingRequest, Scalar, Settlement, Work, iso

By = str  # the operator's reason, as given


def request(work: Work, by: By, *, now: datetime) -> Settlement | None:
    """Want an episode, whatever held it back. None: it is wanted, or done, already."""
    if work.request.status in {Status.HELD, Status.SKIPPED}:
        return _moved(work, Event.REQUESTED, "request.released", by, now=now)
    return None


def release(work: Work, by: By, *, now: datetime) -> Settlement | None:
    """Let a held request go. None: it is not held."""
    if work.request.status is Status.HELD:
        return _moved(work, Event.RELEASED, "request.released", by, now=now)
    return None


def skip(work: Work, by: By, *, now: datetime) -> Settlement | None:
    """Never send a request. None: it is settled already.

    Raises:
        IllegalTransition: Stenobird has accepted it; what was asked cannot be unasked.
    """
    if work.request.status in SETTLED:
        return None
    return _moved(work, Event.SKIPPED, "request.skipped", by, now=now)


def requeue(work: Work, by: By, *, now: datetime) -> tuple[Settlement, ...]:
    """Ask anew, as the next generation. Empty: the newest one has yet to be sent or to stall.

    Returns what becomes of the generation before, where that changes, and the next one, whose
    ``id`` is 0: the store gives it one.
    """
    before = work.request
    if before.status in {Status.PENDING, Status.HELD}:
        return ()
    if before.status is Status.ACCEPTED and not before.reasks:
        return ()
    after = ProcessingRequest(
        id=0,
        generation=before.generation + 1,
        epoch=0,
        status=Status.PENDING,
        reason=None,
        attempts=0,
        next_attempt_at=now,
        created_at=now,
        state_before_post=work.episode.processing_state,  # it was asked for in spite of that
    )
    told = _told(
        work, "request.requeued", generation=after.generation, was=before.status.value, by=by
    )
    anew = Settlement(after, (told,))
    if before.status is not Status.ACCEPTED:
        return (anew,)
    old = replace(
        before,
        status=advance(before.status, Event.SUPERSEDED),
        reason="superseded",
        next_attempt_at=now,
    )
    return Settlement(old), anew


VERBS: dict[str, Callable[..., Settlement | None]] = {
    "request": request,
    "release": release,
    "skip": skip,
}


def _moved(work: Work, event: Event, name: str, by: By, *, now: datetime) -> Settlement:
    before = work.request
    reason = "operator" if event is Event.SKIPPED else None
    after = replace(
        before, status=advance(before.status, event), reason=reason, next_attempt_at=now
    )
    said: dict[str, Scalar] = {"generation": before.generation, "reason": before.reason, "by": by}
    said |= {"was": before.status.value}
    if after.status is Status.PENDING:
        said |= {"attempts": after.attempts, "created_at": iso(after.created_at)}
    return Settlement(after, (_told(work, name, **said),))


def _told(work: Work, name: str, **fields: Scalar) -> LogEvent:
    return LogEvent(name, work.episode.podcast, work.episode.guid, fields=fields)
