"""The process: builds everything, ticks, heeds signals, begins anew when asked, stops cleanly.

The only owner of the clock and of chance; everybody else is given both.
"""

import asyncio
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing, suppress
from datetime import datetime, timedelta
from functools import partial
from uuid import uuid4

from sqlalchemy import Connection

from monitor import __version__, log, signals
from monitor.adapters import systemd
from monitor.adapters.store import due, integrity, migrate, polls, presence, takeover
from monitor.adapters.store.database import Database, connect
from monitor.adapters.store.instance import instance
from monitor.assembly import open_context
from monitor.clock import is_set, now
from monitor.config import Config, rejections
from monitor.core.model import ConfigError, DatabaseError, LogEvent, UnavailableError, iso
from monitor.core.problems import Kind, strike
from monitor.core.status import Process
from monitor.dispatch import Dispatcher
from monitor.fault import describe
from monitor.housekeeping import EVERY as HOUSEKEEPING_EVERY
from monitor.housekeeping import Housekeeping
from monitor.jobs import offline
from monitor.jobs.context import Context
from monitor.jobs.outage import Outage
from monitor.logbook import Logbook
from monitor.rules import shortest_interval
from monitor.ticker import Ticker

SECOND = timedelta(seconds=1)
SUPERVISE_EVERY = timedelta(seconds=5)
LONGEST_TICK = timedelta(seconds=5)
SHORTEST_TICK = timedelta(milliseconds=100)
STOP_WITHIN = timedelta(seconds=15)  # the dispatcher's part is 5, a locked database's 10
LEAVE_WITHIN = timedelta(seconds=1)
MIGRATED_WITHIN = timedelta(minutes=30)  # systemd would end a start that takes longer than usual
CLOCK_SET_WITHIN = timedelta(seconds=30)  # told anew every second of the wait
DNS_THREADS = 64  # asyncio's six would let a dead resolver starve the healthy feeds


def serve(config: Config, reload: Callable[[], Config]) -> int:
    """Run the daemon until it is asked to stop; return the exit status.

    *reload* reads the configuration again.

    Raises:
        ConfigError: the database cannot be used as configured.
        UnavailableError: it is not there now, or another daemon holds it.
    """
    return _run(config, partial(Daemon.run, reload=reload))


def serve_once(config: Config) -> int:
    """Do everything once; return 0, or 1 if anything failed. Raises as ``serve`` does."""
    return _run(config, Daemon.run_once)


def _run(config: Config, life: Callable[["Daemon"], Awaitable[int]]) -> int:
    signals.ignore_until_heeded()
    systemd.Notifier.from_environ(os.environ).extend(MIGRATED_WITHIN)
    with closing(connect(config.database)) as database, instance(database):
        migrate.migrate(database)
        daemon = Daemon(config, database)
        return asyncio.run(_awaited(life(daemon)))


async def _awaited(life: Awaitable[int]) -> int:
    return await life


