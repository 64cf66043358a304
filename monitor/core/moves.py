"""The ways a request moves, each with its line in the log."""

from dataclasses import replace
from datetime import datetime

from monitor.core import schedule
from monitor.core.lifecycle import Event, Status, advance
from monitor.core.model import (
    LogEvent,
    ProcessingRequest,
    Resource,
    Scalar,
    Settlement,
    Work,
    iso,
)
from monitor.core.schedule import Bounds


def deferred(work: Work, reason: str, at: datetime, *, http: int | None = None) -> Settlement:
    """Return the request waiting until *at*, for *reason*."""
    before = work.request
    after = replace(
        before,
        status=advance(before.status, Event.DEFERRED),
        reason=reason,
        next_attempt_at=at,
    )
    line = told(
        work,
        "request.deferred",
        generation=before.generation,
        reason=reason,
        attempts=after.attempts,
        next_attempt_at=iso(at),
        http=http,
        created_at=iso(before.created_at),
    )
    return Settlement(after, (line,))


def wait(work: Work, reason: str, *, now: datetime, jitter: float, bounds: Bounds) -> Settlement:
    """Put off without spending an attempt: the older the request, the rarer the look."""
    at = schedule.next_look_at(now, bounds, since=work.request.created_at, jitter=jitter)
    return deferred(work, reason, at)


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
    said: dict[str, Scalar] = {"generation": before.generation, "reason": reason, "http": http}
    said |= _standing(after) if accepted else {"was": before.status.value}
    line = told(work, f"request.{event}", **said)
    if event is Event.FAILED:
        line = replace(line, level="error")
    return Settlement(after, (line,))


def _standing(request: ProcessingRequest) -> dict[str, Scalar]:
    """Return what a status shows of a request that goes on, so that the log alone can tell it."""
    return {
        "attempts": request.attempts,
        "next_attempt_at": iso(request.next_attempt_at),
        "created_at": iso(request.created_at),
    }


def processed(work: Work, reason: str, resource: Resource, *, now: datetime) -> Settlement:
    """Return the request settled for good; its line carries what a next program needs."""
    settlement = settled(work, Event.PROCESSED, reason, now=now)
    before = work.request
    links: dict[str, Scalar] = {
        "held": before.reason if before.status is Status.HELD else None,
        "latency_s": round((now - work.episode.first_seen_at).total_seconds()),
        "json_url": resource.json_url,
        "markdown_url": resource.markdown_url,
        "page_url": resource.page_url,
    }
    (line,) = settlement.events
    return replace(settlement, events=(replace(line, fields={**line.fields, **links}),))


def hold_for_shadow(work: Work) -> Settlement:
    """Return a request that shadow mode must not send, held for a person."""
    before = work.request
    after = replace(before, status=advance(before.status, Event.HELD), reason="shadow")
    line = told(work, "request.held", generation=before.generation, reason="shadow", was="pending")
    return Settlement(after, (line,))


def told(work: Work, name: str, **fields: Scalar) -> LogEvent:
    return LogEvent(name, work.episode.podcast, work.episode.guid, fields=fields)
