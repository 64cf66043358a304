"""The database in trouble: what is said, once, what is kept, and that it goes on by itself."""

import resource
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from monitor.adapters.store import events, migrate, schema
from monitor.adapters.store.database import connect
from monitor.adapters.store.trouble import TEXTS
from monitor.core.model import ConfigError, DatabaseError, LogEvent
from monitor.demo.server import World, serve_in_thread
from monitor.runtime import LONGEST_TICK
from tests.service import Far, Process, Service, now, wait_until

STOP_WITHIN_S = 45  # TimeoutStopSec of the unit
SOON_S = 20  # patience with a lock is 10
FLIPPED = range(150)  # seeds
NOBODY_RESOLVES = """
[[podcasts]]
name = "hangs"
feed = "http://name.hangs.example/feed.rss"
stenobird = "hangs"
"""
HANGING_RESOLVER = """
import socket
import time

ask = socket.getaddrinfo


def getaddrinfo(host, *given, **named):
    if str(host).endswith(".hangs.example"):
        time.sleep(60)
    return ask(host, *given, **named)


socket.getaddrinfo = getaddrinfo
"""


HASTY = """
from datetime import timedelta

from monitor.adapters.store import database

database.connect.__kwdefaults__["patience"] = timedelta(seconds=1)
"""


def site(directory: Path, code: str) -> str:
    """Return a PYTHONPATH by which a process runs *code* before anything else."""
    place = directory / "site"
    place.mkdir()
    (place / "sitecustomize.py").write_text(code)
    return str(place)


@pytest.fixture
def far():
    return Far()


@pytest.fixture
def service(far, tmp_path):
    with serve_in_thread(World(far.publisher, replica=far.replica)) as url:
        service = Service(tmp_path, url, far)
        yield service
        service.end()


@contextmanager
def locked(database: Path, how: str = "IMMEDIATE") -> Iterator[None]:
    """Hold a SQLite file as another program would."""
    with closing(sqlite3.connect(database, isolation_level=None)) as conn:
        conn.execute(f"BEGIN {how}")
        yield


def troubles(process: Process) -> list[tuple[str, str]]:
    """Return which troubles of the database were told of, and how each ended."""
    told = [line for line in tuple(process.lines) if line.get("problem") == "database"]
    return [(line["event"], line["reason"]) for line in told]


def ended(process: Process, within_s: float = SOON_S) -> int:
    """Wait until a process ends by itself; return its exit status."""
    process._process.wait(within_s)
    return process.wait()


def assert_calm(process: Process) -> None:
    assert not [line for line in process.raw if "Traceback" in line]
    assert not [line for line in process.lines if line["event"] == "tick.failed"]


# --- another process keeps it locked -------------------------------------------------------


def test_a_lock_of_another_process_is_told_once_and_outlived(service, far, tmp_path):
    """However long, and though reading goes on: each tick fails, or reads, several times."""
    daemon = service.start(PYTHONPATH=site(tmp_path, HASTY))
    daemon.until("feed.polled", new=1)
    with locked(service.database):
        guid = far.publish(200)
        daemon.until("problem.opened", problem="database", reason="locked")
        time.sleep(2 * LONGEST_TICK.total_seconds())
    daemon.until("request.processed", guid=guid)
    daemon.until("problem.recovered", problem="database")
    assert daemon.stop() == 0
    assert troubles(daemon) == [("problem.opened", "locked"), ("problem.recovered", "locked")]
    assert [effect.guid for effect in far.replica.effects] == [guid]
    assert_calm(daemon)


def test_a_stop_while_another_process_holds_the_lock_ends_in_time(service):
    daemon = service.start()
    daemon.until("feed.polled", new=1)
    with locked(service.database, "EXCLUSIVE"):  # not even reading is possible
        began = time.monotonic()
        daemon.send(signal.SIGTERM)
        assert ended(daemon, STOP_WITHIN_S) == 0
        assert time.monotonic() - began < STOP_WITHIN_S / 2
    given_up = daemon.told("tick.failed", tick="stop")  # where two ticks were waiting for the lock
    assert [line for line in daemon.told("tick.failed") if line not in given_up] == []
    assert len(given_up) <= 1


