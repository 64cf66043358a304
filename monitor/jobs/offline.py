"""An outage of our own: seen to its end, told as one problem, and made up for."""

from datetime import datetime

from sqlalchemy import Connection

from monitor.adapters.store import events, polls
from monitor.core.problems import Kind, Problem, recover, strike
from monitor.jobs.context import Context
from monitor.jobs.uplink import Uplink


async def watch(ctx: Context) -> None:
    """While the uplink is down, see whether it is over, and tell of it as of one problem."""
    uplink = ctx.uplink
    if not uplink.is_known:
        uplink.problem = await ctx.read(events.problem, Kind.OFFLINE)
        uplink.is_known = True
        if uplink.problem is not None:
            uplink.is_down, uplink.since = True, uplink.problem.since
    if not uplink.is_down:
        return
    await uplink.look()
    if uplink.is_down:
        uplink.problem = await ctx.write(_tell, uplink, ctx.now())
        return
    await ctx.write(_make_up, uplink, ctx.now())
    uplink.problem = None
    uplink.missed.clear()
    for tick in ("poll", "deliver", "track", "log"):
        ctx.wake(tick)


def _tell(conn: Connection, uplink: Uplink, now: datetime) -> Problem | None:
    update = strike(
        uplink.problem, Kind.OFFLINE, reason="nobody_reached", now=now, since=uplink.since
    )
    if not update.events:
        return uplink.problem
    events.write_problems(conn, [update], now)
    return update.after


def _make_up(conn: Connection, uplink: Uplink, now: datetime) -> None:
    """Tell that it is over, and poll what was not polled meanwhile."""
    events.write_problems(conn, [recover(uplink.problem, now=now)], now)
    polls.mark_due(conn, [*uplink.missed], now)
