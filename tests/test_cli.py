"""The commands as a person meets them: their messages, names, verbs, terminals and pipes."""

import json
import os
import pty
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import partial

import pytest

from monitor import __version__, cli
from monitor.adapters.store import events
from monitor.adapters.store.database import connect
from monitor.commands import opening
from monitor.core.lifecycle import Status
from monitor.core.problems import Kind, strike
from monitor.demo.server import World, serve_in_thread
from monitor.report import ADVICE, INSTEAD
from tests.processes import InProcess
from tests.service import Far, Service, now

ESCAPE = "\x1b]0;owned\x07"
READING = (["status"], ["episodes"], ["events"], ["show", "200"], ["explain", "200"])


@pytest.fixture(scope="module")
def polled(tmp_path_factory):
    """A database with a request that is held, pending, processed and failed each."""
    far = Far()
    for number, title in ((200, "Twice told"), (201, "Twice"), (300, "Never listed")):
        far.publish(number, title)
    far.replica.entry("substack:post:201").path = ("failed",)
    far.replica.entry("substack:post:300").listed_after = None
    with serve_in_thread(World(far.publisher, replica=far.replica)) as url:
        service = Service(tmp_path_factory.mktemp("cli"), url, far)
        for _ in range(2):
            assert service.command("run", "--once").returncode == 0
        yield service


@pytest.fixture
def service(polled, tmp_path):
    """The same world with a database of this test's own."""
    own = InProcess(tmp_path, polled.url, polled.far)
    shutil.copy(polled.database, own.database)
    yield own
    own.end()


def refused(done):
    """Return the message of a command that was wrong: one, without a trace of the program."""
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    return done.stderr


@contextmanager
def changing(service: Service) -> Iterator[sqlite3.Connection]:
    """Change the database behind the program's back."""
    with closing(sqlite3.connect(service.database)) as db, db:
        yield db


@contextmanager
def locked(service: Service) -> Iterator[None]:
    """Be in the middle of writing."""
    with closing(sqlite3.connect(service.database, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


def add_episode(db: sqlite3.Connection, guid: str, title: str, podcast_id: int = 1) -> None:
    """Record one more episode, like the first one but for this."""
    episode = {"guid": guid, "title": title, "podcast_id": podcast_id, "slug": None}
    inserted = copy_first(db, "episodes", **episode)
    copy_first(db, "requests", episode_id=inserted, status="held")


def copy_first(db: sqlite3.Connection, table: str, **changes: object) -> int | None:
    db.row_factory = sqlite3.Row
    row = dict(db.execute(f"SELECT * FROM {table} ORDER BY id LIMIT 1").fetchone())
    del row["id"]
    row |= changes
    marks = ", ".join(f":{key}" for key in row)
    return db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", row).lastrowid


# --- mistakes -------------------------------------------------------------------------------


def test_help_and_version_need_no_configuration(service):
    service.config.unlink()
    assert service.call("--version").stdout == f"podcast-monitor {__version__}\n"
    told = service.call("--help").stdout
    assert told.startswith("Usage: podcast-monitor ")
    for command in ("run", "status", "check", "episodes", "explain", "requeue", "demo"):
        assert re.search(rf"^  {command} .*\w\.$", told, re.MULTILINE)
    assert "..." not in told.partition("Commands:")[2]


def test_what_the_system_refuses_is_told_with_its_place_and_what_to_do(monkeypatch, capsys):
    def app(**_):
        raise PermissionError(13, "Permission denied", "/there/x")

    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    said = "podcast-monitor: /there/x: Permission denied; see to that, and try again\n"
    assert capsys.readouterr().err == said


def test_the_configuration_may_be_named_before_or_behind_the_command(service):
    assert service.call("status").returncode == 0
    other = service.directory / "other.toml"
    service.config.rename(other)
    assert str(service.config) in refused(service.call("status"))
    assert service.call("status", "--config", str(other)).returncode == 0


def test_the_configuration_may_be_named_by_the_environment(service):
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "events", "--after", "1"],
        capture_output=True,
        check=True,
        env={**os.environ, "PODCAST_MONITOR_CONFIG": str(service.config)},
    )
    assert done.stdout


