"""``podcast-monitor check``: a line for each thing that must be right, the exit status the worst."""

import re
import shutil
import socket
import sqlite3
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest

from monitor.adapters.store import events
from monitor.adapters.store.database import connect
from monitor.adapters.store.instance import instance
from monitor.core.problems import Kind, strike
from monitor.demo import html_page, status
from monitor.demo.server import World, serve_in_thread
from tests.processes import InProcess
from tests.service import Far, Service, now

CLOSED = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def polled(tmp_path_factory):
    """A world, and a database that knows it."""
    far = Far()
    far.publish(200, "Listed")
    with serve_in_thread(World(far.publisher, replica=far.replica)) as url:
        service = Service(tmp_path_factory.mktemp("checkup"), url, far)
        assert service.command("run", "--once").returncode == 0
        yield service


@pytest.fixture
def service(polled, tmp_path):
    """The same world with a database of this test's own."""
    own = InProcess(tmp_path, polled.url, polled.far)
    shutil.copy(polled.database, own.database)
    yield own
    own.end()
    polled.far.publisher.faults.clear()
    polled.far.replica.get_faults.clear()


@pytest.fixture
def postgresql_service(service, postgresql, template):
    name = postgresql.create(template)
    service.configure(database=postgresql.address(name))
    yield service
    service.end()
    postgresql.drop(name)


@contextmanager
def instance_held(service):
    """Hold the database as its daemon, and do nothing."""
    with closing(connect(f"sqlite:///{service.database}")) as database, instance(database):
        yield


def change(service, before, after):
    text = service.config.read_text()
    assert before in text
    service.config.write_text(text.replace(before, after))


def findings(done):
    """Return what was found, by subject: the columns are as wide as the longest of each."""
    lines = done.stdout.splitlines()
    width = lines[0].index("1 podcast")
    assert all(line[width - 1] == " " != line[width] for line in lines)
    return {line[9:width].strip(): (line[:9].strip(), line[width:]) for line in lines}


def test_all_is_well(service):
    service.start().until("feed.polled")
    done = service.call("check")
    assert (done.returncode, done.stderr) == (0, "")
    room = done_text(done, "database")
    assert re.fullmatch(r"2 episodes; [\d,]+ MB are free on its disk", room)
    assert findings(done) == {
        "configuration": ("ok", "1 podcast, mode live"),
        "database": ("ok", room),
        "daemon": ("ok", "one runs"),
        "feed show": ("ok", "2 episodes in 2 items"),
        "stenobird show": ("ok", "answers; listed is processed"),
    }


def done_text(done, subject):
    return findings(done)[subject][1]


def test_it_changes_nothing(service):
    before = service.database.read_bytes()
    assert service.call("check").returncode == 1  # no daemon runs
    assert service.database.read_bytes() == before


def test_closed_ports_are_named_each(service):
    change(service, service.url, CLOSED)
    done = service.call("check")
    assert done.returncode == 1
    found = findings(done)
    assert found["feed show"] == ("problem", "refused (from http://127.0.0.1:9)")
    assert found["stenobird show"] == ("problem", "refused (from http://127.0.0.1:9)")


def test_a_page_for_people_is_no_feed(service):
    service.far.publisher.faults.always(html_page())
    done = service.call("check")
    assert done.returncode == 1
    verdict, text = findings(done)["feed show"]
    assert verdict == "problem"
    assert text.startswith("html_page: Just a moment (from http://127.0.0.1:")
    assert findings(done)["stenobird show"] == ("ok", "answers; not asked for an episode")


@pytest.mark.parametrize(("code", "reason"), [(404, "http_404"), (304, "unexpected_304")])
def test_an_answer_without_a_feed_is_a_problem(service, code, reason):
    service.far.publisher.faults.always(status(code))
    done = service.call("check")
    assert done.returncode == 1
    assert findings(done)["feed show"][1].startswith(reason)


def test_a_private_address_is_refused_unless_allowed(service):
    change(service, "allow_private = true", "allow_private = false")
    assert findings(service.call("check"))["feed show"][1].startswith("private_address")


