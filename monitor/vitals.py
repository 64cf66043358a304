"""How the service itself is: its database, its daemon, what is overdue. Nobody else is asked."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from monitor.adapters.store import instance, migrate, presence, reading
from monitor.adapters.store.database import Database, connect
from monitor.adapters.store.place import NotThereError
from monitor.core.model import ConfigError, MonitorError
from monitor.core.problems import Kind, Problem

Verdict = Literal["ok", "problem", "wrong"]
SUBJECTS = ("database", "daemon", "overdue", "open problem")
OVERDUE = timedelta(minutes=15)  # a lease may last five, and a start may have much to catch up
LEAST_ROOM_BYTES = 100_000_000  # a migration copies the file first; a year adds a few megabytes


@dataclass(frozen=True, slots=True)
class Finding:
    verdict: Verdict
    subject: str
    text: str


def findings(url: str, now: datetime) -> Iterator[Finding]:
    """Yield what is found in the database at *url*, and about it."""
    try:
        with closing(connect(url, readonly=True)) as database:
            migrate.require_current(database)
            yield _database(database)
            yield from _service(database, now)
            yield from map(_problem, database.read(reading.problems))
    except NotThereError as error:
        yield Finding("problem", "database", str(error))
    except ConfigError as error:
        yield Finding("wrong", "database", str(error))
    except MonitorError as error:
        yield Finding("problem", "database", str(error))


def _database(database: Database) -> Finding:
    text = f"{database.read(reading.snapshot).episodes} episodes"
    room = _room_bytes(database.path)
    if room is None:
        return Finding("ok", "database", text)
    text = f"{text}; {room / 1e6:,.0f} MB are free on its disk"
    if room >= LEAST_ROOM_BYTES:
        return Finding("ok", "database", text)
    return Finding("problem", "database", f"{text}: make room before it is full")


def _room_bytes(path: Path | None) -> int | None:
    """Return how much room its disk has for a SQLite file; None: it is a server."""
    return None if path is None else shutil.disk_usage(path.parent).free


def _service(database: Database, now: datetime) -> Iterator[Finding]:
    """Yield whether a daemon runs, and, where one does, which feeds it should have polled."""
    daemons = _daemons(database, now)
    if not daemons:
        text = "none runs on this database: start it, or look into its log for why it ended"
        yield Finding("problem", "daemon", text)
        return
    yield Finding("ok", "daemon", "; ".join(daemons))
    if any(problem.kind is Kind.OFFLINE for problem in database.read(reading.problems)):
        return  # nobody is polled
    for feed in database.read(reading.snapshot).feeds:
        if now - feed.next_poll_at > OVERDUE:
            text = f"{feed.podcast} was due at {feed.next_poll_at:%Y-%m-%d %H:%M} UTC"
            yield Finding("problem", "overdue", f"{text}, and has not been polled")


def _daemons(database: Database, now: datetime) -> list[str]:
    if database.path is None:
        return [f"{name} runs" for name in database.read(presence.names, now)]
    return ["one runs"] if instance.is_held(database) else []


def _problem(problem: Problem) -> Finding:
    ours = problem.kind is Kind.OFFLINE
    of = problem.guid or problem.podcast or ("this machine" if ours else "stenobird")
    since = f"{problem.since:%Y-%m-%d %H:%M} UTC"
    text = f"{of}: {problem.kind}, {problem.reason}, since {since}; see `podcast-monitor status`"
    return Finding("problem", "open problem", text)
