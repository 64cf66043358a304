"""Quiet outcomes that wait for each other: a few transactions, and nobody's fault is another's."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
import sqlalchemy as sa
from recorded import MINUTE, NOON, another_writer, configure, lease_feeds, planned

from monitor.adapters.store.database import Database, connect
from monitor.core.model import DatabaseError, PollPlan
from monitor.jobs import outcomes
from monitor.jobs.outcomes import Outcomes

pytestmark = pytest.mark.anyio

NAMES = ["one", "two", "three"]


@pytest.fixture
def plans(database: Database) -> list[PollPlan]:
    configure(database, *NAMES)
    feeds = lease_feeds(database, least=dict.fromkeys(NAMES, 5 * MINUTE))
    return [planned(feed, now=NOON + MINUTE) for feed in feeds]


@pytest.fixture
def commits(database: Database) -> list[None]:
    seen: list[None] = []
    sa.event.listen(database.engine, "commit", lambda _: seen.append(None))
    return seen


@pytest.fixture
async def group(database: Database) -> AsyncIterator[Outcomes]:
    with ThreadPoolExecutor(1) as thread:
        group = Outcomes(database, thread)
        group.under_way = lambda: len(NAMES)
        yield group


async def test_what_ends_together_is_written_together(group, plans, commits):
    written = await asyncio.gather(*map(group.commit, plans))
    assert (written, len(commits)) == ([True] * 3, 1)


async def test_the_last_one_under_way_waits_for_nobody(group, plans, commits):
    group.under_way = lambda: 1
    for plan in plans:
        assert await group.commit(plan)
    assert len(commits) == 3


async def test_who_waits_for_one_that_takes_long_is_written_in_time(
    group, plans, commits, monkeypatch
):
    monkeypatch.setattr(outcomes, "WITHIN_S", 0.05)
    async with asyncio.timeout(5):
        assert await group.commit(plans[0])
    assert len(commits) == 1


async def test_who_waits_is_written_when_the_one_under_way_ends(group, plans, commits):
    waiting = asyncio.create_task(group.commit(plans[0]))
    await asyncio.sleep(0)
    assert commits == []
    group.under_way = lambda: 1
    group.hurry()
    assert await waiting


async def test_a_lease_that_was_lost_is_its_own_jobs_alone(group, plans):
    lost = planned(replace(plans[0].feed, lease="of nobody"))
    assert await asyncio.gather(*map(group.commit, [lost, *plans[1:]])) == [False, True, True]


async def test_a_write_that_fails_is_told_to_all_who_wait(database_url, plans):
    with another_writer(database_url) as locked, ThreadPoolExecutor(1) as thread:
        group = Outcomes(locked, thread)
        group.under_way = lambda: len(NAMES)
        told = await asyncio.gather(*map(group.commit, plans), return_exceptions=True)
    assert [type(error) for error in told] == [DatabaseError] * 3
    with closing(connect(database_url)) as free, ThreadPoolExecutor(1) as thread:
        assert await Outcomes(free, thread).commit(plans[0])


async def test_a_job_that_gives_up_takes_no_other_with_it(group, plans, commits):
    first, *others = [asyncio.create_task(group.commit(plan)) for plan in plans[:2]]
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.gather(group.commit(plans[2]), *others) == [True, True]
    assert first.cancelled()
    assert len(commits) == 1
