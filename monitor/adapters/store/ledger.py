"""Pace and budget, computed from the ledger of POSTs."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.adapters.store import schema
from monitor.core.schedule import DAY, Spent

T = schema.posts.c


def lock(conn: Connection) -> None:
    """Let one transaction at a time compute and spend; several daemons share one budget."""
    name = schema.counters.c.name
    query = sa.select(schema.counters.c.value).where(name == schema.POSTING)
    conn.execute(query.with_for_update())


def spent(conn: Connection, now: datetime) -> list[Spent]:
    """Return the POSTs of the last 24 hours. Those that certainly had no effect cost no budget."""
    query = sa.select(T.at, T.request_id, T.audio_minutes, T.in_vain).where(T.at > now - DAY)
    return [
        Spent(row.at, row.request_id, 0 if row.in_vain else row.audio_minutes)
        for row in conn.execute(query)
    ]