def test_a_stenobird_that_is_down_is_a_problem(service):
    service.far.replica.get_faults.always(status(503))
    done = service.call("check")
    assert done.returncode == 1
    assert findings(done)["stenobird show"][1].startswith("http_503 (from ")


def test_a_slug_under_which_nothing_is_listed_is_asked_about(service):
    change(service, 'stenobird = "latent-space-ai-engineer"', 'stenobird = "mistyped"')
    with instance_held(service):
        done = service.call("check")
    assert done.returncode == 0  # it may be that all is too new
    assert findings(done)["stenobird show"] == (
        "ok",
        "answers, but lists none of the newest 2; is 'mistyped' its slug there?",
    )


def test_an_open_problem_makes_it_1(service):
    since = now() - timedelta(hours=3)
    problem = strike(None, Kind.STENOBIRD_FROZEN, reason="http_402", now=since)
    with closing(connect(f"sqlite:///{service.database}")) as database:
        database.write(events.write_problems, [problem], since)
    done = service.call("check")
    assert done.returncode == 1
    verdict, text = findings(done)["open problem"]
    assert verdict == "problem"
    assert text == (
        f"stenobird: stenobird_frozen, http_402, since {since:%Y-%m-%d %H:%M} UTC;"
        " see `podcast-monitor status`"
    )


def test_a_database_that_is_not_there_yet_is_a_problem_and_is_not_created(service):
    service.database.unlink()
    done = service.call("check")
    assert done.returncode == 1
    verdict, text = findings(done)["database"]
    assert verdict == "problem"
    assert "no such file; `podcast-monitor run` creates it" in text
    assert findings(done)["feed show"][0] == "ok"
    assert not service.database.exists()


def test_a_database_of_a_newer_program_is_wrong(service):
    with closing(sqlite3.connect(service.database)) as db, db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    done = service.call("check")
    assert done.returncode == 2
    assert "newer podcast-monitor" in findings(done)["database"][1]


def test_a_database_that_does_not_answer_is_a_problem(service):
    service.configure(database="postgresql+psycopg://u:secret@127.0.0.1:9/x")
    done = service.call("check")
    assert done.returncode == 1
    assert findings(done)["database"][0] == "problem"
    assert "secret" not in done.stdout


def test_a_wrong_configuration_is_2_and_every_mistake_is_told(service):
    change(service, 'mode = "live"', 'mode = "alive"\nmood = 1')
    done = service.call("check")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 2


def test_that_no_daemon_runs_is_a_problem(service):
    verdict, text = findings(service.call("check"))["daemon"]
    assert (verdict, text.partition(":")[0]) == ("problem", "none runs on this database")


def test_a_feed_that_the_daemon_should_have_polled_is_a_problem(service):
    with instance_held(service):
        assert "overdue" not in findings(service.call("check"))
        with closing(sqlite3.connect(service.database)) as db, db:
            db.execute("UPDATE podcasts SET next_poll_at = '2026-11-02 12:00:00.000000'")
        done = service.call("check")
    assert done.returncode == 1
    assert findings(done)["overdue"] == (
        "problem",
        "show was due at 2026-11-02 12:00 UTC, and has not been polled",
    )


def test_a_disk_that_is_nearly_full_is_a_problem(service, monkeypatch):
    usage = shutil.disk_usage(service.directory)._replace(free=99_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    assert findings(service.call("check"))["database"] == (
        "problem",
        "2 episodes; 99 MB are free on its disk: make room before it is full",
    )


def test_the_daemons_that_share_a_server_are_named(postgresql_service):
    assert findings(postgresql_service.call("check"))["daemon"][0] == "problem"
    daemon = postgresql_service.start()
    verdict, text = findings(postgresql_service.call("check"))["daemon"]
    assert (verdict, text) == ("ok", f"pid {daemon.pid} on {socket.gethostname()} runs")


def test_a_word_of_stenobirds_reaches_the_terminal_escaped(service):
    entry = service.far.replica.entry("substack:post:200")
    path, entry.path = entry.path, ("\x1b]0;owned\x07",)
    done = service.call("check")
    entry.path = path
    assert findings(done)["stenobird show"][0] == "ok"
    assert "\x1b" not in done.stdout
    assert "\\u001b]0;owned" in done.stdout
