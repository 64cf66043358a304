"""What commands and the status ask for."""

import pytest
from recorded import (
    HOUR,
    MINUTE,
    NAME,
    NOON,
    configure,
    find,
    force,
    lease_feeds,
    new,
    planned,
    record,
)

from monitor.adapters.store import events, polls, reading, work
from monitor.core import problems
from monitor.core.lifecycle import Status
from monitor.core.model import Alias, Observation, Resource
from monitor.core.problems import Kind


def matching(database, text):
    return [row.guid for row in database.read(reading.matching, text)]


def test_the_status_of_a_new_database_is_all_zero(database):
    snapshot = database.read(reading.snapshot)
    assert (snapshot.as_of_seq, snapshot.episodes, snapshot.problems) == (0, 0, 0)
    assert snapshot.requests == dict.fromkeys(Status, 0)
    assert (snapshot.held, snapshot.oldest_pending_at) == ({}, None)
    assert (list(snapshot.feeds), list(snapshot.unsettled)) == ([], [])


def test_the_status_counts_newest_requests_by_status_and_holds_by_reason(database):
    first, *_ = record(
        database,
        new(1),
        new(2, Status.HELD, "bulk"),
        new(3, Status.HELD, "bulk"),
        new(4, Status.HELD, "baseline"),
        new(5, Status.ACCEPTED),
        new(6, Status.PROCESSED),
        now=NOON - HOUR,
    )
    configure(database, NAME, "spare")
    force(database, first, reason="http_503", attempts=2, next_attempt_at=NOON)
    update = problems.strike(None, Kind.STENOBIRD_FROZEN, reason="http_401", now=NOON)
    database.write(events.write_problems, [update], NOON)
    snapshot = database.read(reading.snapshot)
    assert snapshot.as_of_seq == 1
    assert snapshot.episodes == 6
    assert snapshot.requests == {
        Status.PENDING: 1,
        Status.ACCEPTED: 1,
        Status.PROCESSED: 1,
        Status.FAILED: 0,
        Status.SKIPPED: 0,
        Status.HELD: 3,
    }
    assert snapshot.held == {"bulk": 2, "baseline": 1}
    assert snapshot.oldest_pending_at == NOON - HOUR
    assert snapshot.problems == 1
    assert {f.podcast: (f.last_ok_at, f.failures) for f in snapshot.feeds} == {
        NAME: (NOON - HOUR, 0),
        "spare": (None, 0),
    }
    pending, accepted = sorted(snapshot.unsettled, key=lambda request: request.guid)
    assert (pending.status, pending.reason, pending.attempts) == (Status.PENDING, "http_503", 2)
    assert pending.next_attempt_at == NOON
    assert (accepted.guid, accepted.status) == ("substack:post:5", Status.ACCEPTED)


def test_a_podcast_that_is_configured_no_more_is_not_in_the_status_but_known(database):
    record(database, new(1))
    configure(database, "another")
    snapshot = database.read(reading.snapshot)
    assert [f.podcast for f in snapshot.feeds] == ["another"]
    assert snapshot.episodes == 1
    assert database.read(reading.podcast_names) == ["another", NAME]


def test_episodes_are_listed_newest_first_the_undated_last(database):
    record(database, new(1), new(2, published_at=None), new(3, Status.HELD, "bulk"))
    listed = database.read(reading.episodes)
    assert [row.guid[-1] for row in listed] == ["3", "1", "2"]
    row = listed[1]
    assert (row.podcast, row.title, row.request, row.reason) == (NAME, "Episode 1", "pending", None)
    assert (row.generation, row.attempts, row.duration_s) == (1, 0, 4500)
    assert (row.next_attempt_at, row.first_seen_at) == (NOON, NOON)


def test_episodes_are_chosen_by_podcast_and_by_status(database):
    record(database, new(1), new(2, Status.HELD, "bulk"))
    configure(database, NAME, "spare")
    (feed,) = lease_feeds(database, least={"spare": MINUTE})
    assert database.write(polls.commit_poll, planned(feed, new(3)), None, now=NOON)

    def chosen(*args):
        return [row.guid[-1] for row in database.read(reading.episodes, *args)]

    assert chosen() == ["3", "2", "1"]
    assert chosen(NAME) == ["2", "1"]
    assert chosen(None, "pending") == ["3", "1"]
    assert chosen("spare", "held") == []


@pytest.fixture
def titled(database):
    ids = record(
        database,
        new(1, title="100% of École_Normale"),
        new(2, title="1000 of ecole normale, p/1"),
        new(3, title="Straße \\ 'quoted'"),
    )
    seen = Observation("a-proved-slug", "queued", False, "d", None)
    database.write(work.observe, ids[2], seen, NOON)
    return database


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("substack:post:1", ["1"]),
        ("1", ["1"]),  # a post id, and so not the part of every title with a 1 in it
        ("https://www.latent.example/p/2", ["2"]),
        ("a-proved-slug", ["3"]),
        ("of", ["2", "1"]),
        ("00% OF", ["1"]),  # no wildcards
        ("école_", ["1"]),
        ("ÉCOLE", ["1"]),
        ("STRASSE \\", ["3"]),
        ("'quoted'", ["3"]),
        ("'; DROP TABLE episodes; --", []),
    ],
)
def test_an_episode_is_found_by_its_keys_else_by_a_part_of_its_title(titled, text, found):
    assert [guid[-1] for guid in matching(titled, text)] == found


def test_an_episode_is_found_by_a_guid_that_it_got_later(database):
    (episode_id,) = record(database, new(1))
    database.write(polls.mark_due, [NAME], NOON)
    (feed,) = lease_feeds(database)
    plan = planned(feed, aliases=(Alias(episode_id, "guid", "01HV"),))
    assert database.write(polls.commit_poll, plan, None, now=NOON)
    assert matching(database, "01HV") == ["substack:post:1"]


def test_what_stenobird_publishes_is_none_until_it_was_seen(database):
    (episode_id,) = record(database, new(1))
    assert database.read(reading.published, episode_id) is None
    seen = Observation("s", "processed", True, "d", Resource("processed", topics=("a", "b")))
    database.write(work.observe, episode_id, seen, NOON)
    assert database.read(reading.published, episode_id)["topics"] == ["a", "b"]
    assert find(database, episode_id).episode.resource_digest == "d"


def test_problems_are_those_that_were_opened(database):
    silent = problems.strike(None, Kind.STENOBIRD_FAILING, reason="timeout", now=NOON)
    opened = problems.strike(None, Kind.STENOBIRD_FROZEN, reason="http_401", now=NOON)
    database.write(events.write_problems, [silent, opened], NOON)
    assert database.read(reading.problems) == [opened.after]
