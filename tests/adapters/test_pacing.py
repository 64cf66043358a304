"""Turns, by the event loop's own clock."""

import asyncio
from itertools import pairwise

import pytest

from monitor.adapters.pacing import MOST_ORIGINS, NoTurnError, Pacing

pytestmark = pytest.mark.anyio


async def test_turns_of_one_origin_start_at_least_the_interval_apart():
    pacing, starts = Pacing(0.03), []

    async def take() -> None:
        async with pacing.turn("a"):
            starts.append(asyncio.get_running_loop().time())

    await asyncio.gather(*(take() for _ in range(4)))
    gaps = [later - sooner for sooner, later in pairwise(starts)]
    assert min(gaps) >= 0.03


async def test_a_turn_is_kept_to_the_end_of_its_block():
    pacing, holding = Pacing(0), []

    async def take() -> None:
        async with pacing.turn("a"):
            assert not holding
            holding.append(1)
            await asyncio.sleep(0.001)
            holding.pop()

    await asyncio.gather(*(take() for _ in range(20)))


async def test_other_origins_do_not_wait():
    pacing = Pacing(60)
    async with asyncio.timeout(1), pacing.turn("a"), pacing.turn("b"):
        pass


async def test_who_gives_up_waiting_leaves_the_turn_to_the_next():
    pacing = Pacing(0)

    async def take() -> None:
        async with pacing.turn("a"):
            pass

    async with pacing.turn("a"):
        gives_up, stays = asyncio.create_task(take()), asyncio.create_task(take())
        await asyncio.sleep(0)
        gives_up.cancel()
    await stays
    assert gives_up.cancelled()


async def test_who_gives_up_in_the_pause_leaves_the_turn_to_the_next():
    pacing = Pacing(0.05)

    async def take() -> None:
        async with pacing.turn("a"):
            pass

    await take()
    gives_up, stays = asyncio.create_task(take()), asyncio.create_task(take())
    await asyncio.sleep(0.01)
    gives_up.cancel()
    async with asyncio.timeout(1):
        await stays
    assert gives_up.cancelled()


async def test_the_memory_is_bounded_and_keeps_those_whose_turn_it_is():
    pacing = Pacing(0)
    async with pacing.turn("held"):
        for number in range(2 * MOST_ORIGINS):
            async with pacing.turn(str(number)):
                pass
        assert "held" in pacing._origins
    assert len(pacing._origins) <= MOST_ORIGINS + 1


async def test_an_origin_whose_pause_is_not_over_is_not_forgotten():
    pacing = Pacing(3600)
    for number in range(MOST_ORIGINS + 10):
        async with pacing.turn(str(number)):
            pass
    assert len(pacing._origins) == MOST_ORIGINS + 10


async def test_who_waits_too_long_for_a_turn_gives_up_and_harms_nobody():
    pacing = Pacing(0.0, patience_s=0.05)
    async with pacing.turn("a"):
        with pytest.raises(NoTurnError):
            async with pacing.turn("a"):
                pytest.fail("two at once")
        async with pacing.turn("b"):
            pass
    async with pacing.turn("a"):
        await asyncio.sleep(0.1)  # patience is for the wait, not for the turn


async def test_what_takes_too_long_within_a_turn_is_no_lack_of_a_turn():
    pacing = Pacing(0.0, patience_s=10)
    with pytest.raises(TimeoutError):
        async with pacing.turn("a"), asyncio.timeout(0.01):
            await asyncio.sleep(1)
