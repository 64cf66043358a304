"""Backups: whole, current and sound, whoever writes meanwhile, and nothing half-done left behind."""

import errno
import os
import resource
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from databases import anybody
from recorded import NOON, event, record, rows

from monitor.adapters.store import backup, events, integrity, migrate, schema
from monitor.adapters.store.backup import Backup, back_up
from monitor.adapters.store.database import Database, connect
from monitor.core.model import ConfigError, DatabaseError, UnavailableError

BALLAST = 3_000  # events: several MB
WRITER = """
import sys, time
from monitor.adapters.store import events
from monitor.adapters.store.database import connect
from recorded import NOON, event
database = connect(sys.argv[1])
while True:
    database.write(events.append, [event(n) for n in range(20)], NOON)
    print(flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def source(database_url) -> Iterator[Database]:
    """A database with some events."""
    with closing(connect(database_url)) as opened:
        opened.write(events.append, [event(n, guid="g" * 500) for n in range(BALLAST)], NOON)
        yield opened


@pytest.fixture
def kind() -> str:
    """Only a file is copied."""
    return "sqlite"


@contextmanager
def writing(source: Database, *, every_s: float) -> Iterator[None]:
    """Have another process write to the database."""
    command = [sys.executable, "-c", WRITER, f"sqlite:///{source.path}", str(every_s)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        try:
            yield
        finally:
            assert writer.poll() is None
            writer.kill()


def assert_whole(made: Backup) -> None:
    """Check that a copy is one moment of the database."""
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert made.path.stat().st_size == made.size_bytes
    with closing(connect(f"sqlite:///{made.path}", readonly=True)) as copied:
        assert copied.read(integrity.findings) == []
        migrate.require_current(copied)
        assert copied.read(events.counter, schema.SEQ) == made.seq
        assert [e.seq for e in copied.read(events.after, 0)] == list(range(1, made.seq + 1))


def left(directory: Path) -> set[str]:
    """Return what lies there but for the database's own."""
    return {path.name for path in directory.iterdir() if not path.name.startswith("podcast-m")}


# --- the copy ------------------------------------------------------------------------------


def test_a_backup_is_the_database_as_it_is(source, tmp_path):
    record(source)
    made = back_up(source, tmp_path / "b.db")
    assert made == Backup(tmp_path / "b.db", source.path.stat().st_size, BALLAST)
    assert_whole(made)
    with closing(connect(f"sqlite:///{made.path}", readonly=True)) as copied:
        assert rows(copied) == rows(source)
    assert left(tmp_path) == {"b.db"}


@pytest.mark.parametrize("every_s", [0.0, 0.02], ids=["without a pause", "now and then"])
def test_a_backup_amid_another_process_s_writes_is_one_moment(source, tmp_path, every_s):
    with writing(source, every_s=every_s):
        made = [back_up(source, tmp_path / f"{n}.db") for n in range(3)]
    assert BALLAST < made[0].seq < made[-1].seq
    for each in made:
        assert_whole(each)


def test_who_writes_all_the_time_does_not_keep_a_backup_from_its_end(source, tmp_path, monkeypatch):
    """A commit before the last step, always: with endless patience this test would have no end."""
    asked = []
    copy_pages = backup._copy_pages

    def noted(of: Path, part: Path, pages: int) -> None:
        asked.append(pages)
        copy_pages(of, part, pages)

    def interrupted(of: Path) -> object:
        step = watch(of)

        def write_and_step(result: int, remaining: int, total: int) -> None:
            if 0 < remaining <= backup.STEP_PAGES:  # when most of it is there, beyond any cache
                source.write(events.append, [event()], NOON)
            step(result, remaining, total)

        return write_and_step

    watch = backup._watch
    monkeypatch.setattr(backup, "_copy_pages", noted)
    monkeypatch.setattr(backup, "_watch", interrupted)
    made = back_up(source, tmp_path / "b.db")
    assert asked == [backup.STEP_PAGES, backup.ALL_PAGES]
    assert made.seq == BALLAST + backup.RESTARTS_BORNE + 1
    assert_whole(made)


def test_a_commit_waits_for_a_step_not_for_the_copy(source, tmp_path, monkeypatch):
    """Between two steps nothing is locked: a writer without any patience comes through."""
    impatient = connect(f"sqlite:///{source.path}", patience=timedelta())
    watch, written = backup._watch, []

    def once(of: Path) -> object:
        step = watch(of)

        def write_and_step(result: int, remaining: int, total: int) -> None:
            if remaining and not written:
                impatient.write(events.append, [event()], NOON)
                written.append(remaining)
            step(result, remaining, total)

        return write_and_step

    monkeypatch.setattr(backup, "STEP_PAGES", 10)
    monkeypatch.setattr(backup, "_watch", once)
    with closing(impatient):
        assert_whole(back_up(source, tmp_path / "b.db"))
    assert written


