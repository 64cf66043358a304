"""An outage of our own: seen to its end, told as one problem, and made up for."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection

from monitor.adapters.store import events, polls
from monitor.core.model import DatabaseError
from monitor.core.problems import Kind, Problem, recover, strike
from monitor.jobs.context import Context
from monitor.jobs.uplink import Uplink


async def watch(ctx: Context) -> None:
    """While the uplink is down, see whether it is over, and tell of it as of one problem."""
    uplink = ctx.uplink
    if not uplink.was_looked_up:
        uplink.problem = await ctx.read(events.problem, Kind.OFFLINE)
        uplink.was_looked_up = True
        if uplink.problem is not None:
            uplink.is_down, uplink.since = True, uplink.problem.since
    if not uplink.is_down:
        return
    if not await uplink.is_over():
        uplink.problem = await ctx.write(_tell, uplink, ctx.now())
        return
    await _make_up(ctx)
    for tick in ("poll", "deliver", "track", "log"):
        ctx.wake(tick)


async def _make_up(ctx: Context) -> None:
    """Tell that it is over, and poll what was not polled meanwhile."""
    uplink = ctx.uplink
    missed, uplink.missed = uplink.missed, set()
    try:
        await ctx.write(_write_over, uplink.problem, missed, ctx.now())
    except DatabaseError:
        uplink.missed |= missed
        raise  # it is over when that is written
    uplink.problem, uplink.is_down = None, False


def _tell(conn: Connection, uplink: Uplink, now: datetime) -> Problem | None:
    update = strike(
        uplink.problem, Kind.OFFLINE, reason="nobody_reached", now=now, since=uplink.since
    )
    if not update.events:
        return uplink.problem
    events.write_problems(conn, [update], now)
    return update.after


def _write_over(
    conn: Connection, problem: Problem | None, missed: Collection[str], now: datetime
) -> None:
    events.write_problems(conn, [recover(problem, now=now)], now)
    polls.mark_due(conn, [*missed], now)