def test_every_mistake_in_the_configuration_is_told_at_once(service):
    text = service.config.read_text().replace('mode = "live"', "mode = 1\nlogg = 2")
    service.config.write_text(text.replace('min = "200ms"', 'min = "20 minits"', 1))
    lines = refused(service.call("status")).splitlines()
    assert len(lines) == 3
    assert all(line.count(str(service.config)) == 1 for line in lines)
    assert [key for key in ("mode", "logg", "retry") if key not in "\n".join(lines)] == []


def damage(service: Service, how: str) -> None:
    """Put something else where the database was."""
    path = service.database
    if how == "newer":
        with changing(service) as db:
            db.execute("UPDATE alembic_version SET version_num = '9999'")
        return
    path.unlink()
    match how:
        case "text":
            path.write_text("this is no database " * 100)
        case "empty":
            path.touch()
        case "directory":
            path.mkdir()
        case "another's":
            with changing(service) as db:
                db.execute("CREATE TABLE episodes (id)")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("missing", "there is no such file; `podcast-monitor run` creates it"),
        ("newer", "newer podcast-monitor"),
        ("text", "is no database of podcast-monitor"),
        ("empty", "`podcast-monitor run` brings it up to date"),
        ("directory", "it is not a file"),
        ("another's", "another program's tables"),
    ],
)
def test_a_database_that_is_none_of_ours_is_named_with_what_to_do(service, how, says):
    damage(service, how)
    kept = service.database.read_bytes() if service.database.is_file() else None
    for arguments in (["status"], ["skip", "200", "--reason", "x"], ["poll"]):
        told = refused(service.call(*arguments))
        assert told.startswith(f"podcast-monitor: database {service.database}: ")
        assert says in told
        assert len(told.splitlines()) == 1
    assert kept == (service.database.read_bytes() if service.database.is_file() else None)


@pytest.mark.parametrize("path", ["/dev/null/t.db", "/proc/nowhere/t.db"])
def test_a_database_that_cannot_be_created_is_told_by_the_daemon_in_one_line(service, path):
    service.configure(database=f"sqlite:///{path}")
    done = service.command("run")
    assert done.returncode == 2
    (line,) = map(json.loads, done.stderr.splitlines())
    assert (line["event"], line["level"]) == ("log.error", "error")
    assert line["message"].startswith(f"database {path}: cannot be used")
    assert "give `database` a path" in line["message"]


def test_what_the_file_system_refuses_is_told_in_one_line(service):
    lock = service.database.with_name(f"{service.database.name}.lock")
    lock.mkdir()
    done = service.command("run", "--once")
    assert done.returncode == 1
    (line,) = map(json.loads, done.stderr.splitlines())
    assert str(lock) in line["message"]


def test_a_database_that_another_program_keeps_is_told(service, monkeypatch):
    impatient = partial(connect, patience=timedelta(milliseconds=10))
    monkeypatch.setattr(opening, "connect", impatient)
    with locked(service):
        done = service.call("skip", "300", "--reason", "x")
    assert done.returncode == 1
    assert done.stderr == (
        f"podcast-monitor: database {service.database}: another process keeps it locked"
        " (database is locked); all goes on when it lets go\n"
    )


def test_what_only_reads_is_answered_while_another_writes(service):
    with locked(service):
        for arguments in READING:
            assert service.call(*arguments).returncode == 0


def test_what_only_reads_leaves_nothing_behind(service):
    def found() -> dict[str, tuple[bytes, int]]:
        files = service.directory.iterdir()
        return {f.name: (f.read_bytes(), f.stat().st_mtime_ns) for f in files}

    before = found()
    for arguments in (*READING, ["episodes", "--json"]):
        assert service.call(*arguments).returncode == 0
    assert service.call("check").returncode == 1  # no daemon runs
    assert found() == before


@pytest.mark.parametrize("after", ["-1", str(2**63), "x"])
def test_a_seq_that_cannot_be_is_refused(service, after):
    assert "--after" in refused(service.call("events", "--after", after))


def test_a_seq_that_has_not_come_yet_is_followed_by_nothing(service):
    done = service.call("events", "--after", str(2**63 - 1))
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_reason_says_something(service, reason):
    assert "say why" in refused(service.call("skip", "300", "--reason", reason))


