"""What the process holds does not grow: descriptors, threads, tasks, memory, file, journal.

``campaigns/endurance.py`` says how; ``make chaos`` polls 100,000 times. That cancelled requests and
deadlines leave no socket behind is tested at the client itself, in ``adapters/test_http.py``; that
a parser's process leaves no descriptor, in ``adapters/test_sandbox.py``.
"""

import asyncio
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, closing
from dataclasses import replace

import pytest

from monitor import dispatch
from monitor.adapters.store import migrate
from monitor.adapters.store.database import connect
from tests.adapters.server import until
from tests.campaigns.endurance import Endurance, Sample, flat_world, grown, run, too_much

POLLS = 3_000
SEED = 4


def test_thousands_of_polls_of_which_one_in_nine_fails_leave_nothing_behind():
    """In a process of its own: what other tests left behind, and free, is not weighed."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        figures = alone.submit(run, POLLS, SEED).result()
    assert figures.histories >= POLLS
    assert {"http_503", "timeout", "truncated"} <= figures.faults.keys()
    assert list(figures.violations) == []


FLAT = [Sample(n * 1000, 210, 6, 1, 450_000, 100_000_000, 2_000_000, 0) for n in range(1, 16)]


@pytest.mark.parametrize(
    ("leak", "named"),
    [
        ({"descriptors": 2}, "descriptors"),
        ({"threads": 1}, "threads"),
        ({"blocks": 200}, "blocks"),
        ({"rss_bytes": 300_000}, "rss_bytes"),
        ({"database_bytes": 20_000}, "database_bytes"),
        ({"tasks": 1}, "tasks"),
        ({"journal_bytes": 512}, "journal_bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_grows_a_little_from_sample_to_sample_is_seen(leak, named):
    leaking = [
        replace(flat, **{name: getattr(flat, name) + by * n for name, by in leak.items()})
        for n, flat in enumerate(FLAT)
    ]
    assert [*too_much(FLAT)] == []
    assert [what.partition(" ")[0] for what in too_much(leaking)] == [named]


def test_one_connection_that_comes_or_goes_is_no_growth():
    last = replace(FLAT[-1], descriptors=211)
    assert grown([*FLAT[:-1], last])["descriptors"] == 0


@pytest.mark.anyio
async def test_polls_that_are_given_up_at_a_stop_leave_neither_task_nor_socket(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(dispatch, "STOP_WITHIN_S", 0.0)
    with flat_world(SEED, {"hangs": 1}) as port:
        endurance = Endurance(tmp_path, port)
        async with AsyncExitStack() as stack:
            database = stack.enter_context(closing(connect(f"sqlite:///{endurance.path}")))
            migrate.migrate(database)
            dispatcher = await endurance.begin(database, stack)
            before, tasks = _descriptors(), len(asyncio.all_tasks())
            started = await dispatcher.start_polls()
            await until(lambda: _descriptors() >= before + started)
            await dispatcher.wind_down()
            await until(lambda: _descriptors() <= before)
            assert len(asyncio.all_tasks()) == tasks
    assert started == dispatch.CAPACITY["poll"]
    assert endurance.polls == 0


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, not paths
