"""Several daemons: on purpose on one PostgreSQL, by mistake on one SQLite file or its copies.

Who asked is known from the far ends' ledgers: each daemon's name stands in its User-Agent.
"""

import signal
import socket
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from monitor.demo.server import serve_in_thread
from monitor.demo.stenobird import Dialect
from tests.campaigns.checker import check
from tests.campaigns.kills import Warm, is_settled, lines, strange, wait_until
from tests.campaigns.outside import PODCASTS, Outside, Rules
from tests.databases import new_database

WITHIN_S = 30.0


class Daemon:
    """One of several, with a name of its own; its leases run out within seconds of its death."""

    def __init__(self, lives: Warm, name: str, config: Path, log: Path) -> None:
        self.name = name
        self.log = log
        self._lives = lives
        self.pid = lives.begin(config, log)

    @property
    def lines(self):
        return list(lines(self.log))

    @property
    def seqs(self):
        return [line["seq"] for line in self.lines if "seq" in line]

    def told(self, event):
        return [line for line in self.lines if line["event"] == event]

    def until(self, event, times=1):
        assert wait_until(lambda: len(self.told(event)) >= times, WITHIN_S), self.lines[-5:]

    def end(self, number=signal.SIGTERM):
        return self._lives.end(self.pid, number)

    def wait(self):
        return self._lives.wait(self.pid)


class Theatre:
    """A world, and the daemons that are let loose on it."""

    def __init__(self, directory: Path, lives: Warm, url: str, outside: Outside) -> None:
        self.directory = directory
        self.url = url
        self.outside = outside
        self.daemons: list[Daemon] = []
        self._lives = lives

    def start(self, name, database, podcasts=PODCASTS, *, ready=True):
        config = self.outside.configure(
            self.directory, database, self.url, name=name, podcasts=podcasts
        )
        daemon = Daemon(self._lives, name, config, self.directory / f"{name}.log")
        self.daemons.append(daemon)
        if ready:
            daemon.until("daemon.ready")
        return daemon

    def settle(self, database):
        """Wait until all that is wanted has come to its end."""
        engine = sa.create_engine(database, poolclass=sa.NullPool)
        assert wait_until(lambda: is_settled(engine, self.outside), WITHIN_S), self.rows(database)

    def rows(self, database, query="SELECT status, reason FROM requests WHERE newest"):
        engine = sa.create_engine(database, poolclass=sa.NullPool)
        with engine.connect() as conn:
            return [tuple(row) for row in conn.exec_driver_sql(query)]

    def askers(self, method, podcast=None):
        """Return which daemons asked Stenobird (or, of a podcast, its publisher), how often."""
        if podcast is None:
            asked = [e for e in self.outside.replica.exchanges if e.method == method]
        else:
            asked = self.outside.publishers[podcast].exchanges
        names = {daemon.name for daemon in self.daemons}
        agents = [each.headers["user-agent"] for each in asked]
        return Counter(name for agent in agents for name in names if name in agent)

    def assert_kept(self, database, **changes):
        logs = [daemon.lines for daemon in self.daemons]
        assert list(strange(logs)) == []
        assert check(replace(self.outside.history(database, logs), **changes)) == []


@pytest.fixture
def postgres_url(request, tmp_path):
    with new_database("postgresql", request, tmp_path) as url:
        yield url


@pytest.fixture(scope="module")
def lives():
    with closing(Warm(hurried=True)) as lives:
        yield lives


@pytest.fixture
def theatre(request, tmp_path, lives):
    """A world without bad luck, unless the test asks for some."""
    given = getattr(request, "param", {})
    outside = Outside(1, **{"share": 0.0, "dialect": Dialect()} | given)
    with serve_in_thread(outside.world) as url:
        yield Theatre(tmp_path, lives, url, outside)
        lives.end_all()


