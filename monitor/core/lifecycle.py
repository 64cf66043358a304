"""The life of a transcription request.

Rule 1: everything that decides which status may follow which lives in this file.

A request has one status. What happens to it is an event, and ``TRANSITIONS`` names every
event that is legal in a status and the status that follows; any other pair raises and
changes nothing. Two things are deliberately not statuses, so nothing can be stuck in one:
*waiting* is a later ``next_attempt_at`` with a reason, and *being worked on* is a lease that
expires by itself.

``docs/lifecycle.md`` is drawn from this table (``make docs``); a test compares the two.
"""

from enum import StrEnum


class Status(StrEnum):
    PENDING = "pending"  # wanted; will be POSTed when next_attempt_at comes
    ACCEPTED = "accepted"  # Stenobird took it; tracked until a final state
    PROCESSED = "processed"  # Stenobird published the processed episode
    FAILED = "failed"  # Stenobird gave up on it, or refused the request for good
    SKIPPED = "skipped"  # a person does not want it, or a newer generation replaced it
    HELD = "held"  # waits for a person: baseline, bulk, backdated or shadow


SETTLED = frozenset({Status.PROCESSED, Status.FAILED, Status.SKIPPED})


class Event(StrEnum):
    DEFERRED = "deferred"  # not now: retry, not listed yet, budget, frozen
    ACCEPTED = "accepted"  # the POST was answered so, or the state moved since the GET before it
    PROCESSED = "processed"  # a final, good state was seen
    FAILED = (
        "failed"  # a final, bad state was seen after our POST, or the POST was refused for good
    )
    HELD = "held"  # shadow mode: decided and recorded, not sent
    RELEASED = "released"  # a person lets a held one go
    REQUESTED = "requested"  # a person wants it, whatever held it back
    SKIPPED = "skipped"  # a person does not want it
    REASKED = "reasked"  # accepted, but nothing moved for too long: ask once more
    SUPERSEDED = "superseded"  # a person asked anew: the next generation takes over


class IllegalTransition(Exception):  # noqa: N818 - named for what it is; it is our bug, never input
    """An event that TRANSITIONS does not allow in a status. Nothing was changed."""


TRANSITIONS: dict[Status, dict[Event, Status]] = {
    Status.PENDING: {
        Event.DEFERRED: Status.PENDING,
        Event.ACCEPTED: Status.ACCEPTED,
        Event.PROCESSED: Status.PROCESSED,
        Event.FAILED: Status.FAILED,
        Event.HELD: Status.HELD,
        Event.SKIPPED: Status.SKIPPED,
    },
    Status.ACCEPTED: {
        Event.PROCESSED: Status.PROCESSED,
        Event.FAILED: Status.FAILED,
        Event.REASKED: Status.PENDING,
        Event.SUPERSEDED: Status.SKIPPED,
    },
    Status.HELD: {
        Event.RELEASED: Status.PENDING,
        Event.REQUESTED: Status.PENDING,
        Event.PROCESSED: Status.PROCESSED,
        Event.SKIPPED: Status.SKIPPED,
    },
    Status.SKIPPED: {
        Event.REQUESTED: Status.PENDING,
    },
    Status.PROCESSED: {},
    Status.FAILED: {},
}


def advance(status: Status, event: Event) -> Status:
    """Return the status that follows *event*.

    Raises:
        IllegalTransition: the table does not allow the pair.
    """
    try:
        return TRANSITIONS[status][event]
    except KeyError:
        raise IllegalTransition(f"{event} is not possible for a request that is {status}") from None
