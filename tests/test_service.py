"""The daemon as a process: signals, restarts, a second one; the log it leaves."""

import signal
import socket
import subprocess
import sys
import time

import pytest

from monitor.demo import slow, slow_drip
from monitor.demo.server import World, serve_in_thread
from tests.service import Far, Service, wait_until


@pytest.fixture
def far():
    return Far()


@pytest.fixture
def service(far, tmp_path):
    with serve_in_thread(World(far.publisher, replica=far.replica)) as url:
        service = Service(tmp_path, url, far)
        yield service
        service.end()


def seqs(*processes):
    return [line["seq"] for p in processes for line in p.lines if "seq" in line]


def assert_calm(process):
    assert not [line for line in process.raw if "Traceback" in line]
    assert not [line for line in process.lines if line["level"] == "error"]


def test_a_new_episode_is_followed_to_its_end_and_the_log_tells_it(service, far):
    daemon = service.start()
    daemon.until("feed.polled", new=1)
    guid = far.publish(200)
    daemon.until("request.processed", guid=guid)
    assert daemon.stop() == 0
    assert [effect.guid for effect in far.replica.effects] == [guid]
    order = [line["event"] for line in daemon.lines if line.get("guid") == guid and "seq" in line]
    assert order[:2] == ["episode.discovered", "request.enqueued"]
    assert order[-1] == "request.processed"
    assert seqs(daemon) == list(range(1, len(seqs(daemon)) + 1))
    assert daemon.lines[0]["event"] == "daemon.started"
    assert [line["event"] for line in daemon.lines[-2:]] == ["status.end", "daemon.stopped"]
    assert_calm(daemon)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_within_seconds_even_while_a_fetch_drips(service, far, number):
    far.publisher.faults.always(slow_drip(0.2))
    daemon = service.start()
    wait_until(lambda: bool(far.publisher.exchanges), "no poll")
    began = time.monotonic()
    assert daemon.stop(number) == 0
    assert time.monotonic() - began < 10
    assert_calm(daemon)


def test_a_second_signal_ends_it_at_once(service, far):
    far.publisher.faults.always(slow(60))
    daemon = service.start()
    wait_until(lambda: bool(far.publisher.exchanges), "no poll")
    daemon.send(signal.SIGTERM)
    daemon.until("daemon.stopping")
    began = time.monotonic()
    assert daemon.stop() == -signal.SIGTERM
    assert time.monotonic() - began < 2


def test_a_post_that_was_cut_off_by_the_stop_is_found_out_at_the_next_start(service, far):
    daemon = service.start()
    daemon.until("feed.polled", new=1)
    far.replica.post_faults.next(slow(60))
    guid = far.publish(200)
    wait_until(lambda: bool(far.replica.effects), "no POST")
    assert daemon.stop() == 0
    again = service.start()
    again.until("request.processed", guid=guid)
    assert again.stop() == 0
    assert len(far.replica.effects) == 1
    assert sorted(set(seqs(daemon, again))) == list(range(1, max(seqs(again)) + 1))


def test_kills_lose_no_line_and_no_episode(service, far):
    guids, daemons = [], []
    for number in range(200, 204):
        daemons.append(service.start())
        guids.append(far.publish(number))
        daemons[-1].until("episode.discovered", guid=guids[-1])
        daemons[-1].kill()
    daemons.append(service.start())
    wait_until(
        lambda: {e["guid"] for d in daemons for e in d.told("request.processed")} == set(guids),
        "not all are processed",
    )
    assert daemons[-1].stop() == 0
    assert sorted(effect.guid for effect in far.replica.effects) == guids
    everything = seqs(*daemons)
    assert sorted(set(everything)) == list(range(1, max(everything) + 1))


def test_sigusr1_writes_the_status_once(service):
    daemon = service.start()
    daemon.until("status.end")
    blocks = len(daemon.told("status.summary"))
    daemon.send(signal.SIGUSR1)
    wait_until(lambda: len(daemon.told("status.end")) == blocks + 1, "no status")
    assert daemon.stop() == 0
    assert len(daemon.told("status.summary")) == blocks + 2  # and one at the stop


def test_a_second_daemon_on_one_file_ends_and_names_the_first(service):
    daemon = service.start()
    second = service.command("run")
    assert second.returncode == 1
    assert f"pid {daemon.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert daemon.stop() == 0


def test_systemd_is_told(service, tmp_path):
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(10)
        daemon = service.start(NOTIFY_SOCKET=address, WATCHDOG_USEC="400000")
        heard = set()
        while not {b"READY", b"STATUS", b"WATCHDOG"} <= heard:
            heard.add(systemd.recv(4096).partition(b"=")[0])
        assert daemon.stop() == 0
        while b"STOPPING" not in heard:
            heard.add(systemd.recv(4096).partition(b"=")[0])


def test_once_polls_what_is_not_due_and_says_how_it_went(service, far):
    assert service.command("run", "--once").returncode == 0
    guid = far.publish(200)
    done = service.command("run", "--once")
    assert done.returncode == 0
    assert [effect.guid for effect in far.replica.effects] == [guid]
    service.configure(
        extra='[[podcasts]]\nname="gone"\nfeed="http://127.0.0.1:9/x"\nstenobird="g"\n'
    )
    assert service.command("run", "--once").returncode == 1


def test_shadow_posts_nothing_and_what_it_held_can_be_released(service, far):
    service.configure(mode="shadow")
    service.command("run", "--once")
    guid = far.publish(200)
    service.command("run", "--once")
    assert [e["reason"] for e in service.json("episodes", "--status", "held")] == [
        "shadow",
        "baseline",
    ]
    service.configure()
    assert service.command("release", guid, "--reason", "now").returncode == 0
    service.command("run", "--once")
    assert [effect.guid for effect in far.replica.effects] == [guid]


def test_a_podcast_that_is_no_longer_configured_keeps_its_rows(service):
    service.command("run", "--once")
    text = service.config.read_text().replace('name = "show"', 'name = "other"')
    service.config.write_text(text)
    service.command("run", "--once")
    assert {e["podcast"] for e in service.json("episodes")} == {"show", "other"}
    assert [f["podcast"] for f in service.json("status") if f["event"] == "status.feed"] == [
        "other"
    ]


def test_a_database_that_does_not_answer_is_one_line_and_1(service):
    pytest.importorskip("psycopg")
    service.configure(database="postgresql+psycopg://u:secret@127.0.0.1:9/x")
    ended = service.command("run")
    assert ended.returncode == 1
    assert "secret" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_log_that_leads_nowhere_keeps_nothing_from_working(service):
    """The number of a closed stream goes to the next file that is opened: to the database."""
    command = f"{sys.executable} -m monitor --config {service.config} run --once 2>&- <&-"
    assert subprocess.run(["sh", "-c", command], check=False, timeout=60).returncode == 0
    assert len(service.json("episodes")) == 1


def test_an_environment_that_misspells_a_setting_is_told(service):
    ended = service.command("run", PODCAST_MONITOR_LOG__FROMAT="json")
    assert ended.returncode == 2
    assert "PODCAST_MONITOR_LOG__FROMAT" in ended.stderr
