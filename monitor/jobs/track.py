"""One look at an episode that waits for Stenobird, or that is seldom looked at."""

from sqlalchemy import Connection

from monitor.adapters.store import events
from monitor.adapters.store import work as store
from monitor.core import problems, tracking
from monitor.core.lifecycle import SETTLED, Status
from monitor.core.model import DatabaseError, Found, Lookup, LookupFailed, Observation, Work
from monitor.core.problems import Kind, ProblemUpdate
from monitor.core.tracking import Look
from monitor.jobs import complaints
from monitor.jobs.context import Context
from monitor.jobs.look import health, is_our_outage, look_up
from monitor.jobs.rest import rest_if_asked


async def track_episode(ctx: Context, work: Work) -> bool:
    """Look at a leased episode once; return whether Stenobird could be asked."""
    rules = ctx.podcasts[work.episode.podcast].requests
    lookup = await look_up(ctx, work.episode)
    if await is_our_outage(ctx, lookup):
        await ctx.write(store.settle, work, None, None, now=ctx.now())
        return False
    observation = None
    if isinstance(lookup, Found):
        words = await ctx.read(store.known_words)
        final = rules.processed_states | rules.failed_states
        observation = tracking.observe(work.episode, lookup, words=words | final)
    look = tracking.look(work, lookup, now=ctx.now(), jitter=ctx.chance(), rules=rules)
    await ctx.write(_finish, ctx, work, lookup, observation, look)
    return not isinstance(lookup, LookupFailed)


def give_up(ctx: Context, work: Work, error: Exception, conn: Connection) -> None:
    """Give back an episode whose look left no outcome: at once, unless the fault is ours."""
    next_look = None
    if not isinstance(error, DatabaseError):
        rules = ctx.podcasts[work.episode.podcast].requests
        next_look = tracking.next_look(work, now=ctx.now(), jitter=ctx.chance(), rules=rules)
    store.settle(conn, work, None, None, now=ctx.now(), next_track_at=next_look)


def _finish(
    conn: Connection,
    ctx: Context,
    work: Work,
    lookup: Lookup,
    observation: Observation | None,
    look: Look,
) -> None:
    rest_if_asked(conn, ctx, lookup)
    after = look.settlement.request if look.settlement else work.request
    over = after.status is not Status.PENDING
    told = (
        health(conn, ctx, lookup),
        *complaints.of_posting(conn, work, None, over=over, now=ctx.now()),
        complaints.of_listing(conn, work, lookup, ctx.now()) if observation else None,
        *_episode_problems(conn, ctx, work, observation, look),
    )
    store.settle(
        conn,
        work,
        look.settlement,
        observation,
        now=ctx.now(),
        next_track_at=look.next_track_at,
        problems=told,
    )


def _episode_problems(
    conn: Connection, ctx: Context, work: Work, observation: Observation | None, look: Look
) -> tuple[ProblemUpdate | None, ...]:
    rules = ctx.podcasts[work.episode.podcast].requests
    stalled = "no_change" if look.stalled else None
    regressed = None
    settled = work.request.status in SETTLED  # else somebody asked anew, and it may well move back
    if settled and observation and tracking.regressed(work.episode, observation.state, rules):
        regressed = observation.state
    cleared = observation is not None and rules.is_processed(observation.state)
    moved = look.settlement is not None or (observation is not None and observation.state_changed)
    return (
        _update(conn, ctx, work, Kind.REQUEST_STALLED, stalled, over=moved),
        _update(conn, ctx, work, Kind.STATE_REGRESSED, regressed, over=cleared),
    )


def _update(
    conn: Connection, ctx: Context, work: Work, kind: Kind, reason: str | None, *, over: bool
) -> ProblemUpdate | None:
    podcast, guid, now = work.episode.podcast, work.episode.guid, ctx.now()
    problem = events.problem(conn, kind, podcast, guid)
    if reason is not None:
        return problems.strike(problem, kind, reason=reason, now=now, podcast=podcast, guid=guid)
    return problems.recover(problem, now=now) if over else None
