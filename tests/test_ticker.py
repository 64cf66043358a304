"""The ticks go on: whatever one of them, the scheduler or the clock does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import apscheduler.schedulers.base
import pytest

from monitor import ticker as module
from monitor.core.model import LogEvent
from monitor.fault import describe
from monitor.ticker import Ticker

pytestmark = pytest.mark.anyio

OFTEN = timedelta(milliseconds=20)
SELDOM = timedelta(hours=1)
WITHIN_S = 5.0


class Clocks:
    """The real clocks, each of which can be put forward or back."""

    def __init__(self) -> None:
        self.wall_ahead = timedelta()
        self.monotonic_ahead_s = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + self.wall_ahead

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.monotonic_ahead_s


class Counted:
    """Work that counts itself, and that waits or fails where it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.error: Exception | None = None

    async def __call__(self) -> None:
        self.begun += 1
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        self.ended += 1


@pytest.fixture
def clocks(monkeypatch) -> Clocks:
    clocks = Clocks()

    class Turned(datetime):
        @classmethod
        def now(cls, tz=None):
            return clocks.now().astimezone(tz)

    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", Turned)
    return clocks


@pytest.fixture
def told() -> list[LogEvent | timedelta]:
    """What was told, and by how much the clock jumped."""
    return []


@asynccontextmanager
async def ticking(clocks, told, **works: tuple[timedelta, Counted]) -> AsyncIterator[Ticker]:
    ticker = Ticker(
        now=clocks.now, monotonic=clocks.monotonic, tell=told.append, jumped=told.append
    )
    for name, (interval, work) in works.items():
        ticker.every(interval, name, work)
    ticker.start()
    try:
        yield ticker
    finally:
        for _, work in works.values():
            work.may_end.set()
        if ticker.scheduler.running:
            await ticker.stop()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():  # noqa: ASYNC110 - what is waited for is the scheduler's, no event of ours
            await asyncio.sleep(0.002)


def names(told: list[LogEvent]) -> list[tuple[str, object]]:
    return [(event.name, event.fields.get("tick")) for event in told]


async def test_a_tick_comes_at_once_and_then_at_its_interval(clocks, told):
    often, seldom = Counted(), Counted()
    async with ticking(clocks, told, often=(OFTEN, often), seldom=(SELDOM, seldom)):
        await until(lambda: often.ended >= 3)
    assert seldom.ended == 1
    assert told == []


async def test_an_exception_in_the_schedulers_own_pass_does_not_end_the_ticks(
    clocks, told, monkeypatch
):
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    work, raised = Counted(), []
    async with ticking(clocks, told, poll=(OFTEN, work)) as ticker:
        store = ticker.scheduler._jobstores["default"]
        update_job = store.update_job

        def fail_once(job):
            monkeypatch.setattr(store, "update_job", update_job)
            raised.append(job.id)
            raise MemoryError

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: raised.append(context["exception"]))
        monkeypatch.setattr(store, "update_job", fail_once)
        await until(lambda: len(raised) == 2)
        before = work.ended
        await until(lambda: work.ended >= before + 2)
    assert isinstance(raised[1], MemoryError)


@pytest.mark.parametrize("jump", [timedelta(hours=-3), timedelta(hours=3)])
async def test_a_wall_clock_that_jumps_is_told_and_the_ticks_are_armed_anew(clocks, told, jump):
    often, seldom = Counted(), Counted()
    async with ticking(clocks, told, often=(OFTEN, often), seldom=(SELDOM, seldom)) as ticker:
        await until(lambda: often.ended >= 1 and seldom.ended == 1)
        assert ticker.supervise() == ()
        clocks.wall_ahead = jump
        ticker.supervise()
        before = often.ended
        await until(lambda: often.ended >= before + 2 and seldom.ended >= 2)
        ticker.supervise()
    (jumped,) = told
    assert abs(jumped - jump) < timedelta(seconds=1)


async def test_a_clock_that_is_slewed_by_a_second_is_nothing_to_tell(clocks, told):
    async with ticking(clocks, told, poll=(SELDOM, Counted())) as ticker:
        clocks.wall_ahead = timedelta(seconds=1)
        ticker.supervise()
    assert told == []


async def test_a_tick_that_raises_is_told_and_it_and_the_others_go_on(clocks, told):
    bad, good = Counted(), Counted()
    bad.error = ValueError("first line\nsecond line")
    async with ticking(clocks, told, bad=(OFTEN, bad), good=(OFTEN, good)):
        await until(lambda: bad.begun >= 2 and good.ended >= 2)
    assert {(e.name, e.level, *e.fields.values()) for e in told} == {
        ("tick.failed", "error", "bad", "ValueError: first line")
    }