# --- one PostgreSQL --------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("theatre", [{"share": 0.2}], indirect=True, ids=["under faults"])
def test_daemons_share_the_work_of_one_postgresql(theatre, postgres_url, count):
    names = ("first", "second", "third")[:count]
    daemons = [theatre.start(name, postgres_url) for name in names]
    for podcast in PODCASTS * 6:
        theatre.outside.publish(podcast)
        polls = sum(len(each.exchanges) for each in theatre.outside.publishers.values())
        wait_until(lambda polls=polls: _polls(theatre) >= polls + 2, WITHIN_S)
    theatre.outside.make_peace()
    theatre.settle(postgres_url)
    assert [daemon.end() for daemon in daemons] == [0] * count
    theatre.assert_kept(postgres_url)
    asked = sum((theatre.askers("GET", podcast) for podcast in PODCASTS), Counter())
    assert set(asked) == set(names)  # each took its part
    assert all(daemon.told("feed.polled") for daemon in daemons)


def _polls(theatre):
    return sum(len(each.exchanges) for each in theatre.outside.publishers.values())


@pytest.mark.parametrize(
    ("theatre", "reason"),
    [
        ({"rules": Rules(per_minute=3)}, "pace"),
        ({"rules": Rules(minutes_per_day=90)}, "budget"),  # of half an hour each
    ],
    indirect=["theatre"],
    ids=["pace", "budget"],
)
def test_pace_and_budget_hold_across_daemons(theatre, postgres_url, reason):
    for name in ("first", "second", "third"):
        theatre.start(name, postgres_url)
    for podcast in PODCASTS * 3:
        theatre.outside.publish(podcast)
    waiting = [("pending", reason)] * 3
    assert wait_until(
        lambda: (
            [row for row in theatre.rows(postgres_url) if row[0] == "pending"] == waiting
            and len(theatre.outside.replica.effects) == 3
        ),
        WITHIN_S,
    ), theatre.rows(postgres_url)
    assert [daemon.end() for daemon in theatre.daemons] == [0] * 3
    assert len(theatre.outside.replica.posts) == 3
    theatre.assert_kept(postgres_url, quiet=False)


def test_the_others_take_over_what_a_killed_daemon_had_leased(theatre, postgres_url):
    first, second = (theatre.start(name, postgres_url) for name in ("first", "second"))
    for number in range(8):
        theatre.outside.publish(PODCASTS[number % 2])
        posts = len(theatre.outside.replica.posts)
        wait_until(lambda posts=posts: len(theatre.outside.replica.posts) > posts, WITHIN_S)
        if number == 3:
            assert first.end(signal.SIGKILL) == -signal.SIGKILL
    theatre.settle(postgres_url)
    last = theatre.rows(postgres_url, "SELECT max(seq) FROM events")[0][0]
    assert wait_until(lambda: last in second.seqs, WITHIN_S)  # the log too
    assert second.end() == 0
    theatre.assert_kept(postgres_url)


def test_one_daemon_at_a_time_writes_the_committed_events(theatre, postgres_url):
    daemons = [theatre.start(name, postgres_url) for name in ("first", "second")]
    theatre.outside.publish("show")
    theatre.settle(postgres_url)
    assert wait_until(lambda: any(daemon.seqs for daemon in daemons), WITHIN_S)
    writer, other = sorted(daemons, key=lambda daemon: len(daemon.seqs), reverse=True)
    assert other.seqs == []
    assert writer.end() == 0  # it hands the log over
    said = len(writer.seqs)
    theatre.outside.publish("other")
    theatre.settle(postgres_url)
    assert other.end() == 0
    assert other.seqs[0] == said + 1
    theatre.assert_kept(postgres_url)


def test_daemons_with_different_podcasts_touch_only_their_own(theatre, postgres_url):
    daemons = {name: theatre.start(f"daemon-of-{name}", postgres_url, [name]) for name in PODCASTS}
    for podcast in PODCASTS * 2:
        theatre.outside.publish(podcast)
    theatre.settle(postgres_url)
    assert daemons["show"].end() == 0
    theatre.outside.publish("show")
    theatre.outside.publish("other")
    theatre.outside.wanted["show"], left = set(), theatre.outside.wanted["show"]
    theatre.settle(postgres_url)  # what is other's
    theatre.outside.wanted["show"] = left
    assert daemons["other"].end() == 0
    for podcast in PODCASTS:
        assert set(theatre.askers("GET", podcast)) == {f"daemon-of-{podcast}"}
    for exchange in theatre.outside.replica.exchanges:
        (podcast,) = (name for name in PODCASTS if f"{name}-at-stenobird" in exchange.path)
        assert f"daemon-of-{podcast}" in exchange.headers["user-agent"]
    theatre.assert_kept(postgres_url, quiet=False)


