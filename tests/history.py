"""A feed's history as the daemon would have lived it: read, decided, and kept in a real database.

The archive plays the feed's host, and the daemon polls it without a pause: a document is asked for
when it appears, again when the next poll is due if it was refused as unfamiliar and still stands
then, and last before the next one appears, which brings a 304.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain, pairwise
from pathlib import Path

import sqlalchemy as sa
from series import Snapshot
from sqlalchemy import Connection

from monitor.adapters.store import catalogue, editions, migrate, polls
from monitor.adapters.store.database import Database, connect
from monitor.core import parse, reconcile
from monitor.core.baseline import Within
from monitor.core.cut import UncutError
from monitor.core.model import (
    Document,
    Edition,
    Feed,
    Fetched,
    FetchFailed,
    NotModified,
    ParseError,
    PollPlan,
    Reading,
    Validators,
)
from monitor.core.rules import PollRules
from monitor.core.schedule import Bounds
from monitor.core.sweep import Sweep

NAME = "show"
LEASE = timedelta(minutes=5)
PIECE_BYTES = 65_536
RULES = PollRules(  # as shipped
    poll=Bounds(timedelta(minutes=5), timedelta(hours=6)),
    per_day=48,
    backfill=Within(timedelta(days=7)),
    bulk_over=10,
    backdated_over=timedelta(days=30),
)


@dataclass(frozen=True, slots=True)
class Heard:
    """What was read of a body."""

    document: Document | None  # None: every item is as it was
    edition: Edition | None = None
    reading: Reading | None = None


Way = Callable[[Database, Feed, Fetched, bytes], Heard]  # of reading; raises ParseError


@dataclass(frozen=True, slots=True)
class Step:
    """One poll that carried a body."""

    snapshot: int  # its number
    at: datetime
    plan: PollPlan

    @property
    def refused(self) -> str | None:
        return self.plan.feed.reason


def whole(_database: Database, _feed: Feed, _fetched: Fetched, body: bytes) -> Heard:
    """Read all of a body, whatever was read before."""
    return Heard(parse.parse_feed(body))


def cut(database: Database, feed: Feed, fetched: Fetched, body: bytes) -> Heard:
    """Read of a body what is new since the last edition, as the daemon does."""
    sweep = Sweep(feed.edition, may_stop=False)
    pieces = (body[at : at + PIECE_BYTES] for at in range(0, len(body), PIECE_BYTES))
    if all(sweep.take(piece) for piece in pieces):
        sweep.finish()
    if feed.baseline_at and sweep.repeats:
        return Heard(None, sweep.edition(fetched, None))
    reading: Reading | None = None
    with suppress(UncutError):
        reading = sweep.read(database.read(editions.reading, feed.id))
    if reading is None:
        reading = parse.read_whole(body)
    return Heard(parse.document_of(reading), sweep.edition(fetched, reading), reading)


@contextmanager
def opened(place: Path) -> Iterator[Database]:
    """Give a new database that nobody waits for to reach the disk."""
    database = connect(f"sqlite:///{place / 'history.db'}")
    sa.event.listen(
        database.engine, "connect", lambda conn, _: conn.execute("PRAGMA synchronous = OFF")
    )
    try:
        migrate.migrate(database)
        yield database
    finally:
        database.close()


def replay(database: Database, snapshots: Iterable[Snapshot], way: Way) -> list[Step]:
    """Return what each document led to. One that repeats the last that was applied is a 304."""
    steps: list[Step] = []
    applied: bytes | None = None
    for snapshot, following in pairwise(chain(snapshots, [None])):
        assert snapshot is not None
        if snapshot.body == applied:
            continue
        steps.append(_poll(database, snapshot, way, snapshot.at))
        again_at = steps[-1].plan.feed.next_poll_at
        if steps[-1].refused == "unfamiliar" and (following is None or following.at >= again_at):
            steps.append(_poll(database, snapshot, way, again_at))
        applied = applied if steps[-1].refused else snapshot.body
    return steps


def _poll(database: Database, snapshot: Snapshot, way: Way, now: datetime) -> Step:
    feed = _not_modified_until(database.write(_lease, now), now)
    plan = _plan(database, feed, snapshot.body, way, now)
    assert database.write(polls.commit_poll, plan, None, now=now)
    return Step(snapshot.number, now, plan)


def _lease(conn: Connection, now: datetime) -> Feed:
    polls.configure(conn, [(NAME, "https://show.example/rss", NAME)], now)
    (feed,) = polls.lease_feeds(
        conn,
        least={NAME: RULES.poll.min},
        now=now,
        due_by=datetime.max.replace(tzinfo=now.tzinfo),
        token=now.isoformat(),
        lease_for=LEASE,
        limit=1,
        per_origin=1,
    )
    return feed


def _not_modified_until(feed: Feed, now: datetime) -> Feed:
    """Return the feed as the last 304 left it, at most ``poll.max`` ago; while failing, as it is."""
    if feed.last_ok_at is None or feed.failures:
        return feed
    at = max(feed.last_ok_at, now - RULES.poll.max)
    unchanged = reconcile.unchanged(feed, NotModified(Validators()), now=at, jitter=0, rules=RULES)
    return unchanged.feed


def _plan(database: Database, feed: Feed, body: bytes, way: Way, now: datetime) -> PollPlan:
    fetched = Fetched(Validators(), len(body), len(body), complete=True)
    try:
        heard = way(database, feed, fetched, body)
    except ParseError as error:
        failure = FetchFailed(error.reason)
        return reconcile.failed(feed, failure, now=now, jitter=0, rules=RULES)
    if heard.document is None:
        plan = reconcile.repeated(feed, fetched, now=now, jitter=0, rules=RULES)
        return replace(plan, edition=heard.edition)
    known = database.read(catalogue.known, feed.id)
    plan = reconcile.reconcile(feed, known, heard.document, fetched, now=now, jitter=0, rules=RULES)
    if plan.feed.failures:
        return plan
    return replace(plan, edition=heard.edition, reading=heard.reading)
