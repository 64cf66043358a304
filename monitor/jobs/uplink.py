"""Our own connection to the world: when it is gone, no publisher and no Stenobird is to blame.

One that cannot be reached is its own trouble. When nobody else takes a connection either, it is ours:
nothing is counted against anybody, nothing more is begun, and what was missed is done once it is over.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

from monitor.adapters.address import origin
from monitor.core.problems import Problem

TO_CONNECT = frozenset({"dns", "refused", "unreachable", "connect_timeout"})
MOST_ASKED = 4  # of all the hosts that are configured


class Uplink:
    """Knows whether it is down. It takes two configured hosts to tell that from a dead one."""

    def __init__(self, urls: Iterable[str], reaches: Callable[[str], Awaitable[bool]]) -> None:
        self.is_down = False
        self.since: datetime | None = None
        self.missed: set[str] = set()  # podcasts to be polled once it is over
        self.problem: Problem | None = None  # as it was told
        self.is_known = False  # whether what an earlier run told was looked up
        self._urls = {origin(url): url for url in urls}
        self._reaches = reaches
        self._lock = asyncio.Lock()

    async def is_to_blame(self, url: str, reason: str, now: datetime) -> bool:
        """Return whether nobody can be reached, after *url* could not be for *reason*."""
        if reason not in TO_CONNECT:
            return False
        async with self._lock:  # of many that fail at once, one asks
            others = [other for at, other in self._urls.items() if at != origin(url)]
            if not self.is_down and others and not await self._any_of(others):
                self.is_down, self.since = True, now
        return self.is_down

    async def look(self) -> None:
        """See whether it is over."""
        if await self._any_of([*self._urls.values()]):
            self.is_down = False

    async def _any_of(self, urls: list[str]) -> bool:
        return any(await asyncio.gather(*map(self._reaches, urls[:MOST_ASKED])))
