"""What serves on one configuration, from taking the database over to the last words.

Another configuration gets another one; what outlives it is the daemon's. The only dice are here,
and the clock is handed out here: everybody below is given both.
"""

import asyncio
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import uuid4

from sqlalchemy import Connection

from monitor import log
from monitor.adapters import systemd
from monitor.adapters.store import integrity, polls, presence, takeover
from monitor.adapters.store.database import Database
from monitor.assembly import open_context
from monitor.clock import is_set, now
from monitor.config import Config
from monitor.core.model import DatabaseError, LogEvent
from monitor.core.status import Process
from monitor.dispatch import Dispatcher
from monitor.fault import describe
from monitor.housekeeping import EVERY as HOUSEKEEPING_EVERY
from monitor.housekeeping import Housekeeping
from monitor.jobs import offline
from monitor.jobs.context import Context
from monitor.jobs.outage import Outage
from monitor.jumps import Jumps
from monitor.logbook import Logbook
from monitor.rules import shortest_interval
from monitor.ticker import Ticker

SUPERVISE_EVERY = timedelta(seconds=5)
LONGEST_TICK = timedelta(seconds=5)
SHORTEST_TICK = timedelta(milliseconds=100)
STOP_WITHIN = timedelta(seconds=15)  # the dispatcher's part is 5, a locked database's 10


@dataclass(frozen=True, slots=True)
class Life:
    """What a daemon has for as long as it lives, under whatever configuration."""

    id: str  # among the daemons of its database
    database: Database
    outage: Outage
    housekeeping: Housekeeping
    jumps: Jumps
    notify: systemd.Notifier
    process: Callable[[], Process]
    lost: Callable[[DatabaseError], None]  # called when the database is, for good


@asynccontextmanager
async def opened(config: Config, life: Life) -> AsyncIterator["Runtime"]:
    """Build everything, and take the database over. Raises ``DatabaseError``."""
    async with AsyncExitStack() as stack:
        ticker = Ticker(now=now, monotonic=time.monotonic, tell=emit, jumped=life.jumps.heard)
        ctx = await open_context(
            stack,
            config,
            life.database,
            environ=os.environ,
            now=now,
            chance=random.random,
            token=lambda: uuid4().hex,
            emit=emit_at,
            wake=ticker.wake,
        )
        runtime = Runtime(config, life, ctx, ticker)
        await runtime.take_over()
        yield runtime