def test_an_argument_that_is_no_text_is_refused(service):
    for arguments in (["show", "\udcff"], ["skip", "300", "--reason", "\udcff"]):
        assert refused(service.call(*arguments)) == "podcast-monitor: an argument is not UTF-8\n"


# --- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["substack:post:200", "twice-told", "200", "twice TOLD", "https://www.latent.space/p/post-200"],
)
def test_an_episode_has_many_names(service, name):
    (shown,) = service.json("show", name)
    assert shown["guid"] == "substack:post:200"


def test_an_ambiguous_name_is_answered_with_the_candidates(service):
    first, *candidates = refused(service.call("explain", "wice")).splitlines()
    assert "'wice' may mean 2 episodes" in first
    assert sorted(candidates) == [
        "  show  substack:post:200  Twice told",
        "  show  substack:post:201  Twice",
    ]


def test_of_many_candidates_the_first_are_told(service):
    with changing(service) as db:
        for number in range(12):
            add_episode(db, f"guid-{number:02}", f"Alike \x1b[31m{number:02}")
    told = refused(service.call("show", "alike"))
    assert len(told.splitlines()) == 12
    assert told.splitlines()[-1] == "  … and 2 more"
    assert "\x1b" not in told


def test_a_guid_of_two_podcasts_is_told_apart_by_the_podcast(service):
    with changing(service) as db:
        other = copy_first(db, "podcasts", name="other", url="http://x/", slug="other")
        add_episode(db, "substack:post:200", "Twice told", podcast_id=other)
    assert "(or PODCAST/GUID)" in refused(service.call("show", "substack:post:200"))
    done = service.call("skip", "other/substack:post:200", "--reason", "x")
    assert done.returncode == 0
    rows = [row for row in service.json("episodes") if row["guid"] == "substack:post:200"]
    assert {row["podcast"]: row["request"] for row in rows} == {
        "show": "processed",
        "other": "skipped",
    }


def test_an_unknown_name_is_told_with_what_would_be_one(service):
    told = refused(service.call("show", "\x1b[31mnobody"))
    assert "no episode is known by" in told
    assert "`podcast-monitor episodes` lists them" in told
    assert "\x1b" not in told


# --- verbs ----------------------------------------------------------------------------------


def do(service, verb, name, **environ):
    done = service.call(verb, name, "--reason", "because", **environ)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_verb_says_what_it_did_and_what_it_needs(service):
    done, needs = do(service, "release", "100")
    assert done.endswith("episode (substack:post:100) is now pending; it was held: baseline")
    assert needs == opening.NO_DAEMON
    (done,) = do(service, "skip", "100")
    assert done.endswith(" is now skipped: operator; it was pending")


def test_in_shadow_mode_a_release_says_that_it_sends_nothing(service):
    _, hint = do(service, "release", "100", PODCAST_MONITOR_MODE="shadow")
    assert hint.startswith('mode is "shadow"')


@pytest.mark.parametrize(
    ("verb", "name", "says"),
    [
        ("request", "200", "it is processed; `requeue` asks for a further transcription"),
        ("request", "201", "it is failed; `requeue` asks anew"),
        ("release", "201", "it is failed; `requeue` asks anew"),
        ("release", "200", "it is processed"),
        ("skip", "200", "it is processed"),
        ("requeue", "300", "it is pending: not_listed_yet; its request has yet to be sent"),
        ("requeue", "100", "it is held: baseline; `release` lets its request go"),
    ],
)
def test_a_verb_that_has_nothing_to_do_says_why_and_what_instead(service, verb, name, says):
    before = service.json("events")
    (told,) = do(service, verb, name)
    assert told.endswith(f"nothing to do: {says}")
    assert service.json("events") == before


def test_what_was_skipped_is_wanted_again_by_request_not_by_release(service):
    do(service, "skip", "300")
    (told,) = do(service, "release", "300")
    assert told.endswith("nothing to do: it is skipped: operator; `request` wants it after all")
    assert "is now pending" in do(service, "request", "300")[0]


