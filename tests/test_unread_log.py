"""A daemon whose log nobody reads: it works on, it stops when it is told to, and no event is lost."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from monitor.demo.publisher import new_item
from monitor.demo.server import World, serve_in_thread
from tests.service import WITHIN_S, Far, Service, now, wait_until


@pytest.fixture
def far():
    return Far()


@pytest.fixture
def service(far, tmp_path):
    with serve_in_thread(World(far.publisher, replica=far.replica)) as url:
        service = Service(tmp_path, url, far)
        yield service
        service.end()


@pytest.fixture
def unread(service):
    """A daemon with much to say, and the end of a small pipe that it logs to."""
    for number in range(1000, 1100):
        old = new_item(number, f"An old episode, number {number}", now() - timedelta(days=90))
        service.far.publisher.publish(old)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 16_384)
    command = [sys.executable, "-m", "monitor", "--config", str(service.config), "run"]
    with subprocess.Popen(command, stderr=writer) as daemon:
        os.close(writer)
        yield daemon, reader
        daemon.kill()
    os.close(reader)


def episodes(service):
    """Return what is known; nothing, while the database is only being made."""
    return service.command("episodes", "--json").stdout.splitlines()


def test_it_works_on_and_stops_and_every_event_is_in_the_next_log(service, far, unread):
    daemon, reader = unread
    wait_until(lambda: len(episodes(service)) > 100, "no poll")  # its lines fill the pipe
    guid = far.publish(200)
    wait_until(lambda: service.json("episodes", "--status", "processed"), "not processed")
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(WITHIN_S) == 0

    first = os.read(reader, 65_536).decode().rpartition("\n")[0].splitlines()
    seqs = [line["seq"] for line in map(json.loads, filter(None, first)) if "seq" in line]
    again = service.start()
    again.until("request.processed", guid=guid)
    seqs += [line["seq"] for line in again.lines if "seq" in line]
    assert seqs == list(range(1, len(seqs) + 1))
