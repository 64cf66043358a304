"""Takes what is due, up to free capacity, and starts it: one slow source delays no other."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import TypeVar

from monitor.adapters.store import polls
from monitor.adapters.store import work as store
from monitor.core.model import LogEvent
from monitor.jobs.context import Context
from monitor.jobs.deliver import deliver_request
from monitor.jobs.poll import poll_feed
from monitor.jobs.track import track_episode
from monitor.ticker import describe

T = TypeVar("T")

CAPACITY = {"poll": 256, "deliver": 2, "track": 2}  # jobs of a kind at once
PER_ORIGIN = 128  # polls; they take turns, and one slow origin must leave room for the others
ENDS_WITHIN = 0.9  # of its lease a job must end, before somebody else takes its place
STOP_WITHIN_S = 5.0  # what is under way may take so long to end; then its lease sees to the rest


class Dispatcher:
    """Starts jobs on what it leases, and knows those under way."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.failed = False  # whether any job failed so far
        self._jobs: dict[str, set[asyncio.Task[None]]] = {kind: set() for kind in CAPACITY}
        self._more = dict.fromkeys(CAPACITY, False)  # whether the last claim found anything
        ctx.outcomes.under_way = lambda: len(self._jobs["poll"])

    async def start_polls(self, *, due_by: datetime | None = None) -> int:
        """Start the polls that are due, by *due_by* or now; return how many."""
        least = {name: podcast.polling.poll.min for name, podcast in self.ctx.podcasts.items()}
        feeds = await self._lease(
            "poll", polls.lease_feeds, due_by, least=least, per_origin=PER_ORIGIN
        )
        for feed in feeds:
            self._start("poll", poll_feed(self.ctx, feed))
        return len(feeds)

    async def start_deliveries(self, *, due_by: datetime | None = None) -> int:
        """Start the deliveries that are due; return how many."""
        due = await self._lease("deliver", store.lease_deliveries, due_by)
        for work in due:
            self._start("deliver", deliver_request(self.ctx, work))
        return len(due)

    async def start_looks(self, *, due_by: datetime | None = None) -> int:
        """Start the looks that are due; return how many."""
        due = await self._lease("track", store.lease_looks, due_by)
        for work in due:
            self._start("track", track_episode(self.ctx, work))
        return len(due)

    async def join(self) -> None:
        """Wait until everything under way has ended."""
        if running := self._running():
            await asyncio.wait(running)

    async def wind_down(self) -> None:
        """Let what is under way end within seconds; abandon the rest to its leases."""
        running = self._running()
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=STOP_WITHIN_S)
        for job in late:
            job.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _running(self) -> set[asyncio.Task[None]]:
        return {job for jobs in self._jobs.values() for job in jobs}

    async def _lease(
        self, kind: str, unit: Callable[..., list[T]], due_by: datetime | None, **kwargs: object
    ) -> list[T]:
        if not self._has_room(kind):
            return []
        now = self.ctx.now()
        leased = await self.ctx.write(
            unit,
            now=now,
            due_by=due_by or now,
            token=self.ctx.token(),
            lease_for=self.ctx.limits.lease_for,
            limit=CAPACITY[kind] - len(self._jobs[kind]),
            **kwargs,
        )
        self._more[kind] = bool(leased)
        return leased

    def _has_room(self, kind: str) -> bool:
        """Return whether a claim is worth its transaction: half the places are free."""
        return len(self._jobs[kind]) <= CAPACITY[kind] / 2

    def _start(self, kind: str, job: Coroutine[None, None, bool]) -> None:
        task = asyncio.create_task(self._guard(kind, job))
        self._jobs[kind].add(task)
        task.add_done_callback(lambda done: self._ended(kind, done))

    def _ended(self, kind: str, job: asyncio.Task[None]) -> None:
        """There is a free place: perhaps for work that was left at the last claim."""
        self._jobs[kind].discard(job)
        self.ctx.outcomes.hurry()
        if kind != "poll":  # which knows itself whether it had anything to tell
            self.ctx.wake("log")
        if self._more[kind] and self._has_room(kind):
            self._more[kind] = False
            self.ctx.wake(kind)

    async def _guard(self, kind: str, job: Coroutine[None, None, bool]) -> None:
        """Await a job; what it could not record itself is told, and its lease runs out."""
        try:
            async with asyncio.timeout(self.ctx.limits.lease_for.total_seconds() * ENDS_WITHIN):
                well = await job
            self.failed = self.failed or not well  # never across an await: others end meanwhile
        except Exception as error:  # noqa: BLE001 - one job's fault must not stop the others
            self.failed = True
            fields = {"tick": kind, "error": describe(error)}
            failed = LogEvent("tick.failed", level="error", fields=fields)
            self.ctx.emit(failed, self.ctx.now())
