"""The daemon through bad hours: signals at any moment, a stuck database, kills, changed settings."""

import asyncio
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.adapters.store.database import connect
from monitor.adapters.store.migrate import migrate
from monitor.config import load
from monitor.daemon import Daemon
from monitor.demo import slow, slow_drip, status
from monitor.demo.server import World, serve_in_thread
from monitor.runtime import opened
from monitor.ticker import Ticker
from tests.processes import InProcess
from tests.service import Far, now, wait_until

SECONDS = 10  # "within seconds"


@pytest.fixture
def far():
    return Far()


@pytest.fixture
def service(far, tmp_path):
    with serve_in_thread(World(far.publisher, replica=far.replica)) as url:
        service = InProcess(tmp_path, url, far)
        yield service
        service.end()


def once(service):
    assert service.command("run", "--once").returncode == 0


def assert_calm(process):
    """Nothing in a log that would wake a person: no traceback, no error, no stray line."""
    assert [line for line in process.raw if not line.startswith("{")] == []
    assert [line for line in process.lines if line["level"] == "error"] == []


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep a database for oneself, as a backup program that hangs."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


# --- signals --------------------------------------------------------------------------------


def test_it_stops_within_seconds_when_idle_and_its_last_words_are_in_order(service):
    daemon = service.start()
    daemon.until("feed.polled", outcome="not_modified")
    assert daemon.stop(signal.SIGINT) == 0
    assert_calm(daemon)
    names = [line["event"] for line in daemon.lines]
    at = names.index("daemon.stopping")
    assert daemon.lines[at]["signal"] == "SIGINT"
    last = [name for name in names[at:] if name != "feed.polled"]
    assert last == [
        "daemon.stopping",
        "status.summary",
        "status.feed",
        "status.end",
        "daemon.stopped",
    ]


def test_it_stops_within_seconds_while_a_post_gets_no_answer(service, far):
    daemon = service.start()
    daemon.until("feed.polled", new=1)
    far.replica.post_faults.always(slow(60))
    far.publish(200)
    wait_until(lambda: bool(far.replica.posts), "no POST")
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < SECONDS
    assert_calm(daemon)


def test_a_second_signal_ends_it_even_while_its_database_hangs(service):
    daemon = service.start()
    daemon.until("feed.polled", new=1)
    with locked(service.database):
        daemon.send(signal.SIGTERM)
        daemon.until("daemon.stopping")
        began = time.monotonic()
        assert daemon.stop() == -signal.SIGTERM
    assert time.monotonic() - began < 2


def test_a_status_that_is_asked_for_is_one_block(service):
    daemon = service.start()
    daemon.until("status.end")
    before = len(daemon.lines)
    daemon.send(signal.SIGUSR1)
    wait_until(lambda: len(daemon.told("status.end")) == 2, "no status")
    block = [line for line in daemon.lines[before:] if line["event"].startswith("status.")]
    assert [line["event"] for line in block] == ["status.summary", "status.feed", "status.end"]
    assert block[0]["pid"] == daemon.pid
    assert block[0]["as_of_seq"] == block[-1]["as_of_seq"]
    assert [list(line) for line in service.json("status")] == [list(line) for line in block]


def test_what_is_asked_before_the_daemon_is_there_does_not_end_it(service):
    daemon = service.launch()
    asked = (signal.SIGHUP, signal.SIGUSR1)
    wait_until(lambda: all(ignores(daemon.pid, number) for number in asked), "not ignored")
    for number in asked:
        daemon.send(number)
    daemon.until("daemon.ready")
    assert daemon.stop() == 0


