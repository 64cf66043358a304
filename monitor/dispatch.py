"""Takes what is due, up to free capacity, and starts it: one slow source delays no other.

A job records its outcome itself. Where it could not, because the database was away or the fault
is ours, what it held is given back before more of its kind is taken.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from monitor import fault
from monitor.adapters.store import leases, polls
from monitor.adapters.store import work as store
from monitor.core.model import DatabaseError, Feed, LogEvent
from monitor.jobs import deliver, track
from monitor.jobs.context import Context
from monitor.jobs.outage import Outage
from monitor.jobs.poll import poll_feed

T = TypeVar("T")
Unit = Callable[[Connection], object]
GiveUp = Callable[[Exception, Connection], object]  # writes that a job ended so, with no outcome

CAPACITY = {"poll": 256, "deliver": 2, "track": 2}  # jobs of a kind at once
PER_ORIGIN = 128  # polls; they take turns, and one slow origin must leave room for the others
ENDS_WITHIN = 0.9  # of its lease a job must end, before somebody else takes its place
STOP_WITHIN_S = 5.0  # what is under way may take so long to end; then its lease sees to the rest


class Dispatcher:
    """Starts jobs on what it leases, and knows those under way."""

    def __init__(self, ctx: Context, outage: Outage) -> None:
        self.ctx = ctx
        self.failed = False  # whether any job failed so far
        self._outage = outage
        # A SQLite file's configured podcasts are ours alone; on PostgreSQL others may have theirs.
        self._ours = None if ctx.database.kind == "sqlite" else frozenset(ctx.podcasts)
        self._owed: dict[str, list[Unit]] = {kind: [] for kind in CAPACITY}
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
            self._start("poll", poll_feed(self.ctx, feed), partial(_put_back, feed))
        return len(feeds)

    async def start_deliveries(self, *, due_by: datetime | None = None) -> int:
        """Start the deliveries that are due; return how many."""
        due = await self._lease("deliver", store.lease_deliveries, due_by, podcasts=self._ours)
        for work in due:
            give_up = partial(deliver.give_up, self.ctx, work)
            self._start("deliver", deliver.deliver_request(self.ctx, work), give_up)
        return len(due)

    async def start_looks(self, *, due_by: datetime | None = None) -> int:
        """Start the looks that are due; return how many."""
        due = await self._lease("track", store.lease_looks, due_by, podcasts=self._ours)
        for work in due:
            give_up = partial(track.give_up, self.ctx, work)
            self._start("track", track.track_episode(self.ctx, work), give_up)
        return len(due)

    def running(self) -> set[asyncio.Task[None]]:
        """Return the jobs under way."""
        return {job for jobs in self._jobs.values() for job in jobs}

    async def join(self) -> None:
        """Wait until everything under way has ended."""
        if running := self.running():
            await asyncio.wait(running)

    async def wind_down(self) -> None:
        """Let what is under way end within seconds; abandon the rest to its leases."""
        running = self.running()
        if not running:
            return
        await asyncio.wait(running, timeout=STOP_WITHIN_S)
        await self.abandon()

    async def abandon(self) -> None:
        """Cancel what is under way."""
        late = self.running()
        for job in late:
            job.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _lease(
        self, kind: str, unit: Callable[..., list[T]], due_by: datetime | None, **kwargs: object
    ) -> list[T]:
        await self._pay(kind)
        if self.ctx.uplink.is_down or not self._has_room(kind):
            return []
        now, token = self.ctx.now(), self.ctx.token()
        try:
            leased = await self.ctx.write(
                unit,
                now=now,
                due_by=due_by or now,
                token=token,
                lease_for=self.ctx.limits.lease_for,
                limit=CAPACITY[kind] - len(self._jobs[kind]),
                **kwargs,
            )
        except DatabaseError:  # but it may have been committed
            self._owed[kind].append(partial(leases.void, token=token))
            raise
        self._more[kind] = bool(leased)
        return leased

    async def _pay(self, kind: str) -> None:
        """Give back what ended jobs could not."""
        if not self._owed[kind]:
            return
        owed, self._owed[kind] = self._owed[kind], []
        try:
            await self.ctx.write(_each, owed)
        except DatabaseError:
            self._owed[kind] = owed + self._owed[kind]
            raise

    def _has_room(self, kind: str) -> bool:
        """Return whether a claim is worth its transaction: half the places are free."""
        return len(self._jobs[kind]) <= CAPACITY[kind] / 2

    def _start(self, kind: str, job: Coroutine[None, None, bool], give_up: GiveUp) -> None:
        task = asyncio.create_task(self._guard(kind, job, give_up))
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

    async def _guard(self, kind: str, job: Coroutine[None, None, bool], give_up: GiveUp) -> None:
        """Await a job; what it could not record itself is told, and what it held is owed."""
        try:
            async with asyncio.timeout(self.ctx.limits.lease_for.total_seconds() * ENDS_WITHIN):
                well = await job
            self.failed = self.failed or not well  # never across an await: others end meanwhile
        except Exception as error:  # noqa: BLE001 - one job's fault must not stop the others
            self.failed = True
            self._owed[kind].append(partial(give_up, error))
            self._tell(kind, error)

    def _tell(self, kind: str, error: Exception) -> None:
        if isinstance(error, DatabaseError):
            self._outage.failed(error)
            return
        if not isinstance(error, TimeoutError):
            fault.trace(error)
        fields = {"tick": kind, "error": fault.describe(error)}
        self.ctx.emit(LogEvent("tick.failed", level="error", fields=fields), self.ctx.now())


def _put_back(feed: Feed, error: Exception, conn: Connection) -> None:  # noqa: ARG001 - a GiveUp
    polls.put_back(conn, [feed])


def _each(conn: Connection, units: Sequence[Unit]) -> None:
    for unit in units:
        unit(conn)