# --- no room, no right to write ------------------------------------------------------------


def test_without_room_it_waits_and_goes_on_when_there_is_some(service, far):
    """A limit on the size of files: EFBIG, which SQLite calls an I/O error."""
    daemon = service.start()
    daemon.until("feed.polled", new=1)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    guid = far.publish(200)
    daemon.until("problem.opened", problem="database")
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, unlimited)
    daemon.until("request.processed", guid=guid)
    daemon.until("problem.recovered", problem="database")
    assert daemon.stop() == 0
    assert troubles(daemon) == [("problem.opened", "io_error"), ("problem.recovered", "io_error")]
    assert_calm(daemon)


def test_a_file_that_was_replaced_ends_it_with_1_though_a_resolver_hangs(service, tmp_path):
    """A clean exit would be no failure to systemd: no restart, and nobody is told."""
    service.configure(extra=NOBODY_RESOLVES)
    daemon = service.start(PYTHONPATH=site(tmp_path, HANGING_RESOLVER))
    daemon.until("feed.polled", podcast="show", new=1)
    copy = service.database.with_name("copy.db")
    shutil.copy(service.database, copy)
    copy.replace(service.database)
    assert ended(daemon) == 1
    assert daemon.told("daemon.stopping")[0]["reason"] == "replaced"


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_full_disk_is_told_once_and_outlived(service, far, small_disk):
    service.database = small_disk / "t.db"
    service.configure()
    daemon = service.start()
    daemon.until("feed.polled", new=1)
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        fill(filler)
    guid = far.publish(200)
    daemon.until("problem.opened", problem="database", reason="disk_full")
    filler.unlink()
    daemon.until("request.processed", guid=guid)
    daemon.until("problem.recovered", problem="database")
    assert daemon.stop() == 0
    assert troubles(daemon) == [("problem.opened", "disk_full"), ("problem.recovered", "disk_full")]
    assert_calm(daemon)


def test_a_file_system_that_can_only_be_read_is_named(service, small_disk):
    service.database = small_disk / "t.db"
    service.configure()
    assert service.command("run", "--once").returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    done = service.command("run")
    assert done.returncode == 2
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr
    assert service.command("status").returncode == 0


def test_a_database_without_room_says_so_and_keeps_what_was_committed(tmp_path):
    with closing(connect(f"sqlite:///{tmp_path / 'm.db'}")) as database:
        migrate.migrate(database)
        sa.event.listen(database.engine, "connect", _no_growth)
        database.engine.dispose()
        told = [0]
        with pytest.raises(DatabaseError, match="the disk is full") as caught:
            _tell_more_and_more(database, told)
        assert (caught.value.reason, caught.value.lasting) == ("disk_full", False)
        assert database.read(events.counter, schema.SEQ) == told[-1] > 0
        sa.event.remove(database.engine, "connect", _no_growth)
        database.engine.dispose()
        assert database.write(_tell) == told[-1] + 1


def _no_growth(connection, _record):
    connection.execute("PRAGMA max_page_count = 60")


def _tell_more_and_more(database, told):
    while True:
        told.append(database.write(_tell))


def _tell(conn):
    events.append(conn, [LogEvent("feed.moved", fields={"to": "x" * 1000})], now())
    return events.counter(conn, schema.SEQ)


# --- damage --------------------------------------------------------------------------------


@pytest.fixture
def lived(service, far):
    """The file of a service that has done its work."""
    far.publish(200)
    service.command("run", "--once")
    return service.database


def flip(path: Path, seed: int, count: int = 64) -> bytes:
    """Change *count* bytes of a file, anywhere; return what is in it then."""
    chance, content = Random(seed), bytearray(path.read_bytes())
    for at in chance.sample(range(len(content)), count):
        content[at] ^= chance.randrange(1, 256)
    path.write_bytes(content)
    return bytes(content)


