"""What the daemon says of the database: the committed events, in their order, and its status."""

from collections.abc import Callable
from datetime import datetime
from itertools import takewhile

from sqlalchemy import Connection

from monitor import log
from monitor.adapters.store import events, reading, schema
from monitor.adapters.systemd import Notifier
from monitor.core.model import CommittedEvent
from monitor.core.status import Process, block, one_line
from monitor.jobs.context import Context

LINES_AT_ONCE = 1000


class Logbook:
    """Writes to the log; of several daemons that share a database, one at a time."""

    def __init__(
        self,
        ctx: Context,
        *,
        process: Callable[[], Process],
        notify: Notifier,
        now: Callable[[], datetime],
    ) -> None:
        self.ours = True  # committed events are ours to write; see adapters.store.presence
        self._written = 0  # the last seq that was written without the database's knowing it
        self._ctx = ctx
        self._process = process
        self._notify = notify
        self._now = now

    async def write(self) -> None:
        """Write committed events, whoever committed them; a crash may repeat a line, never miss it.

        What the log does not take now, because its disk is full or nobody reads it, stays to be
        written.
        """
        while self.ours and (lines := await self._ctx.read(_unlogged)):
            taken = [*takewhile(self._say, lines)]
            if taken:
                await self._ctx.write(events.set_logged, taken[-1].seq)
                self._written = 0  # were a backup put in its place, the numbers would come again
            if len(taken) < len(lines):
                return

    def _say(self, line: CommittedEvent) -> bool:
        """Write a line, unless it was written before; return whether it is."""
        if line.seq > self._written:
            if not log.emit(line.event, at=line.at, seq=line.seq):
                return False
            self._written = line.seq
        return True

    async def tell_status(self) -> None:
        """Write the status block, and its one-line form to systemd."""
        snapshot = await self._ctx.read(reading.snapshot)
        at = self._now()
        for event in block(snapshot, self._process()):
            log.emit(event, at=at)
        self._notify.status(one_line(snapshot))


def _unlogged(conn: Connection) -> list[CommittedEvent]:
    return events.after(conn, events.counter(conn, schema.LOGGED), limit=LINES_AT_ONCE)
