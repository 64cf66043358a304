"""A status rebuilt from the lines of a log: which of them count, and what they leave out.

1. A whole status block says what is, up to its ``as_of_seq``.
2. Committed events that follow it change it, each once, in the order of ``seq``.
3. A ``feed.polled`` is its feed's state, at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from monitor.core.model import Line, LogEvent
from monitor.core.problems import Problem
from monitor.core.resequencer import Resequencer
from monitor.core.status import MOST, FeedStatus, Process, Snapshot, process_of, read_block
from monitor.core.tally import Tally

BLOCKS: Final = 4  # that may be open at once: several daemons' lines interleave
SKEW: Final = timedelta(seconds=5)  # clocks of machines that share a database differ by less
MOMENT: Final = timedelta(seconds=10)  # in which a committed event is written


@dataclass(frozen=True, slots=True)
class Missing:
    """What a log does not tell."""

    block: bool  # there is no whole status block
    before: int  # events before the first, where there is no block
    ranges: tuple[tuple[int, int], ...]  # of missing numbers since the block; of many the first
    events: int  # all that are missing since the block
    feeds: int  # configured, and not named
    requests: int  # unsettled, and not named
    problems: int  # open, and not described
    rough: bool  # some of it was rounded


class Retelling:
    """Hears the lines of a log, one after the other."""

    def __init__(self) -> None:
        self.at: datetime | None = None  # as of when; None: nothing was heard
        self.process = Process(None, None, None)  # who spoke last
        self._tally = Tally()
        self._order = Resequencer()
        self._blocks: dict[datetime, list[LogEvent]] = {}  # begun, by the instant of their lines
        self._has_block = self._is_rough = False
        self._has_restarted = False  # since the last event that was new
        self._is_configuration_told = False  # by a block since the last start
        self._clock = _Clock()

    def hear(self, line: Line) -> None:
        """Heed a line. One that does not say what it must is as good as none."""
        self._is_rough |= line.rough
        try:
            if line.seq is None:
                self._clock.show(line.at)
                self._say(line)
            else:
                self._heed(self._order.take(line.seq, line))
        except ValueError:
            return
        later = line.seq is None or self.at is None or line.at > self.at
        self.at = line.at if later else self.at

    def snapshot(self) -> Snapshot:
        """Return the status, as if the log ended here."""
        self._heed(self._order.rest())
        return self._tally.snapshot(self._order.last)

    def problems(self) -> list[Problem]:
        """Return the open problems that were told, longest first."""
        return sorted(self._tally.problems.values(), key=lambda problem: problem.since)

    def missing(self) -> Missing:
        """Return what the log did not tell of the ``snapshot``, which is to be taken first."""
        order, snapshot = self._order, self.snapshot()
        return Missing(
            block=not self._has_block,
            before=max((order.first or 1) - 1, 0),
            ranges=tuple(order.ranges),
            events=order.missing,
            feeds=snapshot.unnamed_feeds,
            requests=snapshot.unnamed_requests,
            problems=snapshot.problems - len(self._tally.problems),
            rough=self._is_rough,
        )

    # --- committed events -----------------------------------------------------------------

    def _heed(self, lines: Iterable[tuple[int, Line]]) -> None:
        for seq, line in lines:
            self._has_restarted = False
            try:
                if line.event.name == "clock.jumped":
                    self._set_back(line)
                else:
                    self._tally.heed(line.event, line.at)
            except ValueError:
                self._order.lose(seq, seq)

    def _set_back(self, line: Line) -> None:
        skew_s = line.event.fields.get("skew_s")
        if not isinstance(skew_s, int | float):
            raise ValueError("by how much is missing")  # noqa: TRY004 - a line is at fault
        try:
            by = timedelta(milliseconds=-round(skew_s * 1000))
            spared = self._clock.polled_since(line.at, self._tally.feeds.values())
            self._tally.set_back(by, line.at, spared=spared)
        except OverflowError as error:
            raise ValueError("that is beyond all years") from error

    # --- what is not committed ------------------------------------------------------------

    def _say(self, line: Line) -> None:
        event = line.event
        match event.name:
            case "feed.polled":
                self._polled(event)
            case "daemon.started":
                self.process = process_of(event)
                self._has_restarted, self._is_configuration_told = True, False
            case "daemon.reloaded":
                self._is_configuration_told = False
            case "status.summary":
                if len(self._blocks) == BLOCKS:
                    self._blocks.pop(next(iter(self._blocks)))
                self._blocks[line.at] = [event]
            case "status.feed" | "status.request":
                if len(lines := self._blocks.get(line.at, [])) <= 2 * MOST:
                    lines.append(event)
            case "status.end" if line.at in self._blocks:
                self._restate([*self._blocks.pop(line.at), event])

    def _polled(self, event: LogEvent) -> None:
        """Heed a poll; not that of a podcast that was dropped while it was polled."""
        tally, podcast = self._tally, event.podcast or ""
        if podcast in tally.feeds or tally.unnamed_feeds or not self._is_configuration_told:
            tally.polled(event)
            self._clock.told.add(podcast)

    def _restate(self, block: list[LogEvent]) -> None:
        """Take a whole block for what is, unless events that followed it are heeded already.

        Lower numbers than were heard, at a start: the database was put back.
        """
        status, process = read_block(block)
        put_back = self._has_restarted or not self._has_block
        if status.as_of_seq < self._order.last and not put_back:
            return
        before = self.process  # of whom the console's blocks say less than a start does
        self.process = Process(
            process.version or before.version,
            process.mode or before.mode,
            process.pid or before.pid,
        )
        self._has_block = self._is_configuration_told = True
        self._tally.restate(status)
        self._heed(self._order.know(status.as_of_seq))


class _Clock:
    """Tells, when the wall clock was set back, which polls came after that.

    A poll is told at once, and that the clock was set back a moment later, with the committed
    events. So the line of a poll by the new time may come before it.
    """

    def __init__(self) -> None:
        self.told: set[str] = set()  # podcasts of which there was a line since it went back
        self._last: datetime | None = None

    def show(self, at: datetime) -> None:
        """Look at a line that is written at once: it shows the time."""
        if self._last is not None and self._last - at > SKEW:
            self.told.clear()
        self._last = at

    def polled_since(self, at: datetime, feeds: Iterable[FeedStatus]) -> set[str]:
        """Return the podcasts that were polled after the clock was set back to *at*."""
        polls = {feed.podcast: feed.last_attempt_at for feed in feeds}
        return {
            name for name in self.told if (last := polls.get(name)) and at <= last <= at + MOMENT
        }