class Daemon:
    """One run of the service; of several configurations, one after the other."""

    def __init__(self, config: Config, database: Database) -> None:
        self.config = config
        self.database = database
        self.id = uuid4().hex
        self.began = time.monotonic()
        self.outage = Outage(now, _log_at)
        self.housekeeping = Housekeeping(time.monotonic)
        self.notify = systemd.Notifier.from_environ(os.environ)
        self.set_back = timedelta()  # by how much the wall clock was, until that is seen to
        self.stopping = False
        self.reloading_since: float | None = None  # by the monotonic clock
        self.turn: asyncio.Event  # set: stop, or begin anew
        self.ticker: Ticker
        self.ctx: Context
        self.dispatcher: Dispatcher
        self.logbook: Logbook

    async def run(self, reload: Callable[[], Config]) -> int:
        """Serve until a signal asks to stop. Raises as ``serve`` does."""
        await _until_the_clock_is_set(self.notify)
        self._begin()
        self._listen(reload)
        status = 1
        try:
            while not self.stopping:
                self.turn.clear()
                await self._serve_when_possible()
            if self.outage.lasting is not None:
                raise self.outage.lasting
            status = 0
        finally:
            _leave_soon(status)
        return status

    async def _serve_when_possible(self) -> None:
        """Serve. Once it has, a database that cannot be taken over again now is waited for."""
        try:
            await self._serve()
        except DatabaseError as error:
            if error.lasting or self.reloading_since is None:
                raise
            self.outage.failed(error)
            self.notify.watchdog()
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_TICK.total_seconds()):
                    await self.turn.wait()

    async def _serve(self) -> None:
        """Serve on one configuration, until it is time to stop or to take another."""
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._add_ticks()
            self.ticker.start()
            self._tell_ready()
            self.notify.ready()
            await self._supervise()
            began = time.monotonic()
            await self._wind_down()
        if self.stopping:
            took_s = round(time.monotonic() - began, 1)
            self._tell("daemon.stopped", took_s=took_s, uptime_s=self._age_s())

    def _tell_ready(self) -> None:
        if self.reloading_since is None:
            self._tell("daemon.ready", took_s=self._age_s())
            return
        took_s = round(time.monotonic() - self.reloading_since, 1)
        mode, podcasts = self.config.mode, len(self.ctx.podcasts)
        self._tell("daemon.reloaded", mode=mode, podcasts=podcasts, took_s=took_s)
        self.reloading_since = None

    async def _wind_down(self) -> None:
        """End what is under way and say the last words, within seconds.

        What cannot be done in time, because the database does not answer, is the next start's: the
        leases and the log's cursor know.
        """
        try:
            async with asyncio.timeout(STOP_WITHIN.total_seconds()):
                await self.ticker.stop()
                await self.dispatcher.wind_down()
                await self.logbook.write()
                if self.stopping:
                    await self.logbook.tell_status()
                    await self.ctx.write(presence.leave, self.id)
        except DatabaseError as error:
            self.outage.failed(error)
        except TimeoutError as error:
            fields = {"tick": "stop", "error": describe(error)}
            _emit(LogEvent("tick.failed", level="error", fields=fields))
            self.ticker.abandon()
            await self.dispatcher.abandon()

    async def run_once(self) -> int:
        """Poll every podcast, then deliver and track what is due.

        Raises:
            UnavailableError: the clock was never set.
        """
        if not is_set(now()):
            raise UnavailableError(f"the clock says {iso(now())}: set it, and start again")
        self._begin()
        async with AsyncExitStack() as stack:
            await self._open(stack)
            await offline.watch(self.ctx)  # what an earlier run told may be over
            await self.ctx.write(polls.mark_due, list(self.ctx.podcasts), now())
            for start in (
                self.dispatcher.start_polls,
                self.dispatcher.start_deliveries,
                self.dispatcher.start_looks,
            ):
                due_by = now()  # what fails now and is due again soon is not for this run
                while await start(due_by=due_by):
                    await self.dispatcher.join()
            await self.logbook.write()
            await self.logbook.tell_status()
            await self.ctx.write(presence.leave, self.id)
        return 1 if self.dispatcher.failed else 0

    # --- building -------------------------------------------------------------------------

    def _begin(self) -> None:
        """Get the event loop ready, and say who we are."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(DNS_THREADS, "dns"))
        self.turn = asyncio.Event()
        self._tell(
            "daemon.started",
            version=__version__,
            pid=os.getpid(),
            database=self.database.kind,
            mode=self.config.mode,
            podcasts=len(self.config.podcasts),
        )

    async def _open(self, stack: AsyncExitStack) -> None:
        """Build everything, and take the database over."""
        self.ticker = Ticker(now=now, monotonic=time.monotonic, tell=_emit, jumped=self._on_jump)
        self.ctx = await open_context(
            stack,
            self.config,
            self.database,
            environ=os.environ,
            now=now,
            chance=random.random,
            token=lambda: uuid4().hex,
            emit=_log_at,
            wake=self.ticker.wake,
        )
        self.dispatcher = Dispatcher(self.ctx, self.outage)
        self.logbook = Logbook(self.ctx, process=self._process, notify=self.notify, now=now)
        self.logbook.ours = await self.ctx.write(_take_over, self.ctx, self.id)

    def _add_ticks(self) -> None:
        """Tick much faster than the shortest interval: two equal periods double it."""
        tick = max(SHORTEST_TICK, min(shortest_interval(self.config) / 10, LONGEST_TICK))
        self._every(tick, "poll", self.dispatcher.start_polls)
        self._every(tick, "deliver", self.dispatcher.start_deliveries)
        self._every(tick, "track", self.dispatcher.start_looks)
        self._every(LONGEST_TICK, "uplink", partial(offline.watch, self.ctx))
        self._every(LONGEST_TICK, "log", self.logbook.write)
        self._every(self.config.log.status_every, "status", self.logbook.tell_status)
        self._every(HOUSEKEEPING_EVERY, "housekeeping", partial(self.housekeeping, self.ctx))
        self._every(LONGEST_TICK, "database", self._try_the_database)
        if self.database.kind != "sqlite":
            self._every(presence.RENEW_EVERY, "presence", self.stay_present)

    def _every(self, interval: timedelta, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """Tick; without the database, or the time, there is nothing to do."""

        async def unless_away() -> None:
            if not is_set(now()):
                return
            try:
                await work()
            except DatabaseError as error:
                self.outage.failed(error)
                if error.lasting and not self.stopping:
                    self._stop(reason=error.reason)

        self.ticker.every(interval, name, unless_away)

    async def _try_the_database(self) -> None:
        """See whether its outage is over. Only a write tells: a lock and a full disk let one read."""
        if self.outage.stands:
            await self.ctx.write(integrity.write_anew)
            self.outage.worked()

    # --- signals and the watchdog ---------------------------------------------------------

    def _listen(self, reload: Callable[[], Config]) -> None:
        signals.heed(
            asyncio.get_running_loop(),
            stop=lambda name: self._stop(signal=name),
            reload=lambda: self._reload(reload),
            status=lambda: self.ticker.wake("status"),
            on_terminal=sys.stderr.isatty(),
        )

    def _stop(self, **why: str) -> None:
        self._tell("daemon.stopping", **why)
        self.notify.stopping()
        self.stopping = True
        self.turn.set()

    def _reload(self, reload: Callable[[], Config]) -> None:
        """Read the configuration again, and begin anew with it; keep the old one if it is wrong."""
        try:
            config = reload()
            if config.database != self.config.database:
                raise ConfigError("another database takes a restart of the daemon")  # noqa: TRY301
        except ConfigError as error:
            for told in rejections(error):
                _emit(told)
            return
        self.notify.reloading(time.monotonic_ns() // 1000)
        log.setup(config.log.format, sys.stderr, environ=os.environ, level=config.log.level)
        self.config = config
        self.reloading_since = time.monotonic()
        self.turn.set()

    async def _supervise(self) -> None:
        """Watch over the ticks until the turn comes; feed the watchdog while all is well."""
        watchdog = systemd.watchdog_interval(os.environ, os.getpid())
        every = min(SUPERVISE_EVERY, watchdog or SUPERVISE_EVERY)
        while not self.turn.is_set():
            if not self.ticker.supervise():
                self.notify.watchdog()
            await self._see_to_the_clock()
            with suppress(TimeoutError):
                async with asyncio.timeout(every.total_seconds()):
                    await self.turn.wait()

    def _on_jump(self, by: timedelta) -> None:
        """The wall clock jumped. Set forward, it needs only to be told."""
        if by > timedelta():
            _emit(LogEvent("clock.jumped", level="warning", fields={"skew_s": by // SECOND}))
        self.set_back = max(self.set_back - by, timedelta())

    async def _see_to_the_clock(self) -> None:
        if not self.set_back or not is_set(now()):
            return
        by = self.set_back
        with suppress(DatabaseError):  # then the ticks have told it, and it is tried again
            await self.ctx.write(due.set_back, by, now())
            self.set_back -= by
            for name in ("poll", "deliver", "track", "log", "status"):
                self.ticker.wake(name)

    # --- being known ----------------------------------------------------------------------

    async def stay_present(self) -> None:
        """Tell the other daemons of this database that this one lives, and who writes the log."""
        self.logbook.ours = await self.ctx.write(_be_present, self.ctx, self.id)

    def _process(self) -> Process:
        return Process(__version__, self.config.mode, os.getpid(), self._age_s())

    def _tell(self, name: str, **fields: str | float) -> None:
        _emit(LogEvent(name, fields=fields))

    def _age_s(self) -> int:
        return round(time.monotonic() - self.began)


def _log_at(event: LogEvent, at: datetime) -> None:
    log.emit(event, at=at)


def _emit(event: LogEvent) -> None:
    """Log what is not committed."""
    _log_at(event, now())


async def _until_the_clock_is_set(notify: systemd.Notifier) -> None:
    """Wait, without a word in the database: by such a clock every episode would be new."""
    if is_set(now()):
        return
    began = time.monotonic()
    for event in strike(None, Kind.CLOCK, reason="unset", now=now()).events:
        _emit(event)
    while not is_set(now()):
        notify.extend(CLOCK_SET_WITHIN)
        await asyncio.sleep(1)
    took_s = round(time.monotonic() - began)
    _emit(
        LogEvent(
            "problem.recovered",
            fields={"problem": Kind.CLOCK, "reason": "unset", "took_s": took_s},
        )
    )


def _leave_soon(status: int) -> None:
    """End the process though a thread hangs: Python would wait for it, and nobody needs it now.

    A resolver without an answer takes half a minute, a hostile feed's parser as long.
    """
    last_resort = threading.Timer(LEAVE_WITHIN.total_seconds(), os._exit, (status,))
    last_resort.daemon = True
    last_resort.start()


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
