"""Documents that are parsed in a process of their own."""

import asyncio
import os
import platform
import re
import signal
import sys
from pathlib import Path
from subprocess import PIPE, run

import pytest

from monitor.adapters import sandbox as module
from monitor.adapters.sandbox import _ANSWER, MAX_MEMORY_BYTES, Sandbox
from monitor.core.model import ParseError
from monitor.core.parse import read_whole

pytestmark = pytest.mark.anyio

GOLDEN = sorted((Path(__file__).parents[1] / "core" / "golden").glob("*.xml"))
# feedparser needs minutes for it: a millisecond an item.
COSTLY = b"<rss><channel>%b<&></channel></rss>" % (b"<item><title>x</title></item>" * 300_000)
SPACIOUS = [b"<rss><channel><&><title>", *[b"x" * 1_000_000] * 40, b"</title></channel></rss>"]
MANY = b"<rss><channel>%b<&></channel></rss>" % b"".join(
    b"<item><guid>%0900d</guid><enclosure url='https://cdn.example/1.mp3'/></item>" % n
    for n in range(1000)
)
UNIT = Path(__file__).parents[2] / "systemd" / "podcast-monitor.service"
DOCUMENT = GOLDEN[0].read_bytes()
IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

# Denies, as the unit's SystemCallFilter=~@resources does, setpriority and setrlimit with EPERM.
UNDER_THE_FILTER = """
import asyncio, ctypes, struct, sys
from monitor.adapters.sandbox import Sandbox
first, second = map(int, sys.argv[1:])
steps = ((0x20, 0, 0, 0), (0x15, 1, 0, first), (0x15, 0, 1, second), (6, 0, 0, 0x50001), (6, 0, 0, 0x7FFF0000))
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == libc.prctl(22, 2, program, 0, 0) == 0
print(len(asyncio.run(Sandbox().read([sys.stdin.buffer.read()])).items))
"""
FILTERED = {"x86_64": ("141", "160"), "aarch64": ("140", "164")}  # the two calls' numbers

READS = """
import asyncio, sys
from monitor.adapters.sandbox import Sandbox
asyncio.run(Sandbox().read([sys.stdin.buffer.read()]))
"""


OTHERS: set[int] = set()  # this process's children that are none of ours: a database server


@pytest.fixture(autouse=True)
def others():
    OTHERS.clear()
    OTHERS.update(children())


def children(parent: int | None = None) -> list[int]:
    """Return a process's children, by default this one's, dead ones included."""
    task = Path(f"/proc/{parent or os.getpid()}/task")
    found = [int(pid) for path in task.glob("*/children") for pid in path.read_text().split()]
    return [pid for pid in found if pid not in OTHERS]


async def child() -> int:
    for _ in range(2000):
        if found := children():
            return found[0]
        await asyncio.sleep(0.005)
    raise TimeoutError