def test_what_was_accepted_can_neither_be_skipped_nor_asked_anew(service):
    with changing(service) as db:
        db.execute("UPDATE requests SET status = 'accepted' WHERE status = 'pending'")
    told = refused(service.call("skip", "300", "--reason", "x"))
    assert "is accepted: what Stenobird was asked for cannot be unasked" in told
    assert "Stenobird is at work on it" in do(service, "requeue", "300")[0]


def test_requeue_asks_for_a_further_generation_once(service):
    assert "is now pending; it was processed" in do(service, "requeue", "200")[0]
    assert "nothing to do: it is pending" in do(service, "requeue", "200")[0]
    (shown,) = service.json("show", "200")
    assert (shown["generation"], shown["request"]) == (2, "pending")
    assert re.search(r"^generation +2 *$", service.call("show", "200").stdout, re.MULTILINE)
    last = service.json("explain", "200")[-1]
    assert (last["event"], last["by"]) == ("request.requeued", "because")


def test_every_hint_is_of_a_verb_and_a_status():
    assert {verb for verb, _ in INSTEAD} <= {"request", "release", "skip", "requeue"}
    assert {status for _, status in INSTEAD} <= set(Status)


def test_poll_tells_what_is_new_in_the_configuration(service):
    more = '[[podcasts]]\nname = "new"\nfeed = "http://127.0.0.1:9/x"\nstenobird = "n"\n'
    service.configure(extra=more)
    assert service.call("poll").stdout.splitlines() == [
        "due now: show",
        "new in the configuration, polled when the daemon starts: new",
        opening.NO_DAEMON,
    ]
    service.start()
    assert service.call("poll", "show").stdout == "due now: show\n"


# --- what is shown --------------------------------------------------------------------------


def test_episodes_are_a_table_that_is_cut_for_no_pipe(service):
    with changing(service) as db:
        add_episode(db, "g" * 300, "A title " + "without an end " * 40)
    heading, *rows = service.call("episodes").stdout.splitlines()
    assert heading.split() == ["published", "request", "state", "length", "guid", "title"]
    at = heading.index("guid")
    assert {"g" * 300, "substack:post:200"} <= {row[at:].split(maxsplit=1)[0] for row in rows}
    assert "…" not in "".join(rows)
    (row,) = [row for row in rows if " substack:post:201 " in row]
    assert row.split()[-6:] == ["failed", "failed", "1h", "0m", "substack:post:201", "Twice"]


def test_no_episodes_are_said_on_stderr(service):
    done = service.call("episodes", "--status", "accepted")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no episodes\n")


def test_episodes_of_a_podcast_that_was_removed_can_still_be_listed(service):
    with changing(service) as db:
        db.execute("UPDATE podcasts SET name = 'gone'")
    assert len(service.json("episodes", "--podcast", "gone")) == 4
    assert "there is: show" in refused(service.call("episodes", "--podcast", "nonesuch"))


def test_show_tells_what_stenobird_published(service):
    told = service.call("show", "200").stdout
    for heading in ("summary", "highlights", "topics", "chapters", "links"):
        assert re.search(rf"\n\n{heading} *\n  +\S", told)
    assert re.search(r"^    1:00  \w", told, re.MULTILINE)
    assert re.search(r"^request +processed *$", told, re.MULTILINE)
    assert re.search(r"^published +\d{4}-\d\d-\d\d \d\d:\d\d UTC \(\d", told, re.MULTILINE)


def test_show_of_what_is_not_published_says_so(service):
    told = service.call("show", "300").stdout
    assert told.endswith("\n\nStenobird has published nothing of it yet.\n")
    assert re.search(r"^next attempt +\d{4}.* UTC \(", told, re.MULTILINE)
    assert re.search(r"^Stenobird +not found there yet", told, re.MULTILINE)


def test_stories_have_their_day(service):
    for arguments in (["events"], ["explain", "200"]):
        told = service.call(*arguments).stdout
        assert re.search(r"^\w+day \d{4}-\d\d-\d\d \(UTC\)\n  \d\d:\d\d:\d\d ", told, re.MULTILINE)


