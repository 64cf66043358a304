"""The canonical line of a poll: everything that one line can say of it."""

from datetime import datetime

from monitor.core.lifecycle import Status
from monitor.core.model import (
    Feed,
    Fetched,
    FetchFailed,
    FetchOutcome,
    LogEvent,
    NotModified,
    PollPlan,
    iso,
)

WARN_FROM = 3  # failures in a row


def line(
    plan: PollPlan,
    outcome: FetchOutcome,
    *,
    read: str | None,
    items: int | None,
    detail: str,
    took_s: float,
) -> LogEvent:
    """Return the line of a poll.

    *read* is how much of a body was looked at (same, head, cut or whole), *items* how many are in
    the document, *detail* explains a failure.
    """
    feed = plan.feed
    return LogEvent(
        "feed.polled",
        feed.podcast,
        level="warning" if feed.failures >= WARN_FROM else "info",
        fields={
            "outcome": _word(plan, outcome),
            "reason": feed.reason,
            "detail": detail or None,
            "http": _http(outcome),
            "bytes": outcome.wire_bytes if isinstance(outcome, Fetched) else None,
            "read": read,
            "items": items,
            "new": len(plan.new),
            "changed": len(plan.changed),
            "requests": sum(1 for e in plan.new if e.status is Status.PENDING),
            "failures": feed.failures,
            **_last(feed),
            "next_poll_at": iso(feed.next_poll_at),
            "next_poll_reason": feed.next_poll_reason,
            "took_ms": round(took_s * 1000),
        },
    )


def missed(feed: Feed, again: datetime) -> LogEvent:
    """Return the line of a poll that reached nobody: what is said of the feed stays as it was."""
    return LogEvent(
        "feed.polled",
        feed.podcast,
        level="warning",
        fields={
            "outcome": "offline",
            "reason": feed.reason,
            "failures": feed.failures,
            **_last(feed),
            "next_poll_at": iso(again),
            "next_poll_reason": "offline",
        },
    )


def _last(feed: Feed) -> dict[str, str | None]:
    last = (feed.last_attempt_at, feed.last_ok_at, feed.last_new_at)
    names = ("last_attempt_at", "last_ok_at", "last_new_at")
    return {name: iso(at) if at else None for name, at in zip(names, last, strict=True)}


def _word(plan: PollPlan, outcome: FetchOutcome) -> str:
    if plan.feed.failures:
        return "failed"
    return "not_modified" if isinstance(outcome, NotModified) else "ok"


def _http(outcome: FetchOutcome) -> int | None:
    if isinstance(outcome, FetchFailed):
        return outcome.http
    return 304 if isinstance(outcome, NotModified) else 200
