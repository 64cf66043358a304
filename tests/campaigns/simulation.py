"""Deterministic simulation: a fortnight of four feeds, all of it from one seed.

The dispatcher, the jobs, the HTTP layer, the parser, the log and the SQLite file are the daemon's;
time and network are virtual. Requests fail in every way, the daemon's clock jumps, the machine is
suspended, and the power goes before any outside action. Then there is peace, time goes on until
everything has come to its end, and the checker judges.
"""

import asyncio
import gc
import json
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa

from monitor.adapters.stenobird import Stenobird
from monitor.adapters.store import due, migrate, takeover
from monitor.adapters.store.database import Database, connect
from monitor.adapters.systemd import Notifier
from monitor.core.model import LogEvent
from monitor.core.parse import read_whole
from monitor.core.schedule import Bounds
from monitor.core.status import Process
from monitor.dispatch import Dispatcher
from monitor.jobs.context import Context, Podcast
from monitor.jobs.outage import Outage
from monitor.jobs.outcomes import Outcomes
from monitor.jobs.uplink import Uplink
from monitor.log import emit, render
from monitor.logbook import Logbook
from tests.campaigns.checker import check
from tests.campaigns.figures import Figures, Violation
from tests.campaigns.publishing import DAY_S, DAYS, Fortnight
from tests.campaigns.virtual import STENOBIRD, Clock, Network, VirtualHttp, VirtualLoop
from tests.campaigns.world import history_of
from tests.living import LIMITS, POLLING, REQUESTS, START, PowerCut, Switch, watched

DEADLINE = timedelta(seconds=20)
TICK_S = 60.0  # at least, between two looks for what is due
OVERDUE_S = 300.0  # what is due and not taken waits for something else: a rest, a pace
SEEN_AFTER_S = 5.0  # a clock that was set back, by the supervisor
PER_MINUTE = 2
MINUTES_PER_DAY = 600
PEACE_S = 21 * DAY_S  # at most
CUTS, JUMPS, SUSPENSIONS = 25, 6, 4
EXPLAINED = frozenset(
    {"state_regressed"}
)  # a stale answer said so, and the next look is in a month
LIVE = replace(LIMITS, per_minute=PER_MINUTE, audio_minutes_per_day=MINUTES_PER_DAY)
TRACK = Bounds(timedelta(minutes=20), timedelta(days=1))
POLLS = replace(POLLING, per_day=24)
DUE = """
    SELECT (SELECT min(next_poll_at) FROM podcasts WHERE configured),
    (SELECT min(next_attempt_at) FROM requests WHERE newest AND status = 'pending'),
    (SELECT min(next_track_at) FROM episodes)
"""
UNLOGGED = """
    SELECT (SELECT value FROM counters WHERE name = 'seq')
    - (SELECT value FROM counters WHERE name = 'logged')
"""
OPEN = "SELECT count(*) FROM problems WHERE kind NOT IN ('state_regressed')"
UNSETTLED = """
    SELECT count(*) FROM requests WHERE newest AND status IN ('pending', 'accepted')
"""


class Breaker(Switch):
    """A power switch that wakes the driver when it has been thrown."""

    def __init__(self, chance: Random) -> None:
        super().__init__()
        self._chance = chance
        self.thrown = asyncio.Event()
        self._after_post: int | None = None

    def arm(self) -> None:
        """Cut the power within the next hours, or right after the next POST has left."""
        if self._chance.random() < 0.4:
            self._after_post = self._chance.randint(0, 9)
        else:
            self.cut_before = self.count + self._chance.randint(1, 60)

    def act(self, action: str) -> None:
        self.actions.clear()  # nobody reads a fortnight of them
        if action == "POST" and self._after_post is not None:
            self.cut_before = self.count + 1 + self._after_post
        try:
            super().act(action)
        except PowerCut:
            self.thrown.set()
            raise


class _Inline:
    """The parser for what cannot be cut, without a process of its own: it would take real time."""

    async def read(self, pieces: Iterator[bytes]) -> Any:
        return read_whole(b"".join(pieces))


