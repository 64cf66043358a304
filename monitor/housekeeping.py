"""What is seen to every hour: problems that still stand; every day: silent feeds, the database."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from monitor.adapters.store import arrivals, events, integrity
from monitor.core.problems import Kind, ProblemUpdate, remind, strike
from monitor.core.silence import LEAST, Silence, silence
from monitor.jobs.context import Context

EVERY = timedelta(hours=1)
DAY_S = timedelta(days=1).total_seconds()
AT_ONCE = 50  # feeds whose past is read in one transaction: what is due meanwhile waits for it


class Housekeeping:
    """Called every hour, and at each start or reload; what is daily is so over reloads, too."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._looked_at_file = monotonic()
        self._listened = -DAY_S

    async def __call__(self, ctx: Context) -> None:
        await ctx.write(_remind, ctx.now())
        if self._monotonic() - self._listened >= DAY_S:
            await _listen(ctx)
            self._listened = self._monotonic()
        if self._monotonic() - self._looked_at_file >= DAY_S:
            check = partial(integrity.require_sound, ctx.database)
            await asyncio.get_running_loop().run_in_executor(ctx.database_thread, check)
            self._looked_at_file = self._monotonic()


async def _listen(ctx: Context) -> None:
    """Find the feeds that have been silent for too long."""
    now = ctx.now()
    quiet = await ctx.read(arrivals.without_news_since, [*ctx.podcasts], now - LEAST)
    for start in range(0, len(quiet), AT_ONCE):
        await ctx.write(_tell_of_silence, quiet[start : start + AT_ONCE], now)


def _remind(conn: Connection, at: datetime) -> None:
    updates = [remind(problem, now=at) for problem in events.problems(conn)]
    events.write_problems(conn, [update for update in updates if update.events], at)


def _tell_of_silence(conn: Connection, podcasts: Sequence[str], now: datetime) -> None:
    """Open a problem for each of these feeds that has been silent for too long."""
    for podcast in podcasts:
        silent = silence([*arrivals.arrivals(conn, podcast)], now)
        before = events.problem(conn, Kind.FEED_SILENT, podcast)
        if silent is not None and before is None:
            events.write_problems(conn, [_opened(podcast, silent, now)], now)


def _opened(podcast: str, silent: Silence, now: datetime) -> ProblemUpdate:
    return strike(
        None,
        Kind.FEED_SILENT,
        reason=silent.reason,
        now=now,
        podcast=podcast,
        since=silent.since,
        detail=str(silent.limit),
    )
