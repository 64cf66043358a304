"""The process: builds everything once, ticks, heeds signals, stops cleanly.

The only owner of the clock and of chance; everybody else is given both.
"""

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from monitor import __version__, log
from monitor.adapters import systemd
from monitor.adapters.evidence import Evidence
from monitor.adapters.http import Http
from monitor.adapters.sandbox import Sandbox
from monitor.adapters.stenobird import Stenobird
from monitor.adapters.store import events, freezing, leases, migrate, polls, reading, schema
from monitor.adapters.store.database import Database, connect
from monitor.adapters.store.instance import instance
from monitor.config import Config, user_agent
from monitor.core.model import CommittedEvent, LogEvent
from monitor.core.problems import remind
from monitor.core.status import Process, block, one_line
from monitor.dispatch import Dispatcher
from monitor.jobs.context import Context
from monitor.jobs.outcomes import Outcomes
from monitor.rules import limits, podcasts, shortest_interval
from monitor.ticker import Ticker, describe

SUPERVISE_EVERY = timedelta(seconds=5)
HOUSEKEEPING_EVERY = timedelta(hours=1)
LONGEST_TICK = timedelta(seconds=5)
SHORTEST_TICK = timedelta(milliseconds=100)
LINES_AT_ONCE = 1000
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STOP_WITHIN = timedelta(seconds=15)  # the dispatcher's part is 5, a locked database's 10
LEAVE_WITHIN = timedelta(seconds=1)
PARSERS = 4  # threads: one new item need not wait for a back catalogue to be read
DNS_THREADS = 64  # asyncio's six would let a dead resolver starve the healthy feeds


def now() -> datetime:
    """Return the wall clock's time, in UTC."""
    return datetime.now(UTC)


def serve(config: Config) -> int:
    """Run the daemon until it is asked to stop; return the exit status.

    Raises:
        ConfigError: the database cannot be used as configured.
        UnavailableError: it is not there now, or another daemon holds it.
    """
    return _run(config, Daemon.run)


def serve_once(config: Config) -> int:
    """Do everything once; return 0, or 1 if anything failed. Raises as ``serve`` does."""
    return _run(config, Daemon.run_once)


def open_http(config: Config) -> Http:
    """Return the one connection layer, as configured; to be entered before use."""
    network = config.network
    return Http(
        user_agent=user_agent(config),
        deadline=network.deadline,
        per_host_interval=network.per_host_interval,
        allow_private=network.allow_private,
        proxy=network.proxy,
        patience=limits(config).lease_for / 2,  # the other half is for the request and the rest
    )


def open_stenobird(config: Config, http: Http) -> Stenobird:
    """Return Stenobird, as configured."""
    token = config.stenobird.token.get_secret_value()
    return Stenobird(http, base_url=config.stenobird.base_url, token=token)


def _run(config: Config, life: Callable[["Daemon"], Awaitable[int]]) -> int:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until it can be answered: by default it kills
    with closing(connect(config.database)) as database, instance(database):
        migrate.migrate(database)
        daemon = Daemon(config, database)
        return asyncio.run(_awaited(life(daemon)))


async def _awaited(life: Awaitable[int]) -> int:
    return await life


