"""Our own connection to the world: when it is gone, no publisher and no Stenobird is to blame.

One that cannot be reached is its own trouble. When nobody else takes a connection either, it is ours:
nothing is counted against anybody, nothing more is begun, and what was missed is done once it is over.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta

from monitor.adapters.address import origin
from monitor.core.problems import Problem

TO_CONNECT = frozenset({"dns", "refused", "unreachable", "connect_timeout"})
MOST_ASKED = 4  # hosts at once; the next question goes to the next four
FRESH = timedelta(seconds=30)  # so long an answer speaks for the questions that follow


class Uplink:
    """Knows whether it is down. It takes two configured hosts to tell that from a dead one."""

    def __init__(self, urls: Iterable[str], reaches: Callable[[str], Awaitable[bool]]) -> None:
        self.is_down = False
        self.since: datetime | None = None
        self.missed: set[str] = set()  # podcasts to be polled once it is over
        self.problem: Problem | None = None  # as it was told
        self.was_looked_up = False  # whether what an earlier run told is known
        self._urls = {origin(url): url for url in urls}
        self._reaches = reaches
        self._reached_at: datetime | None = None
        self._asked = 0  # hosts so far
        self._lock = asyncio.Lock()

    async def is_to_blame(self, url: str, reason: str, now: datetime) -> bool:
        """Return whether nobody can be reached, after *url* could not be.

        *reason* is one of ``adapters.failure``. Where it is so, the uplink is down from then on.
        """
        if reason not in TO_CONNECT:
            return False
        async with self._lock:  # of many that fail at once, one asks
            others = [other for at, other in self._urls.items() if at != origin(url)]
            if others and not self.is_down and not self._is_fresh(now):
                if await self._any_of(others):
                    self._reached_at = now
                else:
                    self.is_down, self.since = True, now
        return self.is_down

    async def is_over(self) -> bool:
        """Return whether anybody can be reached again. Where nobody can tell, it is over."""
        return len(self._urls) < 2 or await self._any_of([*self._urls.values()])

    def _is_fresh(self, now: datetime) -> bool:
        return self._reached_at is not None and abs(now - self._reached_at) < FRESH

    async def _any_of(self, urls: Sequence[str]) -> bool:
        """Ask some of them; the first that answers is enough."""
        begin = self._asked % len(urls)
        self._asked += MOST_ASKED
        some = (*urls[begin:], *urls[:begin])[:MOST_ASKED]
        asked = [asyncio.ensure_future(self._reaches(url)) for url in some]
        try:
            for answer in asyncio.as_completed(asked):
                if await answer:
                    return True
            return False
        finally:
            for question in asked:
                question.cancel()
