"""What was learned of each feed's rhythm, until its next episode."""

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from monitor.adapters.store.arrivals import arrivals
from monitor.core.cadence import Cadence, fit
from monitor.core.model import Feed

if TYPE_CHECKING:
    from monitor.jobs.context import Context


class Cadences:
    """Learns a feed's cadence when it is asked for; 16 kB a feed are kept."""

    def __init__(self) -> None:
        self._fitted: dict[str, tuple[datetime | None, Cadence | None]] = {}  # by podcast

    async def of(self, ctx: "Context", feed: Feed) -> Cadence | None:
        """Return the cadence of a feed; None: too few episodes to learn from."""
        learned = self._fitted.get(feed.podcast)
        if learned is None or learned[0] != feed.last_new_at:
            came = await ctx.read(_came, feed.podcast)
            learned = feed.last_new_at, await ctx.parse(fit, came)
            self._fitted[feed.podcast] = learned
        return learned[1]


def _came(conn: Connection, podcast: str) -> list[datetime]:
    return [*arrivals(conn, podcast)]
