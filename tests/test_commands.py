"""The commands: what they print, their keys, what they refuse, and that reading only reads."""

import json

import pytest

from monitor.demo import html_page
from monitor.demo.server import World, serve_in_thread
from tests.service import Far, Service

EPISODE = {
    "podcast",
    "guid",
    "title",
    "published_at",
    "link",
    "audio_url",
    "duration_s",
    "slug",
    "processing_state",
    "request",
    "reason",
    "generation",
    "attempts",
    "next_attempt_at",
    "first_seen_at",
}
SUMMARY = {
    "at",
    "as_of_seq",
    "version",
    "mode",
    "podcasts",
    "episodes",
    "requests",
    "oldest_pending_at",
    "problems",
}
FEED = {
    "podcast",
    "last_attempt_at",
    "last_ok_at",
    "last_new_at",
    "failures",
    "reason",
    "next_poll_at",
    "next_poll_reason",
    "found",
    "delays_s",
    "fixed_delays_s",
}
REQUEST = {"podcast", "guid", "status", "reason", "attempts", "next_attempt_at"}
STATUSES = {"pending", "accepted", "processed", "failed", "skipped", "held"}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One database for all: an old episode, a processed one, and one that is never listed."""
    far = Far()
    with serve_in_thread(World(far.publisher, replica=far.replica)) as url:
        service = Service(tmp_path_factory.mktemp("commands"), url, far)
        assert service.command("run", "--once").returncode == 0
        far.replica.entry(far.publish(300, "Never listed")).listed_after = None
        far.publish(200, "An episode of note")
        for _ in range(4):
            assert service.command("run", "--once").returncode == 0
        yield service


def test_episodes_have_the_agreed_keys_newest_first(service):
    rows = service.json("episodes")
    assert all(row.keys() >= EPISODE for row in rows)
    assert sorted(row["request"] for row in rows) == ["held", "pending", "processed"]
    assert rows[-1]["guid"] == "substack:post:100"
    assert [row["guid"] for row in service.json("episodes", "--status", "held")] == [
        "substack:post:100"
    ]
    assert len(service.json("episodes", "--podcast", "show")) == 3


def test_status_has_the_agreed_keys(service):
    lines = service.json("status")
    summary, feed, request, end = lines
    assert summary.keys() >= SUMMARY
    assert summary["requests"].keys() == STATUSES
    assert feed.keys() >= FEED
    assert request.keys() >= REQUEST
    assert request["status"] == "pending"
    assert end["event"] == "status.end"


def test_events_follow_a_cursor(service):
    everything = service.json("events")
    assert [e["seq"] for e in everything] == list(range(1, len(everything) + 1))
    assert service.json("events", "--after", "3") == everything[3:]
    first = list(everything[0])
    assert first[:5] == ["seq", "at", "level", "event", "podcast"]


@pytest.mark.parametrize("name", ["substack:post:200", "an-episode-of-note", "200", "of note"])
def test_an_episode_goes_by_guid_slug_post_id_or_part_of_its_title(service, name):
    (shown,) = service.json("show", name)
    assert shown["guid"] == "substack:post:200"
    assert shown["published"]["summary"]


def test_explain_tells_the_story_in_order(service):
    told = [line["event"] for line in service.json("explain", "of note")]
    assert told[:2] == ["episode.discovered", "request.enqueued"]
    assert told[-1] == "request.processed"
    human = service.command("explain", "of note").stdout
    assert "request.processed" in human
    assert "processed" in human


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "e"], "may mean"),
        (["show", "nothing like it"], "no episode is known"),
        (["skip", "of note"], "--reason"),
        (["episodes", "--podcast", "shwo"], "there is: show"),
        (["episodes", "--status", "done"], "pending"),
        (["nonsense"], "No such command"),
        (["poll", "other"], "there is: show"),
        (["skip", "of note", "--nonsense", "x"], "No such option"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_message_and_2(service, arguments, says):
    ended = service.command(*arguments)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_no_escape_of_a_title_reaches_the_terminal(service):
    for arguments in (["episodes"], ["show", "old"], ["explain", "old"], ["events"]):
        done = service.command(*arguments)
        assert done.returncode == 0
        assert "\x1b" not in done.stdout
        assert "old" in done.stdout


def test_reading_changes_not_a_byte(service):
    before = service.database.read_bytes(), service.database.stat().st_mtime_ns
    for arguments in (["status"], ["episodes"], ["events"], ["show", "200"], ["explain", "200"]):
        assert service.command(*arguments).returncode == 0
    assert (service.database.read_bytes(), service.database.stat().st_mtime_ns) == before


def test_the_verbs_do_what_they_say_once(service):
    for verb, says in (
        ("skip", "skipped"),
        ("request", "pending"),
        ("skip", "skipped"),
        ("request", "pending"),
    ):
        for change in ("is now", "nothing to do"):
            done = service.command(verb, "300", "--reason", "because")
            assert done.returncode == 0
            assert change in done.stdout
            assert says in done.stdout
    told = [e["by"] for e in service.json("explain", "300") if e["event"] == "request.skipped"]
    assert told == ["because", "because"]


def test_cadence_draws_a_week_with_its_polls(service):
    drawn = service.command("cadence", "show").stdout.splitlines()
    assert drawn[0].startswith("show: too few episodes to learn from")
    assert drawn[1].startswith("next poll ")
    assert drawn[2].startswith("2 episodes were found ")
    days = [line.split()[0] for line in drawn[5::2]]
    assert sorted(days) == sorted(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])
    hours = service.json("cadence", "show")
    assert len(hours) == 7 * 24
    assert hours[0].keys() == {"begins_at", "expected", "polls"}
    unknown = service.command("cadence", "nope")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "there is: show" in unknown.stderr


def test_cadence_is_drawn_in_ascii_where_there_is_nothing_else(service):
    done = service.command("cadence", "show", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.stdout.isascii()
    assert "\\" not in done.stdout


def test_cadence_of_a_feed_that_has_never_answered_says_why(tmp_path):
    far = Far()
    far.publisher.faults.always(html_page())
    with serve_in_thread(World(far.publisher, replica=far.replica)) as url:
        service = Service(tmp_path, url, far)
        service.command("run", "--once")
        done = service.command("cadence", "show")
    assert (done.returncode, done.stdout) == (2, "")
    assert "never answered well (html_page)" in done.stderr


def test_poll_says_when_nobody_will_do_it(service):
    done = service.command("poll")
    assert done.returncode == 0
    assert "no daemon runs" in done.stdout


def test_check_is_a_line_each_and_its_exit_status_the_worst(service):
    done = service.command("check")
    assert done.returncode == 1
    lines = [line.split()[:2] for line in done.stdout.splitlines()]
    assert lines == [
        ["ok", "configuration"],
        ["ok", "database"],
        ["problem", "daemon"],
        ["ok", "feed"],
        ["ok", "stenobird"],
    ]
    text = service.config.read_text()
    service.config.write_text(text.replace(service.far.publisher.path, "/feed/none.rss"))
    assert service.command("check").returncode == 1
    service.config.write_text(text.replace("mode =", "mood ="))
    assert service.command("check").returncode == 2
    service.config.write_text(text)


def test_commands_that_read_create_no_database(service, tmp_path):
    other = Service(tmp_path, service.url, service.far)
    for arguments in (["status"], ["episodes"], ["skip", "x", "--reason", "y"], ["poll"]):
        ended = other.command(*arguments)
        assert ended.returncode == 2
        assert "there is no such file" in ended.stderr
    assert not other.database.exists()


def test_json_is_json_whatever_the_title(service):
    for line in service.command("episodes", "--json").stdout.splitlines():
        assert json.loads(line)["title"]
