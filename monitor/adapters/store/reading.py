"""What commands and the status ask of the database. Nothing here writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.adapters.store import events, schema
from monitor.adapters.store.work import UNSETTLED
from monitor.core.lifecycle import Status
from monitor.core.problems import Problem
from monitor.core.status import FeedStatus, RequestStatus, Snapshot

EP = schema.episodes.c
R = schema.requests.c
A = schema.aliases.c
P = schema.podcasts.c

_NEWEST = schema.episodes.join(schema.podcasts, P.id == EP.podcast_id).join(
    schema.requests, sa.and_(R.episode_id == EP.id, R.newest)
)


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """An episode with its newest request, as ``episodes`` shows it."""

    id: int
    podcast: str
    guid: str
    title: str
    published_at: datetime | None
    link: str | None
    audio_url: str
    duration_s: int | None
    slug: str | None
    processing_state: str | None
    request: str
    reason: str | None
    generation: int
    attempts: int
    next_attempt_at: datetime
    first_seen_at: datetime


_EPISODE: sa.Select[Any] = (
    sa.select(
        EP.id,
        P.name.label("podcast"),
        EP.guid,
        EP.title,
        EP.published_at,
        EP.link,
        EP.audio_url,
        EP.duration_s,
        EP.slug,
        EP.processing_state,
        R.status.label("request"),
        R.reason,
        R.generation,
        R.attempts,
        R.next_attempt_at,
        EP.first_seen_at,
    )
    .select_from(_NEWEST)
    .order_by(EP.published_at.desc().nulls_last(), EP.id.desc())
)


def snapshot(conn: Connection) -> Snapshot:
    """Return the state as of the last committed event.

    Episodes and requests are counted of every podcast ever known; what is listed is configured.
    """
    counts = conn.execute(
        sa.select(R.status, R.reason, sa.func.count()).where(R.newest).group_by(R.status, R.reason)
    ).all()
    by_status = {s: sum(n for status, _, n in counts if status == s) for s in Status}
    held = {reason: n for status, reason, n in counts if status == Status.HELD}
    pending = sa.and_(P.configured, R.status == Status.PENDING.value)
    return Snapshot(
        as_of_seq=events.counter(conn, schema.SEQ),
        episodes=sum(by_status.values()),
        requests=by_status,
        held=held,
        oldest_pending_at=conn.execute(
            sa.select(sa.func.min(R.created_at, type_=schema.UtcDateTime))
            .select_from(_NEWEST)
            .where(pending)
        ).scalar_one(),
        problems=len(events.problems(conn)),
        feeds=_feeds(conn),
        unsettled=_unsettled(conn),
    )


def _feeds(conn: Connection) -> list[FeedStatus]:
    found = (
        sa.select(
            EP.podcast_id,
            sa.func.count(EP.delay_s).label("found"),
            sa.func.sum(EP.delay_s).label("delays_s"),
            sa.func.sum(EP.fixed_delay_s).label("fixed_delays_s"),
        )
        .where(EP.delay_s.is_not(None))
        .group_by(EP.podcast_id)
        .subquery()
    )
    query = (
        sa.select(
            P.name,
            P.last_attempt_at,
            P.last_ok_at,
            P.last_new_at,
            P.failures,
            P.reason,
            P.next_poll_at,
            P.next_poll_reason,
            *(sa.func.coalesce(found.c[n], 0) for n in ("found", "delays_s", "fixed_delays_s")),
        )
        .outerjoin(found, found.c.podcast_id == P.id)
        .where(P.configured)
    )
    return [FeedStatus(*row) for row in conn.execute(query)]


def _unsettled(conn: Connection) -> list[RequestStatus]:
    shown = (R.generation, R.reason, R.attempts, R.next_attempt_at, R.created_at)
    query = (
        sa.select(P.name, EP.guid, R.status, *shown)
        .select_from(_NEWEST)
        .where(P.configured, R.status.in_(UNSETTLED))
    )
    return [
        RequestStatus(name, guid, Status(status), *rest)
        for name, guid, status, *rest in conn.execute(query)
    ]


def episodes(
    conn: Connection, podcast: str | None = None, status: str | None = None
) -> list[EpisodeRow]:
    """Return episodes, newest first, of one podcast or in one request status if asked."""
    query = _EPISODE
    if podcast is not None:
        query = query.where(P.name == podcast)
    if status is not None:
        query = query.where(R.status == status)
    return [EpisodeRow(*row) for row in conn.execute(query)]


def matching(conn: Connection, text: str) -> list[EpisodeRow]:
    """Return the episodes that *text* may mean.

    An alias (guid, post id, link) or a slug is exact; only where none fits, a part of a title,
    in upper or lower case of any language (which databases fold differently, or not at all).
    """
    by_key = sa.select(A.episode_id).where(A.value == text)
    exact = _EPISODE.where(sa.or_(EP.guid == text, EP.slug == text, EP.id.in_(by_key)))
    found = [EpisodeRow(*row) for row in conn.execute(exact)]
    if found:
        return found
    return [row for row in episodes(conn) if text.casefold() in row.title.casefold()]


def published(conn: Connection, episode_id: int) -> dict[str, Any] | None:
    """Return what Stenobird publishes of an episode, as it was last stored."""
    query = sa.select(EP.resource).where(EP.id == episode_id)
    resource: dict[str, Any] | None = conn.execute(query).scalar_one()
    return resource


def podcast_names(conn: Connection) -> Sequence[str]:
    """Return every podcast ever recorded."""
    return conn.execute(sa.select(P.name).order_by(P.name)).scalars().all()


def problems(conn: Connection) -> list[Problem]:
    """Return what a person should know of now."""
    return events.problems(conn)
