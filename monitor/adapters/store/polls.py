"""Feeds: configured, leased, and one poll's plan committed whole."""

import struct
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.adapters.address import origin
from monitor.adapters.store import catalogue, editions, events, schema
from monitor.adapters.store.leases import among, clock, lease_expired
from monitor.core.model import Feed, PollPlan, Validators
from monitor.core.problems import ProblemUpdate, recover
from monitor.core.schedule import ASKED

P = schema.podcasts.c


def configure(
    conn: Connection,
    podcasts: Sequence[tuple[str, str, str]],
    now: datetime,
    *,
    others: Collection[str] = (),
) -> None:
    """Make the podcasts of the configuration (name, feed URL, Stenobird slug) the polled ones.

    Beside them *others*, which other daemons poll. A podcast that is in neither keeps its rows.
    A changed address keeps the identity of its episodes and drops the validators, which belong to
    the address that gave them.
    """
    known = {row.name: row for row in conn.execute(sa.select(schema.podcasts))}
    names = {name for name, _, _ in podcasts}.union(others)
    conn.execute(sa.update(schema.podcasts).where(P.name.not_in(names)).values(configured=False))
    gone = [p for p in events.problems(conn) if p.podcast is not None and p.podcast not in names]
    events.write_problems(conn, [recover(problem, now=now) for problem in gone], now)
    for name, url, slug in podcasts:
        row = known.get(name)
        if row is None:
            fresh = {"name": name, "url": url, "slug": slug, "configured": True}
            fresh |= {"origin": origin(url), "next_poll_at": now}
            conn.execute(sa.insert(schema.podcasts).values(**fresh))
        elif (row.url, row.slug, row.configured) != (url, slug, True) or row.origin is None:
            changed = {"url": url, "slug": slug, "configured": True}
            if row.url != url or row.origin is None:
                changed |= {"origin": origin(url), "adopted": None, "moved_to": None}
                changed |= {"etag": None, "last_modified": None, "wire_digest": None}
                changed |= {"next_poll_at": now}
                changed |= {"lease": None, "leased_until": None}  # what it answers comes too late
            conn.execute(sa.update(schema.podcasts).where(P.id == row.id).values(changed))


def keep(conn: Connection, names: Collection[str]) -> None:
    """Take up again what was dropped while the daemon that polls it was away: paused, or cut off.

    Another one that started meanwhile took it for dead.
    """
    dropped = sa.and_(among(conn, P.name, names), sa.not_(P.configured))
    conn.execute(sa.update(schema.podcasts).where(dropped).values(configured=True))


def lease_feeds(
    conn: Connection,
    *,
    least: Mapping[str, timedelta],
    now: datetime,
    due_by: datetime,
    token: str,
    lease_for: timedelta,
    limit: int,
    per_origin: int,
) -> list[Feed]:
    """Claim feeds that are due, longest overdue first, so many of one origin at most.

    *least* is each podcast's least interval: the next poll is put off by it here, before the
    first byte is sent, so that a crash costs one poll and a crash loop is no storm.
    """
    at = clock(conn, now)
    rank = sa.func.row_number().over(partition_by=P.origin, order_by=P.next_poll_at)
    due = (
        sa.select(P.id, rank.label("rank"))
        .where(P.configured, among(conn, P.name, least), P.next_poll_at <= due_by)
        .where(lease_expired(P.leased_until, at))
        .subquery()
    )
    query = (
        sa.select(schema.podcasts, *editions.COLUMNS)
        .join(due, due.c.id == P.id)
        .outerjoin(schema.editions, editions.CURRENT)
        .where(due.c.rank <= per_origin)
        .order_by(P.next_poll_at)
        .limit(limit)
        .with_for_update(of=schema.podcasts, skip_locked=True)
    )
    feeds = [_feed(row, token) for row in conn.execute(query)]
    if feeds:
        conn.execute(
            sa.update(schema.podcasts)
            .where(P.id == sa.bindparam("feed"))
            .values(lease=token, leased_until=at + lease_for, next_poll_at=sa.bindparam("least")),
            [{"feed": feed.id, "least": now + least[feed.podcast]} for feed in feeds],
        )
    return feeds


def put_back(conn: Connection, feeds: Sequence[Feed], at: datetime | None = None) -> None:
    """Give leases back unused. The feeds come due again *at*, or their least interval after."""
    due = {} if at is None else {"next_poll_at": at, "next_poll_reason": "offline"}
    for token in {feed.lease for feed in feeds}:
        ids = [feed.id for feed in feeds if feed.lease == token]
        conn.execute(
            sa.update(schema.podcasts)
            .where(P.id.in_(ids), P.lease == token)
            .values({"lease": None, "leased_until": None, **due})
        )


def feed(conn: Connection, podcast: str) -> Feed | None:
    """Return the polling state of a podcast, unleased; None: it was never configured."""
    query = (
        sa.select(schema.podcasts, *editions.COLUMNS)
        .outerjoin(schema.editions, editions.CURRENT)
        .where(P.name == podcast)
    )
    row = conn.execute(query).one_or_none()
    return None if row is None else _feed(row, None)