def test_a_database_that_stays_locked_is_not_waited_for_for_ever(source, tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "PATIENCE", timedelta(milliseconds=10))
    flush = backup._require_room
    with closing(sqlite3.connect(source.path, isolation_level=None)) as other:

        def lock(of: Path, target: Path) -> None:
            flush(of, target)
            source.engine.dispose()
            other.execute("BEGIN EXCLUSIVE")

        monkeypatch.setattr(backup, "_require_room", lock)
        with pytest.raises(DatabaseError, match=r"t-monitor.db: another process keeps it locked"):
            back_up(source, tmp_path / "b.db")
    assert left(tmp_path) == set()


def test_a_damaged_database_is_no_backup(source, tmp_path):
    with source.path.open("r+b") as file:
        file.seek(source.path.stat().st_size // 2)
        file.write(b"\xff" * 100)
    with pytest.raises(DatabaseError, match=r"t-monitor.db: it is damaged"):
        back_up(source, tmp_path / "b.db")
    assert left(tmp_path) == set()


# --- where it cannot be --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("there.db", "is there already; it is not written over"),
        ("dangling.db", "is there already; it is not written over"),
        ("directory", "is a directory; name a file in it"),
        ("missing/b.db", "there is no directory .*/missing"),
        ("there.db/b.db", "there is no directory .*/there.db"),
        ("podcast-monitor.db", "is there already; it is not written over"),
        ("podcast-monitor.db-wal", "belongs to the database; choose another name"),
        ("podcast-monitor.db.lock", "belongs to the database; choose another name"),
        ("b" * 300, r"not made \(File name too long\); name a file that this user may write"),
    ],
)
def test_a_path_where_no_new_file_can_be_is_refused(source, tmp_path, place, why):
    (tmp_path / "there.db").write_text("there")
    (tmp_path / "dangling.db").symlink_to(tmp_path / "nowhere")
    (tmp_path / "directory").mkdir()
    with pytest.raises(ConfigError, match=rf"^backup .*{place}: {why}"):
        back_up(source, tmp_path / place)
    assert (tmp_path / "there.db").read_text() == "there"
    assert left(tmp_path) == {"there.db", "dangling.db", "directory"}
    assert list((tmp_path / "directory").iterdir()) == []


def test_a_directory_that_is_closed_to_this_user_is_refused(source, open_to_all):
    source.path.chmod(0o644)
    for directory in source.path.parents[:4]:
        directory.chmod(0o755)
    with (
        anybody(),
        pytest.raises(ConfigError, match=r"\(Permission denied\); name a file that this"),
    ):
        back_up(source, open_to_all / "b.db")
    assert left(open_to_all) == set()


def test_a_name_that_was_taken_meanwhile_is_not_written_over(source, tmp_path, monkeypatch):
    look = backup._look

    def take(*args: Path) -> int:
        (tmp_path / "b.db").write_text("another's")
        return look(*args)

    monkeypatch.setattr(backup, "_look", take)
    with pytest.raises(ConfigError, match="is there already"):
        back_up(source, tmp_path / "b.db")
    monkeypatch.setattr(os, "link", without_links)
    (tmp_path / "b.db").unlink()
    with pytest.raises(ConfigError, match="is there already"):
        back_up(source, tmp_path / "b.db")
    assert (tmp_path / "b.db").read_text() == "another's"
    assert left(tmp_path) == {"b.db"}


def without_links(*_: Path) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_file_system_without_links_will_do(source, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", without_links)
    assert_whole(back_up(source, tmp_path / "b.db"))
    assert left(tmp_path) == {"b.db"}


def test_a_disk_without_room_is_not_filled(source, small_disk):
    filler = small_disk / "filler"
    filler.write_bytes(bytes(900_000))
    with pytest.raises(UnavailableError, match=r"it needs [\d,]+ bytes and [\d,]+ are free"):
        back_up(source, small_disk / "b.db")
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_a_disk_that_is_full_midway_is_left_as_it_was(source, small_disk, monkeypatch):
    monkeypatch.setattr(backup, "_require_room", lambda *_: None)
    (small_disk / "filler").write_bytes(bytes(900_000))
    with pytest.raises(
        UnavailableError, match=r"b.db: not made \(database or disk is full\); see to"
    ):
        back_up(source, small_disk / "b.db")
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_a_file_that_may_not_grow_leaves_nothing(source, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(UnavailableError, match=r"b.db: not made \(disk I/O error\)"):
            back_up(source, tmp_path / "b.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert left(tmp_path) == set()
