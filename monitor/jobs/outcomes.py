"""Outcomes of polls that brought nothing, written together.

A transaction costs a fsync, and most polls of many feeds change nothing but when to poll next. A
crash loses at most those of the last second, and costs each of these feeds one conditional GET: the
lease has already put off its next poll.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from monitor.adapters.store import polls
from monitor.adapters.store.database import Database
from monitor.core.model import DatabaseError, PollPlan

WITHIN_S = 1.0
MOST = 128  # in one transaction

Waiting = tuple[PollPlan, asyncio.Future[bool]]  # and what tells whether the lease was still ours


class Outcomes:
    """Collects plans, and commits them when nothing else is under way, or within a second."""

    def __init__(self, database: Database, database_thread: Executor) -> None:
        self.under_way: Callable[[], int] = lambda: 1  # polls, those that wait here included
        self._database = database
        self._thread = database_thread
        self._waiting: list[Waiting] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Task[None]] = set()

    async def commit(self, plan: PollPlan) -> bool:
        """Write a plan that changes nothing but its feed; return whether the lease was still ours."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()
        self._waiting.append((plan, written))
        if self._timer is None:
            self._timer = loop.call_later(WITHIN_S, self._flush)
        self.hurry()
        return await written

    def hurry(self) -> None:
        """Write at once, if there is nothing to wait for."""
        if self._waiting and len(self._waiting) >= min(MOST, self.under_way()):
            self._flush()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._waiting = self._waiting, []
        task = asyncio.create_task(self._commit(batch))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _commit(self, batch: list[Waiting]) -> None:
        """Write a batch. An absent database is every waiting job's trouble, a bad plan one's."""
        try:
            ours = await self._write([plan for plan, _ in batch])
        except BaseException as error:  # noqa: BLE001 - each of those who wait raises it
            if len(batch) == 1 or not _is_of_one(error):
                _raise(error, batch)
                return
            for waiting in batch:
                await self._commit([waiting])
            return
        for plan, written in batch:
            if not written.done():  # its job was cancelled meanwhile
                written.set_result(plan.feed.id in ours)

    async def _write(self, plans: list[PollPlan]) -> set[int]:
        unit = partial(self._database.write, polls.commit_polls, plans)
        return await asyncio.get_running_loop().run_in_executor(self._thread, unit)


def _is_of_one(error: BaseException) -> bool:
    """Return whether a single plan may have caused it."""
    return isinstance(error, Exception) and not isinstance(error, DatabaseError)


def _raise(error: BaseException, batch: list[Waiting]) -> None:
    """Let each of those who wait raise *error*."""
    for _, written in batch:
        if not written.done():
            written.set_exception(error)
