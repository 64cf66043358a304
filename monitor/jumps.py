"""A wall clock that was set back: what waits for it is set back, too, once the database answers."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from monitor.adapters.store import due
from monitor.clock import is_set
from monitor.core.model import DatabaseError, LogEvent
from monitor.jobs.context import Context

SECOND = timedelta(seconds=1)


class Jumps:
    """Hears of the wall clock's jumps, and sees to those that need it."""

    def __init__(self, tell: Callable[[LogEvent], object]) -> None:
        self._tell = tell
        self._set_back = timedelta()  # by how much, until that is seen to

    def heard(self, by: timedelta) -> None:
        """The clock jumped. Set forward, it needs only to be told."""
        if by > timedelta():
            self._tell(LogEvent("clock.jumped", level="warning", fields={"skew_s": by // SECOND}))
        self._set_back = max(self._set_back - by, timedelta())

    async def see_to_it(self, ctx: Context) -> bool:
        """Set back what waits for an instant that is farther now; return whether anything was."""
        if not self._set_back or not is_set(ctx.now()):
            return False
        by = self._set_back
        with suppress(DatabaseError):  # then the ticks have told it, and it is tried again
            await ctx.write(due.set_back, by, ctx.now())
            self._set_back -= by
            return True
        return False
