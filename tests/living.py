"""An episode's life, lived by the real jobs against the real far ends, with a power switch.

The jobs, the HTTP, the parser and the database file are real; only the clock is turned by hand,
so that days pass in a moment, and chance is fixed.
"""

import asyncio
import gc
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.adapters.http import Http
from monitor.adapters.sandbox import Sandbox
from monitor.adapters.stenobird import Stenobird
from monitor.adapters.store import leases, migrate, polls, reading, takeover
from monitor.adapters.store.database import connect
from monitor.core.baseline import Within
from monitor.core.model import LogEvent
from monitor.core.rules import PollRules, RequestRules
from monitor.core.schedule import Bounds
from monitor.demo import ManualClock
from monitor.demo.publisher import Item, Publisher, new_item
from monitor.demo.server import World, serve_in_thread
from monitor.demo.stenobird import Dialect, Replica
from monitor.dispatch import Dispatcher
from monitor.jobs import offline
from monitor.jobs.context import Context, Limits, Podcast
from monitor.jobs.outage import Outage
from monitor.jobs.outcomes import Outcomes
from monitor.jobs.uplink import Uplink

START = datetime(2026, 10, 1, 12, tzinfo=UTC)
SLUG = "latent-space-ai-engineer"
STEP = timedelta(minutes=5)
STEPS = 60  # five hours: enough for every retry of one episode
RETRY = Bounds(timedelta(minutes=1), timedelta(hours=6))
POLLING = PollRules(
    poll=Bounds(timedelta(minutes=5), timedelta(hours=6)),
    per_day=288,
    backfill=Within(timedelta(days=7)),
    bulk_over=10,
    backdated_over=timedelta(days=30),
)
REQUESTS = RequestRules(
    base_url="",
    retry=RETRY,
    not_listed=Bounds(timedelta(minutes=10), timedelta(days=1)),
    track=Bounds(timedelta(minutes=5), timedelta(days=1)),
    stalled_after=timedelta(days=3),
    processed_states=frozenset({"processed"}),
    failed_states=frozenset({"failed"}),
)
LIMITS = Limits(
    max_body_bytes=1 << 24,
    per_minute=60,
    audio_minutes_per_day=100_000,
    retry=RETRY,
    lease_for=timedelta(minutes=5),
)


class PowerCut(BaseException):
    """The power is gone: nobody may catch it, and nothing more happens."""


@dataclass
class Switch:
    """Counts outside actions, and cuts the power before one of them."""

    cut_before: int | None = None
    count: int = 0
    actions: list[str] = field(default_factory=list)

    def act(self, action: str) -> None:
        self.count += 1
        self.actions.append(action)
        if self.cut_before is not None and self.count >= self.cut_before:
            raise PowerCut(f"before {action}")


class Meanwhile(Switch):
    """Does something of its own just before the *nth* outside action of one kind."""

    def __init__(self, action: str, do: Callable[[], object], *, nth: int = 1) -> None:
        super().__init__()
        self._action = action
        self._do = do
        self._nth = nth

    def act(self, action: str) -> None:
        super().act(action)
        if action == self._action and self.actions.count(action) == self._nth:
            self._do()


class SwitchedHttp:
    """The real client; a request that leaves and an answer that arrives are outside actions."""

    def __init__(self, http: Http, switch: Switch) -> None:
        self._http = http
        self._switch = switch

    @asynccontextmanager
    async def turn(self, url: str) -> AsyncIterator[None]:
        self._switch.act("turn")
        async with self._http.turn(url):
            yield

    async def get(self, *args: Any, **kwargs: Any) -> Any:
        return await self._exchange("GET", self._http.get, *args, **kwargs)

    async def post(self, *args: Any, **kwargs: Any) -> Any:
        return await self._exchange("POST", self._http.post, *args, **kwargs)

    async def _exchange(
        self, method: str, send: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any
    ) -> Any:
        self._switch.act(method)
        answer = await send(*args, **kwargs)
        self._switch.act(f"answer to {method}")
        return answer