def ignores(pid: int, number: signal.Signals) -> bool:
    (mask,) = re.findall(r"^SigIgn:\t(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_single_round_that_is_broken_off_leaves_no_traceback(service, far, number):
    far.publisher.faults.always(slow_drip(0.1))
    # What a shell starts in the background ignores SIGINT, and hands that on.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "monitor", "--config", str(service.config), "run", "--once"],
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    wait_until(lambda: bool(far.publisher.exchanges), "no poll")
    process.send_signal(number)
    _, told = process.communicate(timeout=SECONDS)
    assert process.returncode != 0
    assert "Traceback" not in told


# --- starts ---------------------------------------------------------------------------------


def test_a_second_daemon_says_in_its_log_who_is_there_and_a_killed_one_is_not(service):
    daemon = service.start()
    second = service.command("run")
    assert second.returncode == 1
    (line,) = map(json.loads, second.stderr.splitlines())
    assert (line["event"], line["level"]) == ("log.error", "error")
    held_by = f"{service.database} is held by pid {daemon.pid} on {socket.gethostname()}"
    assert held_by in line["message"]
    daemon.kill()
    assert service.start().stop() == 0


def test_every_event_reaches_the_log_in_order_whoever_commits_it(service, far):
    daemons = [service.start()]
    daemons[-1].until("feed.polled", new=1)
    for number, end in enumerate((kill, stop, kill), start=200):
        guid = far.publish(number)
        daemons[-1].until("request.posted", guid=guid)
        end(daemons[-1])
        for verb in ("skip", "request", "skip"):
            service.call(verb, "100", "--reason", "while nobody runs")
        daemons.append(service.start())
    for number in (200, 201, 202):
        guid = f"substack:post:{number}"
        wait_until(lambda guid=guid: is_processed(daemons, guid), f"{guid} is not processed")
    assert daemons[-1].stop() == 0
    seen: dict[int, str] = {}
    for daemon in daemons:
        lines = {line["seq"]: line["event"] for line in daemon.lines if "seq" in line}
        numbers = [line["seq"] for line in daemon.lines if "seq" in line]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))  # in order, without a gap
        assert numbers[0] <= len(seen) + 1  # a kill may repeat lines, never lose one
        seen |= lines
    assert seen == {line["seq"]: line["event"] for line in service.json("events")}
    assert len(far.replica.effects) == 3


def kill(daemon):
    daemon.kill()


def stop(daemon):
    assert daemon.stop() == 0


def is_processed(daemons, guid):
    return any(daemon.told("request.processed", guid=guid) for daemon in daemons)


# --- what changes between two starts ----------------------------------------------------------


def test_a_feed_at_a_new_address_keeps_its_episodes(service, far):
    once(service)
    guid = far.publish(200)
    once(service)
    before = service.json("episodes")
    text = service.config.read_text()
    service.config.write_text(text.replace(far.publisher.path, f"{far.publisher.path}?token=1"))
    daemon = service.start()
    daemon.until("feed.polled", outcome="ok", items=2, new=0)  # no 304: the validators are gone
    assert daemon.stop() == 0
    assert [row["guid"] for row in service.json("episodes")] == [row["guid"] for row in before]
    assert [effect.guid for effect in far.replica.effects] == [guid]


def test_a_podcast_that_was_removed_is_left_alone_with_all_that_waits(service, far):
    once(service)
    guid = far.publish(200)
    far.replica.entry(guid).listed_after = None
    once(service)
    asked = len(far.publisher.exchanges), len(far.replica.exchanges)
    text = service.config.read_text()
    other = text.replace('name = "show"', 'name = "other"').replace("/feed/show", "/feed/other")
    service.config.write_text(other.replace('stenobird = "latent', 'stenobird = "not-latent'))
    daemon = service.start()
    daemon.until("feed.polled", podcast="other", outcome="failed")
    daemon.until("status.end")
    assert daemon.stop() == 0
    assert_calm(daemon)
    ours = [e for e in far.replica.exchanges[asked[1] :] if "/feed/other" not in e.path]
    assert (len(far.publisher.exchanges), ours) == (asked[0], [])
    statuses = {row["guid"]: row["request"] for row in service.json("episodes")}
    assert statuses == {guid: "pending", "substack:post:100": "held"}
    service.config.write_text(text)
    far.replica.entry(guid).listed_after = timedelta()
    service.start().until("request.processed", guid=guid)


def test_what_shadow_mode_held_goes_when_the_live_daemon_is_told_so(service, far):
    service.configure(mode="shadow")
    daemon = service.start()
    daemon.until("feed.polled", new=1)
    guid = far.publish(200)
    daemon.until("request.held", guid=guid, reason="shadow")
    assert daemon.stop() == 0
    assert far.replica.posts == []
    service.configure()
    daemon = service.start()
    done = service.call("release", guid, "--reason", "now we mean it")
    assert done.stdout.endswith("is now pending; it was held: shadow\n")  # and a daemon runs
    daemon.until("request.processed", guid=guid)
    assert daemon.told("request.released", guid=guid)[0]["by"] == "now we mean it"
    assert len(far.replica.posts) == 1