class Runtime:
    """Everything that works on one configuration."""

    def __init__(self, config: Config, life: Life, ctx: Context, ticker: Ticker) -> None:
        self.ctx = ctx
        self.ticker = ticker
        self._config = config
        self._life = life
        self._dispatcher = Dispatcher(ctx, life.outage)
        self._logbook = Logbook(ctx, process=life.process, notify=life.notify, now=now)

    async def take_over(self) -> None:
        """Begin on the database."""
        self._logbook.ours = await self.ctx.write(_take_over, self.ctx, self._life.id)

    async def run_once(self) -> bool:
        """Poll every podcast, then deliver and track what is due; return whether all went well."""
        await offline.watch(self.ctx)  # what an earlier run told may be over
        await self.ctx.write(polls.mark_due, list(self.ctx.podcasts), now())
        for start in (
            self._dispatcher.start_polls,
            self._dispatcher.start_deliveries,
            self._dispatcher.start_looks,
        ):
            due_by = now()  # what fails now and is due again soon is not for this run
            while await start(due_by=due_by):
                await self._dispatcher.join()
        await self._last_words()
        return not self._dispatcher.failed

    def start(self) -> None:
        """Tick much faster than the shortest interval: two equal periods double it."""
        tick = max(SHORTEST_TICK, min(shortest_interval(self._config) / 10, LONGEST_TICK))
        self._every(tick, "poll", self._dispatcher.start_polls)
        self._every(tick, "deliver", self._dispatcher.start_deliveries)
        self._every(tick, "track", self._dispatcher.start_looks)
        self._every(LONGEST_TICK, "uplink", partial(offline.watch, self.ctx))
        self._every(LONGEST_TICK, "log", self._logbook.write)
        self._every(self._config.log.status_every, "status", self._logbook.tell_status)
        self._every(HOUSEKEEPING_EVERY, "housekeeping", partial(self._life.housekeeping, self.ctx))
        self._every(LONGEST_TICK, "database", self._try_the_database)
        if self._life.database.kind != "sqlite":
            self._every(presence.RENEW_EVERY, "presence", self._stay_present)
        self.ticker.start()

    def _every(self, interval: timedelta, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """Tick; without the database, or the time, there is nothing to do."""

        async def unless_away() -> None:
            if not is_set(now()):
                return
            try:
                await work()
            except DatabaseError as error:
                self._life.outage.failed(error)
                if error.lasting:
                    self._life.lost(error)

        self.ticker.every(interval, name, unless_away)

    async def _try_the_database(self) -> None:
        """See whether its outage is over. Only a write tells: a lock and a full disk let one read."""
        if self._life.outage.stands:
            await self.ctx.write(integrity.write_anew)
            self._life.outage.worked()

    async def _stay_present(self) -> None:
        """Tell the other daemons of this database that this one lives, and who writes the log."""
        self._logbook.ours = await self.ctx.write(_be_present, self.ctx, self._life.id)

    async def supervise(self, turn: asyncio.Event) -> None:
        """Watch over the ticks until *turn* is set; feed the watchdog while all is well."""
        watchdog = systemd.watchdog_interval(os.environ, os.getpid())
        every = min(SUPERVISE_EVERY, watchdog or SUPERVISE_EVERY)
        while not turn.is_set():
            if not self.ticker.supervise():
                self._life.notify.watchdog()
            if await self._life.jumps.see_to_it(self.ctx):
                for name in ("poll", "deliver", "track", "log", "status"):
                    self.ticker.wake(name)
            with suppress(TimeoutError):
                async with asyncio.timeout(every.total_seconds()):
                    await turn.wait()

    async def wind_down(self, *, for_good: bool) -> None:
        """End what is under way and, *for_good*, say the last words, within seconds.

        What cannot be done in time, because the database does not answer, is the next start's: the
        leases and the log's cursor know.
        """
        try:
            async with asyncio.timeout(STOP_WITHIN.total_seconds()):
                await self.ticker.stop()
                await self._dispatcher.wind_down()
                if for_good:
                    await self._last_words()
                else:
                    await self._logbook.write()
        except DatabaseError as error:
            self._life.outage.failed(error)
        except TimeoutError as error:
            fields = {"tick": "stop", "error": describe(error)}
            emit(LogEvent("tick.failed", level="error", fields=fields))
            self.ticker.abandon()
            await self._dispatcher.abandon()

    async def _last_words(self) -> None:
        await self._logbook.write()
        await self._logbook.tell_status()
        await self.ctx.write(presence.leave, self._life.id)


def emit_at(event: LogEvent, at: datetime) -> None:
    """Log what happened then."""
    log.emit(event, at=at)


def emit(event: LogEvent) -> None:
    """Log what is not committed."""
    emit_at(event, now())


# --- units of work: each runs in one transaction -------------------------------------------


def _take_over(conn: Connection, ctx: Context, me: str) -> bool:
    """Begin on a database; return whether the log is ours to write."""
    logs = _be_present(conn, ctx, me)
    configured = [(p.name, p.feed, p.slug) for p in ctx.podcasts.values()]
    others = presence.polled_by_others(conn, me, now())
    takeover.take_over(conn, configured, now(), others=others)
    return logs


def _be_present(conn: Connection, ctx: Context, me: str) -> bool:
    name = f"pid {os.getpid()} on {socket.gethostname()}"
    polls.keep(conn, ctx.podcasts)
    return presence.renew(conn, me, name, list(ctx.podcasts), now())
