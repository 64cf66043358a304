"""SIGHUP: the configuration is read again, and nothing is lost for it; a wrong one changes nothing."""

import os
import pty
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from monitor.demo import slow
from monitor.demo.publisher import Publisher, new_item
from monitor.demo.server import World, serve_in_thread
from tests.service import WITHIN_S, Far, Service, now, wait_until

OTHER = """
[[podcasts]]
name = "other"
feed = "{url}{path}"
stenobird = "other-show"
"""


@pytest.fixture
def far():
    return Far()


@pytest.fixture
def other(far):
    """A second show, which nobody follows yet."""
    return Publisher("other", [new_item(900, "Another show's episode", now())], clock=now)


@pytest.fixture
def service(far, other, tmp_path):
    with serve_in_thread(World(far.publisher, other, replica=far.replica)) as url:
        service = Service(tmp_path, url, far)
        yield service
        service.end()


def rewrite(service, old, new):
    text = service.config.read_text()
    assert old in text
    service.config.write_text(text.replace(old, new))


def reload(daemon):
    before = len(daemon.told("daemon.reloaded"))
    daemon.send(signal.SIGHUP)
    wait_until(lambda: len(daemon.told("daemon.reloaded")) > before, "no reload")


def assert_nothing_is_missing(daemon):
    seqs = [line["seq"] for line in daemon.lines if "seq" in line]
    assert seqs == list(range(1, len(seqs) + 1))
    assert not [line for line in daemon.raw if "Traceback" in line]


def test_a_new_podcast_is_followed_and_the_old_one_goes_on(service, far, other):
    daemon = service.start()
    daemon.until("feed.polled", podcast="show", new=1)
    service.configure(extra=OTHER.format(url=service.url, path=other.path))
    reload(daemon)
    daemon.until("episode.discovered", podcast="other")
    guid = far.publish(200)
    daemon.until("request.processed", guid=guid)
    assert daemon.told("daemon.reloaded")[0]["podcasts"] == 2
    assert len(daemon.told("daemon.started")) == len(daemon.told("daemon.ready")) == 1
    assert daemon.stop() == 0
    assert_nothing_is_missing(daemon)


def test_a_reload_while_the_database_is_locked_waits_for_it(service, far):
    daemon = service.start()
    daemon.until("feed.polled", podcast="show", new=1)
    with closing(sqlite3.connect(service.database, isolation_level=None)) as conn:
        conn.execute("BEGIN IMMEDIATE")
        daemon.send(signal.SIGHUP)
        daemon.until("problem.opened", problem="database", reason="locked")
        wait_until(lambda: daemon.told("problem.opened"), "nothing was said")
        time.sleep(6)
        guid = far.publish(200)
        conn.execute("ROLLBACK")
    daemon.until("daemon.reloaded")
    daemon.until("request.processed", guid=guid)
    daemon.until("problem.recovered", problem="database")
    assert [line["problem"] for line in daemon.told("problem.opened")] == ["database"]
    assert daemon.stop() == 0
    assert_nothing_is_missing(daemon)


def test_a_podcast_that_was_taken_out_is_left_alone(service, far, other):
    service.configure(extra=OTHER.format(url=service.url, path=other.path))
    daemon = service.start()
    daemon.until("feed.polled", podcast="other")
    service.configure()
    reload(daemon)
    asked = len(other.exchanges)
    polls = len(daemon.told("feed.polled", podcast="show"))
    wait_until(lambda: len(daemon.told("feed.polled", podcast="show")) > polls + 5, "no polls")
    assert len(other.exchanges) == asked


def is_mute(daemon, far):
    """Return whether five more polls leave no line."""
    lines, polls = len(daemon.raw), len(far.publisher.exchanges)
    wait_until(lambda: len(far.publisher.exchanges) > polls + 5, "no polls")
    return len(daemon.raw) == lines


def test_a_level_and_a_form_of_the_log_are_taken_over(service, far):
    daemon = service.start()
    rewrite(service, 'format = "json"', 'format = "logfmt"\nlevel = "warning"')
    daemon.send(signal.SIGHUP)
    wait_until(lambda: is_mute(daemon, far), "it still speaks")
    rewrite(service, 'level = "warning"', "")
    daemon.send(signal.SIGHUP)
    wait_until(lambda: any("event=daemon.reloaded" in line for line in daemon.raw), "no reload")


def test_a_wrong_configuration_is_told_and_the_old_one_stays_in_force(service, far):
    daemon = service.start()
    rewrite(service, 'mode = "live"', 'mode = "alive"\nnosuch = 1')
    daemon.send(signal.SIGHUP)
    daemon.until("config.rejected", key="nosuch")
    rejected = daemon.until("config.rejected", key="mode")
    assert rejected["file"] == str(service.config)
    assert "live" in rejected["reason"]
    guid = far.publish(200)
    daemon.until("request.processed", guid=guid)
    assert not daemon.told("daemon.reloaded")


def test_a_file_that_is_gone_or_no_toml_is_told_too(service):
    daemon = service.start()
    service.config.write_text("[[[")
    daemon.send(signal.SIGHUP)
    daemon.until("config.rejected")
    service.config.unlink()
    daemon.send(signal.SIGHUP)
    wait_until(lambda: len(daemon.told("config.rejected")) == 2, "not told")
    assert daemon.stop() == 0


def test_another_database_takes_a_restart_and_says_so(service):
    daemon = service.start()
    rewrite(service, "t.db", "u.db")
    daemon.send(signal.SIGHUP)
    assert "restart" in daemon.until("config.rejected")["reason"]
    assert not (service.directory / "u.db").exists()


def test_a_request_under_way_has_one_effect_however_often_it_is_reloaded(service, far):
    daemon = service.start()
    daemon.until("feed.polled", new=1)
    far.replica.post_faults.next(slow(60))
    guid = far.publish(200)
    wait_until(lambda: bool(far.replica.effects), "no POST")
    for _ in range(5):
        daemon.send(signal.SIGHUP)
    daemon.until("request.processed", guid=guid)
    assert [effect.guid for effect in far.replica.effects] == [guid]
    assert daemon.stop() == 0
    assert_nothing_is_missing(daemon)


def test_a_stop_right_after_it_stops(service):
    daemon = service.start()
    daemon.send(signal.SIGHUP)
    assert daemon.stop() == 0
    assert daemon.lines[-1]["event"] == "daemon.stopped"


def test_systemd_hears_that_it_reloads_and_that_it_is_ready(service, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(WITHIN_S)
        daemon = service.start(NOTIFY_SOCKET=str(tmp_path / "notify"))
        while not systemd.recv(4096).startswith(b"READY"):
            pass
        before_us = time.monotonic_ns() // 1000
        daemon.send(signal.SIGHUP)
        while not (reloading := systemd.recv(4096)).startswith(b"RELOADING=1\nMONOTONIC_USEC="):
            pass
        assert before_us <= int(reloading.rpartition(b"=")[2]) <= time.monotonic_ns() // 1000
        while not systemd.recv(4096).startswith(b"READY"):
            pass


def test_on_a_terminal_it_means_that_the_terminal_was_closed(service):
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "monitor", "--config", str(service.config), "run"]
    with subprocess.Popen(command, stderr=follower) as daemon:
        os.close(follower)
        told = b""
        while b"daemon.ready" not in told:
            told += os.read(leader, 4096)
        daemon.send_signal(signal.SIGHUP)
        assert daemon.wait(WITHIN_S) == 0
    os.close(leader)
