"""When Stenobird lets nobody in (401, 402, 403), or asks for a rest: both bind the whole source."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.adapters.store import events, schema
from monitor.core.lifecycle import Status
from monitor.core.model import LogEvent, iso

F = schema.freezes.c
R = schema.requests.c
STENOBIRD = "stenobird"
FROZEN = "frozen"
REST = "stenobird: rest"
RESTING = sa.select(F.until).where(F.source == REST)


@dataclass(frozen=True, slots=True)
class Freeze:
    reason: str
    strikes: int  # tries at the door since it closed
    until: datetime  # of the next try


def current(conn: Connection) -> Freeze | None:
    """Return the freeze in force, or None."""
    query = sa.select(F.reason, F.strikes, F.until).where(F.source == STENOBIRD)
    row = conn.execute(query).one_or_none()
    return Freeze(*row) if row else None


def freeze(conn: Connection, freeze: Freeze, now: datetime) -> None:
    """Close, or keep closed: every pending request that would be due before waits for it."""
    conn.execute(sa.delete(schema.freezes).where(F.source == STENOBIRD))
    conn.execute(
        sa.insert(schema.freezes).values(
            source=STENOBIRD, reason=freeze.reason, strikes=freeze.strikes, until=freeze.until
        )
    )
    waiting = sa.and_(R.newest, R.status == Status.PENDING.value, R.next_attempt_at < freeze.until)
    _defer(conn, waiting, freeze.until, now)


def _defer(
    conn: Connection, waiting: sa.ColumnElement[bool], until: datetime, now: datetime
) -> None:
    """Let requests wait until then for the door to open, and tell it of each."""
    rows = conn.execute(
        sa.select(
            *(R.id, R.generation, R.attempts, R.created_at),
            *(schema.episodes.c.guid, schema.podcasts.c.name),
        )
        .join(schema.episodes, schema.episodes.c.id == R.episode_id)
        .join(schema.podcasts, schema.podcasts.c.id == schema.episodes.c.podcast_id)
        .where(waiting)
        .order_by(R.id)
    ).all()
    conn.execute(
        sa.update(schema.requests)
        .where(R.id.in_([row.id for row in rows]))
        .values(reason=FROZEN, next_attempt_at=until)
    )
    told = [
        LogEvent(
            "request.deferred",
            row.name,
            row.guid,
            fields={
                "generation": row.generation,
                "reason": FROZEN,
                "attempts": row.attempts,
                "next_attempt_at": iso(until),
                "created_at": iso(row.created_at),
            },
        )
        for row in rows
    ]
    events.append(conn, told, now)


def try_again(conn: Connection, now: datetime) -> None:
    """Try the door at once: whoever starts the daemon may have mended what closed it."""
    ours = sa.and_(F.source == STENOBIRD, F.until > now)
    conn.execute(sa.update(schema.freezes).where(ours).values(until=now))
    frozen = sa.and_(R.newest, R.status == Status.PENDING.value, R.reason == FROZEN)
    _defer(conn, sa.and_(frozen, R.next_attempt_at > now), now, now)


def thaw(conn: Connection) -> None:
    """Open again. What waited comes due by itself."""
    conn.execute(sa.delete(schema.freezes).where(F.source == STENOBIRD))


def rest(conn: Connection, until: datetime) -> None:
    """Ask nothing of Stenobird before *until*, as it wished; an earlier wish for longer stands."""
    standing = conn.execute(RESTING).scalar()
    if standing is not None and until <= standing:
        return
    conn.execute(sa.delete(schema.freezes).where(F.source == REST))
    row = {"source": REST, "reason": "retry_after", "strikes": 0, "until": until}
    conn.execute(sa.insert(schema.freezes).values(row))


def is_resting(conn: Connection, now: datetime) -> bool:
    """Return whether Stenobird wants to be left alone."""
    until = conn.execute(RESTING).scalar()
    return until is not None and until > now
