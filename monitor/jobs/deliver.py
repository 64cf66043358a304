"""One attempt to hand a request over: GET, then POST if that is still needed, then settle."""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from monitor.adapters.pacing import NoTurnError
from monitor.adapters.store import events, freezing, ledger
from monitor.adapters.store import work as store
from monitor.adapters.store.freezing import Freeze
from monitor.core import delivery, moves, problems, schedule, tracking
from monitor.core.answers import Answer, after_post, classify
from monitor.core.lifecycle import Status
from monitor.core.model import (
    DatabaseError,
    Found,
    Lookup,
    LookupFailed,
    Observation,
    Post,
    PostAnswered,
    PostNotSent,
    PostOutcome,
    Settlement,
    Work,
)
from monitor.core.problems import Kind
from monitor.core.rules import RequestRules
from monitor.jobs import complaints
from monitor.jobs.context import Context
from monitor.jobs.look import health, is_our_outage, look_up
from monitor.jobs.rest import rest_if_asked


async def deliver_request(ctx: Context, work: Work) -> bool:
    """Make one attempt with a leased request; return whether Stenobird could be asked.

    1. In shadow mode, hold it; but first find out what became of a POST of live days.
    2. GET the resource; what it shows may settle the request.
    3. Write that a POST is about to leave, if pace and budget let it.
    4. POST, and write what came of it.
    """
    rules = ctx.podcasts[work.episode.podcast].requests
    if rules.shadow and not work.request.outcome_unknown:
        await ctx.write(store.settle, work, moves.hold_for_shadow(work), None, now=ctx.now())
        return True
    lookup = await look_up(ctx, work.episode)
    if await is_our_outage(ctx, lookup):
        await ctx.write(store.settle, work, None, None, now=ctx.now())
        return False
    observation = await _observe(ctx, work, lookup, rules)
    decision = delivery.before_post(work, lookup, now=ctx.now(), jitter=ctx.chance(), rules=rules)
    if isinstance(decision, Post) and rules.shadow:  # what was sent in live mode had no effect
        decision = moves.hold_for_shadow(work)
    if isinstance(decision, Post):
        return await _post(ctx, work, decision, _Seen(lookup, observation), rules)
    await ctx.write(_settle, ctx, work, decision, _Seen(lookup, observation))
    return not isinstance(lookup, LookupFailed)


def give_up(ctx: Context, work: Work, error: Exception, conn: Connection) -> None:
    """Give back a request whose attempt left no outcome: at once, unless the fault is ours."""
    settlement = None
    if not isinstance(error, DatabaseError):
        rules = ctx.podcasts[work.episode.podcast].requests
        settlement = moves.wait(
            work, "internal_error", now=ctx.now(), jitter=ctx.chance(), bounds=rules.retry
        )
    store.settle(conn, work, settlement, None, now=ctx.now())


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the GET before the POST brought."""

    lookup: Lookup
    observation: Observation | None  # still to be written


async def _observe(
    ctx: Context, work: Work, lookup: Lookup, rules: RequestRules
) -> Observation | None:
    if not isinstance(lookup, Found):
        return None
    words = await ctx.read(store.known_words)
    final = rules.processed_states | rules.failed_states
    return tracking.observe(work.episode, lookup, words=words | final)


async def _post(ctx: Context, work: Work, post: Post, seen: _Seen, rules: RequestRules) -> bool:
    try:
        async with ctx.stenobird.turn():  # first: what is written down must leave at once
            begun = await ctx.write(_begin, ctx, work, post, seen.observation)
            if isinstance(begun, int):
                outcome = await ctx.stenobird.post(post.url, key=post.key, now=ctx.now())
    except NoTurnError:
        begun = None
    if begun is None:  # the lease ran out, or a person's verb came between: nothing was sent
        await ctx.write(store.settle, work, None, None, now=ctx.now())
        return True
    if isinstance(begun, Settlement):
        await ctx.write(_settle, ctx, work, begun, seen)
        return True
    seen = _Seen(seen.lookup, None)  # what was observed is written
    settlement = after_post(work, post, outcome, now=ctx.now(), jitter=ctx.chance(), rules=rules)
    await ctx.write(
        _finish, ctx, Work(work.episode, post.request), begun, outcome, settlement, seen
    )
    return isinstance(outcome, PostAnswered) and classify(outcome.http) in FINE


# --- units of work: each runs in one transaction -----------------------------------------


def _begin(
    conn: Connection, ctx: Context, work: Work, post: Post, observation: Observation | None
) -> int | Settlement | None:
    """Spend pace and budget and write the POST down; or say until when it must wait."""
    now = ctx.now()
    minutes = schedule.audio_minutes(work.episode.duration_s)
    at, waits_for = schedule.may_post_at(
        now,
        ledger.spent(conn, now),
        request_id=work.request.id,
        minutes=minutes,
        per_minute=ctx.limits.per_minute,
        minutes_per_day=ctx.limits.audio_minutes_per_day,
        reserved=ledger.reserved(conn, work, now),
    )
    if waits_for is not None:
        return moves.deferred(work, waits_for, at)
    return ledger.begin(conn, work, post, observation, minutes=minutes, now=now)


def _finish(
    conn: Connection,
    ctx: Context,
    work: Work,
    post_id: int,
    outcome: PostOutcome,
    settlement: Settlement,
    seen: _Seen,
) -> None:
    """Write what came of a POST: in the ledger, of the request, and of Stenobird's door."""
    ledger.end(conn, post_id, complaints.word(outcome), in_vain=_in_vain(outcome))
    rest_if_asked(conn, ctx, outcome)
    if isinstance(outcome, PostAnswered) and settlement.freeze is None:
        _thaw(conn, ctx.now())
    _settle(conn, ctx, work, settlement, seen, outcome)