# --- one round ------------------------------------------------------------------------------


def test_one_round_polls_what_is_not_due_delivers_and_tracks_and_says_how_it_went(service, far):
    text = service.config.read_text()
    service.config.write_text(
        text.replace('poll = { min = "200ms", max = "2s"', 'poll = { min = "1h", max = "1h"')
    )
    once(service)
    guid = far.publish(200)
    second = service.command("run", "--once")
    assert second.returncode == 0
    assert len(far.publisher.exchanges) == 2  # though the next poll was due in an hour
    names = [json.loads(line)["event"] for line in second.stderr.splitlines()]
    assert (names[0], names[-1]) == ("daemon.started", "status.end")
    assert {"feed.polled", "episode.discovered", "request.accepted"} <= set(names)
    wait_until(lambda: far.replica.state(guid) == "processed", "Stenobird is slow")
    far.publisher.faults.always(status(503))
    third = service.command("run", "--once")
    assert third.returncode == 1
    assert '"event":"request.processed"' in third.stderr
    assert '"reason":"http_503"' in third.stderr


# --- systemd ----------------------------------------------------------------------------------


@pytest.fixture
def systemd(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(SECONDS)
        yield listening


def heard(systemd):
    """Return what has arrived since."""
    messages = []
    systemd.setblocking(False)
    try:
        while True:
            messages.append(systemd.recv(4096).decode())
    except BlockingIOError:
        systemd.settimeout(SECONDS)
        return messages


def test_systemd_hears_ready_then_the_status_then_stopping(service, systemd):
    daemon = service.start(NOTIFY_SOCKET=systemd.getsockname(), WATCHDOG_USEC="1000000")
    first = systemd.recv(4096).decode()
    daemon.until("feed.polled", new=1)
    first_pings = heard(systemd)  # the socket's queue is short: what does not fit is lost
    daemon.send(signal.SIGUSR1)
    wait_until(lambda: len(daemon.told("status.end")) == 2, "no status")
    assert daemon.stop() == 0
    messages = [first, *first_pings, *heard(systemd)]
    kinds = [message.partition("=")[0] for message in messages]
    assert kinds.count("READY") == kinds.count("STOPPING") == 1
    assert "WATCHDOG" in kinds[kinds.index("READY") : kinds.index("STOPPING")]
    said = [message for message in messages if message.startswith("STATUS=")]
    pattern = r"STATUS=1 podcasts, 1 episodes, 0 pending, .*; next poll 2\d{3}-.*Z"
    assert re.fullmatch(pattern, said[-1])


@pytest.mark.anyio
async def test_the_watchdog_is_fed_no_more_once_a_tick_is_stuck(service, systemd, monkeypatch):
    ahead_s = 0.0
    told = []

    def monotonic() -> float:
        return time.monotonic() + ahead_s

    def wall():
        return now() + timedelta(seconds=ahead_s)

    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
    config = load(service.config, {})
    with closing(connect(config.database)) as database:
        migrate(database)
        life = Daemon(config, database).life
        async with opened(config, life) as runtime:
            ticker = Ticker(now=wall, monotonic=monotonic, tell=told.append, jumped=told.append)
            ticker.every(timedelta(seconds=5), "log", asyncio.Event().wait)
            runtime.ticker = ticker
            turn = asyncio.Event()
            supervising = asyncio.create_task(runtime.supervise(turn))
            await until(lambda: "WATCHDOG=1" in heard(systemd))
            ahead_s = 3600
            await until(lambda: [event.level for event in told] == ["error"])
            heard(systemd)  # what was sent before
            looks = 0
            supervise = ticker.supervise

            def counted():
                nonlocal looks
                looks += 1
                return supervise()

            monkeypatch.setattr(ticker, "supervise", counted)
            await until(lambda: looks >= 3)
            assert heard(systemd) == []
            turn.set()
            await supervising
    assert told[0].fields["tick"] == "log"


async def until(holds):
    async with asyncio.timeout(SECONDS):
        while not holds():  # noqa: ASYNC110 - what is waited for is a socket and another task's
            await asyncio.sleep(0.002)