class Simulated:
    """One history."""

    def __init__(
        self, seed: int, directory: Path, stage: Callable[[int, Clock], Any] = Fortnight
    ) -> None:
        self.chance = Random(f"faults {seed}")
        self.clock = Clock(START)
        self.days = stage(seed, self.clock)
        self.url = f"sqlite:///{directory / 'simulated.db'}"
        self.logs: list[list[dict[str, Any]]] = []
        self.jumps: list[datetime] = []
        self.met = self.days.met
        self._tokens = 0
        self._cuts = sorted(self.chance.uniform(0.2, DAYS) * DAY_S for _ in range(CUTS))
        self._todo = self._plan()
        with self.opened() as database:
            migrate.migrate(database)

    def _plan(self) -> list[tuple[float, Any]]:
        """Return all that happens by itself, with its true time, in order."""
        moments = [(at, self._jump) for at in self._moments(JUMPS)]
        moments += [(at, self._suspend) for at in self._moments(SUSPENSIONS)]
        return sorted([*self.days.script, *moments], key=lambda each: each[0])

    def _moments(self, count: int) -> list[float]:
        return [self.chance.uniform(0.5, DAYS) * DAY_S for _ in range(count)]

    @contextmanager
    def opened(self) -> Iterator[Database]:
        """Open the database; what is acknowledged need not survive this machine's power cuts."""
        database = connect(self.url)
        sa.event.listen(database.engine, "connect", _unflushed)
        try:
            yield database
        finally:
            database.close()

    # --- lives ---------------------------------------------------------------------------

    def live(self) -> list[str]:
        """Live through the fortnight, then in peace to the end; return what was not kept."""
        self.live_through(DAYS)
        return self.come_to_an_end()

    def live_through(self, days: int) -> None:
        """Live so long under faults."""
        while self.clock.passed_s < days * DAY_S:
            if self.go_on(days * DAY_S):
                break
            self.met["power_cut"] += 1
            self.clock.passed_s += self.chance.choice((0.0, 1.0, 60.0, 3_600.0, 8 * 3_600.0))

    def come_to_an_end(self) -> list[str]:
        """Live on in peace until all is quiet; return what was not kept."""
        self.days.make_peace()
        self._cuts.clear()
        while not self.go_on(self.clock.passed_s + PEACE_S, in_peace=True):
            raise AssertionError("nobody cuts the power in peace")
        return check(self.history())

    def go_on(
        self, until_s: float, *, in_peace: bool = False, cut_before: int | None = None
    ) -> bool:
        """Live until then, from a start. False: the power was cut before."""
        gc.collect()
        self.logs.append([])
        with (
            self.opened() as database,
            _logged(self.logs[-1], self.heard),
            asyncio.Runner(loop_factory=lambda: VirtualLoop(self.clock)) as runner,
        ):
            life = _Life(self, database)
            life.switch.cut_before = cut_before
            with watched(database.engine, life.switch):
                try:
                    runner.run(life.live(until_s, in_peace=in_peace))
                except PowerCut:
                    return False
                finally:
                    life.switch.cut_before = 0  # a dead process does nothing more
        return True

    # --- for who listens ---------------------------------------------------------------------

    def begun(self, database: Database) -> None:
        """A process has taken the database over."""

    def heard(self, event: LogEvent, at: datetime, seq: int | None) -> None:
        """A line of the log was written."""

    def at_rest(self, database: Database) -> None:
        """All that happened is written, and nothing is under way."""

    # --- who does what when ------------------------------------------------------------------

    def next_cut(self) -> bool:
        """Return whether it is time to cut the power; each time is given once."""
        if self._cuts and self._cuts[0] <= self.clock.passed_s:
            self._cuts.pop(0)
            return True
        return False

    def next_turn_s(self) -> float:
        turns = [each[0] for each in self._todo[:1]] + self._cuts[:1]
        return min(turns, default=float("inf"))

    def take_turns(self) -> None:
        """Do what is to be done by now; a person's commands open the database anew."""
        while self._todo and self._todo[0][0] <= self.clock.passed_s:
            _, turn = self._todo.pop(0)
            with self.opened() as database:
                turn(database)

    def _jump(self, _database: Database) -> None:
        """The daemon's clock is set, forward or back."""
        by = timedelta(hours=self.chance.choice((5, 2, -1, -1, -3)), seconds=self.chance.random())
        self.clock.ahead += by
        self.jumps.append(self.clock.true())
        self.met["clock_forward" if by > timedelta() else "clock_back"] += 1

    def _suspend(self, _database: Database) -> None:
        """The machine sleeps: time passes, and nobody does anything."""
        self.clock.passed_s += self.chance.uniform(0.5, 12) * 3_600
        self.met["suspended"] += 1

    def token(self) -> str:
        self._tokens += 1
        return f"lease {self._tokens}"

    # --- what is left behind ---------------------------------------------------------------

    def history(self) -> Any:
        days = self.days
        return history_of(
            self.url,
            days.publishers,
            days.replica,
            days.slugs,
            days.fates,
            min_gap_s=POLLS.poll.min.total_seconds(),
            log=self.logs,
            per_minute=PER_MINUTE,
            audio_minutes_per_day=MINUTES_PER_DAY,
            quiet=True,
            jumps=self.jumps,
            late_s=DEADLINE.total_seconds(),
            explained=EXPLAINED,
        )

    def told(self) -> list[str]:
        """Return all events, effects and exchanges: two equal histories have the same."""
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as conn:
            rows = conn.execute("SELECT * FROM events ORDER BY seq").fetchall()
        replica = self.days.replica
        polls = chain.from_iterable(each.exchanges for each in self.days.publishers.values())
        return [*map(repr, chain(rows, polls, replica.exchanges, replica.effects))]


