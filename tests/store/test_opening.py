"""Opening a database: what is refused, what is created, and what connections are set to."""

import os
import shutil
import stat
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from databases import anybody
from recorded import NOON, another_writer, event, new, record
from sqlalchemy.exc import IntegrityError

from monitor.adapters.store import events, reading, schema
from monitor.adapters.store.database import connect
from monitor.adapters.store.migrate import migrate, require_current
from monitor.core.model import ConfigError, DatabaseError


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def pragma(database, name):
    return database.read(lambda conn: conn.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def show(database, name):
    return database.read(lambda conn: conn.exec_driver_sql(f"SHOW {name}").scalar_one())


# --- SQLite: the file --------------------------------------------------------------------


def test_a_new_file_is_readable_by_its_owner_alone(tmp_path):
    before = os.umask(0o022)
    try:
        connect(url_of(tmp_path / "new.db")).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.db").stat().st_mode) == 0o600


def test_the_journal_is_as_closed_as_the_file(tmp_path):
    with closing(connect(url_of(tmp_path / "new.db"))) as database:
        migrate(database)
    assert stat.S_IMODE((tmp_path / "new.db-journal").stat().st_mode) == 0o600


def test_a_file_that_is_there_keeps_its_mode(tmp_path):
    path = tmp_path / "old.db"
    path.touch(0o640)
    connect(url_of(path)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["a b.db", "what?.db", "#1.db", "100%.db", "%41.db", "é:é.db"])
def test_any_name_of_a_file_will_do(tmp_path, name):
    url = sa.URL.create("sqlite", database=str(tmp_path / name)).render_as_string()
    with closing(connect(url)) as database:
        migrate(database)
    with closing(connect(url, readonly=True)) as database:
        require_current(database)
    assert {p.name for p in tmp_path.iterdir()} == {name, f"{name}-journal"}


def test_opening_an_open_file_again_drops_no_lock_on_it(database, database_url):
    """POSIX drops a process's locks on a file as soon as it closes any descriptor of it."""
    with another_writer(database_url) as second:
        connect(database_url).close()
        with pytest.raises(DatabaseError, match="keeps it locked"):
            second.write(events.append, [event()], NOON)


def test_a_missing_file_is_not_created_by_who_only_reads(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no such file; `podcast-monitor run` creates"):
        connect(url_of(tmp_path / "missing.db"), readonly=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("missing/monitor.db", "no such file|No such file"),
        ("file/monitor.db", "no such file|Not a directory"),
        ("directory", "not a file"),
    ],
)
def test_a_place_where_no_file_can_be_is_the_operators_mistake(tmp_path, place, why, readonly):
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    with pytest.raises(ConfigError, match=why):
        connect(url_of(tmp_path / place), readonly=readonly)


@pytest.mark.parametrize("readonly", [True, False])
def test_a_file_in_a_directory_that_is_closed_to_this_user_cannot_be_used(open_to_all, readonly):
    path = open_to_all / "private" / "monitor.db"
    path.parent.mkdir(0o700)
    path.touch(0o666)
    path.parent.chmod(0o000)
    with anybody(), pytest.raises(ConfigError, match="Permission denied"):
        connect(url_of(path), readonly=readonly)


@pytest.mark.parametrize("readonly", [True, False])
def test_a_file_that_is_closed_to_this_user_cannot_be_used(open_to_all, readonly):
    path = open_to_all / "monitor.db"
    path.touch(0o000)
    with anybody(), pytest.raises(ConfigError, match="Permission denied"):
        connect(url_of(path), readonly=readonly)


def test_a_writer_must_be_able_to_create_the_journal_beside_the_file(open_to_all):
    path = open_to_all / "monitor.db"
    path.touch()
    path.chmod(0o666)
    open_to_all.chmod(0o555)
    with anybody():
        with pytest.raises(ConfigError, match=r"Permission denied.*a directory that this user may"):
            connect(url_of(path))
        connect(url_of(path), readonly=True).close()


def test_a_file_that_could_only_be_read_for_a_while_is_written_afterwards(open_to_all):
    """SQLite opens it read-only without a word, and that connection stays so."""
    path = open_to_all / "monitor.db"
    with closing(connect(url_of(path))) as database:
        migrate(database)
        database.engine.dispose()
        path.with_name("monitor.db-journal").unlink()
        open_to_all.chmod(0o777)
        path.chmod(0o444)
        with anybody(), pytest.raises(DatabaseError, match="it can only be read") as caught:
            database.write(events.append, [event()], NOON)
        assert (caught.value.reason, caught.value.lasting) == ("read_only", False)
        path.chmod(0o666)
        with anybody():
            database.write(events.append, [event()], NOON)
        assert database.read(events.counter, schema.SEQ) == 1


def another(path: Path) -> Path:
    """Return a copy of a file, beside it."""
    copy = path.with_name("another.db")
    shutil.copy(path, copy)
    return copy


@pytest.mark.parametrize(
    "lose",
    [Path.unlink, lambda path: another(path).replace(path)],
    ids=["deleted", "replaced"],
)
def test_a_file_that_is_gone_from_its_place_is_neither_read_nor_written(tmp_path, lose):
    """SQLite goes on with the file that it has open, which has no name any more."""
    path = tmp_path / "monitor.db"
    with closing(connect(url_of(path))) as database:
        migrate(database)
        lose(path)
        for use in (database.read, database.write):
            with pytest.raises(DatabaseError, match="deleted or replaced") as caught:
                use(events.counter, schema.SEQ)
            assert (caught.value.reason, caught.value.lasting) == ("replaced", True)


# --- who only reads ----------------------------------------------------------------------


def test_who_only_reads_leaves_a_file_as_it_was(tmp_path):
    path = tmp_path / "monitor.db"
    with closing(connect(url_of(path))) as database:
        migrate(database)
        record(database, new(1))
    (tmp_path / "monitor.db-journal").unlink()
    before = path.read_bytes(), path.stat().st_mtime_ns
    with closing(connect(url_of(path), readonly=True)) as database:
        require_current(database)
        database.read(reading.snapshot)
        with pytest.raises(DatabaseError, match="readonly"):
            database.write(events.append, [event()], NOON)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert list(tmp_path.iterdir()) == [path]


def test_who_only_reads_can_change_nothing_on_either_database(database_url):
    with closing(connect(database_url, readonly=True)) as database:
        with pytest.raises(DatabaseError, match=r"readonly|read-only"):
            database.write(events.append, [event()], NOON)
        assert database.read(events.counter, schema.SEQ) == 0


# --- what connections are set to ---------------------------------------------------------


def test_sqlite_forgets_no_commit_and_waits_for_others(tmp_path):
    with closing(connect(url_of(tmp_path / "monitor.db"))) as database:
        assert pragma(database, "journal_mode") == "truncate"
        assert pragma(database, "synchronous") == 2
        assert pragma(database, "foreign_keys") == 1
        assert pragma(database, "busy_timeout") == 10_000


def test_postgresql_bounds_every_wait(postgresql):
    url = postgresql.address("postgres")
    with closing(connect(url, patience=timedelta(seconds=1.5))) as database:
        assert show(database, "lock_timeout") == "1500ms"
        assert show(database, "statement_timeout") == "30s"
        assert show(database, "idle_in_transaction_session_timeout") == "20s"


def test_postgresql_keeps_the_options_that_its_address_names(postgresql):
    url = sa.make_url(postgresql.address("postgres"))
    one = url.update_query_dict({"options": "-c search_path=monitor"})
    with closing(connect(one.render_as_string(hide_password=False))) as database:
        assert show(database, "search_path") == "monitor"
        assert show(database, "lock_timeout") == "10s"
    two = url.update_query_dict({"options": ["-c search_path=a", "-c lock_timeout=9d"]})
    with closing(connect(two.render_as_string(hide_password=False))) as database:
        assert show(database, "search_path") == "a"
        assert show(database, "lock_timeout") == "10s"


def test_a_writer_sees_what_the_last_one_left_whatever_the_server_is_set_to(postgresql):
    """At REPEATABLE READ, what waits for the lock has looked at the database before it got it."""
    url = sa.make_url(postgresql.address("postgres")).update_query_dict(
        {"options": "-c default_transaction_isolation=serializable"}
    )
    shown = "SHOW transaction_isolation"
    with closing(connect(url.render_as_string(hide_password=False))) as database:
        write = database.write(lambda conn: conn.exec_driver_sql(shown).scalar_one())
        read = database.read(lambda conn: conn.exec_driver_sql(shown).scalar_one())
    assert (write, read) == ("read committed", "repeatable read")


def test_a_missing_driver_is_the_operators_mistake(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"pip install 'podcast-monitor\[postgres\]'"):
        connect("postgresql+psycopg://monitor:secret@db.example/monitor")


def test_an_address_is_shown_without_its_password(tmp_path):
    with closing(connect("postgresql+psycopg://monitor:secret@db.example/monitor")) as database:
        assert str(database) == "postgresql+psycopg://monitor:***@db.example/monitor"
    with closing(connect(url_of(tmp_path / "monitor.db"))) as database:
        assert str(database) == str(tmp_path / "monitor.db")


def test_a_row_that_points_nowhere_is_refused(database):
    key = {"podcast_id": 1, "kind": "guid", "value": "g", "episode_id": 99, "added_at": NOON}
    with pytest.raises(IntegrityError):
        database.write(lambda conn: conn.execute(sa.insert(schema.aliases).values(key)))
