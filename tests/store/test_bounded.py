"""What a database keeps of what is over: nothing, but for the history and the ledger."""

from collections.abc import Iterator
from datetime import datetime

import pytest
import sqlalchemy as sa
from recorded import DAY, HOUR, NOON, configure

from monitor.adapters.store import editions, events, freezing, presence, schema
from monitor.adapters.store.database import Database
from monitor.core.model import Edition, Reading
from monitor.core.problems import Kind, recover, strike

NOTHING = Reading((), None, None, alone=True)
DAYS = [NOON + n * DAY for n in range(30)]


def daemons_that_died(database: Database) -> Iterator[None]:
    over = sa.update(schema.daemons).values(until=NOON - DAY)
    for n in range(len(DAYS)):
        database.write(lambda conn: conn.execute(over))
        database.write(presence.renew, f"daemon {n}", "a name", ["show"], NOON)
        yield


def a_source_that_closed_its_door_and_asked_for_rest(database: Database) -> Iterator[None]:
    for at in DAYS:
        database.write(freezing.freeze, freezing.Freeze("http_403", 1, at + HOUR), at)
        database.write(freezing.rest, at + HOUR)
        yield


def a_problem_that_came_and_went(database: Database) -> Iterator[None]:
    def write(conn: sa.Connection, at: datetime) -> None:
        before = events.problem(conn, Kind.CLOCK)
        events.write_problems(conn, [recover(before, now=at)], at)
        before = events.problem(conn, Kind.CLOCK)
        events.write_problems(conn, [strike(before, Kind.CLOCK, reason="unset", now=at)], at)

    for at in DAYS:
        database.write(write, at)
        yield


def a_feed_that_changed_every_day(database: Database) -> Iterator[None]:
    configure(database)
    for n in range(len(DAYS)):
        edition = Edition(b"m" * 8, b"d" * 12, alone=True, calm=n, body_bytes=n, wire_bytes=n)
        database.write(editions.write, 1, edition, NOTHING)
        yield


BOUNDS = {  # the table that a life leaves its traces in, and how many rows at most
    daemons_that_died: (schema.daemons, 1),
    a_source_that_closed_its_door_and_asked_for_rest: (schema.freezes, 2),
    a_problem_that_came_and_went: (schema.problems, 1),
    a_feed_that_changed_every_day: (schema.editions, 1),
}


@pytest.mark.parametrize("live", BOUNDS, ids=lambda life: life.__name__.replace("_", " "))
def test_of_what_is_over_no_row_stays(database, live):
    table, most = BOUNDS[live]
    count = sa.select(sa.func.count()).select_from(table)
    counts = {database.read(lambda conn: conn.execute(count).scalar_one()) for _ in live(database)}
    if table is schema.daemons and database.kind == "sqlite":  # one daemon, and a lock says so
        most = 0
    assert max(counts) == most
