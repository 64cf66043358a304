"""What a database says, read with raw SQL: the checker's own view of the tables."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Row = Mapping[str, Any]

SQLITE = "sqlite:///"
EPISODES = """
    SELECT e.*, p.name AS podcast, p.slug AS podcast_slug
    FROM episodes e JOIN podcasts p ON p.id = e.podcast_id ORDER BY e.id
"""
ALIASES = """
    SELECT a.kind, a.value, a.episode_id, p.name AS podcast
    FROM aliases a JOIN podcasts p ON p.id = a.podcast_id ORDER BY p.name, a.kind, a.value
"""
REQUESTS = "SELECT * FROM requests ORDER BY episode_id, generation"
POSTS = "SELECT * FROM posts ORDER BY id"
EVENTS = "SELECT * FROM events ORDER BY seq"
PROBLEMS = "SELECT * FROM problems ORDER BY kind, podcast, guid"
PODCASTS = "SELECT * FROM podcasts ORDER BY name"
COUNTERS = "SELECT * FROM counters ORDER BY name"


@dataclass(frozen=True, slots=True)
class Record:
    """The rows as they are; instants are aware, JSON is decoded."""

    episodes: Sequence[Row]
    aliases: Sequence[Row]
    requests: Sequence[Row]
    posts: Sequence[Row]
    events: Sequence[Row]
    problems: Sequence[Row]
    podcasts: Sequence[Row]
    counters: Sequence[Row]

    @property
    def latest(self) -> datetime | None:
        """The latest instant of which anything is told; None: nothing ever happened."""
        told = [event["at"] for event in self.events]
        polled = [podcast["last_attempt_at"] for podcast in self.podcasts]
        return max((at for at in (*told, *polled) if at is not None), default=None)


def read(database: str) -> Record:
    """Read everything. *database* is a SQLAlchemy URL of either kind."""
    queries = (EPISODES, ALIASES, REQUESTS, POSTS, EVENTS, PROBLEMS, PODCASTS, COUNTERS)
    with _connected(database) as connection, closing(connection.cursor()) as cursor:
        return Record(*(_rows(cursor, query) for query in queries))


@contextmanager
def _connected(database: str) -> Iterator[Any]:
    if database.startswith(SQLITE):
        path = database.removeprefix(SQLITE)
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
            yield connection
        return
    import psycopg

    with psycopg.connect(database.replace("+psycopg", "", 1)) as connection:
        yield connection


def _rows(cursor: Any, query: str) -> list[Row]:
    cursor.execute(query)
    names = [column[0] for column in cursor.description]
    return [
        {name: _value(name, value) for name, value in zip(names, row, strict=True)}
        for row in cursor.fetchall()
    ]


def _value(name: str, value: Any) -> Any:
    """Return a value as both databases mean it: SQLite has instants and JSON as text."""
    if value is None:
        return None
    if name == "at" or name.endswith(("_at", "_until")):
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    if name == "fields" and isinstance(value, str):
        return json.loads(value)
    return value