def _feed(row: sa.Row[tuple[object, ...]], token: str | None) -> Feed:
    return Feed(
        id=row.id,
        podcast=row.name,
        url=row.url,
        next_poll_at=row.next_poll_at,
        next_poll_reason=row.next_poll_reason,
        polled=_instants(row.polled),
        validators=Validators(row.etag, row.last_modified),
        wire_digest=row.wire_digest,
        adopted=row.adopted,
        moved_to=row.moved_to,
        moved_since=row.moved_since,
        ttl=None if row.ttl_s is None else timedelta(seconds=row.ttl_s),
        failures=row.failures,
        reason=row.reason,
        last_attempt_at=row.last_attempt_at,
        last_ok_at=row.last_ok_at,
        last_new_at=row.last_new_at,
        last_full_at=row.last_full_at,
        baseline_at=row.baseline_at,
        suspect=row.suspect,
        suspect_at=row.suspect_at,
        lease=token,
        edition=editions.of(row),
    )


def commit_polls(conn: Connection, plans: Sequence[PollPlan]) -> set[int]:
    """Write the plans of polls that went well and brought nothing, all in this transaction.

    Returns the ids of the feeds whose lease was still ours; of the others nothing is written.
    """
    leases = sa.select(P.id, P.lease).where(P.id.in_([plan.feed.id for plan in plans]))
    held = {(row.id, row.lease) for row in conn.execute(leases)}
    ours = [plan for plan in plans if (plan.feed.id, plan.feed.lease) in held]
    if ours:
        conn.execute(VISITED, [{"feed": plan.feed.id, **_visited(plan.feed)} for plan in ours])
    for plan in ours:
        _write_edition(conn, plan)
    return {plan.feed.id for plan in ours}


def _visited(feed: Feed) -> dict[str, object]:
    """Return what changes of a feed's state by a poll that went well and brought nothing."""
    return {
        "etag": feed.validators.etag,
        "last_modified": feed.validators.last_modified,
        "wire_digest": feed.wire_digest,
        "moved_to": feed.moved_to,
        "moved_since": feed.moved_since,
        "ttl_s": None if feed.ttl is None else int(feed.ttl.total_seconds()),
        "last_attempt_at": feed.last_attempt_at,
        "last_ok_at": feed.last_ok_at,
        "last_full_at": feed.last_full_at,
        "next_poll_at": feed.next_poll_at,
        "next_poll_reason": feed.next_poll_reason,
        "polled": _packed(feed.polled),
    }


def _packed(instants: Sequence[datetime]) -> bytes:
    """Pack whole seconds into four bytes each; rounded up, so that a day since is one."""
    return struct.pack(f">{len(instants)}I", *(ceil(at.timestamp()) for at in instants))


def _instants(packed: bytes | None) -> tuple[datetime, ...]:
    packed = packed or b""
    seconds = struct.unpack(f">{len(packed) // 4}I", packed)
    return tuple(datetime.fromtimestamp(each, UTC) for each in seconds)


VISIT = (  # what _visited names
    "ttl_s",
    "etag",
    "last_modified",
    "wire_digest",
    "moved_to",
    "moved_since",
    "last_attempt_at",
    "last_ok_at",
    "last_full_at",
    "next_poll_at",
    "next_poll_reason",
    "polled",
)
# Once, because it is as dear to build as to run.
VISITED = (
    sa.update(schema.podcasts)
    .where(P.id == sa.bindparam("feed"))
    .values({name: sa.bindparam(name) for name in VISIT})
    .values(lease=None, leased_until=None)
)


def _write_edition(conn: Connection, plan: PollPlan) -> None:
    if plan.edition is not None:
        editions.write(conn, plan.feed.id, plan.edition, plan.reading)


def commit_poll(
    conn: Connection, plan: PollPlan, *problems: ProblemUpdate | None, now: datetime
) -> bool:
    """Write a whole plan, and what it means for *problems*. False, and nothing written: the lease is no longer ours."""
    feed = plan.feed
    written = conn.execute(
        sa.update(schema.podcasts)
        .where(P.id == feed.id, P.lease == feed.lease)
        .values(_state(feed) | {"lease": None, "leased_until": None})
    )
    if written.rowcount != 1:
        return False
    _write_edition(conn, plan)
    catalogue.insert(conn, feed.id, plan.new, now)
    catalogue.add_aliases(conn, feed.id, plan.aliases, now)
    for change in plan.changed:
        catalogue.change(conn, change)
    catalogue.set_present(conn, plan.vanished, present=False)
    catalogue.set_present(conn, plan.returned, present=True)
    events.append(conn, plan.events, now)
    events.write_problems(conn, problems, now)
    return True


def _state(feed: Feed) -> dict[str, object]:
    """Return all that any poll may change of a feed's state."""
    return _visited(feed) | {
        "origin": origin(feed.adopted or feed.url),
        "adopted": feed.adopted,
        "failures": feed.failures,
        "reason": feed.reason,
        "last_new_at": feed.last_new_at,
        "baseline_at": feed.baseline_at,
        "suspect": feed.suspect,
        "suspect_at": feed.suspect_at,
    }


def mark_due(conn: Connection, names: Sequence[str], now: datetime) -> None:
    """Make podcasts due at once; the daemon polls them at its next tick."""
    conn.execute(
        sa.update(schema.podcasts)
        .where(P.name.in_(names))
        .values(next_poll_at=now, next_poll_reason=ASKED)
    )