def status_of(pid: int) -> dict[str, str]:
    """Return what the kernel says of a process; nothing of one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    said = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return said if said["State"][0] != "Z" else {}


def environ_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def until(condition) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


def ignores_signals(pid: int) -> bool:
    ignored = int(status_of(pid)["SigIgn"], 16)
    return all(ignored >> (number - 1) & 1 for number in IGNORED)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("path", GOLDEN[::3], ids=lambda path: path.stem)
async def test_a_document_says_the_same_as_in_this_process(path):
    body = path.read_bytes()
    assert await Sandbox().read([body[:100], body[100:]]) == read_whole(body)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_nothing_of_a_document_is_lost_between_the_processes(path):
    reading = read_whole(path.read_bytes())
    assert _ANSWER.validate_json(_ANSWER.dump_json(reading)) == reading


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


async def test_memory_that_feedparser_lacks_is_no_fault_of_the_documents_form():
    with pytest.raises(ParseError, match="too_costly: the parser ran out of memory"):
        await Sandbox(max_memory_bytes=150_000_000).read(SPACIOUS)


def test_the_parser_and_the_daemon_fit_into_the_units_memory():
    found = re.search(r"^MemoryMax=(\d+)M$", UNIT.read_text(), re.MULTILINE)
    assert found, "the unit says how much memory there is"
    left = int(found[1]) * 2**20 - MAX_MEMORY_BYTES
    assert left >= 128 * 2**20  # for the daemon itself


async def test_an_answer_longer_than_a_pipe_holds_comes_whole():
    assert await Sandbox().read([MANY]) == read_whole(MANY)


async def test_an_answer_that_is_too_long_is_refused_and_the_next_document_read(monkeypatch):
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 2000)
    sandbox = Sandbox()
    async with asyncio.timeout(20):
        with pytest.raises(ParseError, match="too_costly: its items"):
            await sandbox.read([MANY])
        assert len((await sandbox.read([b"<rss><channel><item/></channel></rss>"])).items) == 1


async def test_bytes_that_cannot_be_got_are_not_the_documents_fault_and_leave_nothing_behind():
    def failing():
        yield b"<rss>"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        await Sandbox().read(failing())
    assert children() == []


async def test_what_is_said_to_the_whole_service_is_not_held_against_the_publisher():
    reading = asyncio.create_task(Sandbox(deadline_s=2.5).read([COSTLY]))
    pid = await child()
    await until(lambda: ignores_signals(pid))
    for number in IGNORED:
        os.kill(pid, number)
    with pytest.raises(ParseError) as refused:
        await reading
    assert refused.value.reason == "too_slow"


async def test_a_parser_ends_with_the_process_that_wants_its_answer():
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", READS, stdin=PIPE)
    parent.stdin.write(COSTLY)
    parent.stdin.close()
    await until(lambda: children(parent.pid))
    (pid,) = children(parent.pid)
    # By then it has the whole document, and no end of its input can tell it.
    await until(
        lambda: int(status_of(pid)["VmRSS"].split()[0]) > 90_000
    )  # kB; to receive it takes 60
    parent.kill()
    await parent.wait()
    await until(lambda: not status_of(pid))


@pytest.mark.skipif(platform.machine() not in FILTERED, reason="system calls have other numbers")
def test_it_parses_under_the_units_system_call_filter():
    argv = [sys.executable, "-c", UNDER_THE_FILTER, *FILTERED[platform.machine()]]
    done = run(argv, input=DOCUMENT, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"%d\n" % len(read_whole(DOCUMENT).items))


async def test_it_runs_the_code_that_this_process_runs(tmp_path, monkeypatch):
    (tmp_path / "feedparser.py").write_text("def parse(*_, **__): raise ValueError")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ParseError, match="unreadable: ValueError"):
        await Sandbox().read([DOCUMENT])


async def test_no_code_comes_from_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "feedparser.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert await Sandbox().read([DOCUMENT]) == read_whole(DOCUMENT)


async def test_it_is_told_no_secret(monkeypatch):
    monkeypatch.setenv("PODCAST_MONITOR_STENOBIRD__TOKEN", "s3cret")
    reading = asyncio.create_task(Sandbox().read([COSTLY]))
    pid = await child()
    await until(lambda: b"PYTHONPATH" in environ_of(pid))  # until then it is a copy of this process
    assert b"s3cret" not in environ_of(pid)
    reading.cancel()
    await asyncio.wait([reading])


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


async def test_whenever_it_is_given_up_nothing_is_left_behind():
    sandbox = Sandbox()
    await sandbox.read([DOCUMENT])
    before = descriptors()
    for hundredth in range(0, 40, 4):
        reading = asyncio.create_task(sandbox.read([COSTLY]))
        await asyncio.wait([reading], timeout=hundredth / 100)
        reading.cancel()
        await asyncio.wait([reading])
        assert (descriptors(), children()) == (before, [])


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


async def test_who_gets_no_turn_gives_up_before_his_lease_ends_and_leaves_the_turn_to_others():
    sandbox = Sandbox(patience_s=0.05)
    reading = asyncio.create_task(sandbox.read([COSTLY]))
    await asyncio.sleep(0)
    with pytest.raises(ParseError, match=r"no_turn_to_parse: others were parsed for 0\.05 s"):
        await sandbox.read([DOCUMENT])
    reading.cancel()
    await asyncio.wait([reading])
    assert (await sandbox.read([DOCUMENT])).items