class Life:
    """One podcast with an old episode and *new* ones, from publication to the final state."""

    def __init__(
        self, *, new: int = 1, dialect: Dialect | None = None, url: str | None = None
    ) -> None:
        self.clock = ManualClock(START)
        self.stack = ExitStack()
        self.old = new_item(100, "An old episode", START - timedelta(days=90))
        self.new = tuple(
            new_item(200 + n, f"New episode {n}", START + timedelta(minutes=n)) for n in range(new)
        )
        self.publisher = Publisher("show", [self.old], clock=self.clock)
        self.replica = Replica(
            {SLUG: self.publisher}, clock=self.clock, dialect=dialect or Dialect()
        )
        self.url = url
        self.polling = POLLING
        self.step = STEP
        self.limits = LIMITS
        self.changes: dict[str, Any] = {}  # of the request rules
        self.elsewhere: tuple[str, ...] = ()  # other hosts, by which an outage of ours is told
        self.tokens = map(str, count())  # over crashes, too
        self.polled: list[Mapping[str, Any]] = []

    def __enter__(self) -> Self:
        directory = Path(self.stack.enter_context(TemporaryDirectory()))
        self.database_url = self.url or f"sqlite:///{directory / 'life.db'}"
        world = World(self.publisher, replica=self.replica)
        self.base_url = self.stack.enter_context(serve_in_thread(world))
        with self._database() as database:
            migrate.migrate(database)
        self._until(Switch(), steps=1)  # the baseline is taken in peace
        for item in self.new:
            self.publisher.publish(item)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stack.close()

    def live(self, switch: Switch) -> bool:
        """Live on until everything is settled. False: the switch cut the power before."""
        alive = True
        try:
            self._until(switch, steps=STEPS)
        except PowerCut:
            alive = False
        gc.collect()  # a dead process holds no connection; what is left of this one may
        return alive

    def live_on(self, steps: int = STEPS) -> None:
        """Live on, undisturbed, until everything is settled."""
        self._until(Switch(), steps=steps)

    def remove(self) -> None:
        """Start once without the podcast in the configuration."""
        with self._database() as database:
            database.write(polls.configure, [], self.clock())

    def run(self, steps: int = 1, switch: Switch | None = None) -> None:
        """Go on for so many ticks, five minutes apart, settled or not."""
        self._until(switch or Switch(), steps=steps, settled=False)

    def _until(self, switch: Switch, *, steps: int, settled: bool = True) -> None:
        with self._database() as database, watched(database.engine, switch):
            asyncio.run(self._work(database, switch, steps, settled=settled))

    @contextmanager
    def _database(self) -> Iterator[Any]:
        database = connect(self.database_url)
        try:
            yield database
        finally:
            database.close()

    async def _work(self, database: Any, switch: Switch, steps: int, *, settled: bool) -> None:
        """Do what the daemon does at its start, then tick, turning the clock in between."""
        asyncio.get_running_loop().set_exception_handler(_without_the_dead)
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(_http())
            ctx = self._context(database, SwitchedHttp(http, switch), stack)
            podcasts = [(p.name, p.feed, p.slug) for p in ctx.podcasts.values()]
            await ctx.write(takeover.take_over, podcasts, ctx.now())
            dispatcher = Dispatcher(ctx, Outage(ctx.now, ctx.emit))
            for _ in range(steps):
                for start in (
                    dispatcher.start_polls,
                    dispatcher.start_deliveries,
                    dispatcher.start_looks,
                ):
                    await start()
                    await _finish(dispatcher)
                await offline.watch(dispatcher.ctx)
                if settled and self.is_settled(database):
                    return
                self.clock.turn(self.step)
                self.replica.advance()

    def _context(self, database: Any, http: Any, stack: AsyncExitStack) -> Context:
        rules = replace(REQUESTS, base_url=self.base_url, **self.changes)
        feed = f"{self.base_url}{self.publisher.path}"
        database_thread = stack.enter_context(ThreadPoolExecutor(1))
        return Context(
            podcasts={"show": Podcast("show", feed, SLUG, {}, self.polling, rules)},
            limits=self.limits,
            database=database,
            http=http,
            stenobird=Stenobird(http, base_url=self.base_url),
            database_thread=database_thread,
            sandbox=Sandbox(),
            evidence=None,
            parsers=stack.enter_context(ThreadPoolExecutor(1)),
            now=self.clock,
            chance=lambda: 0.0,
            token=self.tokens.__next__,
            emit=self._tell,
            wake=lambda _: None,
            outcomes=Outcomes(database, database_thread),
            uplink=Uplink((self.base_url, *self.elsewhere), self.reaches),
        )

    def _tell(self, event: LogEvent, _at: datetime) -> None:
        """Keep the lines of the polls; no job may fail without an outcome of its own."""
        assert event.name == "feed.polled", event
        self.polled.append(event.fields)

    async def reaches(self, url: str) -> bool:
        """Return whether another host, *url*, takes connections."""
        raise AssertionError(f"nothing leads to {url}")

    # --- what became of it ----------------------------------------------------------------

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what the database says."""
        with self._database() as database, database.engine.connect() as conn:
            return _rows(conn, query)

    def spoil(self, statement: str) -> None:
        """Change the database behind everybody's back."""
        with self._database() as database:
            database.write(lambda conn: conn.exec_driver_sql(statement))

    def request(self, item: Item | None = None) -> tuple[str, str | None]:
        """Return status and reason of an episode's newest request; the first new one's, if left out."""
        guid = (item or self.new[0]).guid
        query = f"{STATUSES} WHERE r.newest AND e.guid = '{guid}'"
        ((_, status, reason),) = self.rows(query)
        return status, reason

    def told(self, name: str) -> list[tuple[str | None, Mapping[str, Any]]]:
        """Return guid and fields of every committed event of one name."""
        found = self.rows(f"SELECT guid, fields FROM events WHERE name = '{name}' ORDER BY seq")
        return [
            (guid, json.loads(fields) if isinstance(fields, str) else fields)
            for guid, fields in found
        ]

    def ask(self) -> None:
        """Do what ``podcast-monitor poll`` does."""
        with self._database() as database:
            database.write(polls.mark_due, ["show"], self.clock())

    def void_leases(self) -> None:
        """Do what another daemon's start does."""
        with self._database() as database:
            database.write(leases.void_all)

    def do(self, verb: Callable[..., bool], item: Item | None = None) -> bool:
        """Do what an operator's command does."""
        with self._database() as database:
            row = database.read(reading.matching, (item or self.new[0]).guid)[0]
            return database.write(verb, row.id, "because", self.clock())

    def is_settled(self, database: Any) -> bool:
        """Return whether every new episode is known and has reached its final state."""
        with database.engine.connect() as conn:
            rows = _rows(conn, STATUSES)
        statuses = {guid: status for guid, status, _ in rows}
        return all(statuses.get(item.guid) == "processed" for item in self.new)

    def assert_kept(self) -> None:
        """Check the promise by the far end's ledger and the database, not by what was said."""
        effects = Counter(effect.guid for effect in self.replica.effects)
        assert effects == {item.guid: 1 for item in self.new}
        with self._database() as database, database.engine.connect() as conn:
            rows = _rows(conn, STATUSES)
            seqs = [seq for (seq,) in _rows(conn, "SELECT seq FROM events ORDER BY seq")]
            keys = _rows(
                conn, "SELECT request_id, count(DISTINCT key) FROM posts GROUP BY request_id"
            )
            told = Counter(
                (name, guid) for name, guid in _rows(conn, "SELECT name, guid FROM events")
            )
        expected = {(self.old.guid, "held", "baseline")}
        expected |= {(item.guid, "processed", "processed") for item in self.new}
        assert set(rows) == expected
        assert len(rows) == 1 + len(self.new)
        assert seqs == list(range(1, len(seqs) + 1))
        assert all(count == 1 for _, count in keys)
        for item in self.new:
            for name in ("episode.discovered", "request.enqueued", "request.processed"):
                assert told[name, item.guid] == 1
            assert told["request.accepted", item.guid] <= 1


