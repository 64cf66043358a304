"""``podcast-monitor demo``, whole; and that its verdict can be bad."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from monitor.demo.publisher import Publisher, real_items
from monitor.demo.stenobird import FAILS, Replica
from monitor.demo.verdict import all_settled, judge
from tests.service import wait_until

DEMO = [sys.executable, "-m", "monitor", "demo"]


def test_the_rehearsal_keeps_every_promise_whatever_the_environment_configures():
    environ = {"PODCAST_MONITOR_MODE": "shadow", "NO_COLOR": "1"}
    done = subprocess.run(
        DEMO,
        capture_output=True,
        check=False,
        text=True,
        timeout=90,
        env={**os.environ, **environ},
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Every promise was kept." in done.stdout
    assert "✗ all" not in done.stdout
    assert done.stderr == ""
    for happens in ("http_429", "http_503", "truncated", "connection_lost", "http_500", "failed"):
        assert re.search(rf"\b{happens}\b", done.stdout)


def test_a_rehearsal_that_is_broken_off_leaves_no_daemon_and_no_file_behind(tmp_path):
    process = subprocess.Popen(
        DEMO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    started = next(line for line in process.stdout if "daemon.started" in line)
    process.send_signal(signal.SIGTERM)
    _, complaint = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert complaint == ""
    pid = re.search(r"pid (\d+)", started)
    assert pid
    wait_until(lambda: not Path(f"/proc/{pid[1]}").exists(), "the daemon lives on")
    assert list(tmp_path.iterdir()) == []


class Ended:
    """A rehearsal that went well, to be spoiled."""

    def __init__(self, path):
        self.new, self.old = real_items()[:1], real_items()[1:3]
        publisher = Publisher("show", (*self.new, *self.old), clock=lambda: datetime.now(UTC))
        self.replica = Replica({"slug": publisher}, clock=publisher.clock)
        self.path = path
        with sqlite3.connect(path) as db:
            db.executescript(
                "CREATE TABLE episodes (id, guid); CREATE TABLE requests (id, episode_id, status);"
                "CREATE TABLE posts (request_id); CREATE TABLE events (seq, name, fields);"
            )
            for n, item in enumerate((*self.new, *self.old)):
                db.execute("INSERT INTO episodes VALUES (?, ?)", (n, item.guid))
                status = "held" if n else "processed"
                db.execute("INSERT INTO requests VALUES (?, ?, ?)", (n, n, status))
            db.execute("INSERT INTO posts VALUES (0)")
            for seq in (1, 2):
                db.execute("INSERT INTO events VALUES (?, 'episode.changed', '{}')", (seq,))
        db.close()
        self.ask(self.new[0])

    def ask(self, item):
        slug = self.replica._slug(
            next(p for p in self.replica.podcasts["slug"].publications if p.item == item),
            self.replica.entry(item.guid),
        )
        self.replica.request("slug", slug, key=None, origin="http://x")

    def spoil(self, statement):
        with sqlite3.connect(self.path) as db:
            db.execute(statement)
        db.close()

    def kept(self, exit_code=0):
        return judge(self.path, self.replica, self.new, self.old, exit_code).kept


@pytest.fixture
def ended(tmp_path):
    return Ended(tmp_path / "ended.db")


def test_a_good_end_is_good(ended):
    assert ended.kept()


def test_a_second_effect_is_a_broken_promise(ended):
    ended.ask(ended.new[0])
    assert not ended.kept()


def test_an_old_one_that_was_requested_is_a_broken_promise(ended):
    ended.ask(ended.old[0])
    assert not ended.kept()


def test_a_stop_that_was_not_clean_is_a_broken_promise(ended):
    assert not ended.kept(exit_code=1)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE requests SET status = 'pending' WHERE id = 0",
        "DELETE FROM episodes WHERE id = 2",
        "DELETE FROM events WHERE seq = 1",
        "UPDATE events SET seq = 3 WHERE seq = 2",
    ],
)
def test_what_is_missing_in_the_database_is_a_broken_promise(ended, statement):
    ended.spoil(statement)
    assert not ended.kept()


def test_a_new_one_that_was_never_transcribed_is_a_broken_promise(ended):
    ended.replica.effects.clear()
    assert not ended.kept()


def test_one_that_stenobird_gives_up_on_is_to_end_as_failed(ended):
    ended.replica.entry(ended.new[0].guid).path = FAILS
    assert not ended.kept()
    ended.spoil("UPDATE requests SET status = 'failed' WHERE id = 0")
    assert ended.kept()


def test_a_daemon_that_never_got_as_far_as_a_database_is_a_broken_promise(ended):
    ended.path.unlink()
    assert not ended.kept()
    assert not all_settled(ended.path, ended.new)


def test_everything_is_settled_once_every_new_one_has_its_end(ended):
    assert all_settled(ended.path, ended.new)
    ended.spoil("UPDATE requests SET status = 'accepted' WHERE id = 0")
    assert not all_settled(ended.path, ended.new)


def test_a_broken_promise_can_be_told_from_a_kept_one(ended):
    def shown() -> str:
        with Console(width=120, record=True, file=StringIO()) as console:
            verdict = judge(ended.path, ended.replica, ended.new, ended.old, 0)
            console.print(verdict.shown())
        return console.export_text()

    assert "Every promise was kept." in shown()
    assert "✗" not in shown()
    ended.ask(ended.new[0])
    ended.spoil("DELETE FROM episodes WHERE id = 2")
    assert "Broken." in shown()
    assert re.search(r"✗ .* 2 times +processed", shown())
    assert "✗ all 3 episodes are known, each once" in shown()
