"""One poll of one feed: fetch, parse, reconcile, commit, say so in one line."""

import asyncio
from datetime import datetime

from sqlalchemy import Connection

from monitor.adapters.fetch import fetch
from monitor.adapters.http import Http
from monitor.adapters.store import events, polls
from monitor.core import problems, reconcile
from monitor.core.lifecycle import Status
from monitor.core.model import (
    Feed,
    Fetched,
    FetchFailed,
    FetchOutcome,
    Known,
    LogEvent,
    NotModified,
    ParseError,
    PollPlan,
    Validators,
    iso,
)
from monitor.core.parse import parse_feed
from monitor.core.problems import Kind, Problem, ProblemUpdate
from monitor.core.rules import PollRules
from monitor.jobs.context import Context, Podcast

WARN_FROM = 3  # failures in a row


async def poll_feed(ctx: Context, feed: Feed) -> bool:
    """Poll a leased feed; return whether it answered well. Its outcome is always recorded."""
    began = asyncio.get_running_loop().time()
    podcast = ctx.podcasts[feed.podcast]
    validators = reconcile.to_send(feed, now=ctx.now())
    outcome, body = await fetch_body(
        ctx.http,
        podcast,
        url=feed.url,
        validators=validators,
        max_body_bytes=ctx.limits.max_body_bytes,
        now=ctx.now(),
    )
    known, problem = await ctx.read(_recorded, feed)
    now = ctx.now()
    try:
        plan, items = await ctx.parse(
            _decide, feed, known, outcome, body, now, ctx.chance(), podcast.polling
        )
    except Exception as error:  # noqa: BLE001 - a fault of ours is an outcome too: it backs off
        failure = FetchFailed("internal_error", detail=type(error).__name__)
        plan = reconcile.failed(feed, failure, now=now, jitter=ctx.chance(), rules=podcast.polling)
        items = None
    update = _health(plan, problem, now)
    if not await ctx.write(polls.commit_poll, plan, update, now=now):
        return False  # it took longer than the lease: another daemon polls this feed
    took_s = asyncio.get_running_loop().time() - began
    ctx.emit(_line(plan, outcome, items, took_s), now)
    return plan.feed.failures == 0


async def fetch_body(
    http: Http,
    podcast: Podcast,
    *,
    url: str,
    validators: Validators,
    max_body_bytes: int,
    now: datetime,
) -> tuple[FetchOutcome, bytes]:
    """GET a feed; return the outcome and the body, which is whole only where it is Fetched."""
    body = bytearray()

    def receive(chunk: bytes) -> bool:
        body.extend(chunk)
        return True

    outcome = await fetch(
        http,
        url,
        validators=validators,
        headers=podcast.headers,
        max_body_bytes=max_body_bytes,
        receive=receive,
        now=now,
    )
    return outcome, bytes(body)


def _recorded(conn: Connection, feed: Feed) -> tuple[Known, Problem | None]:
    return polls.known(conn, feed), events.problem(conn, Kind.FEED_FAILING, feed.podcast)


def _decide(
    feed: Feed,
    known: Known,
    outcome: FetchOutcome,
    body: bytes,
    now: datetime,
    jitter: float,
    rules: PollRules,
) -> tuple[PollPlan, int | None]:
    """Return the plan, and how many items the document had, where there was one."""
    match outcome:
        case NotModified():
            return reconcile.unchanged(feed, outcome, now=now, jitter=jitter, rules=rules), None
        case FetchFailed():
            return reconcile.failed(feed, outcome, now=now, jitter=jitter, rules=rules), None
    try:
        document = parse_feed(body)
    except ParseError as error:
        failure = FetchFailed(error.reason, detail=error.detail)
        return reconcile.failed(feed, failure, now=now, jitter=jitter, rules=rules), None
    plan = reconcile.reconcile(feed, known, document, outcome, now=now, jitter=jitter, rules=rules)
    return plan, document.items


def _health(plan: PollPlan, problem: Problem | None, now: datetime) -> ProblemUpdate | None:
    feed = plan.feed
    if feed.reason is None:
        return problems.recover(problem, now=now)
    return problems.strike(
        problem, Kind.FEED_FAILING, reason=feed.reason, now=now, podcast=feed.podcast
    )


def _line(plan: PollPlan, outcome: FetchOutcome, items: int | None, took_s: float) -> LogEvent:
    """Return the canonical line of a poll."""
    feed = plan.feed
    return LogEvent(
        "feed.polled",
        feed.podcast,
        level="warning" if feed.failures >= WARN_FROM else "info",
        fields={
            "outcome": _word(plan, outcome),
            "reason": feed.reason,
            "http": _http(outcome),
            "bytes": outcome.wire_bytes if isinstance(outcome, Fetched) else None,
            "items": items,
            "new": len(plan.new),
            "changed": len(plan.changed),
            "requests": sum(1 for e in plan.new if e.status is Status.PENDING),
            "failures": feed.failures,
            "last_new_at": iso(feed.last_new_at) if feed.last_new_at else None,
            "next_poll_at": iso(feed.next_poll_at),
            "took_ms": round(took_s * 1000),
        },
    )


def _word(plan: PollPlan, outcome: FetchOutcome) -> str:
    if plan.feed.failures:
        return "failed"
    return "not_modified" if isinstance(outcome, NotModified) else "ok"


def _http(outcome: FetchOutcome) -> int | None:
    if isinstance(outcome, FetchFailed):
        return outcome.http
    return 304 if isinstance(outcome, NotModified) else 200