STATUSES = """
    SELECT e.guid, r.status, r.reason FROM episodes e JOIN requests r ON r.episode_id = e.id
"""


def _rows(conn: Connection, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in conn.exec_driver_sql(query)]


def _http() -> Http:
    return Http(
        user_agent="test",
        deadline=timedelta(seconds=5),
        per_host_interval=timedelta(),
        allow_private=True,
    )


def _without_the_dead(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say nothing of jobs that died in the same power cut as the one that is waited for."""
    if not isinstance(context.get("exception"), PowerCut):
        loop.default_exception_handler(context)


async def _finish(dispatcher: Dispatcher) -> None:
    """Wait for what was started; let a power cut in one of the jobs be one of the process."""
    for job in dispatcher.running():
        await job


@contextmanager
def watched(engine: sa.Engine, switch: Switch) -> Iterator[None]:
    """Let *switch* know of every statement and commit."""

    def statement(_conn: Any, _cursor: Any, sql: str, *_rest: Any) -> None:
        switch.act(sql.split(maxsplit=1)[0])

    def commit(_conn: Connection) -> None:
        switch.act("COMMIT")

    sa.event.listen(engine, "before_cursor_execute", statement)
    sa.event.listen(engine, "commit", commit)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", statement)
        sa.event.remove(engine, "commit", commit)
