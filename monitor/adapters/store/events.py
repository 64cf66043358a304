"""Committed events, numbered without gaps in commit order; problems; counters.

``seq`` comes from one counter row that is raised in the events' own transaction: a rollback
takes its numbers back, and as there is one writer at a time (``Database.write``), the order of
numbers is the order of commits.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.adapters.store import schema
from monitor.core.model import CommittedEvent, LogEvent
from monitor.core.problems import Kind, Problem, ProblemUpdate

E = schema.events.c
C = schema.counters.c


def append(conn: Connection, events: Sequence[LogEvent], at: datetime) -> None:
    """Write *events*, in their order, as part of the caller's transaction."""
    if not events:
        return
    last = conn.execute(
        sa.update(schema.counters)
        .where(C.name == schema.SEQ)
        .values(value=C.value + len(events))
        .returning(C.value)
    ).scalar_one()
    first = last - len(events) + 1
    rows = [
        {
            "seq": seq,
            "at": at,
            "name": event.name,
            "level": event.level,
            "podcast": event.podcast,
            "guid": event.guid,
            "fields": dict(event.fields),
        }
        for seq, event in enumerate(events, first)
    ]
    conn.execute(sa.insert(schema.events), rows)


def after(conn: Connection, seq: int, *, limit: int | None = None) -> list[CommittedEvent]:
    """Return the events that follow *seq*, in order."""
    query = sa.select(schema.events).where(E.seq > seq).order_by(E.seq).limit(limit)
    return [_committed(row) for row in conn.execute(query)]


def of_episode(conn: Connection, podcast: str, guid: str) -> list[CommittedEvent]:
    """Return an episode's whole story, in order."""
    query = sa.select(schema.events).where(E.podcast == podcast, E.guid == guid).order_by(E.seq)
    return [_committed(row) for row in conn.execute(query)]


def _committed(row: sa.Row[tuple[object, ...]]) -> CommittedEvent:
    event = LogEvent(row.name, row.podcast, row.guid, row.level, row.fields)
    return CommittedEvent(row.seq, row.at, event)


def counter(conn: Connection, name: str) -> int:
    """Return a counter's value."""
    value: int = conn.execute(sa.select(C.value).where(C.name == name)).scalar_one()
    return value


def set_logged(conn: Connection, seq: int) -> None:
    """Remember that every event up to *seq* has reached the log."""
    conn.execute(
        sa.update(schema.counters).where(C.name == schema.LOGGED, C.value < seq).values(value=seq)
    )


# --- problems ----------------------------------------------------------------------------

PR = schema.problems.c


def problem(
    conn: Connection, kind: Kind, podcast: str | None = None, guid: str | None = None
) -> Problem | None:
    """Return the problem as it stands, or None."""
    query = sa.select(schema.problems).where(*_key(kind, podcast, guid))
    row = conn.execute(query).one_or_none()
    return _problem(row) if row else None


def problems(conn: Connection) -> list[Problem]:
    """Return every problem that was opened and stands, longest first."""
    query = sa.select(schema.problems).where(PR.opened_at.is_not(None)).order_by(PR.since)
    return [_problem(row) for row in conn.execute(query)]


def _problem(row: sa.Row[tuple[object, ...]]) -> Problem:
    return Problem(
        Kind(row.kind),
        row.podcast or None,
        row.guid or None,
        row.reason,
        row.since,
        row.strikes,
        row.opened_at,
        row.reminded_at,
    )


def write_problems(conn: Connection, updates: Iterable[ProblemUpdate | None], at: datetime) -> None:
    """Write what became of some problems, and tell it, as part of the caller's transaction."""
    for update in updates:
        if update is None:
            continue
        key = _key(update.kind, update.podcast, update.guid)
        conn.execute(sa.delete(schema.problems).where(*key))
        if update.after is not None:
            conn.execute(sa.insert(schema.problems).values(_row(update.after)))
        append(conn, update.events, at)


def _key(kind: Kind, podcast: str | None, guid: str | None) -> tuple[sa.ColumnElement[bool], ...]:
    return PR.kind == kind.value, PR.podcast == (podcast or ""), PR.guid == (guid or "")


def _row(problem: Problem) -> dict[str, object]:
    return {
        "kind": problem.kind.value,
        "podcast": problem.podcast or "",
        "guid": problem.guid or "",
        "reason": problem.reason,
        "since": problem.since,
        "strikes": problem.strikes,
        "opened_at": problem.opened_at,
        "reminded_at": problem.reminded_at,
    }
