"""What the tests of the store begin with: podcasts, episodes and requests, recorded by its verbs."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from databases import IMPATIENT
from sqlalchemy import Connection

from monitor.adapters.store import catalogue, polls, schema, work
from monitor.adapters.store.database import Database, connect
from monitor.core.lifecycle import Status
from monitor.core.model import (
    Feed,
    LogEvent,
    NewEpisode,
    ObservedEpisode,
    PollPlan,
    Settlement,
    Validators,
    Work,
)

NOON = datetime(2026, 10, 12, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LEASE = 5 * MINUTE
NAME = "latent-space"
URL = "https://api.substack.example/feed/podcast/1084089.rss"
SLUG = "latent-space-ai-engineer"


def observed(number: int, **changes: Any) -> ObservedEpisode:
    """Return an episode of a feed; the higher its number, the younger."""
    episode = ObservedEpisode(
        guid=f"substack:post:{number}",
        title=f"Episode {number}",
        audio_url=f"https://api.substack.example/feed/podcast/{number}/0a.mp3",
        post_id=str(number),
        link=f"https://www.latent.example/p/{number}",
        audio_bytes=5_000_000_000,  # more than 32 bits hold
        duration_s=4500,
        published_at=NOON - DAY + number * MINUTE,
        published_raw="Sun, 11 Oct 2026 12:00:00 GMT",
    )
    return replace(episode, **changes)


def new(
    number: int, status: Status = Status.PENDING, reason: str | None = None, **changes: Any
) -> NewEpisode:
    """Return an episode that a poll discovered."""
    seen = observed(number, **changes)
    keys = (("guid", seen.guid), ("post_id", seen.post_id), ("link", seen.link))
    return NewEpisode(seen, keys, status, reason, next_track_at=NOON + 10 * MINUTE)


def event(number: int = 0, **changes: Any) -> LogEvent:
    told = LogEvent("episode.discovered", NAME, f"substack:post:{number}", fields={"n": number})
    return replace(told, **changes)


def configure(database: Database, *names: str, now: datetime = NOON) -> None:
    """Make podcasts the configured ones; without names, the usual one."""
    podcasts = [(name, URL, SLUG) for name in names or (NAME,)]
    database.write(polls.configure, podcasts, now)


def lease_feeds(database: Database, **changes: Any) -> list[Feed]:
    wanted = {
        "least": {NAME: 5 * MINUTE},
        "now": NOON,
        "token": "poll",
        "limit": 8,
        "per_origin": 8,
    }
    wanted = {"due_by": changes.get("now", NOON), "lease_for": LEASE, **wanted, **changes}
    return database.write(polls.lease_feeds, **wanted)


def planned(feed: Feed, *episodes: NewEpisode, now: datetime = NOON, **changes: Any) -> PollPlan:
    """Return the plan of a poll that went well."""
    after = replace(
        feed,
        validators=Validators('W/"1"', "Mon, 12 Oct 2026 11:59:00 GMT"),
        next_poll_at=now,
        last_attempt_at=now,
        last_ok_at=now,
    )
    return PollPlan(after, new=episodes, **changes)


def record(database: Database, *episodes: NewEpisode, now: datetime = NOON) -> list[int]:
    """Write what a poll discovered; return the episodes' ids, in order."""
    configure(database, now=now)
    (feed,) = lease_feeds(database, now=now, token="record")
    assert database.write(polls.commit_poll, planned(feed, *episodes, now=now), None, now=now)
    known = database.read(catalogue.known, feed.id)
    return [known.aliases["guid", episode.observed.guid] for episode in episodes]


def deliveries(database: Database, **changes: Any) -> list[Work]:
    """Lease what is to be delivered."""
    return _lease(database, work.lease_deliveries, changes)


def looks(database: Database, **changes: Any) -> list[Work]:
    """Lease what is to be looked at."""
    return _lease(database, work.lease_looks, {"now": NOON + HOUR, **changes})


def _lease(database: Database, verb: Any, changes: dict[str, Any]) -> list[Work]:
    wanted = {"now": NOON, "token": "work", "lease_for": LEASE, "limit": 100, **changes}
    return database.write(verb, **{"due_by": wanted["now"], **wanted})


def find(database: Database, episode_id: int) -> Work:
    return database.read(work.find, episode_id)


def becoming(given: Work, *events: LogEvent, **changes: Any) -> Settlement:
    """Return the settlement that changes a request so."""
    return Settlement(replace(given.request, **changes), events)


def force(database: Database, episode_id: int, **values: Any) -> None:
    """Bring an episode's newest request into a state that takes the jobs many steps."""
    r = schema.requests.c
    newest = sa.and_(r.episode_id == episode_id, r.newest)
    database.write(
        lambda conn: conn.execute(sa.update(schema.requests).where(newest).values(values))
    )


def rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Return everything that a database holds."""
    return database.read(all_rows)


def all_rows(conn: Connection) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table.name: [
            tuple(row) for row in conn.execute(sa.select(table).order_by(*table.primary_key))
        ]
        for table in schema.metadata.sorted_tables
    }


def names(database: Database) -> list[str]:
    """Return the names of the committed events, in order."""
    return [row[2] for row in rows(database)["events"]]


@contextmanager
def another_writer(url: str) -> Iterator[Database]:
    """Hold a write transaction open; give a second connection, which does not wait for it."""
    first, second = connect(url), connect(url, patience=IMPATIENT)
    with closing(first), closing(second), first.engine.begin():
        yield second
