"""Episodes with their requests: leased for a delivery or a look, POSTed, settled."""

from collections.abc import Collection
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.adapters.store import events, freezing, schema
from monitor.adapters.store.leases import among, clock, lease_expired
from monitor.core.lifecycle import Status
from monitor.core.model import (
    Episode,
    Observation,
    ProcessingRequest,
    Settlement,
    Work,
)
from monitor.core.problems import ProblemUpdate
from monitor.core.resource import published

EP = schema.episodes.c
R = schema.requests.c
P = schema.podcasts.c


def _work(is_newest: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return (
        sa.select(
            schema.episodes,
            P.name.label("podcast"),
            P.slug.label("podcast_slug"),
            *(
                R[f.name].label(f"request_{f.name}")
                for f in fields(ProcessingRequest)
                if f.name in R
            ),
        )
        .join(schema.podcasts, P.id == EP.podcast_id)
        .join(schema.requests, sa.and_(R.episode_id == EP.id, is_newest))
    )


# SQLite begins with all newest requests wherever it may use their index. Where few episodes are
# wanted it must not see that it may: of 100,000 it took 370 ms, at every tick.
_UNINDEXED = sa.func.coalesce(R.newest, sa.false())
_WORK = _work(R.newest)
_WORK_BY_EPISODE = _work(_UNINDEXED)
UNSETTLED = (Status.PENDING.value, Status.ACCEPTED.value)
SELDOM_PER_HOUR = 60  # looks at held and settled episodes
HOUR = timedelta(hours=1)
_SELDOM = (
    sa.select(sa.func.count())
    .select_from(schema.episodes)
    .join(schema.requests, sa.and_(R.episode_id == EP.id, _UNINDEXED))
    .where(R.status.not_in(UNSETTLED))
)


def _read(row: sa.Row[Any], lease: str | None) -> Work:
    request = {
        f.name: getattr(row, f"request_{f.name}") for f in fields(ProcessingRequest) if f.name in R
    }
    request |= {"status": Status(request["status"]), "lease": lease}
    episode = {f.name: getattr(row, f.name) for f in fields(Episode)}
    episode["former_titles"] = tuple(episode["former_titles"])
    return Work(Episode(**episode), ProcessingRequest(**request))


# --- leases ------------------------------------------------------------------------------


def lease_deliveries(
    conn: Connection,
    *,
    now: datetime,
    due_by: datetime,
    token: str,
    lease_for: timedelta,
    limit: int,
    podcasts: Collection[str] | None = None,
) -> list[Work]:
    """Claim pending requests that are due, newest episode first; of *podcasts* alone, if given.

    While Stenobird lets nobody in, nothing; then a single one, to try the door. Nothing either
    while it wants to be left alone.
    """
    if freezing.is_resting(conn, now):
        return []
    freeze = freezing.current(conn)
    if freeze is not None:
        limit = 0 if freeze.until > now or _is_trying(conn, now) else min(limit, 1)
    due = sa.and_(R.status == Status.PENDING.value, R.next_attempt_at <= due_by)
    newest_first = (EP.published_at.desc().nulls_last(), EP.id.desc())
    query = _of(conn, podcasts).where(due).order_by(*newest_first)
    return _lease(conn, query, now=now, token=token, lease_for=lease_for, limit=limit)


def _of(
    conn: Connection, podcasts: Collection[str] | None, work: sa.Select[Any] = _WORK
) -> sa.Select[Any]:
    return work if podcasts is None else work.where(among(conn, P.name, podcasts))


def _is_trying(conn: Connection, now: datetime) -> bool:
    """Return whether a pending request is being worked on."""
    under_way = sa.not_(lease_expired(EP.leased_until, clock(conn, now)))
    query = _WORK.where(R.status == Status.PENDING.value, under_way).limit(1)
    return conn.execute(query).first() is not None


def lease_looks(
    conn: Connection,
    *,
    now: datetime,
    due_by: datetime,
    token: str,
    lease_for: timedelta,
    limit: int,
    podcasts: Collection[str] | None = None,
) -> list[Work]:
    """Claim episodes whose look at Stenobird is due, the unsettled first; of *podcasts*, if given.

    Of the held and settled, at most 60 an hour. Nothing while Stenobird wants to be left alone.
    """
    if freezing.is_resting(conn, now):
        return []
    due = EP.next_track_at <= due_by
    live = _of(conn, podcasts).where(due, R.status.in_(UNSETTLED)).order_by(EP.next_track_at)
    leased = _lease(conn, live, now=now, token=token, lease_for=lease_for, limit=limit)
    left = min(limit - len(leased), SELDOM_PER_HOUR - _seldom_looks(conn, now))
    rest = _of(conn, podcasts, _WORK_BY_EPISODE).where(due, R.status.not_in(UNSETTLED))
    rest = rest.order_by(EP.next_track_at)
    return leased + _lease(conn, rest, now=now, token=token, lease_for=lease_for, limit=left)


def _seldom_looks(conn: Connection, now: datetime) -> int:
    """Return how many held and settled episodes were looked at in the last hour, or are just now."""
    under_way = sa.and_(EP.leased_until.is_not(None), EP.leased_until > clock(conn, now))
    looked_at = EP.last_tracked_at > now - HOUR
    return sum(conn.execute(_SELDOM.where(few)).scalar_one() for few in (under_way, looked_at))


def _lease(
    conn: Connection,
    query: sa.Select[Any],
    *,
    now: datetime,
    token: str,
    lease_for: timedelta,
    limit: int,
) -> list[Work]:
    if limit <= 0:
        return []
    at = clock(conn, now)
    query = query.where(P.configured, lease_expired(EP.leased_until, at)).limit(limit)
    rows = conn.execute(query.with_for_update(of=schema.episodes, skip_locked=True)).all()
    conn.execute(
        sa.update(schema.episodes)
        .where(EP.id.in_([row.id for row in rows]))
        .values(lease=token, leased_until=at + lease_for)
    )
    return [_read(row, token) for row in rows]


def find(conn: Connection, episode_id: int) -> Work:
    """Return an episode with its newest request, without claiming it."""
    return _read(conn.execute(_WORK.where(EP.id == episode_id)).one(), None)


def known_words(conn: Connection) -> frozenset[str]:
    """Return every processing state seen so far, casefolded."""
    return frozenset(conn.execute(sa.select(schema.words.c.word)).scalars())


# --- what became of it -------------------------------------------------------------------


def settle(
    conn: Connection,
    work: Work,
    settlement: Settlement | None,
    observation: Observation | None,
    *,
    now: datetime,
    next_track_at: datetime | None = None,
    problems: tuple[ProblemUpdate | None, ...] = (),
) -> bool:
    """Write what an attempt or a look led to, and give the lease back.

    False where nothing was written because the lease is no longer ours. A person's verb in the
    meantime wins: then the observation is written and the settlement is not.
    """
    if not _release(conn, work, next_track_at, now):
        return False
    if observation is not None:
        observe(conn, work.episode.id, observation, now)
    if settlement is not None:
        move(conn, work, settlement, now)
    events.write_problems(conn, problems, now)
    return True


def _release(conn: Connection, work: Work, next_track_at: datetime | None, now: datetime) -> bool:
    values: dict[str, object] = {"lease": None, "leased_until": None}
    if next_track_at is not None:
        values |= {"last_tracked_at": now, "next_track_at": next_track_at}
    ours = sa.and_(EP.id == work.episode.id, EP.lease == work.request.lease)
    return conn.execute(sa.update(schema.episodes).where(ours).values(values)).rowcount == 1


def guarded(conn: Connection, before: ProcessingRequest, values: dict[str, Any]) -> bool:
    """Write some columns, if the status is still the one that was seen."""
    seen = sa.and_(R.id == before.id, R.status == before.status.value)
    return conn.execute(sa.update(schema.requests).where(seen).values(values)).rowcount == 1


def changed(before: ProcessingRequest, after: ProcessingRequest) -> dict[str, Any]:
    names = [f.name for f in fields(ProcessingRequest) if f.name in R]
    changed = {n: getattr(after, n) for n in names if getattr(after, n) != getattr(before, n)}
    return {**changed, "status": after.status.value}


def observe(conn: Connection, episode_id: int, seen: Observation, now: datetime) -> None:
    """Write what a look taught about an episode."""
    values: dict[str, Any] = {"slug": seen.slug, "processing_state": seen.state}
    if seen.state_changed:
        values["state_changed_at"] = now
        _add_word(conn, seen.state.casefold(), now)
    if seen.resource is not None:
        values |= {"resource": dict(published(seen.resource)), "resource_digest": seen.digest}
    conn.execute(sa.update(schema.episodes).where(EP.id == episode_id).values(values))
    events.append(conn, seen.events, now)


def _add_word(conn: Connection, word: str, now: datetime) -> None:
    w = schema.words.c.word
    if conn.execute(sa.select(w).where(w == word)).first() is None:
        conn.execute(sa.insert(schema.words).values(word=word, first_seen_at=now))


# --- a person's verbs ------------------------------------------------------------------


def add_generation(
    conn: Connection, episode_id: int, settlement: Settlement, now: datetime
) -> None:
    """Write an episode's next request, which becomes its newest."""
    conn.execute(sa.update(schema.requests).where(R.episode_id == episode_id).values(newest=False))
    request = settlement.request
    names = [f.name for f in fields(ProcessingRequest) if f.name in R and f.name != "id"]
    values = {name: getattr(request, name) for name in names}
    values |= {"status": request.status.value, "episode_id": episode_id, "newest": True}
    conn.execute(sa.insert(schema.requests).values(values))
    events.append(conn, settlement.events, now)


def move(conn: Connection, work: Work, settlement: Settlement, now: datetime) -> bool:
    """Write what an attempt, a look or a person's verb made of a request; return whether it did.

    Reason and next attempt are written even if it leaves them as they were: a freeze may have
    changed them since.
    """
    after = settlement.request
    stands = {"reason": after.reason, "next_attempt_at": after.next_attempt_at}
    moved = guarded(conn, work.request, changed(work.request, after) | stands)
    if moved:
        events.append(conn, settlement.events, now)
    return moved
