"""What is seen to every hour: problems that still stand, and the database's own health."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from monitor.adapters.store import events, integrity
from monitor.core.problems import remind
from monitor.jobs.context import Context

EVERY = timedelta(hours=1)
LOOK_AT_FILE_EVERY = timedelta(days=1)


class Housekeeping:
    """Reminds of what stands; once a day, sees that the file is still what was written."""

    def __init__(self, ctx: Context, monotonic: Callable[[], float]) -> None:
        self._ctx = ctx
        self._monotonic = monotonic
        self._looked_at_file = monotonic()

    async def __call__(self) -> None:
        await self._ctx.write(_remind, self._ctx.now())
        await self._look_at_file()

    async def _look_at_file(self) -> None:
        if self._monotonic() - self._looked_at_file < LOOK_AT_FILE_EVERY.total_seconds():
            return
        self._looked_at_file = self._monotonic()
        check = partial(integrity.require_sound, self._ctx.database)
        await asyncio.get_running_loop().run_in_executor(self._ctx.database_thread, check)


def _remind(conn: Connection, at: datetime) -> None:
    updates = [remind(problem, now=at) for problem in events.problems(conn)]
    events.write_problems(conn, [update for update in updates if update.events], at)
