"""What every job is given: the world's adapters, the operator's rules, the clock and chance."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from monitor.adapters.evidence import Evidence
from monitor.adapters.http import Http
from monitor.adapters.sandbox import Sandbox
from monitor.adapters.stenobird import Stenobird
from monitor.adapters.store.database import Database
from monitor.core.model import LogEvent
from monitor.core.rules import PollRules, RequestRules
from monitor.core.schedule import Bounds
from monitor.jobs.cadences import Cadences
from monitor.jobs.outcomes import Outcomes
from monitor.jobs.uplink import Uplink

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Podcast:
    """A podcast as configured, in the terms of the core's rules."""

    name: str
    feed: str
    slug: str
    headers: Mapping[str, str]
    polling: PollRules
    requests: RequestRules


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the work, whatever is due."""

    max_body_bytes: int
    per_minute: int  # POSTs
    audio_minutes_per_day: int
    retry: Bounds
    lease_for: timedelta  # longer than any one job may take


@dataclass(frozen=True, slots=True)
class Context:
    podcasts: Mapping[str, Podcast]  # by name
    limits: Limits
    database: Database
    http: Http
    stenobird: Stenobird
    database_thread: Executor
    parsers: Executor
    sandbox: Sandbox
    evidence: Evidence | None  # None: no place for it
    now: Callable[[], datetime]
    chance: Callable[[], float]  # in [0, 1)
    token: Callable[[], str]  # of a new lease
    emit: Callable[[LogEvent, datetime], object]
    wake: Callable[[str], None]  # a tick, by name: there is work for it
    outcomes: Outcomes
    uplink: Uplink
    cadences: Cadences = field(default_factory=Cadences)

    async def write(
        self, unit: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run a unit of work in one transaction, off the event loop.

        Raises:
            DatabaseError: the database cannot be used now.
        """
        call = partial(self.database.write, unit, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self.database_thread, call)

    async def read(
        self, unit: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run a unit of work that only reads, off the event loop. Raises as ``write`` does."""
        call = partial(self.database.read, unit, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self.database_thread, call)

    async def parse(self, decide: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a decision that costs processor time off the event loop."""
        call = partial(decide, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self.parsers, call)
