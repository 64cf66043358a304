"""Fairness to one origin (scheme, host, port): one request at a time, and a pause between starts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

MOST_ORIGINS = 4096  # remembered; beyond that, those that nobody waits for are forgotten


@dataclass(slots=True)
class _Origin:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    free_at: float = 0.0  # by the event loop's clock


class NoTurnError(Exception):
    """An origin was too busy: others waited for it too."""


class Pacing:
    """Hands out turns, per origin."""

    def __init__(self, interval_s: float, patience_s: float | None = None) -> None:
        """*patience_s* is how long to wait for a turn at most; None: for ever."""
        self._interval_s = interval_s
        self._patience_s = patience_s
        self._origins: dict[str, _Origin] = {}

    @asynccontextmanager
    async def turn(self, origin: str) -> AsyncIterator[None]:
        """Wait for the origin's turn, and keep it until the end of the block.

        Raises:
            NoTurnError: it did not come in time.
        """
        loop = asyncio.get_running_loop()
        state = self._origins.setdefault(origin, _Origin())
        state.users += 1
        try:
            async with asyncio.timeout(self._patience_s) as wait, state.lock:
                # At least once round the loop: it sees that an idle connection was closed, and a
                # POST does not go down with it.
                await asyncio.sleep(max(0.0, state.free_at - loop.time()))
                state.free_at = loop.time() + self._interval_s
                wait.reschedule(None)
                yield
        except TimeoutError:
            if wait.expired():
                raise NoTurnError from None
            raise
        finally:
            state.users -= 1
            self._forget(loop.time())

    def _forget(self, now: float) -> None:
        if len(self._origins) <= MOST_ORIGINS:
            return
        idle = [o for o, s in self._origins.items() if not s.users and s.free_at <= now]
        for origin in idle:
            del self._origins[origin]