# --- one SQLite file, by mistake -------------------------------------------------------------


def test_a_second_daemon_on_a_sqlite_file_ends_and_the_first_is_unharmed(theatre, tmp_path):
    database = f"sqlite:///{tmp_path / 't.db'}"
    first = theatre.start("first", database)
    second = theatre.start("second", database, ready=False)
    assert second.wait() == 1
    (line,) = second.lines
    holder = f"is held by pid {first.pid} on {socket.gethostname()}"
    assert holder in line["message"]
    theatre.daemons.remove(second)
    theatre.outside.publish("show")
    theatre.settle(database)
    assert first.end() == 0
    theatre.assert_kept(database)
    assert theatre.askers("POST") == {"first": 1}


def test_two_daemons_whose_lock_file_was_deleted_have_one_effect_each(theatre, tmp_path):
    """The kernel's lock is on the file: with it goes what keeps the second one out."""
    database = f"sqlite:///{tmp_path / 't.db'}"
    first = theatre.start("first", database)
    (tmp_path / "t.db.lock").unlink()
    second = theatre.start("second", database)
    for podcast in PODCASTS * 3:
        theatre.outside.publish(podcast)
    theatre.settle(database)
    assert [daemon.end() for daemon in (first, second)] == [0, 0]
    theatre.assert_kept(database)


def test_daemons_on_copies_of_a_database_have_one_effect_between_them(theatre, tmp_path):
    paths = [tmp_path / name for name in ("a.db", "b.db")]
    databases = [f"sqlite:///{path}" for path in paths]
    alone = theatre.start("alone", databases[0])
    theatre.outside.publish("show")
    theatre.settle(databases[0])
    assert alone.end() == 0
    copy(*paths)
    daemons = [theatre.start(path.stem, url) for path, url in zip(paths, databases, strict=True)]
    for podcast in PODCASTS * 3:
        theatre.outside.publish(podcast)
    for database in databases:
        theatre.settle(database)
    assert [daemon.end() for daemon in daemons] == [0, 0]
    wanted = set().union(*theatre.outside.wanted.values())
    assert Counter(e.guid for e in theatre.outside.replica.effects) == dict.fromkeys(wanted, 1)
    for database in databases:  # each sees the other's requests arrive
        polled = [replace(p, polls=()) for p in theatre.outside.history(database, ()).podcasts]
        theatre.assert_kept(database, stenobird=(), log=(), podcasts=polled)


@pytest.mark.parametrize(
    "theatre",
    [{"dialect": Dialect(remembers=what)} for what in ("key", "nothing")],
    indirect=True,
    ids=["remembers keys", "remembers nothing"],
)
def test_a_database_restored_from_an_older_copy_repeats_no_effect(theatre, tmp_path):
    path, old = tmp_path / "t.db", tmp_path / "old.db"
    database = f"sqlite:///{path}"
    first = theatre.start("first", database)
    theatre.outside.publish("show")
    theatre.settle(database)
    copy(path, old)
    for podcast in PODCASTS * 2:
        theatre.outside.publish(podcast)
    theatre.settle(database)
    assert first.end() == 0
    old.replace(path)
    asked = len(theatre.outside.replica.exchanges)
    theatre.start("second", database)
    theatre.outside.publish("show")
    theatre.settle(database)
    assert theatre.daemons[-1].end() == 0
    since = theatre.outside.history(database, ()).stenobird[asked:]
    theatre.assert_kept(database, stenobird=since, log=())


def copy(path, to):
    """Copy a database that may be in use."""
    with closing(sqlite3.connect(path)) as db, closing(sqlite3.connect(to)) as other:
        db.backup(other)
