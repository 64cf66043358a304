"""Committed events put in the order of their numbers, each once; what is left out is told. Pure."""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final

from monitor.core.model import Line

# So many events may wait for one before them: the lines of two daemons interleave.
WAITING: Final = 1000
RANGES: Final = 20  # of missing numbers that are told one by one


class Resequencer:
    """Takes lines with a number as they come, and gives them in order."""

    def __init__(self) -> None:
        self.last = 0  # every event up to here was given, is known otherwise, or is missing
        self.first: int | None = None  # where it began; what came before is not known
        self.ranges: list[tuple[int, int]] = []  # of missing numbers, from and to; the first RANGES
        self.missing = 0  # numbers in all
        # A heap; the second number tells equals apart.
        self._waiting: list[tuple[int, int, Line]] = []
        self._count = 0

    def take(self, seq: int, line: Line) -> Iterator[tuple[int, Line]]:
        """Yield what can be given now. A number that was given before is a repetition."""
        if self.first is None:
            self.first, self.last = seq, seq - 1
        if seq > self.last:
            self._count += 1
            heappush(self._waiting, (seq, self._count, line))
        yield from self._ready(WAITING)

    def rest(self) -> Iterator[tuple[int, Line]]:
        """Yield what still waits: what it waits for will not come."""
        yield from self._ready(0)

    def know(self, seq: int) -> Iterator[tuple[int, Line]]:
        """All up to *seq* is known, and what was missing is of no account; yield what follows.

        What was given beyond it belongs to a database that was put back: its numbers come again.
        """
        if seq < self.last:
            self._waiting.clear()
        self.first, self.last, self.ranges, self.missing = 0, seq, [], 0
        yield from self._ready(WAITING)

    def lose(self, first: int, last: int) -> None:
        """Count numbers as missing."""
        self.missing += last - first + 1
        if self.ranges and self.ranges[-1][1] == first - 1:
            self.ranges[-1] = self.ranges[-1][0], last
        elif len(self.ranges) < RANGES:
            self.ranges.append((first, last))

    def _ready(self, waiting: int) -> Iterator[tuple[int, Line]]:
        while self._waiting and (
            self._waiting[0][0] <= self.last + 1 or len(self._waiting) > waiting
        ):
            seq, _, line = heappop(self._waiting)
            if seq <= self.last:
                continue
            if seq > self.last + 1:
                self.lose(self.last + 1, seq - 1)
            self.last = seq
            yield seq, line
