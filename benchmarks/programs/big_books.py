"""What the store's questions cost on a database of many feeds, after years.

Fills the database at a URL, which must have no podcasts yet, and prints as JSON the milliseconds of
each question, the least of some, and the database's size. With ``--explain`` also how it is gone
about. A program that knows our insides, as ``keep_books`` does.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.adapters.store import catalogue, events, migrate, polls, reading, schema, work
from monitor.adapters.store.database import Database, connect
from monitor.core.model import LogEvent

NOW = datetime(2026, 12, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LEAST = timedelta(minutes=5)
EPISODES = 10  # a feed
HOSTS = 500
TIMES = 5
COMMITS = 50
SERIES = {
    "sqlite": "(WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {n}) SELECT i FROM s)",
    "postgresql": "generate_series(1, {n}) AS s(i)",
}
PODCASTS = """
    INSERT INTO podcasts (id, name, slug, url, configured, origin, failures, next_poll_at)
    SELECT i, 'p' || i, 's', 'http://h' || (i - i / {hosts} * {hosts}) || '.example/f', TRUE,
        'http://h' || (i - i / {hosts} * {hosts}) || '.example:80', 0, '{later}' FROM {series}
"""
ROWS = (
    """
    INSERT INTO episodes (id, podcast_id, guid, title, former_titles, audio_url, first_seen_at,
        present, next_track_at)
    SELECT i, (i - 1) / {episodes} + 1, 'g' || i, 'An episode of middling length, number ' || i, '[]',
        'https://cdn.example/' || i || '.mp3', '{before}', TRUE, '{later}' FROM {series}
    """,
    """
    INSERT INTO requests (id, episode_id, generation, newest, epoch, status, reason, attempts,
        next_attempt_at, created_at, outcome_unknown, reasks, same_count)
    SELECT i, i, 1, TRUE, 0, CASE WHEN i - i / 20 * 20 = 0 THEN 'processed' ELSE 'held' END,
        'baseline', 0, '{before}', '{before}', FALSE, 0, 0 FROM {series}
    """,
    """
    INSERT INTO aliases (podcast_id, kind, value, episode_id, added_at)
    SELECT (i - 1) / {episodes} + 1, 'guid', 'g' || i, i, '{before}' FROM {series}
    """,
)
EVENTS = """
    INSERT INTO events (seq, at, name, level, podcast, guid, fields)
    SELECT i, '{before}', 'state.changed', 'info', 'p' || (i - i / {feeds} * {feeds}), 'g' || i,
        '{{"from": "queued", "to": "processed"}}' FROM {series}
