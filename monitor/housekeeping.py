"""What is seen to every hour: problems that still stand; every day: silent feeds, the database."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from monitor.adapters.store import arrivals, events, integrity
from monitor.core.problems import Kind, Problem, ProblemUpdate, remind, strike, to_be_reminded_of
from monitor.core.silence import LEAST, NEWEST, Silence, limit, silence
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
    due = [problem for problem in events.problems(conn) if to_be_reminded_of(problem, at)]
    updates = [remind(problem, now=at, detail=_explained(conn, problem)) for problem in due]
    events.write_problems(conn, updates, at)


def _explained(conn: Connection, problem: Problem) -> str | None:
    """Return how long a silent feed might be silent; any other problem's reason says enough."""
    if problem.kind is not Kind.FEED_SILENT or problem.podcast is None:
        return None
    came = sorted(arrivals.arrivals(conn, problem.podcast))
    return str(limit(came[-NEWEST:]))


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
