"""Documents that are parsed in a process of their own."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from monitor.adapters.sandbox import Sandbox
from monitor.core.model import ParseError
from monitor.core.parse import read_whole

pytestmark = pytest.mark.anyio

GOLDEN = sorted((Path(__file__).parents[1] / "core" / "golden").glob("*.xml"))
# feedparser needs minutes for it: a millisecond an item.
COSTLY = b"<rss><channel>%b<&></channel></rss>" % (b"<item><title>x</title></item>" * 300_000)


def children() -> list[int]:
    """Return this process's children, dead ones included."""
    task = Path(f"/proc/{os.getpid()}/task")
    return [int(pid) for path in task.glob("*/children") for pid in path.read_text().split()]


async def child() -> int:
    for _ in range(2000):
        if found := children():
            return found[0]
        await asyncio.sleep(0.005)
    raise TimeoutError


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("path", GOLDEN[::3], ids=lambda path: path.stem)
async def test_a_document_says_the_same_as_in_this_process(path):
    body = path.read_bytes()
    assert await Sandbox().read([body[:100], body[100:]]) == read_whole(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"", "empty_body"), (b"<html>", "html_page"), (b"<rss>", "truncated"), (b"x", "not_a_feed")],
)
async def test_what_is_no_feed_is_refused_for_the_same_reason(body, reason):
    with pytest.raises(ParseError) as refused:
        await Sandbox().read([body])
    assert refused.value.reason == reason


async def test_a_document_that_takes_too_long_is_given_up_and_its_process_ended():
    with pytest.raises(ParseError) as refused:
        await Sandbox(deadline_s=1.5).read([COSTLY])
    assert (refused.value.reason, children()) == ("too_slow", [])


async def test_a_document_that_takes_too_much_memory_is_refused():
    most = 150_000_000
    with pytest.raises(ParseError) as refused:
        await Sandbox(max_memory_bytes=most).read([b"<rss>", *[b" " * 1_000_000] * 200])
    assert refused.value.reason == "too_costly"


async def test_a_parser_that_is_killed_is_the_documents_fault_and_no_exception():
    reading = asyncio.create_task(Sandbox().read([COSTLY]))
    os.kill(await child(), signal.SIGKILL)
    with pytest.raises(ParseError, match="too_costly: the parser ended with -9"):
        await reading
    assert children() == []


async def test_who_gives_up_leaves_no_process_behind():
    reading = asyncio.create_task(Sandbox().read([COSTLY]))
    await child()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert children() == []


async def test_one_document_is_read_at_a_time():
    sandbox, most = Sandbox(), 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, len(children()))
            await asyncio.sleep(0.002)

    watching = asyncio.create_task(watch())
    body = GOLDEN[0].read_bytes()
    await asyncio.gather(*(sandbox.read([body]) for _ in range(3)))
    watching.cancel()
    assert most == 1


async def test_no_descriptor_is_left_open():
    sandbox, body = Sandbox(), GOLDEN[0].read_bytes()
    await sandbox.read([body])
    before = descriptors()
    for _ in range(5):
        await sandbox.read([body])
    assert descriptors() == before


async def test_a_process_that_cannot_be_started_is_not_the_documents_fault(monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(OSError, match="No such file"):
        await Sandbox().read([b"<rss/>"])