"""


def main(url: str, feeds: int, told: int, *, explain: bool) -> None:
    """Print what each question costs at so many feeds and committed events."""
    with closing(connect(url)) as database:
        migrate.migrate(database)
        database.write(_fill, feeds, told)
        if database.kind == "postgresql":  # which does it by itself, within minutes
            database.write(lambda conn: conn.exec_driver_sql("ANALYZE"))
        asked = {name: _least(database, ask) for name, ask in _questions(feeds).items()}
        found: dict[str, Any] = {"ms": asked, "mib": round(_size(database) / 2**20, 1)}
        found["commits_per_s"] = _per_s(_commit(database))
        if database.path is not None:
            found["flushes_per_s"] = _per_s(_flush(database.path.with_name("floor")))
        if explain:
            found["plans"] = _plans(database, feeds)
        print(json.dumps(found))


def _fill(conn: Connection, feeds: int, told: int) -> None:
    kind = conn.dialect.name
    constants = {
        "later": "2027-01-01 00:00:00.000000" + ("" if kind == "sqlite" else "+00"),
        "before": "2026-11-01 00:00:00.000000" + ("" if kind == "sqlite" else "+00"),
        "hosts": HOSTS,
        "episodes": EPISODES,
        "feeds": feeds,
    }
    sized = [(PODCASTS, feeds), *((rows, feeds * EPISODES) for rows in ROWS), (EVENTS, told)]
    for statement, rows in sized:
        series = SERIES[kind].format(n=rows)
        conn.exec_driver_sql(statement.format(series=series, **constants))
    conn.execute(sa.update(schema.counters).values(value=told))


def _questions(feeds: int) -> dict[str, Callable[[Database], Any]]:
    least = {f"p{n}": LEAST for n in range(1, feeds + 1)}
    tick = {"now": NOW, "due_by": NOW, "token": "t", "lease_for": HOUR}
    claim = {"least": least, "per_origin": 128, "limit": 256, **tick}
    return {
        "claim, nothing due": lambda db: db.write(polls.lease_feeds, **claim),
        "deliveries, nothing due": lambda db: db.write(work.lease_deliveries, limit=2, **tick),
        "looks, nothing due": lambda db: db.write(work.lease_looks, limit=2, **tick),
        "log, nothing new": lambda db: db.read(_unlogged),
        "one feed's episodes": lambda db: db.read(catalogue.known, feeds // 2),
        "status": lambda db: db.read(reading.snapshot),
        "explain an episode": lambda db: db.read(events.of_episode, "p5", "g5"),
        "claim, 256 due": lambda db: _claim(db, claim),
    }


def _unlogged(conn: Connection) -> object:
    return events.after(conn, events.counter(conn, schema.LOGGED), limit=1000)


def _claim(database: Database, claim: dict[str, Any]) -> None:
    leased = database.write(polls.lease_feeds, **claim | {"due_by": NOW + 365 * 24 * HOUR})
    assert len(leased) == 256 or len(leased) == len(claim["least"])
    database.write(polls.put_back, leased)


def _least(database: Database, ask: Callable[[Database], Any]) -> float:
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        ask(database)
        took.append(time.perf_counter() - began)
    return round(min(took) * 1000, 2)


def _size(database: Database) -> int:
    if database.path is not None:
        return database.path.stat().st_size
    with database.engine.connect() as conn:
        return int(conn.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())


def _per_s(doing: Iterator[None]) -> float:
    """Return how often a second *doing* takes a step: the best of some tries."""
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        for _ in range(COMMITS):
            next(doing)
        took.append(time.perf_counter() - began)
    return round(COMMITS / min(took), 1)


def _commit(database: Database) -> Iterator[None]:
    """Commit one event at a time."""
    for n in count():
        event = LogEvent("feed.moved", "p1", fields={"to_host": str(n)})
        database.write(events.append, [event], NOW)
        yield


def _flush(path: Path) -> Iterator[None]:
    """Add a page at a time to a file, and have it on the disk: nobody commits faster here."""
    with path.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))
            os.fsync(file.fileno())
            yield


def _plans(database: Database, feeds: int) -> dict[str, list[str]]:
    """Return how the database goes about each SELECT of each question."""
    plans: dict[str, list[str]] = {}
    verb = "EXPLAIN QUERY PLAN" if database.kind == "sqlite" else "EXPLAIN"
    for name, ask in _questions(feeds).items():
        said: list[tuple[str, Any]] = []

        def note(*call: Any, said: list[tuple[str, Any]] = said) -> None:
            _conn, _cursor, sql, values, _context, many = call
            if sql.startswith("SELECT") and not many:
                said.append((sql, values))

        sa.event.listen(database.engine, "before_cursor_execute", note)
        ask(database)
        sa.event.remove(database.engine, "before_cursor_execute", note)
        with database.engine.connect() as conn:
            plans[name] = [
                "; ".join(str(row[-1]) for row in conn.exec_driver_sql(f"{verb} {sql}", values))
                for sql, values in said
            ]
    return plans


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("feeds", type=int)
    parser.add_argument("events", type=int)
    parser.add_argument("--explain", action="store_true")
    options = parser.parse_args(sys.argv[1:])
    main(options.url, options.feeds, options.events, explain=options.explain)