class _Life:
    """One process, from its start to its end or a power cut."""

    def __init__(self, simulated: Simulated, database: Database) -> None:
        self.simulated = simulated
        self.clock = simulated.clock
        self.database = database
        self.switch = Breaker(simulated.chance)
        self.jitter = Random(f"jitter {simulated.chance.random()}")  # what dies may draw from it
        self.woken: set[str] = set()
        self.ahead = self.clock.ahead  # as far as this process knows

    async def live(self, until_s: float, *, in_peace: bool) -> None:
        async with AsyncExitStack() as stack:
            path = self.simulated.url.removeprefix("sqlite:///")
            self._beside = stack.enter_context(closing(sqlite3.connect(path)))
            ctx = await self._context(stack)
            dispatcher = Dispatcher(ctx, Outage(ctx.now, ctx.emit))
            podcasts = [(p.name, p.feed, p.slug) for p in ctx.podcasts.values()]
            await ctx.write(takeover.take_over, podcasts, ctx.now())
            self.simulated.begun(self.database)
            logbook = Logbook(ctx, process=_process, notify=Notifier(None), now=ctx.now)
            while self.clock.passed_s < until_s:
                await self._see_to_the_clock(ctx)
                await self._tick(dispatcher)
                if self._asked(UNLOGGED) != (0,):
                    await logbook.write()
                if not dispatcher.running():
                    self.simulated.at_rest(self.database)
                if in_peace and not dispatcher.running() and self._is_quiet():
                    break
                await self._rest(until_s)
            await dispatcher.join()
            await logbook.write()

    async def _context(self, stack: AsyncExitStack) -> Context:
        days = self.simulated.days
        network = Network(days.publishers, days.replica, self.clock, self.switch)
        http = await stack.enter_async_context(VirtualHttp(network, DEADLINE))
        rules = replace(REQUESTS, base_url=STENOBIRD, track=TRACK)
        nobody: Any = None  # the loop runs at once what is given to its threads
        sandbox: Any = _Inline()
        return Context(
            podcasts={
                name: Podcast(
                    name,
                    f"http://{name}.example{days.publishers[name].path}",
                    f"{name}-at-stenobird",
                    {},
                    POLLS,
                    rules,
                )
                for name in days.publishers
            },
            limits=LIVE,
            database=self.database,
            http=http,
            stenobird=Stenobird(http, base_url=STENOBIRD),
            database_thread=nobody,
            sandbox=sandbox,
            evidence=None,
            parsers=nobody,
            now=self.clock.wall,
            chance=self.jitter.random,
            token=self.simulated.token,
            emit=self._emit,
            wake=self.woken.add,
            outcomes=Outcomes(self.database, nobody),
            uplink=Uplink((), reaches=None),
        )

    def _emit(self, event: LogEvent, at: datetime) -> None:
        if event.name == "feed.polled":
            self.simulated.heard(event, at, None)
        else:
            emit(event, at=at)

    async def _see_to_the_clock(self, ctx: Context) -> None:
        """What the daemon does when its clock was set back; forward needs nothing."""
        by, self.ahead = self.ahead - self.clock.ahead, self.clock.ahead
        if by > takeover.SKEW:
            await asyncio.sleep(SEEN_AFTER_S)
            await ctx.write(due.set_back, by, ctx.now())

    async def _tick(self, dispatcher: Dispatcher) -> None:
        """Start what is due, as the ticks do."""
        now = self.clock.wall()
        starts = (
            ("poll", dispatcher.start_polls),
            ("deliver", dispatcher.start_deliveries),
            ("track", dispatcher.start_looks),
        )
        woken = set(self.woken)
        self.woken.clear()
        for (kind, start), at in zip(starts, self._due(), strict=True):
            if kind in woken or (at is not None and at <= now):
                await start()

    async def _rest(self, until_s: float) -> None:
        """Sleep until something is due, or the world goes on."""
        now_s, now = self.clock.passed_s, self.clock.wall()
        waits = [(at - now).total_seconds() for at in self._due() if at is not None]
        wait = min((wait if wait > 0 else OVERDUE_S for wait in waits), default=TICK_S)
        if self.woken:
            wait = TICK_S
        # Rounded up, as a tick would be.
        wait = max(TICK_S, min(wait + 1, self.simulated.next_turn_s() - now_s, until_s - now_s))
        try:
            async with asyncio.timeout(wait):
                await self.switch.thrown.wait()
        except TimeoutError:
            pass
        else:
            raise PowerCut
        self.simulated.take_turns()
        if self.simulated.next_cut():
            self.switch.arm()

    def _due(self) -> list[datetime | None]:
        """Return when the next poll, delivery and look are due."""
        return [datetime.fromisoformat(f"{at}+00:00") if at else None for at in self._asked(DUE)]

    def _is_quiet(self) -> bool:
        return self._asked(UNSETTLED) == (0,) and self._asked(OPEN) == (0,)

    def _asked(self, query: str) -> Any:
        """Ask behind the daemon's back."""
        return self._beside.execute(query).fetchone()


def _process() -> Process:
    return Process("0", "live", 1, 0)


def _unflushed(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")


@contextmanager
def _logged(
    lines: list[dict[str, Any]], heard: Callable[[LogEvent, datetime, int | None], None]
) -> Iterator[None]:
    """Keep the lines of the log that this process writes."""

    class Keeps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told: Any = record.msg
            lines.append(json.loads(render(told["told"], told["at"], told["seq"], form="json")))
            heard(told["told"], told["at"], told["seq"])

    logger, keeps = logging.getLogger("monitor"), Keeps()
    before = logger.level, logger.propagate
    logger.addHandler(keeps)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(keeps)
        logger.level, logger.propagate = before


def run(count: int, seed: int) -> Figures:
    """Live so many histories, by seeds from *seed* on."""
    began = time.monotonic()
    met: Counter[str] = Counter()
    violations: list[Violation] = []
    for each in range(seed, seed + count):
        with TemporaryDirectory() as directory:
            simulated = Simulated(each, Path(directory))
            violations += [Violation("simulation", each, what) for what in simulated.live()]
            met += simulated.met
    took_s = time.monotonic() - began
    return Figures("simulation", count, "histories", met, violations, took_s)
