"""One poll of one feed: fetch, read, reconcile, commit, say so in one line."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from monitor import fault
from monitor.adapters.address import origin
from monitor.adapters.failure import NO_TURN
from monitor.adapters.fetch import fetch
from monitor.adapters.store import catalogue, editions, events, polls
from monitor.core import parse, polled, problems, reconcile, schedule
from monitor.core.lifecycle import Status
from monitor.core.model import (
    DatabaseError,
    Feed,
    Fetched,
    FetchFailed,
    FetchOutcome,
    Known,
    NotModified,
    ParseError,
    PollPlan,
    Reading,
    Validators,
)
from monitor.core.problems import Kind, ProblemUpdate
from monitor.core.sweep import Sweep
from monitor.jobs.context import Context
from monitor.jobs.reading import Reader, read


@dataclass(frozen=True, slots=True)
class Visit:
    """What a visit came to."""

    outcome: FetchOutcome
    plan: PollPlan
    read: str | None = None  # how much of a body was looked at: same, head, cut or whole
    items: int | None = None  # in the document
    detail: str = ""  # what explains a failure


async def poll_feed(ctx: Context, feed: Feed) -> bool:
    """Poll a leased feed; return whether it answered well. Its outcome is always recorded."""
    began = asyncio.get_running_loop().time()
    feed = replace(feed, cadence=await ctx.cadences.of(ctx, feed))
    feed, visit = await _visit(ctx, feed)
    if isinstance(visit.outcome, FetchFailed) and visit.outcome.reason == NO_TURN:
        await ctx.write(polls.put_back, [feed])
        return True  # its origin was too busy to be asked: nothing is known, and nothing failed
    if await _is_our_outage(ctx, feed, visit.outcome):
        again = ctx.now() + ctx.podcasts[feed.podcast].polling.poll.min
        await ctx.write(polls.put_back, [feed], again)
        ctx.uplink.missed.add(feed.podcast)
        ctx.emit(polled.missed(feed, again), ctx.now())
        return False
    recorded = await _record(ctx, feed, visit)
    if recorded is None:
        return False  # it took longer than the lease: another daemon polls this feed
    _tell(ctx, recorded, took_s=asyncio.get_running_loop().time() - began)
    return recorded.plan.feed.failures == 0


def _tell(ctx: Context, visit: Visit, *, took_s: float) -> None:
    """Say what a recorded visit came to, and wake who has work now."""
    plan = visit.plan
    line = polled.line(
        plan, visit.outcome, read=visit.read, items=visit.items, detail=visit.detail, took_s=took_s
    )
    ctx.emit(line, ctx.now())
    if plan.events:
        ctx.wake("log")
    if any(episode.status is Status.PENDING for episode in plan.new):
        ctx.wake("deliver")


async def _is_our_outage(ctx: Context, feed: Feed, outcome: FetchOutcome) -> bool:
    if not isinstance(outcome, FetchFailed):
        return False
    asked = feed.adopted or feed.url
    return await ctx.uplink.is_to_blame(asked, outcome.reason, ctx.now())


async def _visit(ctx: Context, feed: Feed) -> tuple[Feed, Visit]:
    """Visit a feed; twice, if its head was read and was not enough: then the first counts, too."""
    per_day = ctx.podcasts[feed.podcast].polling.per_day
    asked_for = feed.next_poll_reason == schedule.ASKED
    if asked_for or schedule.is_room_for_two(feed.polled, ctx.now(), per_day):
        if head := await _ask(ctx, feed, head=True):
            return feed, head
        feed = replace(feed, polled=schedule.last_day(feed.polled, ctx.now()))
    whole = await _ask(ctx, feed, head=False)
    assert whole is not None  # only a head can be too little
    return feed, whole


async def _ask(ctx: Context, feed: Feed, *, head: bool) -> Visit | None:
    """Ask for a feed, and decide what the answer means; None if its head was not enough."""
    podcast = ctx.podcasts[feed.podcast]
    full = reconcile.is_full_due(feed, now=ctx.now())
    validators = Validators() if full else feed.validators
    head = head and not full
    asked = feed.adopted or feed.url
    same = feed.wire_digest if feed.edition else None  # what was read by older rules is read anew
    outcome: FetchOutcome = FetchFailed("internal_error")
    with Reader(feed.edition, same, head=head) as reader:
        try:
            outcome = await fetch(
                ctx.http,
                asked,
                validators=validators,
                headers=podcast.headers if origin(asked) == origin(feed.url) else {},
                max_body_bytes=ctx.limits.max_body_bytes,
                receiver=reader,
                now=ctx.now(),
            )
            visit = await _decide(ctx, feed, outcome, reader)
        except DatabaseError:
            raise  # not the publisher's, and not ours
        except ParseError as error:
            failure = FetchFailed(error.reason, detail=error.detail)
            visit = _failed(ctx, feed, outcome, failure)
        except Exception as error:  # noqa: BLE001 - a fault of ours is an outcome too: it backs off
            visit = _failed(ctx, feed, outcome, _our_fault(error))
        if visit is not None and (reason := visit.plan.feed.reason) and ctx.evidence:
            keep = partial(ctx.evidence.keep, feed.podcast, reason, reader.wire())
            await ctx.parse(keep, gzipped=reader.coding == "gzip")
        return visit


async def _decide(ctx: Context, feed: Feed, outcome: FetchOutcome, reader: Reader) -> Visit | None:
    rules = ctx.podcasts[feed.podcast].polling
    match outcome:
        case FetchFailed():
            return _failed(ctx, feed, outcome, outcome)
        case NotModified():
            jitter = ctx.chance()
            plan = reconcile.unchanged(feed, outcome, now=ctx.now(), jitter=jitter, rules=rules)
            return Visit(outcome, plan)
    sweep = reader.sweep
    if feed.baseline_at and (outcome.repeated or sweep.repeats):
        plan = reconcile.repeated(feed, outcome, now=ctx.now(), jitter=ctx.chance(), rules=rules)
        if outcome.repeated:
            return Visit(outcome, plan, "same", sweep.last_items)
        if (edition := sweep.edition(outcome, None)) != feed.edition:
            plan = replace(plan, edition=edition)
        return Visit(outcome, plan, _how(outcome, sweep), sweep.last_items)
    return await _reconcile(ctx, feed, outcome, reader)


async def _reconcile(ctx: Context, feed: Feed, outcome: Fetched, reader: Reader) -> Visit | None:
    known, before = await ctx.read(_recorded, feed)
    reading = await read(reader, outcome, before, parse=ctx.parse, sandbox=ctx.sandbox)
    if reading is None:
        return None
    document = parse.document_of(reading)
    if not outcome.complete and reconcile.is_doubtful(known, document):
        return None
    plan = await ctx.parse(
        partial(
            reconcile.reconcile,
            feed,
            known,
            document,
            outcome,
            now=ctx.now(),
            jitter=ctx.chance(),
            rules=ctx.podcasts[feed.podcast].polling,
        )
    )
    if plan.feed.failures == 0:
        plan = replace(plan, edition=reader.sweep.edition(outcome, reading), reading=reading)
    return Visit(outcome, plan, _how(outcome, reader.sweep), document.items)


def _how(outcome: Fetched, sweep: Sweep) -> str:
    if not outcome.complete:
        return "head"
    return "whole" if sweep.uncut else "cut"


def _our_fault(error: Exception) -> FetchFailed:
    fault.trace(error)
    return FetchFailed("internal_error", detail=type(error).__name__)


def _failed(ctx: Context, feed: Feed, outcome: FetchOutcome, failure: FetchFailed) -> Visit:
    rules = ctx.podcasts[feed.podcast].polling
    plan = reconcile.failed(feed, failure, now=ctx.now(), jitter=ctx.chance(), rules=rules)
    return Visit(outcome, plan, detail=failure.detail)


def _recorded(conn: Connection, feed: Feed) -> tuple[Known, Reading | None]:
    return catalogue.known(conn, feed.id), editions.reading(conn, feed.id)


async def _record(ctx: Context, feed: Feed, visit: Visit) -> Visit | None:
    """Write what a visit came to; return what was written, or None if the feed is not ours now."""
    try:
        return visit if await _commit(ctx, feed, visit) else None
    except DatabaseError:
        raise
    except Exception as error:  # noqa: BLE001 - what cannot be written must not be fetched for ever
        failed = _failed(ctx, feed, visit.outcome, _our_fault(error))
    return failed if await _commit(ctx, feed, failed) else None


async def _commit(ctx: Context, before: Feed, visit: Visit) -> bool:
    """Write the plan: with others', if it says nothing new; return whether it was still ours."""
    if before.reason is None and reconcile.is_quiet(visit.plan):
        return await ctx.outcomes.commit(visit.plan)
    return await ctx.write(_write, visit, ctx.now())


def _write(conn: Connection, visit: Visit, now: datetime) -> bool:
    """Write a whole plan, and what it means for the feed's problems."""
    plan = visit.plan
    silent = events.problem(conn, Kind.FEED_SILENT, plan.feed.podcast)
    news = problems.recover(silent, now=now) if plan.new else None
    return polls.commit_poll(conn, plan, _health(conn, visit, now), news, now=now)


def _health(conn: Connection, visit: Visit, now: datetime) -> ProblemUpdate | None:
    feed = visit.plan.feed
    failing = events.problem(conn, Kind.FEED_FAILING, feed.podcast)
    if feed.reason is None:
        return problems.recover(failing, now=now)
    return problems.strike(
        failing,
        Kind.FEED_FAILING,
        reason=feed.reason,
        now=now,
        podcast=feed.podcast,
        detail=visit.detail or None,
    )