def test_status_lists_the_open_problems_with_advice(service):
    since = now() - timedelta(hours=3)
    of = {"podcast": "show", "guid": "substack:post:200"}
    feed = strike(None, Kind.FEED_FAILING, reason="http_410", now=since, podcast="show")
    stalled = strike(None, Kind.REQUEST_STALLED, reason="no_change", now=since, **of)
    with closing(connect(f"sqlite:///{service.database}")) as database:
        database.write(events.write_problems, [feed, stalled], since)
    done = service.call("status")
    assert done.returncode == 0
    block, _, problems = done.stdout.partition("open problem")
    assert re.search(r" ! status\.summary +2 problems · ", block)
    assert block.splitlines()[-1].split()[1] == "status.end"
    _, first, second, last = problems.splitlines()
    assert last == "no daemon runs on this database"
    assert first.split()[:5] == ["feed_failing", "show", "http_410", "3h", "0m"]
    assert ADVICE[Kind.FEED_FAILING] in first
    assert second.split()[:3] == ["request_stalled", "substack:post:200", "no_change"]
    as_json = service.json("status")
    assert {line["event"].partition(".")[0] for line in as_json} == {"status"}
    assert as_json[0]["problems"] == 2


def test_there_is_advice_for_every_problem():
    assert ADVICE.keys() == set(Kind)


# --- terminals and pipes ----------------------------------------------------------------------


@pytest.mark.parametrize("arguments", READING)
def test_no_escape_reaches_the_terminal_raw(service, arguments):
    forge(service)
    for form in ([], ["--json"]):
        told = service.call(*arguments, *form).stdout
        assert told
        assert [c for c in told if not c.isprintable() and c != "\n"] == []


def forge(service: Service) -> None:
    """Put what XML cannot carry, but another feed or Stenobird might, where it would be shown."""
    nasty = f"{ESCAPE}\x9b31m\u2028\u202e\nforged"
    resource = json.dumps({"summary": nasty, "topics": [nasty], "page_url": nasty})
    with changing(service) as db:
        db.execute("UPDATE episodes SET title = title || ?, resource = ?", (nasty, resource))
        db.execute("UPDATE episodes SET processing_state = ?", (ESCAPE,))
        db.execute("UPDATE requests SET reason = ?", (nasty,))


def test_json_is_one_object_a_line_whatever_the_title(service):
    forge(service)
    lines = service.call("episodes", "--json").stdout.splitlines()
    assert len(lines) == 4
    assert all("\u2028\u202e\nforged" in json.loads(line)["title"] for line in lines)


def on_a_terminal(service: Service, *arguments: str, **environ: str) -> str:
    """Return what a command prints on a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "monitor", "--config", str(service.config), *arguments],
        stdout=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **environ},
    )
    os.close(theirs)
    told = b""
    while True:
        try:
            told += os.read(ours, 65_536)
        except OSError:  # EIO: so Linux says that the other end is closed
            break
    os.close(ours)
    assert process.wait(30) == 0
    return told.decode()


def test_a_terminal_gets_colours_and_lines_of_its_width(service):
    told = on_a_terminal(service, "episodes")
    assert "\x1b[32mprocessed" in told
    plain = re.sub(r"\x1b\[[0-9;]*m", "", told).splitlines()
    assert max(map(len, plain)) <= 100
    assert "\x1b[" in on_a_terminal(service, "status")


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_declined(service, environ):
    assert "\x1b[3" not in on_a_terminal(service, "episodes", **environ)
    assert "\x1b[3" not in on_a_terminal(service, "events", **environ)


@pytest.mark.parametrize("command", ["events", "episodes"])
def test_a_reader_that_goes_away_is_no_error(service, command):
    with changing(service) as db:  # more than a pipe holds
        for number in range(1000):
            add_episode(db, f"guid-{number}", "A title that is not short at all, but ordinary")
        db.execute(
            "INSERT INTO events SELECT 1000 + e.id, at, name, level, podcast, e.guid, fields"
            " FROM events, episodes e WHERE seq = 1"
        )
    process = subprocess.Popen(
        [sys.executable, "-m", "monitor", "--config", str(service.config), command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) in {0, 1}  # of one large write Python does not tell what was lost
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_terminal_without_unicode_gets_what_it_can_show(service):
    with changing(service) as db:
        db.execute("UPDATE episodes SET title = '🔬 Ø'")
    done = service.command("episodes", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\U0001f52c \\xd8" in done.stdout
