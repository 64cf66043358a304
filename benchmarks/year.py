"""``python -m benchmarks.year``: what a year adds to the database, table by table.

The dispatcher, the jobs, the HTTP and the database file are the daemon's, with the settings as
shipped; the far ends are the demo's, on loopback. The clock is turned to whatever is due next, so
that a year takes minutes.
"""

import argparse
import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from benchmarks.figures import percent, put, table
from benchmarks.weekly import LISTED_AFTER, STEP_EVERY, FullReplica, plan
from monitor.adapters.store import migrate, takeover
from monitor.adapters.store.database import Database, connect
from monitor.assembly import open_context
from monitor.config import load
from monitor.core.model import LogEvent
from monitor.demo import ManualClock
from monitor.demo.publisher import Publisher, real_items
from monitor.demo.server import World, serve_in_thread
from monitor.dispatch import Dispatcher
from monitor.jobs.outage import Outage

START = datetime(2026, 11, 2, 12, tzinfo=UTC)
SETTLED_IN = timedelta(days=1)  # before: the back catalogue is read, and looked at
YEAR = timedelta(days=365)
AT_LEAST = timedelta(seconds=5)  # the daemon's tick
HEADINGS = ("table", "rows at first", "rows a year", "bytes a year", "of all", "bytes a row")
CONFIG = """
database = "sqlite:///{database}"
[network]
per_host_interval = "1ms"
allow_private = true
[stenobird]
base_url = "{url}"
"""
PODCAST = """
[[podcasts]]
name = "{name}"
feed = "{url}{path}"
stenobird = "{name}"
"""
DUE = """
    SELECT min(at) FROM (
        SELECT min(next_poll_at) AS at FROM podcasts
        UNION ALL SELECT min(next_track_at) FROM episodes
        UNION ALL SELECT min(next_attempt_at) FROM requests WHERE newest AND status = 'pending'
    )
"""
SIZES = """
    SELECT m.tbl_name, sum(d.pgsize) FROM dbstat d JOIN sqlite_schema m ON m.name = d.name
    WHERE m.tbl_name NOT LIKE 'alembic%' GROUP BY m.tbl_name
"""


@dataclass(frozen=True, slots=True)
class Held:
    """What a database holds, by table."""

    rows: Mapping[str, int]
    bytes: Mapping[str, int]  # of its pages and its indexes'


@dataclass(frozen=True, slots=True)
class Lived:
    podcasts: int
    before: Held  # when the back catalogue is known
    after: Held
    polls: int
    published: int
    events: Mapping[str, int]  # added, by name


class Year:
    """So many podcasts, each with the real back catalogue, while they publish and are followed."""

    def __init__(self, directory: Path, podcasts: int) -> None:
        self.path = directory / "year.db"
        self.clock = ManualClock(START - SETTLED_IN)
        self.polls = 0
        self.published = 0
        self.publishers = [
            Publisher(f"p{n}", real_items(), clock=self.clock) for n in range(podcasts)
        ]
        self.replica = FullReplica(
            {publisher.name: publisher for publisher in self.publishers},
            clock=self.clock,
            listed_after=LISTED_AFTER,
            step_every=STEP_EVERY,
        )
        self._plans = [plan(publisher, START) for publisher in self.publishers]
        self._next = [next(plan) for plan in self._plans]

    async def live(self, span: timedelta) -> Lived:
        world = World(*self.publishers, replica=self.replica)
        with serve_in_thread(world) as url, closing(connect(f"sqlite:///{self.path}")) as database:
            sa.event.listen(database.engine, "connect", _unflushed)
            migrate.migrate(database)
            async with AsyncExitStack() as stack:
                dispatcher = await self._begin(url, database, stack)
                await self._work(dispatcher, database, START)
                before, told = database.read(_held), database.read(_told)
                self.polls = self.published = 0
                await self._work(dispatcher, database, START + span)
            events = {name: n - told.get(name, 0) for name, n in database.read(_told).items()}
            after = database.read(_held)
        return Lived(len(self.publishers), before, after, self.polls, self.published, events)

    async def _begin(self, url: str, database: Database, stack: AsyncExitStack) -> Dispatcher:
        """Do what the daemon does at its start."""
        file = self.path.with_suffix(".toml")
        podcasts = "".join(
            PODCAST.format(name=p.name, url=url, path=p.path) for p in self.publishers
        )
        file.write_text(CONFIG.format(database=self.path, url=url) + podcasts)
        ctx = await open_context(
            stack,
            load(file, {}),
            database,
            environ={},
            now=self.clock,
            chance=Random(0).random,
            token=map(str, count()).__next__,
            emit=self._tell,
            wake=lambda _: None,
        )
        named = [(p.name, p.feed, p.slug) for p in ctx.podcasts.values()]
        await ctx.write(takeover.take_over, named, self.clock())
        return Dispatcher(ctx, Outage(ctx.now, ctx.emit))

    async def _work(self, dispatcher: Dispatcher, database: Database, until: datetime) -> None:
        while self.clock() < until:
            self._publish()
            for start in (
                dispatcher.start_polls,
                dispatcher.start_deliveries,
                dispatcher.start_looks,
            ):
                await start()
                await dispatcher.join()
            due = min(database.read(_due), *(at for at, _ in self._next))
            self.clock.turn(max(due - self.clock(), AT_LEAST))

    def _publish(self) -> None:
        """Let every podcast do what it does by now."""
        for n, coming in enumerate(self._plans):
            while self._next[n][0] <= self.clock():
                is_new = self._next[n][1]()
                self.published += is_new
                self._next[n] = next(coming)

    def _tell(self, event: LogEvent, _at: datetime) -> None:
        self.polls += event.name == "feed.polled"


