"""The process: serves on one configuration after the other, heeds signals, ends."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import timedelta
from functools import partial
from uuid import uuid4

from monitor import __version__, log, signals
from monitor.adapters import systemd
from monitor.adapters.store import migrate
from monitor.adapters.store.database import Database, connect
from monitor.adapters.store.instance import instance
from monitor.clock import is_set, now
from monitor.config import Config, rejections
from monitor.core.model import ConfigError, DatabaseError, LogEvent, UnavailableError, iso
from monitor.core.problems import Kind, strike
from monitor.core.status import Process
from monitor.housekeeping import Housekeeping
from monitor.jobs.outage import Outage
from monitor.jumps import Jumps
from monitor.runtime import Life, Runtime, emit, emit_at, opened

LEAVE_WITHIN = timedelta(seconds=1)
TRY_AGAIN_EVERY = timedelta(seconds=5)  # to take the database over after a reload
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
        self.began = time.monotonic()
        self.notify = systemd.Notifier.from_environ(os.environ)
        self.outage = Outage(now, emit_at)
        self.life = Life(
            id=uuid4().hex,
            database=database,
            outage=self.outage,
            housekeeping=Housekeeping(time.monotonic),
            jumps=Jumps(emit),
            notify=self.notify,
            process=self._process,
            lost=self._lost,
        )
        self.stopping = False
        self.reloading_since: float | None = None  # by the monotonic clock
        self.turn = asyncio.Event()  # set: stop, or begin anew
        self.runtime: Runtime | None = None

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

    async def run_once(self) -> int:
        """Poll every podcast, then deliver and track what is due.

        Raises:
            UnavailableError: the clock was never set.
        """
        if not is_set(now()):
            raise UnavailableError(f"the clock says {iso(now())}: set it, and start again")
        self._begin()
        async with opened(self.config, self.life) as runtime:
            return 0 if await runtime.run_once() else 1

    def _begin(self) -> None:
        """Get the event loop ready, and say who we are."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(DNS_THREADS, "dns"))
        _tell(
            "daemon.started",
            version=__version__,
            pid=os.getpid(),
            database=self.life.database.kind,
            mode=self.config.mode,
            podcasts=len(self.config.podcasts),
        )

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
                async with asyncio.timeout(TRY_AGAIN_EVERY.total_seconds()):
                    await self.turn.wait()

    async def _serve(self) -> None:
        """Serve on one configuration, until it is time to stop or to take another."""
        async with opened(self.config, self.life) as self.runtime:
            self.runtime.start()
            self._tell_ready(len(self.runtime.ctx.podcasts))
            self.notify.ready()
            await self.runtime.supervise(self.turn)
            began = time.monotonic()
            await self.runtime.wind_down(for_good=self.stopping)
        if self.stopping:
            took_s = round(time.monotonic() - began, 1)
            _tell("daemon.stopped", took_s=took_s, uptime_s=self._age_s())

    def _tell_ready(self, podcasts: int) -> None:
        if self.reloading_since is None:
            _tell("daemon.ready", took_s=self._age_s())
            return
        took_s = round(time.monotonic() - self.reloading_since, 1)
        _tell("daemon.reloaded", mode=self.config.mode, podcasts=podcasts, took_s=took_s)
        self.reloading_since = None

    # --- what ends a configuration, or all ------------------------------------------------

    def _listen(self, reload: Callable[[], Config]) -> None:
        signals.heed(
            asyncio.get_running_loop(),
            stop=lambda name: self._stop(signal=name),
            reload=lambda: self._reload(reload),
            status=self._tell_status,
            on_terminal=sys.stderr.isatty(),
        )

    def _stop(self, **why: str) -> None:
        _tell("daemon.stopping", **why)
        self.notify.stopping()
        self.stopping = True
        self.turn.set()

    def _lost(self, error: DatabaseError) -> None:
        if not self.stopping:
            self._stop(reason=error.reason)

    def _reload(self, reload: Callable[[], Config]) -> None:
        """Read the configuration again, and begin anew with it; keep the old one if it is wrong."""
        try:
            config = reload()
            if config.database != self.config.database:
                raise ConfigError("another database takes a restart of the daemon")  # noqa: TRY301
        except ConfigError as error:
            for told in rejections(error):
                emit(told)
            return
        self.notify.reloading(time.monotonic_ns() // 1000)
        log.setup(config.log.format, sys.stderr, environ=os.environ, level=config.log.level)
        self.config = config
        self.reloading_since = time.monotonic()
        self.turn.set()

    def _tell_status(self) -> None:
        if self.runtime is not None:  # else it is about to be told
            self.runtime.ticker.wake("status")

    # --- being known ----------------------------------------------------------------------

    def _process(self) -> Process:
        return Process(__version__, self.config.mode, os.getpid(), self._age_s())

    def _age_s(self) -> int:
        return round(time.monotonic() - self.began)


def _tell(name: str, **fields: str | float) -> None:
    emit(LogEvent(name, fields=fields))


async def _until_the_clock_is_set(notify: systemd.Notifier) -> None:
    """Wait, without a word in the database: by such a clock every episode would be new."""
    if is_set(now()):
        return
    began = time.monotonic()
    for event in strike(None, Kind.CLOCK, reason="unset", now=now()).events:
        emit(event)
    while not is_set(now()):
        notify.extend(CLOCK_SET_WITHIN)
        await asyncio.sleep(1)
    took_s = round(time.monotonic() - began)
    emit(
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
