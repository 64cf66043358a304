"""When the episodes of a feed came."""

from collections.abc import Collection, Iterator
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.adapters.store import schema
from monitor.adapters.store.leases import among
from monitor.core.silence import came_at, is_telling

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
        sa.select(EP.published_at, EP.first_seen_at, P.baseline_at)
        .join(schema.podcasts, P.id == EP.podcast_id)
        .where(P.name == podcast)
    )
    for row in conn.execute(query):
        if is_telling(row.published_at, row.first_seen_at, row.baseline_at):
            yield came_at(row.published_at, row.first_seen_at)
