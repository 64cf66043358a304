"""When the episodes of a feed came."""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.adapters.store import schema
from monitor.adapters.store.leases import among
from monitor.core.arrival import came_at

P = schema.podcasts.c
EP = schema.episodes.c


def without_news_since(conn: Connection, names: Collection[str], at: datetime) -> list[str]:
    """Return which podcasts answer well, and have brought nothing new after *at*."""
    query = sa.select(P.name).where(
        among(conn, P.name, names), P.configured, P.failures == 0, P.last_new_at <= at
    )
    return list(conn.execute(query).scalars())


def arrivals(conn: Connection, podcast: str) -> Iterator[datetime]:
    """Yield when each episode of a podcast came, in no order, as far as that can be told."""
    query = (
        sa.select(EP.published_at, EP.first_seen_at, EP.delay_s, P.baseline_at)
        .join(schema.podcasts, P.id == EP.podcast_id)
        .where(P.name == podcast)
    )
    for published_at, seen_at, delay_s, baseline_at in conn.execute(query):
        if delay_s is not None:
            yield seen_at - timedelta(seconds=delay_s)
            continue
        # One that an earlier version recorded after the first answer is taken as seen at once.
        unseen_at = seen_at if baseline_at is not None and seen_at > baseline_at else None
        came = came_at(published_at, seen_at, None) or unseen_at
        if came is not None:
            yield came