def refusal(path: Path) -> str | None:
    """Return what the daemon says of a file before it begins. None: it begins."""
    with closing(connect(f"sqlite:///{path}")) as database:
        try:
            migrate.migrate(database)
        except ConfigError as error:
            return str(error)
    return None


def test_a_damaged_file_is_refused_at_the_start_and_never_written(lived, tmp_path):
    """64 bytes anywhere: most hits are seen; a letter in a title, or an empty page, cannot be."""
    refused = 0
    for seed in FLIPPED:
        path = tmp_path / "damaged" / "t.db"
        path.parent.mkdir()
        shutil.copy(lived, path)
        content = flip(path, seed)
        if told := refusal(path):
            refused += 1
            assert told.startswith(f"database {path}: "), seed
            assert told.endswith("restore a backup"), seed
            assert "\n" not in told, seed
        assert path.read_bytes() == content, seed
        shutil.rmtree(path.parent)
    assert refused > 0.8 * len(FLIPPED)


def test_damage_that_is_seen_at_the_start_is_one_line_and_exit_2(lived, service):
    content = flip(lived, seed=1, count=2000)
    done = service.command("run")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"database {lived}: " in done.stderr
    assert "restore a backup" in done.stderr
    assert lived.read_bytes() == content


def test_damage_during_the_run_ends_it_with_one_line(service, far):
    daemon = service.start()
    daemon.until("feed.polled", new=1)
    size = service.database.stat().st_size
    with service.database.open("r+b") as file:  # behind the first 24 bytes, which say what it is
        file.seek(24)
        file.write(Random(1).randbytes(size - 24))
    assert ended(daemon) == 1
    assert [event for event, _ in troubles(daemon)] == ["problem.opened"]
    assert "restore a backup" in daemon.raw[-1]
    assert_calm(daemon)
    assert service.command("run").returncode == 2


# --- something else lies there -------------------------------------------------------------


def another_programs(path: Path) -> None:
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("CREATE TABLE episodes (a INTEGER)")


def a_newer_one(path: Path) -> None:
    with closing(connect(f"sqlite:///{path}")) as database:
        migrate.migrate(database)
        database.write(lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '9'"))


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (lambda path: path.write_text("Dear diary, " * 999), "is no database of podcast-monitor"),
        (another_programs, "it holds another program's tables (episodes)"),
        (a_newer_one, "it was written by a newer podcast-monitor (schema 9)"),
    ],
)
def test_what_is_not_ours_is_refused_in_one_line_and_kept(service, there, told):
    there(service.database)
    content = service.database.read_bytes()
    done = service.command("run")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert told in done.stderr
    assert service.database.read_bytes() == content


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
def test_a_file_that_is_gone_from_its_place_ends_the_run_at_once(service, replaced):
    daemon = service.start()
    daemon.until("feed.polled", new=1)
    if replaced:
        another = service.directory / "another.db"
        shutil.copy(service.database, another)
        another.replace(service.database)
    else:
        service.database.unlink()
    assert ended(daemon, 10) == 1
    assert "deleted or replaced while it was open" in daemon.raw[-1]
    assert_calm(daemon)
    assert service.database.exists() == replaced  # nothing was created in its place
    again = service.start()
    again.until("feed.polled")
    assert again.stop() == 0


# --- PostgreSQL ----------------------------------------------------------------------------


@pytest.fixture
def server(postgresql):
    """A server with a user who has a password and no rights."""
    conf = Path(sa.make_url(postgresql.address("postgres")).query["host"]) / "pg_hba.conf"
    before = conf.read_text()
    conf.write_text(f"local all lodger scram-sha-256\n{before}")
    postgresql.run("CREATE ROLE lodger LOGIN PASSWORD 'right'")
    postgresql.run("SELECT pg_reload_conf()")
    yield sa.make_url(postgresql.address("postgres"))
    conf.write_text(before)
    postgresql.run("SELECT pg_reload_conf()")
    postgresql.run("DROP ROLE lodger")


def lodger(server: sa.URL, password: str) -> sa.URL:
    return server.set(username="lodger", password=password)


