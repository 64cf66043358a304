"""The schema: created, brought up to date with a backup first, and what is refused."""

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from recorded import NOON, another_writer, event, new, record, rows

from monitor.adapters.store import events, integrity, schema
from monitor.adapters.store.database import connect
from monitor.adapters.store.migrate import SCRIPTS, copy, migrate, require_current
from monitor.core.model import ConfigError, DatabaseError, UnavailableError

ROOT = Path(__file__).parents[2]


def described(conn: sa.Connection) -> dict[str, list[str]]:
    """Return every table as the database knows it, down to the constraints and their names."""
    inspector = sa.inspect(conn)
    tables = schema.metadata.tables
    return {
        table: sorted(
            str(part)
            for parts in (
                inspector.get_columns(table),
                [inspector.get_pk_constraint(table)],
                inspector.get_foreign_keys(table),
                inspector.get_unique_constraints(table),
                inspector.get_check_constraints(table),
                map(plain, inspector.get_indexes(table)),
            )
            for part in parts
        )
        for table in tables
    }


def plain(index: Any) -> dict[str, Any]:
    """Return an index with the text of its condition, not the object."""
    options = index.get("dialect_options", {})
    return {**index, "dialect_options": {name: str(value) for name, value in options.items()}}


def test_migrations_create_what_the_metadata_says(database):
    def differences(conn):
        context = MigrationContext.configure(
            conn, opts={"compare_type": True, "compare_server_default": True}
        )
        return compare_metadata(context, schema.metadata)

    assert database.read(differences) == []


def test_migrations_create_every_constraint_of_the_metadata(database):
    migrated = database.read(described)
    database.write(schema.metadata.drop_all)
    database.write(schema.metadata.create_all)
    assert migrated == database.read(described)


def test_an_empty_database_is_brought_up_to_date_without_a_backup(empty_url, tmp_path):
    with closing(connect(empty_url)) as database:
        with pytest.raises(ConfigError, match="its schema is empty"):
            require_current(database)
        assert migrate(database) is None
        require_current(database)
        assert rows(database)["counters"] == [("logged", 0), ("seq", 0)]
    assert not list(tmp_path.glob("*.before-upgrade*"))


def test_what_is_up_to_date_is_left_alone(database):
    record(database, new(1))
    before = rows(database)
    assert migrate(database) is None
    assert rows(database) == before


def test_two_daemons_may_begin_at_once_on_an_empty_database(empty_url):
    def begin(_: int) -> str | None:
        with closing(connect(empty_url)) as database:
            return migrate(database)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(begin, range(2))) == [None, None]


# --- a later release ---------------------------------------------------------------------

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("podcasts", sa.Column("colour", sa.Text(), nullable=True))
    op.execute("UPDATE podcasts SET colour = 'blue'")
    {then}
"""
UPGRADE = """
import sys
from monitor.adapters.store.database import connect
from monitor.adapters.store.migrate import migrate

migrate(connect(sys.argv[1]), sys.argv[2])
"""


@pytest.fixture
def next_release(tmp_path):
    """Return a function that gives the schema's history as of a release to come."""

    def history(then: str = "pass") -> str:
        ours = ROOT / "monitor" / "migrations"
        theirs = tmp_path / "migrations"
        shutil.copytree(ours, theirs, ignore=shutil.ignore_patterns("*.pyc"))
        (theirs / "versions" / "9999_colour.py").write_text(NEXT.format(then=then))
        return str(theirs)

    return history


def test_an_upgrade_keeps_every_row_and_of_a_file_the_state_before(database, next_release):
    record(database, new(1), new(2))
    before = rows(database)
    backup = migrate(database, next_release())
    assert rows(database) == before
    assert colours(database) == ["blue"]
    if database.path is None:
        assert backup is None
        return
    assert backup == f"{database.path}.before-upgrade-from-0004"
    assert stat.S_IMODE(Path(backup).stat().st_mode) == 0o600
    with closing(connect(f"sqlite:///{backup}", readonly=True)) as restored:
        require_current(restored)
        assert rows(restored) == before


def colours(database):
    query = "SELECT colour FROM podcasts"
    return database.read(lambda conn: conn.exec_driver_sql(query).scalars().all())


def test_what_a_newer_program_wrote_is_refused(database, next_release):
    migrate(database, next_release())
    for refuse in (migrate, require_current):
        with pytest.raises(ConfigError, match=r"a newer podcast-monitor \(schema 9999\); install"):
            refuse(database)


def test_an_upgrade_that_fails_midway_leaves_the_state_before(database, next_release):
    record(database, new(1))
    before = rows(database)
    with pytest.raises(ZeroDivisionError):
        migrate(database, next_release("1 / 0"))
    assert_as_before(database, before)


def test_an_upgrade_that_is_killed_midway_leaves_the_state_before(
    database, database_url, next_release
):
    record(database, new(1))
    before = rows(database)
    scripts = next_release("import os; os.kill(os.getpid(), 9)")
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", UPGRADE, database_url, scripts]
    assert subprocess.run(command, env=env, check=False).returncode == -signal.SIGKILL
    assert_as_before(database, before)


def assert_as_before(database, before):
    require_current(database)
    assert rows(database) == before
    assert "colour" not in str(database.read(described))


# --- what is refused ---------------------------------------------------------------------


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("Dear diary, " * 1000)
    with closing(connect(f"sqlite:///{path}")) as database:
        for refuse in (migrate, require_current):
            with pytest.raises(ConfigError, match=r"no database of podcast-monitor \(file is not"):
                refuse(database)
    assert path.read_text() == "Dear diary, " * 1000


