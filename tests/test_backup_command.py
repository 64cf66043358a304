"""``backup`` as an operator has it: one line, and nothing half-done left behind."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from monitor.adapters.store import migrate
from monitor.adapters.store.database import connect
from monitor.demo.server import World, serve_in_thread
from tests.processes import InProcess
from tests.service import Far, Service

DYING = """
import os, signal, sys
from pathlib import Path
from monitor.adapters.store import backup
from monitor.cli import main
number, where = getattr(signal, sys.argv.pop(1)), sys.argv.pop(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs us may have had it ignored
def die(*_):
    assert list(Path.cwd().glob(".*.part"))
    os.kill(os.getpid(), number)
setattr(backup, where, (lambda _: die) if where == "_watch" else die)
main()
"""


@pytest.fixture
def service(tmp_path) -> Iterator[InProcess]:
    far = Far()
    with serve_in_thread(World(far.publisher, replica=far.replica)) as url:
        service = InProcess(tmp_path, url, far)
        yield service
        service.end()


def test_the_copy_of_a_running_daemon_s_database_has_its_status(service):
    daemon = service.start()
    daemon.until("feed.polled", new=1)
    copied = service.directory / "b.db"
    done = service.command("backup", str(copied))
    size = f"{copied.stat().st_size:,}"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{copied}: {size} bytes, as of seq 1\n"
    before = service.json("status")[0]
    service.database = copied
    service.configure()
    after = service.json("status")[0]
    assert daemon.stop() == 0
    assert after["as_of_seq"] == before["as_of_seq"] == 1
    assert after["episodes"] == before["episodes"] == 1


def test_a_backup_that_is_restored_as_the_page_says_repeats_no_effect(service):
    """After a kill: the journal of what was under way must not be played back into the copy."""
    far = service.far
    daemon = service.start()
    daemon.until("request.processed", guid=far.publish(200))
    copied = service.directory / "b.db"
    assert service.command("backup", str(copied)).returncode == 0
    since = far.publish(201)
    daemon.until("request.processed", guid=since)
    daemon.kill()
    journal = service.database.with_name("t.db-journal")
    journal.unlink()
    service.database.write_bytes(copied.read_bytes())
    again = service.start()
    told = again.until("request.processed", guid=since)
    assert told["reason"] == "already_processed"
    again.until("request.processed", guid=far.publish(202))
    assert again.stop() == 0
    effects = [effect.guid for effect in far.replica.effects]
    assert effects == [f"substack:post:{number}" for number in (200, 201, 202)]
    seqs = [line["seq"] for line in service.json("events")]
    assert seqs == list(range(1, len(seqs) + 1))


def test_what_is_refused_is_told_in_one_line(service):
    assert service.call("run", "--once").returncode == 0
    done = service.call("backup", str(service.database))
    assert (done.returncode, done.stdout) == (2, "")
    told = f"podcast-monitor: backup {service.database}: is there already; it is not written over\n"
    assert done.stderr == told
    service.database.unlink()
    for there, told in ((False, "there is no such file"), (True, "its schema is empty")):
        if there:
            service.database.touch()
        done = service.call("backup", str(service.directory / "b.db"))
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (service.directory / "b.db").exists()


@pytest.mark.parametrize("where", ["_watch", "_flush", "_look", "_name"])
def test_a_backup_that_is_killed_leaves_the_database_and_no_file_of_its_name(service, where):
    assert service.call("run", "--once").returncode == 0
    before = service.database.read_bytes()
    assert dying(service, "SIGKILL", where) == -signal.SIGKILL
    assert service.database.read_bytes() == before
    assert not (service.directory / "b.db").exists()
    assert service.call("backup", str(service.directory / "b.db")).returncode == 0


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("where", ["_watch", "_look"])
def test_a_backup_that_is_asked_to_end_leaves_nothing(service, number, where):
    assert service.call("run", "--once").returncode == 0
    there = sorted(service.directory.iterdir())
    assert dying(service, number, where) > 0
    assert sorted(service.directory.iterdir()) == there


def dying(service: Service, number: str, where: str) -> int:
    """Begin a backup that gets a signal in the middle; return how it ended."""
    arguments = ["--config", str(service.config), "backup", "b.db"]
    done = subprocess.run(
        [sys.executable, "-c", DYING, number, where, *arguments],
        cwd=service.directory,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return done.returncode


def test_of_postgresql_the_right_program_is_named_and_called_so_it_does(
    service, postgresql, template, tmp_path, monkeypatch
):
    name = postgresql.create(template)
    url = sa.make_url(postgresql.address(name)).update_query_dict({"sslmode": "disable"})
    secret = url.set(password="hunter2").update_query_dict({"sslpassword": "hunter3"})
    service.configure(database=secret.render_as_string(hide_password=False))
    dump = tmp_path / "a dump"
    done = service.call("backup", str(dump))
    assert (done.returncode, done.stdout) == (2, "")
    assert "hunter" not in done.stderr
    assert "***" not in done.stderr
    told, _, command = done.stderr.strip().partition(": of PostgreSQL use ")
    assert told == "podcast-monitor: backup"
    monkeypatch.setenv("PATH", f"{postgresql.process.bin_path}:{os.environ['PATH']}")
    subprocess.run(shlex.split(command), check=True)
    restored = postgresql.create()
    bare = url.set(drivername="postgresql", database=restored).render_as_string()
    subprocess.run(["pg_restore", "--no-owner", f"--dbname={bare}", dump], check=True)
    with closing(connect(postgresql.address(restored), readonly=True)) as database:
        migrate.require_current(database)
    postgresql.drop(restored)
    postgresql.drop(name)
