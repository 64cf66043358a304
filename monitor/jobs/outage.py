"""What is said while the database cannot be used: once that it began, once that it is over.

Its problems cannot be committed, so these lines have no ``seq`` and stand in no table.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from monitor.core.model import DatabaseError, LogEvent
from monitor.core.problems import Kind, Problem, ProblemUpdate, recover, strike

Emit = Callable[[LogEvent, datetime], object]


class Outage:
    """Hears how every use of the database ended."""

    def __init__(self, now: Callable[[], datetime], emit: Emit) -> None:
        self.lasting: DatabaseError | None = None  # one that will not end by itself
        self._now = now
        self._emit = emit
        self._problem: Problem | None = None

    @property
    def stands(self) -> bool:
        return self._problem is not None

    def failed(self, error: DatabaseError) -> None:
        if error.lasting:
            self.lasting = error
        update = strike(self._problem, Kind.DATABASE, reason=error.reason, now=self._now())
        self._tell(update, detail=str(error))

    def worked(self) -> None:
        if self._problem is not None:
            self._tell(recover(self._problem, now=self._now()))

    def _tell(self, update: ProblemUpdate | None, **more: str) -> None:
        if update is None:
            return
        self._problem = update.after
        for event in update.events:
            self._emit(replace(event, fields={**event.fields, **more}), self._now())