async def test_a_tick_that_hangs_is_given_up_and_told_and_the_others_go_on(
    clocks, told, monkeypatch
):
    monkeypatch.setattr(module, "LIMIT", timedelta(milliseconds=50))
    hung, good = Counted(), Counted()
    hung.may_end.clear()
    async with ticking(clocks, told, hung=(SELDOM, hung), good=(OFTEN, good)) as ticker:
        await until(lambda: names(told) == [("tick.overran", "hung")])
        before = good.ended
        ticker.wake("hung")
        await until(lambda: hung.begun == 2 and good.ended > before)
    assert hung.ended <= 1


async def test_a_tick_that_is_due_again_while_it_runs_is_told_once(clocks, told):
    slow, other = Counted(), Counted()
    slow.may_end.clear()
    async with ticking(clocks, told, slow=(OFTEN, slow), other=(OFTEN, other)):
        await until(lambda: bool(told))
        before = other.ended
        await until(lambda: other.ended >= before + 3)
        assert slow.begun == 1
        slow.may_end.set()
        await until(lambda: slow.ended >= 2)
    (overran,) = told
    assert (overran.name, overran.level, overran.fields["tick"]) == (
        "tick.overran",
        "warning",
        "slow",
    )


async def test_a_wake_brings_a_tick_forward(clocks, told):
    work = Counted()
    async with ticking(clocks, told, poll=(SELDOM, work)) as ticker:
        await until(lambda: work.ended == 1)
        ticker.wake("poll")
        await until(lambda: work.ended == 2)
        ticker.wake("nothing of this name")
    assert told == []


async def test_wakes_while_it_runs_make_it_run_once_more_and_only_once(clocks, told):
    work = Counted()
    work.may_end.clear()
    async with ticking(clocks, told, poll=(SELDOM, work)) as ticker:
        await until(lambda: work.begun == 1)
        ticker.wake("poll")
        ticker.wake("poll")
        work.may_end.set()
        await until(lambda: work.ended == 2)
    assert work.begun == 2
    assert told == []


async def test_wakes_in_the_instant_of_its_start_are_no_overrun(clocks, told):
    work = Counted()
    async with ticking(clocks, told, poll=(SELDOM, work)) as ticker:
        for expected in range(1, 20):
            await until(lambda expected=expected: work.ended >= expected)
            for _ in range(3):
                ticker.wake("poll")
                await asyncio.sleep(0)
    assert told == []


async def test_stopping_lets_what_runs_end_and_starts_nothing_more(clocks, told):
    work = Counted()
    work.may_end.clear()
    async with ticking(clocks, told, poll=(OFTEN, work)) as ticker:
        await until(lambda: work.begun == 1)
        ticker.wake("poll")
        stopped = asyncio.create_task(ticker.stop())
        await asyncio.sleep(0)
        assert not stopped.done()
        work.may_end.set()
        await stopped
        ended = work.ended
        ticker.wake("poll")
    assert work.begun == work.ended == ended
    assert [e for e in told if e.level == "error"] == []


async def test_a_stop_right_after_the_start_cuts_off_no_tick(clocks, told):
    work = Counted()
    async with ticking(clocks, told, poll=(SELDOM, work)):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert work.begun == work.ended
    assert told == []


async def test_a_tick_that_completes_no_more_is_stuck_and_told_so_once(clocks, told):
    stuck, good = Counted(), Counted()
    async with ticking(clocks, told, stuck=(OFTEN, stuck), good=(OFTEN, good)) as ticker:
        await until(lambda: stuck.ended >= 1)
        stuck.error = OSError("away")
        await later(clocks, 100, stuck, good)
        assert ticker.supervise() == ()
        await later(clocks, 30, stuck, good)
        assert ticker.supervise() == ticker.supervise() == ("stuck",)
        stuck.error = None
        before = stuck.ended
        await until(lambda: stuck.ended > before)
        assert ticker.supervise() == ()
    (overran,) = [e for e in told if e.name == "tick.overran"]
    assert (overran.level, overran.fields["tick"]) == ("error", "stuck")
    assert overran.fields["took_s"] == pytest.approx(130, abs=WITHIN_S)


async def later(clocks: Clocks, seconds: float, *works: Counted) -> None:
    """Turn both clocks; return when every tick has begun once more since."""
    clocks.wall_ahead += timedelta(seconds=seconds)
    clocks.monotonic_ahead_s += seconds
    before = [work.begun for work in works]
    await until(lambda: all(work.begun >= b + 2 for work, b in zip(works, before, strict=True)))


async def test_an_error_is_described_in_one_line():
    assert describe(ValueError("what\nwhere")) == "ValueError: what"
    assert describe(TimeoutError()) == "TimeoutError"
