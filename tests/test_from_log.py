"""``status --from-log``, as its user has it: the real service's log, and files of every kind."""

import gzip
import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from monitor.core.model import LogEvent
from monitor.core.status import Process, Snapshot, block
from monitor.demo import status
from monitor.demo.server import World, serve_in_thread
from monitor.log import render
from tests.service import Far, Service

ITS_OWN = {"at", "as_of_seq", "pid", "uptime_s"}  # in which log and database may differ
AT = datetime(2026, 10, 10, 14, 3, 5, tzinfo=UTC)
TO_DO = "give a file of lines as the daemon or `journalctl -u podcast-monitor -o cat` writes them"
NOTHING = Snapshot(10, 0, {}, {}, None, 0, (), ())


@pytest.fixture
def far():
    return Far()


@pytest.fixture
def service(far, tmp_path):
    with serve_in_thread(World(far.publisher, replica=far.replica)) as url:
        service = Service(tmp_path, url, far)
        yield service
        service.end()


def told(*arguments, stdin=b"", **environ):
    """Call ``status --from-log`` where there is neither a configuration nor a database."""
    return subprocess.run(
        [sys.executable, "-m", "monitor", "status", "--from-log", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, "PODCAST_MONITOR_CONFIG": "/nowhere.toml", **environ},
        timeout=60,
    )


def facts(lines, *, but=()):
    records = [json.loads(line) if isinstance(line, str | bytes) else line for line in lines]
    return [{k: v for k, v in line.items() if k not in ITS_OWN.union(but)} for line in records]


def test_the_log_of_a_service_that_was_killed_tells_what_its_database_tells(service, far, tmp_path):
    first = service.start()
    first.until("feed.polled", new=1)
    guids = [far.publish(number) for number in (200, 201)]
    first.until("request.processed", guid=guids[0])
    first.kill()
    assert service.command("release", "100", "--reason", "let us hear it").returncode == 0
    second = service.start()
    second.until("request.processed", guid=far.old.guid)
    far.replica.post_faults.always(status(401))
    far.publish(202)
    second.until("problem.opened", problem="stenobird_frozen")
    assert second.stop() == 0
    true = service.json("status")
    assert (true[0]["problems"], true[0]["requests"]["pending"]) == (1, 1)
    older, newer = tmp_path / "log.1.gz", tmp_path / "log"
    older.write_bytes(gzip.compress("".join(first.raw).encode()))
    newer.write_text("".join(second.raw))
    everything = "".join(first.raw + second.raw).encode()
    for done in (told(newer, "--json"), told("-", "--json", stdin=everything)):
        assert (done.returncode, done.stderr) == (0, b"")
        assert facts(done.stdout.splitlines()) == facts(true)
    assert told(older, "--json").returncode == 0
    last = max(n for n, line in enumerate(second.lines) if line["event"] == "status.summary")
    cut = "".join(first.raw + second.raw[:last]).encode()
    done = told("-", "--json", stdin=cut)
    assert facts(done.stdout.splitlines(), but=["next_poll_at"]) == facts(
        true, but=["next_poll_at"]
    )
    assert b"stenobird_frozen" in told("-", stdin=cut).stdout


# --- files of every kind ---------------------------------------------------------------------


def lines(*events, form="json"):
    return "".join(f"{render(event, AT, seq, form=form)}\n" for seq, event in events).encode()


def status_lines(snapshot=NOTHING, form="json"):
    events = block(snapshot, Process("1.0", "live", 42))
    return lines(*((None, event) for event in events), form=form)


def discovered(seq):
    return seq, LogEvent("episode.discovered", "show", f"g{seq}", fields={"request": "held"})


@pytest.mark.parametrize("config", ["not toml at all [", None], ids=["broken", "missing"])
def test_the_configuration_does_not_matter(config, tmp_path):
    path = tmp_path / "podcast-monitor.toml"
    if config is not None:
        path.write_text(config)
    done = told(
        *("-", "--json", "--config", path),
        stdin=status_lines(),
        PODCAST_MONITOR_NO_SUCH_KEY="1",
        PODCAST_MONITOR_DATABASE="postgresql+psycopg://nobody@nowhere.invalid/none",
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout.splitlines()[0])["version"] == "1.0"


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("missing", None, "No such file or directory"),
        (".", None, "Is a directory"),
        ("empty", b"", "not one line of podcast-monitor's log"),
        ("others", b"kernel: hello\n{}\n\x00\xff\n", "not one line of podcast-monitor's log"),
        ("log.gz", b"this is no gzip", "it is no whole gzip file"),
    ],
)
def test_what_is_no_log_ends_with_2_and_one_message(name, content, why, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = told(tmp_path / name)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f"podcast-monitor: {tmp_path / name}: {why}; {TO_DO}\n"


@pytest.mark.parametrize(
    ("log", "caveat"),
    [
        pytest.param(
            status_lines() + lines(discovered(13)),
            "seq 11-12 missing: what they changed is not in it",
            id="numbers are missing",
        ),
        pytest.param(
            lines(discovered(7)),
            "no whole status block: what happened before seq 7 is not counted",
            id="there is no block, and not the beginning",
        ),
        pytest.param(
            lines(discovered(1)),
            "no whole status block: of the podcasts only those that were polled are known",
            id="there is no block, but the beginning",
        ),
        pytest.param(
            status_lines(form="console"),
            "the console's form rounds times and leaves out what goes without saying",
            id="it is the console's form",
        ),
    ],
)
def test_what_a_log_does_not_tell_is_said_in_one_line(log, caveat):
    done = told("-", stdin=log)
    assert (done.returncode, done.stderr.decode()) == (0, f"podcast-monitor: -: {caveat}\n")
    assert b"status.end" in done.stdout


def test_a_file_of_several_programs_forms_and_beginnings_is_one_log():
    torn = lines(discovered(11))[9:]
    trace = b"          \xe2\x94\x82 Traceback (most recent call last):\n"
    journal = b"Oct 10 14:03:05 machine podcast-monitor[4]: " + lines(discovered(11), form="logfmt")
    stdin = torn + status_lines(form="logfmt") + trace + b"kernel: x\n" + journal
    stdin += lines(discovered(11), discovered(12)) + b'{"seq":13,"at":"20'
    done = told("-", "--json", stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    summary = json.loads(done.stdout.splitlines()[0])
    assert (summary["as_of_seq"], summary["episodes"], summary["requests"]["held"]) == (12, 2, 2)