def _unflushed(connection: Any, _record: object) -> None:
    """Spare the disk: what is measured is thrown away."""
    connection.execute("PRAGMA synchronous = OFF")


def _due(conn: Connection) -> datetime:
    return datetime.fromisoformat(conn.exec_driver_sql(DUE).scalar_one() + "+00:00")


def _held(conn: Connection) -> Held:
    sizes = dict(conn.exec_driver_sql(SIZES).all())
    rows = {
        name: conn.execute(sa.select(sa.func.count()).select_from(sa.table(name))).scalar_one()
        for name in sizes
    }
    return Held(rows, sizes)


def _told(conn: Connection) -> Mapping[str, int]:
    return dict(conn.exec_driver_sql("SELECT name, count(*) FROM events GROUP BY name").all())


# --- the page ------------------------------------------------------------------------------


def page(lived: Lived, span: timedelta) -> str:
    """Return what is said of it; what did not grow is named in one line."""
    grown = {name: size - lived.before.bytes[name] for name, size in lived.after.bytes.items()}
    added = {name: rows - lived.before.rows[name] for name, rows in lived.after.rows.items()}
    most_first = sorted(grown, key=lambda name: (-grown[name], -added[name]))
    rows = [
        (name, f"{lived.before.rows[name]:,}", *_cells(added[name], grown[name], grown, span))
        for name in most_first
        if added[name] or grown[name]
    ]
    rows.append(("all", "", *_cells(0, sum(grown.values()), grown, span)))
    still = ", ".join(sorted(name for name in grown if not added[name] and not grown[name]))
    told = sorted(lived.events.items(), key=lambda pair: -pair[1])
    first = (
        f"Podcasts: {lived.podcasts}. Days: {span.days}. Polls: {lived.polls:,}."
        f" Published: {lived.published:,}. Before: {sum(lived.before.bytes.values()):,} bytes."
    )
    events = ", ".join(f"{n:,} `{name}`" for name, n in told if n)
    parts = (first, table(HEADINGS, rows), f"Unchanged: {still}.", f"Events: {events}.")
    return "\n\n".join(parts)


def _cells(
    added: int, grown: int, all_grown: Mapping[str, int], span: timedelta
) -> tuple[str, str, str, str]:
    years = span / YEAR
    return (
        f"{added / years:,.0f}" if added else "",
        f"{grown / years:,.0f}",
        percent(grown / sum(all_grown.values())),
        f"{grown / added:,.0f}" if added else "",
    )


def measure(podcasts: int, span: timedelta) -> Lived:
    """Live so long with so many podcasts, in a database that is thrown away."""
    with TemporaryDirectory(prefix="podcast-monitor-year-") as directory:
        return asyncio.run(Year(Path(directory), podcasts).live(span))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.year", description=__doc__)
    parser.add_argument("--podcasts", type=int, default=1)
    parser.add_argument("--days", type=int, default=YEAR.days)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into a page")
    options = parser.parse_args()
    span = timedelta(days=options.days)
    text = page(measure(options.podcasts, span), span)
    print(text)
    if options.write is not None:
        put("year", text, options.write)


if __name__ == "__main__":
    main()
