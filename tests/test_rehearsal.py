"""``podcast-monitor demo``, whole; and that its verdict can be bad."""

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from monitor.demo.publisher import Publisher, real_items
from monitor.demo.stenobird import Replica
from monitor.demo.verdict import judge


def test_the_rehearsal_keeps_every_promise():
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "demo"],
        capture_output=True,
        check=False,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Every promise was kept." in done.stdout
    assert "✗ all" not in done.stdout


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