@pytest.mark.parametrize(
    ("address", "code", "told"),
    [
        (lambda url: url.update_query_dict({"host": "/nowhere"}), 1, "No such file or directory"),
        (lambda url: lodger(url, "wrong-one"), 1, "password authentication failed"),
        (lambda url: url.set(database="missing"), 1, "does not exist"),
        (lambda url: lodger(url, "right"), 2, "permission denied for schema public"),
    ],
    ids=["no server", "wrong password", "no database", "no right"],
)
def test_a_server_that_lets_nobody_in_is_told_in_its_own_words(
    service, server, address, code, told
):
    url = address(server).render_as_string(hide_password=False)
    service.configure(database=url)
    done = service.command("run")
    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert told in done.stderr
    assert "wrong-one" not in done.stderr


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_every_trouble_is_told_with_what_comes_of_it_or_what_to_do(text):
    assert "; " in text


def test_a_transaction_that_the_server_undid_for_anothers_sake_is_run_again(postgresql):
    tries: list[int] = []

    def unit(conn, fails):
        tries.append(len(tries))
        if len(tries) <= fails:
            conn.exec_driver_sql("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")
        return len(tries)

    with closing(connect(postgresql.address("postgres"))) as database:
        assert database.write(unit, 2) == 3
        tries.clear()
        with pytest.raises(DatabaseError) as caught:
            database.write(unit, 99)
    assert (len(tries), caught.value.reason) == (4, "locked")


def test_a_deadlock_with_another_program_is_run_again(postgresql):
    """Real: the other holds b and waits for a. The server undoes one of the two after a second."""
    address = postgresql.address("postgres")
    postgresql.run("CREATE TABLE a (x int); CREATE TABLE b (x int)")
    other = sa.create_engine(address)

    def unit(conn):
        tries.append("LOCK TABLE a")
        conn.exec_driver_sql("SET LOCAL deadlock_timeout = '10ms'; LOCK TABLE a")
        if len(tries) == 1:
            their.exec_driver_sql("SET LOCAL deadlock_timeout = '1h'; LOCK TABLE b")
            waiting.append(pool.submit(their.exec_driver_sql, "LOCK TABLE a"))
        conn.exec_driver_sql("LOCK TABLE b")

    tries: list[str] = []
    waiting: list[Future[Any]] = []
    with (
        closing(connect(address)) as database,
        ThreadPoolExecutor(2) as pool,
        other.connect() as their,
    ):
        ours = pool.submit(database.write, unit)
        wait_until(lambda: bool(waiting), "no lock")
        waiting[0].result(10)
        their.rollback()
        ours.result(10)
    other.dispose()
    postgresql.run("DROP TABLE a, b")
    assert len(tries) == 2


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("SET LOCAL statement_timeout = '10ms'; SELECT pg_sleep(5)", "slow"),
        ("SET TRANSACTION READ ONLY; CREATE TABLE c (x int)", "read_only"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "unavailable"),
        ("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$", "disk_full"),
        ("DO $$ BEGIN RAISE SQLSTATE '53300'; END $$", "unavailable"),
        ("DO $$ BEGIN RAISE SQLSTATE '58030'; END $$", "io_error"),
        ("DO $$ BEGIN RAISE SQLSTATE 'XX001'; END $$", "corrupt"),
    ],
)
def test_the_server_s_troubles_have_the_same_names_as_the_file_s(postgresql, statement, reason):
    with closing(connect(postgresql.address("postgres"))) as database:
        with pytest.raises(DatabaseError) as caught:
            database.write(lambda conn: conn.exec_driver_sql(statement))
        assert caught.value.reason == reason
        assert isinstance(caught.value.__cause__, sa.exc.DBAPIError)
        assert database.read(lambda conn: conn.exec_driver_sql("SELECT 1").scalar()) == 1


@pytest.mark.parametrize(
    "statement", ["SELECT * FROM nowhere", "SELEC 1", "SELECT 1/0 FROM nowhere"]
)
def test_what_is_wrong_with_our_own_sql_is_no_trouble_of_the_database(database, statement):
    with pytest.raises(sa.exc.DBAPIError):
        database.write(lambda conn: conn.exec_driver_sql(statement))
