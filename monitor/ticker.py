"""The scheduler's ticks, and the supervisor that sees to it that they go on ticking.

APScheduler only ticks: everything that must survive is a due time in our own tables. Its known
faults are met here. An exception while it looks for due jobs kills its timer for good
(apscheduler#1113, mended in PR #1132, not in 3.11.3): ``SafeScheduler``. A wall clock set back
stops every job until it has caught up: the supervisor re-arms them; of one set forward it lists
every run that was missed: ``Every``. A job that hangs or always raises looks alive: the watchdog is
fed only while every tick completes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    JobEvent,
)
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler, run_in_event_loop
from apscheduler.triggers.interval import IntervalTrigger

from monitor import fault
from monitor.core.model import Level, LogEvent, Scalar

Work = Callable[[], Awaitable[object]]
Tell = Callable[[LogEvent], None]
Jumped = Callable[[timedelta], None]

LIMIT = timedelta(seconds=60)  # a tick leases and starts; it never waits for the network
SKEW = timedelta(seconds=5)  # more than this between wall and monotonic clock is a jump
WORTH_TELLING_S = 1.0  # where ticks come every 20 ms, being late by that is nothing
RETRY_S = 1.0  # after the scheduler itself failed

# What it warns of, the listener tells in our own words.
logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
# What it raises of a tick is that it was cancelled, at a stop: a tick tells its own faults.
logging.getLogger("apscheduler.executors").setLevel(logging.CRITICAL)


class Every(IntervalTrigger):  # type: ignore[misc] # apscheduler 3 has no types
    """Due an interval after the last run, or after now if that is past already.

    APScheduler's own would list every run that was missed: after a clock's jump from 1970 to
    2026, three hundred million.
    """

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        due: datetime
        if previous_fire_time is None:
            due = super().get_next_fire_time(None, now)
            return due
        due = previous_fire_time + self.interval
        return due if due > now else now + self.interval


class SafeScheduler(AsyncIOScheduler):  # type: ignore[misc] # apscheduler 3 has no types
    """An AsyncIOScheduler whose timer survives an exception in its own pass."""

    @run_in_event_loop  # type: ignore[untyped-decorator] # as above
    def wakeup(self) -> None:
        self._stop_timer()
        wait: float | None = RETRY_S
        try:
            wait = self._process_jobs()
        finally:
            self._start_timer(wait)


@dataclass(slots=True)
class Tick:
    """Work that is done every *interval*, and at once when it is woken."""

    name: str
    interval: timedelta
    work: Work
    monotonic: Callable[[], float]
    tell: Tell
    completed_at: float  # by the monotonic clock
    began_at: float = 0.0  # by the same
    again: bool = False  # woken while running
    said: bool = False  # that this run takes too long
    stuck: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> None:
        """Do the work once, and once more for as long as it was woken meanwhile."""
        self.began_at = self.monotonic()
        self.said = False
        self.idle.clear()
        try:
            async with asyncio.timeout(LIMIT.total_seconds()):
                self.again = True
                while self.again:
                    self.again = False
                    await self.work()
        except TimeoutError:
            self._say("tick.overran", "warning", took_s=self._since(self.began_at))
        except Exception as error:  # noqa: BLE001 - a tick that dies would look alive; it is told
            self.failed(error)
        else:
            self.completed_at = self.monotonic()
        finally:
            self.idle.set()

    @property
    def running(self) -> bool:
        return not self.idle.is_set()

    def failed(self, error: BaseException) -> None:
        fault.trace(error)
        self._say("tick.failed", "error", error=fault.describe(error))

    def overran(self) -> None:
        """Say, once a run, that it is due again and still running; a wake too soon is neither."""
        took_s = self._since(self.began_at)
        late = took_s >= max(self.interval.total_seconds(), WORTH_TELLING_S)
        if self.running and not self.said and late:
            self.said = True
            self._say("tick.overran", "warning", took_s=took_s)

    def supervise(self) -> bool:
        """Return whether nothing has completed for too long; say so the first time."""
        allowance_s = 3 * self.interval.total_seconds() + 2 * LIMIT.total_seconds()
        took_s = self._since(self.completed_at)
        if took_s <= allowance_s:
            self.stuck = False
        elif not self.stuck:
            self.stuck = True
            self._say("tick.overran", "error", took_s=took_s)
        return self.stuck

    def _since(self, began: float) -> float:
        return round(self.monotonic() - began, 1)

    def _say(self, event: str, level: Level, **fields: Scalar) -> None:
        self.tell(LogEvent(event, level=level, fields={"tick": self.name, **fields}))


class Ticker:
    """Owns the scheduler and the ticks."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        tell: Tell,
        jumped: Jumped,
    ) -> None:
        """*jumped* is told by how much the wall clock moved against the monotonic one."""
        self.jumped = jumped
        self.now = now
        self.monotonic = monotonic
        self.tell = tell
        self.ticks: dict[str, Tick] = {}
        self.scheduler = SafeScheduler(
            jobstores={"default": MemoryJobStore()},
            timezone=UTC,
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )
        self.scheduler.add_listener(
            self._on_trouble, EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES
        )
        self._wall_ahead = self._wall() - monotonic()

    def every(self, interval: timedelta, name: str, work: Work) -> None:
        """Do *work* now and then every *interval*."""
        tick = Tick(name, interval, work, self.monotonic, self.tell, self.monotonic())
        tick.idle.set()
        self.ticks[name] = tick
        self.scheduler.add_job(
            tick.__call__,
            Every(seconds=interval.total_seconds(), timezone=UTC),
            id=name,
            next_run_time=self.now(),
        )

    def start(self) -> None:
        self.scheduler.start()

    def wake(self, name: str) -> None:
        """Run a tick as soon as possible; once more, if it is running now."""
        tick = self.ticks.get(name)
        if tick is None:
            return
        tick.again = True
        if not tick.running:
            self.scheduler.modify_job(name, next_run_time=self.now())

    async def stop(self) -> None:
        """Start no more ticks, and let those that run end.

        APScheduler's own shutdown waits for nobody: it cancels running coroutines.
        """
        self.scheduler.pause()
        await asyncio.sleep(0)  # what was submitted has begun after this
        running = [tick for tick in self.ticks.values() if tick.running]
        self.ticks.clear()
        for tick in running:
            await tick.idle.wait()
        self.abandon()

    def abandon(self) -> None:
        """Cancel the ticks that run, and start no more."""
        if self.scheduler.running:
            self.scheduler.shutdown(wait=False)

    def supervise(self) -> tuple[str, ...]:
        """Re-arm the ticks after a jump of the wall clock; return the names of those stuck."""
        skew = timedelta(seconds=self._wall() - self.monotonic() - self._wall_ahead)
        if abs(skew) <= SKEW:
            skew = -max(self._waits_too_long(), timedelta())
        else:
            self._wall_ahead += skew.total_seconds()
        if abs(skew) > SKEW:
            self.jumped(skew)
            for name in self.ticks:
                self.scheduler.modify_job(name, next_run_time=self.now())
        return tuple(tick.name for tick in self.ticks.values() if tick.supervise())

    def _waits_too_long(self) -> timedelta:
        """Return how much later than it may be a tick is due: its clock jumped ahead and back."""
        due = [
            (self.scheduler.get_job(t.name).next_run_time, t.interval) for t in self.ticks.values()
        ]
        return max([at - self.now() - interval for at, interval in due if at], default=timedelta())

    def _wall(self) -> float:
        return self.now().timestamp()

    def _on_trouble(self, event: JobEvent) -> None:
        tick = self.ticks.get(event.job_id)
        if tick is None:  # stopping
            return
        if event.code == EVENT_JOB_ERROR:
            tick.failed(event.exception)
        else:
            tick.overran()
