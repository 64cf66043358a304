"""Power cuts as rebuilt disks, and system calls that fail, a little of each."""

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from random import Random

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from monitor.adapters.store.database import connect
from monitor.adapters.store.migrate import SCRIPTS
from tests.campaigns.disk import NAMES, images
from tests.campaigns.images import Disk, write
from tests.campaigns.lived import DATABASE
from tests.campaigns.syscalls import syscalls
from tests.campaigns.tracing import Call, record

SEED = 1
POINTS = 20
FILE, PLACE = Path("/d/file"), Path("/d")
CREATE = Call("openat", FILE, creates=True)

traced = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@traced
def test_a_thousand_power_cuts_take_back_nothing_that_was_certain():
    figures = images(1000, SEED)
    assert figures.histories == 1000
    assert figures.faults["dropped"] > 1000
    assert figures.faults["torn"] > 100
    assert not figures.violations, "\n".join(map(str, figures.violations[:5]))


@traced
@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_with_less_synchronisation_the_same_power_cuts_are_seen_to_lose(synchronous):
    told = " ".join(violation.what for violation in images(200, SEED, synchronous).violations)
    assert "neither the state before nor that after" in told
    if synchronous == "OFF":
        assert "malformed" in told or "not a database" in told


@traced
def test_a_system_call_that_fails_or_is_the_last_one_costs_nothing():
    """Other points each week: a year brings a thousand."""
    week = datetime.now().astimezone().isocalendar().week
    figures = syscalls(POINTS, week * POINTS)
    assert figures.histories == POINTS
    assert not figures.violations, "\n".join(map(str, figures.violations[:5]))


# --- a migration -------------------------------------------------------------------------------

FIRST = "0001"
UPGRADE = """
import sys
from monitor.adapters.store.database import connect
from monitor.adapters.store.migrate import migrate
database = connect(sys.argv[1])
migrate(database)
"""


def first_release(path: Path) -> None:
    """Make a file as the first release left it, with a podcast."""
    history = Config()
    history.set_main_option("script_location", SCRIPTS)
    with closing(connect(f"sqlite:///{path}")) as database:

        def create(conn: Connection) -> None:
            history.attributes["connection"] = conn
            command.upgrade(history, FIRST)
            conn.exec_driver_sql(
                "INSERT INTO podcasts (name, slug, url, configured, failures, next_poll_at)"
                " VALUES ('show', 'show', 'https://show.example/', 1, 7, '2026-10-12')"
            )

        database.write(create)


def version(path: Path) -> str:
    """Return a file's revision; it must be whole."""
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert conn.execute("SELECT name, failures FROM podcasts").fetchall() == [("show", 7)]
        return str(conn.execute("SELECT version_num FROM alembic_version").fetchone()[0])


@traced
def test_a_migration_that_is_cut_short_at_any_call_leaves_the_old_or_the_new(tmp_path):
    """By a power cut, or by SIGKILL, which leaves all that was written until then."""
    path, image = tmp_path / DATABASE, tmp_path / "image"
    image.mkdir()
    first_release(path)
    disk = Disk(NAMES, {DATABASE: path.read_bytes()})
    upgrade = [sys.executable, "-c", UPGRADE, f"sqlite:///{path}"]
    calls = record(upgrade, tmp_path, os.environ)
    new, seen = version(path), []
    for at, call in enumerate(calls):
        for left in (disk.flushed(), disk.cut(Random(at))):
            write(left, image)
            seen.append(version(image / DATABASE))
        disk.do(call)
    assert set(seen) == {FIRST, new} != {FIRST}
    write(disk.flushed(), image)
    assert version(image / DATABASE) == new


# --- the model of the disk itself --------------------------------------------------------------


def cuts(*calls: Call, times: int = 200) -> set[bytes | None]:
    """Return everything that may be in the file after a power cut. None: it is not there."""
    disk = Disk(["file"])
    for call in calls:
        disk.do(call)
    return {disk.cut(Random(n)).files.get("file") for n in range(times)}


def test_what_was_synchronised_is_there():
    calls = CREATE, Call("pwrite64", FILE, b"abc"), Call("fdatasync", FILE), Call("fsync", PLACE)
    assert cuts(*calls) == {b"abc"}


def test_what_was_not_may_be_there_in_any_combination():
    written = [Call("pwrite64", FILE, b"a"), Call("pwrite64", FILE, b"b", 1)]
    assert cuts(CREATE, Call("fsync", PLACE), *written) == {b"", b"a", b"\0b", b"ab"}


def test_a_truncation_may_be_lost_as_well():
    before = CREATE, Call("fsync", PLACE), Call("pwrite64", FILE, b"ab"), Call("fsync", FILE)
    assert cuts(*before, Call("ftruncate", FILE)) == {b"ab", b""}


def test_a_write_may_be_there_by_the_sector():
    found = cuts(CREATE, Call("fsync", PLACE), Call("pwrite64", FILE, b"a" * 512 + b"b" * 512))
    assert found == {b"", b"a" * 512, b"\0" * 512 + b"b" * 512, b"a" * 512 + b"b" * 512}


def test_a_new_file_may_be_missing_until_its_directory_is_synchronised():
    calls = CREATE, Call("pwrite64", FILE, b"a"), Call("fsync", FILE)
    assert cuts(*calls) == {None, b"a"}
    assert cuts(*calls, Call("fsync", PLACE)) == {b"a"}