def damage(path: Path) -> bytes:
    """Make an index disagree with its table; return what is in the file then."""
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("PRAGMA writable_schema = ON")
        conn.execute("UPDATE sqlite_master SET rootpage = 2 WHERE name LIKE 'ix_events%'")
        conn.commit()
    return path.read_bytes()


def test_a_damaged_file_is_refused_before_anything_is_written(tmp_path, next_release):
    path = tmp_path / "monitor.db"
    with closing(connect(f"sqlite:///{path}")) as database:
        migrate(database)
        record(database, new(1))
    damaged = damage(path)
    with closing(connect(f"sqlite:///{path}")) as database:
        for scripts in (SCRIPTS, next_release()):
            with pytest.raises(ConfigError, match=r"it is damaged \(.*restore a backup"):
                migrate(database, scripts)
    assert path.read_bytes() == damaged
    assert not list(tmp_path.glob("*.before-upgrade*"))


def test_a_large_file_is_looked_at_later(tmp_path, monkeypatch, next_release):
    """But before an upgrade in any case: of a damaged file there would be no way back."""
    monkeypatch.setattr(integrity, "AT_START_BYTES", 1000)
    path = tmp_path / "monitor.db"
    with closing(connect(f"sqlite:///{path}")) as database:
        migrate(database)
    damage(path)
    with closing(connect(f"sqlite:///{path}")) as database:
        assert migrate(database) is None
        with pytest.raises(DatabaseError, match="it is damaged") as caught:
            integrity.require_sound(database)
        assert (caught.value.reason, caught.value.lasting) == ("corrupt", True)
        with pytest.raises(ConfigError, match="it is damaged"):
            migrate(database, next_release())


def test_a_column_that_is_missing_is_damage(database):
    database.write(lambda c: c.exec_driver_sql("ALTER TABLE words RENAME COLUMN word TO wore"))
    with pytest.raises(ConfigError, match=r"it is damaged \(.*words\.word"):
        migrate(database)


def test_another_programs_tables_are_refused_and_kept(empty_url):
    with closing(connect(empty_url)) as database:
        database.write(lambda conn: conn.exec_driver_sql("CREATE TABLE episodes (a INTEGER)"))
        for refuse in (migrate, require_current):
            with pytest.raises(ConfigError, match=r"another program's tables \(episodes\)"):
                refuse(database)
        assert database.read(lambda conn: sa.inspect(conn).get_table_names()) == ["episodes"]


def test_a_locked_database_cannot_be_upgraded_now(empty_url):
    connect(empty_url).close()
    with another_writer(empty_url) as second, pytest.raises(UnavailableError, match="lock"):
        migrate(second)


def test_a_server_that_does_not_answer_may_come_back(tmp_path):
    url = f"postgresql+psycopg://monitor:secret@/monitor?host={tmp_path}"
    with closing(connect(url)) as database, pytest.raises(UnavailableError) as caught:
        migrate(database)
    assert "cannot be reached" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_commit_that_was_cut_short_is_undone_by_the_next_writer_and_said_by_readers(tmp_path):
    path = tmp_path / "monitor.db"
    url = f"sqlite:///{path}"
    with closing(connect(url)) as database:
        migrate(database)
        before = rows(database)
    cut_short = """
import os, sys
from monitor.adapters.store.database import connect
with connect(sys.argv[1]).engine.begin() as conn:
    conn.exec_driver_sql("PRAGMA cache_size = 1")
    for n in range(500):
        conn.exec_driver_sql("INSERT INTO words VALUES (?, '2026-10-12')", (f"{n}" * 100,))
    os.kill(os.getpid(), 9)
"""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", cut_short, url], env=env, check=False)
    assert killed.returncode == -signal.SIGKILL
    with (
        closing(connect(url, readonly=True)) as reader,
        pytest.raises(UnavailableError, match=r"cut short; `podcast-monitor run` undoes it"),
    ):
        require_current(reader)
    with closing(connect(url)) as database:
        require_current(database)
        assert rows(database) == before


# --- copies ------------------------------------------------------------------------------


def test_a_copy_of_a_file_in_use_is_one_moment_of_it(tmp_path):
    source, target = tmp_path / "monitor.db", tmp_path / "copy.db"
    stop = Event()
    with closing(connect(f"sqlite:///{source}")) as database:
        migrate(database)

        def write() -> int:
            turns = 0
            while not stop.is_set():
                database.write(events.append, [event(n) for n in range(20)], NOON)
                turns += 1
            return turns

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            while not database.read(events.counter, schema.SEQ):
                pass
            for _ in range(5):
                copy(source, target)
            stop.set()
            assert writing.result(10) > 1
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with closing(connect(f"sqlite:///{target}", readonly=True)) as copied:
        assert copied.read(lambda c: c.exec_driver_sql("PRAGMA integrity_check").scalar()) == "ok"
        last = copied.read(events.counter, schema.SEQ)
        assert [e.seq for e in copied.read(events.after, 0)] == list(range(1, last + 1))


def test_a_copy_to_where_no_file_can_be_is_refused(tmp_path):
    source = tmp_path / "monitor.db"
    connect(f"sqlite:///{source}").close()
    with pytest.raises(ConfigError, match="No such file"):
        copy(source, tmp_path / "missing" / "copy.db")


def test_a_copy_of_nothing_creates_nothing(tmp_path):
    with pytest.raises(sqlite3.OperationalError):
        copy(tmp_path / "missing.db", tmp_path / "copy.db")
    assert not (tmp_path / "missing.db").exists()