def _settle(
    conn: Connection,
    ctx: Context,
    work: Work,
    settlement: Settlement,
    seen: _Seen,
    outcome: PostOutcome | None = None,
) -> None:
    now = ctx.now()
    rest_if_asked(conn, ctx, seen.lookup)
    over = settlement.request.status is not Status.PENDING
    if over and settlement.freeze is None:  # the door was tried, and it opened
        _thaw(conn, now)
    told = (
        health(conn, ctx, seen.lookup),
        *complaints.of_posting(conn, work, outcome, over=over, now=now),
        complaints.of_listing(conn, work, seen.lookup, now),
    )
    # A look that found the episode is as good as one by tracking: the next comes later.
    found = isinstance(seen.lookup, Found)
    next_look = _next_look(ctx, work, settlement) if found else None
    store.settle(
        conn, work, settlement, seen.observation, now=now, next_track_at=next_look, problems=told
    )
    if settlement.freeze is not None:
        _freeze(conn, ctx, settlement.freeze, now)


def _next_look(ctx: Context, work: Work, settlement: Settlement) -> datetime:
    rules = ctx.podcasts[work.episode.podcast].requests
    after = replace(work, request=settlement.request)
    return tracking.next_look(after, now=ctx.now(), jitter=ctx.chance(), rules=rules)


def _freeze(conn: Connection, ctx: Context, reason: str, now: datetime) -> None:
    before = freezing.current(conn)
    strikes = before.strikes + 1 if before else 1
    until = schedule.next_attempt_at(now, ctx.limits.retry, attempts=strikes, jitter=ctx.chance())
    freezing.freeze(conn, Freeze(reason, strikes, until), now)
    problem = events.problem(conn, Kind.STENOBIRD_FROZEN)
    update = problems.strike(problem, Kind.STENOBIRD_FROZEN, reason=reason, now=now)
    events.write_problems(conn, [update], now)


def _thaw(conn: Connection, now: datetime) -> None:
    if freezing.current(conn) is None:
        return
    freezing.thaw(conn)
    problem = events.problem(conn, Kind.STENOBIRD_FROZEN)
    events.write_problems(conn, [problems.recover(problem, now=now)], now)


# --- what is kept of an outcome ----------------------------------------------------------

FINE = frozenset({Answer.ACCEPTED, Answer.CONFLICT, Answer.NOT_YET})
IN_VAIN = frozenset({Answer.NOT_YET, Answer.FREEZE, Answer.DEAD})


def _in_vain(outcome: PostOutcome) -> bool:
    """Return whether a POST certainly had no effect, and so costs none of the budget."""
    if isinstance(outcome, PostAnswered):
        return classify(outcome.http) in IN_VAIN
    return isinstance(outcome, PostNotSent)
