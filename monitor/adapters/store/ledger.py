"""The ledger of POSTs: what pace and budget are computed from, and what a crash is found out by."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.adapters.store import events, schema
from monitor.adapters.store.work import changed, guarded, observe
from monitor.core.lifecycle import Status
from monitor.core.model import Observation, Post, Work
from monitor.core.schedule import DAY, Spent, audio_minutes

T = schema.posts.c
EP = schema.episodes.c
R = schema.requests.c


def spent(conn: Connection, now: datetime) -> list[Spent]:
    """Return the POSTs of the last 24 hours. Those that certainly had no effect cost no budget."""
    query = sa.select(T.at, T.request_id, T.audio_minutes, T.in_vain).where(T.at > now - DAY)
    return [
        Spent(row.at, row.request_id, 0 if row.in_vain else row.audio_minutes)
        for row in conn.execute(query)
    ]


def reserved(conn: Connection, work: Work, now: datetime) -> int:
    """Return the minutes that requests older than *work*'s have waited for more than a day for."""
    older = min(work.request.created_at, now - DAY)
    query = (
        sa.select(EP.duration_s)
        .join(schema.requests, R.episode_id == EP.id)
        .where(R.newest, R.status == Status.PENDING.value, R.reason == "budget")
        .where(R.created_at < older)
    )
    return sum(audio_minutes(duration_s) for duration_s in conn.execute(query).scalars())


def begin(
    conn: Connection,
    work: Work,
    post: Post,
    observation: Observation | None,
    *,
    minutes: int,
    now: datetime,
) -> int | None:
    """Write what was seen and that a POST is about to leave; return its id in the ledger.

    None, and nothing written: the lease is no longer ours, or a person's verb came between.
    """
    held = sa.select(EP.id).where(EP.id == work.episode.id, EP.lease == work.request.lease)
    if conn.execute(held).first() is None:
        return None
    if not guarded(conn, work.request, changed(work.request, post.request)):
        return None
    if observation is not None:
        observe(conn, work.episode.id, observation, now)
    inserted = conn.execute(
        sa.insert(schema.posts)
        .values(
            request_id=work.request.id,
            at=now,
            key=post.key,
            url=post.url,
            audio_minutes=minutes,
            in_vain=False,
        )
        .returning(schema.posts.c.id)
    )
    events.append(conn, [post.event], now)
    post_id: int = inserted.scalar_one()
    return post_id


def end(conn: Connection, post_id: int, outcome: str, *, in_vain: bool) -> None:
    """Write what became of a POST."""
    conn.execute(
        sa.update(schema.posts)
        .where(schema.posts.c.id == post_id)
        .values(outcome=outcome, in_vain=in_vain)
    )
