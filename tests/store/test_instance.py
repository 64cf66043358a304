"""One daemon per SQLite file, told by a lock that ends with its process."""

import os
import resource
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from monitor.adapters.store.database import connect
from monitor.adapters.store.instance import instance, is_held
from monitor.core.model import UnavailableError

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from monitor.adapters.store.database import connect
from monitor.adapters.store.instance import instance

with instance(connect(sys.argv[1])):
    sys.stdout.write("held\\n")
    sys.stdout.flush()
    sys.stdin.read()
"""


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'monitor.db'}"


@pytest.fixture
def daemon(url):
    """A second process that holds the database."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD, url], env=env, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_daemon_is_refused_and_told_who_holds_the_file(daemon, url):
    with closing(connect(url)) as database:
        holder = rf"monitor\.db is held by pid {daemon.pid} on {socket.gethostname()}; one daemon per SQLite file: stop it, or"
        with pytest.raises(UnavailableError, match=holder), instance(database):
            pytest.fail("both hold it")
        assert is_held(database)


def test_the_lock_ends_with_its_process_however_that_ends(daemon, url):
    daemon.send_signal(signal.SIGKILL)
    daemon.wait(10)
    with closing(connect(url)) as database, instance(database):
        assert is_held(database)
        lock = database.path.with_name("monitor.db.lock").read_text()
        assert lock == f"pid {os.getpid()} on {socket.gethostname()}"
    assert not is_held(database)


def test_the_lock_ends_with_the_block(url):
    with closing(connect(url)) as database:
        for _ in range(2):
            with instance(database):
                assert is_held(database)
        assert not is_held(database)


def test_a_holder_that_has_not_said_its_name_yet_is_another_process(daemon, url, tmp_path):
    (tmp_path / "monitor.db.lock").write_text("")
    with (
        closing(connect(url)) as database,
        pytest.raises(UnavailableError, match="held by another process"),
        instance(database),
    ):
        pytest.fail("both hold it")


def test_a_full_disk_takes_the_holders_name_and_not_the_lock(url):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(connect(url)) as database:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            with instance(database):
                assert is_held(database)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_asking_creates_and_changes_nothing(url, tmp_path):
    with closing(connect(url)) as database:
        assert not is_held(database)
        assert [p.name for p in tmp_path.iterdir()] == ["monitor.db"]
        (tmp_path / "monitor.db.lock").write_text("pid 1 on an.earlier.day")
        assert not is_held(database)
    assert (tmp_path / "monitor.db.lock").read_text() == "pid 1 on an.earlier.day"


def test_daemons_may_share_a_server(postgresql):
    url = postgresql.address("postgres")
    one, two = connect(url), connect(url)
    with closing(one), closing(two), instance(one), instance(two):
        assert is_held(one)