class Daemon:
    """One run of the service on one configuration."""

    def __init__(self, config: Config, database: Database) -> None:
        self.config = config
        self.database = database
        self.began = time.monotonic()
        self.notify = systemd.Notifier.from_environ(os.environ)
        self.stopping: asyncio.Event
        self.ticker: Ticker
        self.ctx: Context
        self.dispatcher: Dispatcher

    async def run(self) -> int:
        """Serve until a signal asks to stop."""
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._listen()
            self._add_ticks()
            self.ticker.start()
            self._tell("daemon.ready", took_s=self._age_s())
            self.notify.ready()
            await self._supervise()
            began = time.monotonic()
            await self._wind_down()
        took_s = round(time.monotonic() - began, 1)
        self._tell("daemon.stopped", took_s=took_s, uptime_s=self._age_s())
        _leave_soon()
        return 0

    async def _wind_down(self) -> None:
        """End what is under way and say the last words, within seconds.

        What cannot be done in time, because the database does not answer, is the next start's: the
        leases and the log's cursor know.
        """
        try:
            async with asyncio.timeout(STOP_WITHIN.total_seconds()):
                await self.ticker.stop()
                await self.dispatcher.wind_down()
                await self.write_log()
                await self.tell_status()
        except (TimeoutError, SQLAlchemyError) as error:
            fields = {"tick": "stop", "error": describe(error)}
            _emit(LogEvent("tick.failed", level="error", fields=fields))

    async def run_once(self) -> int:
        """Poll every podcast, then deliver and track what is due."""
        async with AsyncExitStack() as stack:
            await self._open(stack)
            await self.ctx.write(polls.mark_due, list(self.ctx.podcasts), now())
            for start in (
                self.dispatcher.start_polls,
                self.dispatcher.start_deliveries,
                self.dispatcher.start_looks,
            ):
                due_by = now()  # what fails now and is due again soon is not for this run
                while await start(due_by=due_by):
                    await self.dispatcher.join()
            await self.write_log()
            await self.tell_status()
        return 1 if self.dispatcher.failed else 0

    # --- building -------------------------------------------------------------------------

    async def _open(self, stack: AsyncExitStack) -> None:
        """Build everything, and take the database over."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(DNS_THREADS, "dns"))
        self.stopping = asyncio.Event()
        self.ticker = Ticker(now=now, monotonic=time.monotonic, tell=_emit)
        self.ctx = await self._context(stack)
        self.dispatcher = Dispatcher(self.ctx)
        self._tell(
            "daemon.started",
            version=__version__,
            pid=os.getpid(),
            database=self.database.kind,
            mode=self.config.mode,
            podcasts=len(self.ctx.podcasts),
        )
        await self.ctx.write(_take_over, self.ctx)

    async def _context(self, stack: AsyncExitStack) -> Context:
        http = await stack.enter_async_context(open_http(self.config))
        database_thread = _thread(stack, "database")
        return Context(
            podcasts=podcasts(self.config),
            limits=limits(self.config),
            database=self.database,
            http=http,
            stenobird=open_stenobird(self.config, http),
            database_thread=database_thread,
            sandbox=Sandbox(),
            evidence=_evidence(self.database, os.environ),
            parsers=_thread(stack, "parser", PARSERS),
            now=now,
            chance=random.random,
            token=lambda: uuid4().hex,
            emit=lambda event, at: log.emit(event, at=at),
            wake=self.ticker.wake,
            outcomes=Outcomes(self.database, database_thread),
        )

    def _add_ticks(self) -> None:
        """Tick much faster than the shortest interval: two equal periods double it."""
        tick = max(SHORTEST_TICK, min(shortest_interval(self.config) / 10, LONGEST_TICK))
        self.ticker.every(tick, "poll", self.dispatcher.start_polls)
        self.ticker.every(tick, "deliver", self.dispatcher.start_deliveries)
        self.ticker.every(tick, "track", self.dispatcher.start_looks)
        self.ticker.every(LONGEST_TICK, "log", self.write_log)
        self.ticker.every(self.config.log.status_every, "status", self.tell_status)
        self.ticker.every(HOUSEKEEPING_EVERY, "housekeeping", self.keep_house)

    # --- signals and the watchdog ---------------------------------------------------------

    def _listen(self) -> None:
        """Heed signals. To stop, Python's own handlers: asyncio's wait for a loop that may hang."""
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            signal.signal(number, lambda number, _: self._on_stop(loop, number))
        loop.add_signal_handler(signal.SIGUSR1, self.ticker.wake, "status")

    def _on_stop(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        """Begin to stop. A second signal is the kernel's: it ends the process at once."""
        for each in STOP_SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        loop.call_soon_threadsafe(self._stop, signal.Signals(number).name)

    def _stop(self, name: str) -> None:
        self._tell("daemon.stopping", signal=name)
        self.notify.stopping()
        self.stopping.set()

    async def _supervise(self) -> None:
        """Watch over the ticks until it is time to stop; feed the watchdog while all is well."""
        watchdog = systemd.watchdog_interval(os.environ, os.getpid())
        every = min(SUPERVISE_EVERY, watchdog or SUPERVISE_EVERY)
        while not self.stopping.is_set():
            if not self.ticker.supervise():
                self.notify.watchdog()
            with suppress(TimeoutError):
                async with asyncio.timeout(every.total_seconds()):
                    await self.stopping.wait()

    # --- what is said ---------------------------------------------------------------------

    async def write_log(self) -> None:
        """Write committed events to the log, in order; a crash may repeat a line, never miss it."""
        while lines := await self.ctx.read(_unlogged):
            for line in lines:
                log.emit(line.event, at=line.at, seq=line.seq)
            await self.ctx.write(events.set_logged, lines[-1].seq)

    async def tell_status(self) -> None:
        """Write the status block, and its one-line form to systemd."""
        snapshot = await self.ctx.read(reading.snapshot)
        process = Process(__version__, self.config.mode, os.getpid(), self._age_s())
        at = now()
        for event in block(snapshot, process):
            log.emit(event, at=at)
        self.notify.status(one_line(snapshot))

    async def keep_house(self) -> None:
        """Remind of what still stands."""
        await self.ctx.write(_remind, now())

    def _tell(self, name: str, **fields: str | float) -> None:
        _emit(LogEvent(name, fields=fields))

    def _age_s(self) -> int:
        return round(time.monotonic() - self.began)


def _emit(event: LogEvent) -> None:
    """Log what is not committed."""
    log.emit(event, at=now())


def _evidence(database: Database, environ: Mapping[str, str]) -> Evidence | None:
    """Return where refused bodies are kept: beside a SQLite file, else where systemd gives a place."""
    if database.path is not None:
        return Evidence(database.path.with_name(f"{database.path.name}.evidence"))
    state = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Evidence(Path(state) / "evidence") if state else None


def _thread(stack: AsyncExitStack, name: str, count: int = 1) -> ThreadPoolExecutor:
    """Return a thread, or some, that the end of *stack* does not wait for."""
    thread = ThreadPoolExecutor(count, name)
    stack.callback(thread.shutdown, wait=False, cancel_futures=True)
    return thread


def _leave_soon() -> None:
    """End the process though a thread hangs: Python would wait for it, and nobody needs it now.

    A resolver without an answer takes half a minute, a hostile feed's parser as long.
    """
    last_resort = threading.Timer(LEAVE_WITHIN.total_seconds(), os._exit, (0,))
    last_resort.daemon = True
    last_resort.start()


# --- units of work: each runs in one transaction -------------------------------------------


def _take_over(conn: Connection, ctx: Context) -> None:
    """Begin on a database: no lease of an earlier run stands, the configured podcasts are polled."""
    if conn.dialect.name == "sqlite":
        leases.void_all(conn)
    freezing.try_again(conn, now())
    polls.configure(conn, [(p.name, p.feed, p.slug) for p in ctx.podcasts.values()], now())


def _unlogged(conn: Connection) -> list[CommittedEvent]:
    return events.after(conn, events.counter(conn, schema.LOGGED), limit=LINES_AT_ONCE)


def _remind(conn: Connection, at: datetime) -> None:
    updates = [remind(problem, now=at) for problem in events.problems(conn)]
    events.write_problems(conn, [update for update in updates if update.events], at)
