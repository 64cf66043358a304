"""What an attempt or a look leads to, the POSTs before it, and the pace and budget they cost."""

from dataclasses import replace

import pytest
from recorded import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    becoming,
    deliveries,
    event,
    find,
    looks,
    names,
    new,
    record,
    rows,
)

from monitor.adapters.store import ledger, reading, verbs, work
from monitor.core import problems
from monitor.core.lifecycle import Status
from monitor.core.model import Chapter, Observation, Post, Resource
from monitor.core.problems import Kind
from monitor.core.schedule import Spent

RESOURCE = Resource("processed", summary="Ü", chapters=(Chapter(0, "Start"),), unknown={"a": [1]})
SEEN = Observation("a-slug", "Queued", True, "digest", RESOURCE, (event(name="state.changed"),))


@pytest.fixture
def given(database):
    """A delivery under way."""
    record(database, new(1))
    (given,) = deliveries(database)
    return given


def accepted(given):
    return becoming(
        given, event(1, name="request.accepted"), status=Status.ACCEPTED, accepted_at=NOON
    )


def strike():
    return problems.strike(None, Kind.STENOBIRD_FROZEN, reason="http_401", now=NOON)


def test_a_settlement_is_written_whole_and_gives_the_lease_back(database, given):
    assert database.write(
        work.settle,
        given,
        accepted(given),
        SEEN,
        now=NOON,
        next_track_at=NOON + HOUR,
        problems=(None, strike()),
    )
    after = find(database, given.episode.id)
    assert (after.request.status, after.request.accepted_at) == (Status.ACCEPTED, NOON)
    assert (after.episode.slug, after.episode.processing_state) == ("a-slug", "Queued")
    assert (after.episode.state_changed_at, after.episode.resource_digest) == (NOON, "digest")
    assert database.read(work.known_words) == {"queued"}
    assert names(database) == ["state.changed", "request.accepted", "problem.opened"]
    assert looks(database, now=NOON + HOUR - SECOND) == []
    assert len(looks(database, now=NOON + HOUR)) == 1


def test_without_anything_to_write_a_settlement_gives_the_lease_back(database, given):
    before = rows(database)
    assert database.write(work.settle, given, None, None, now=NOON)
    assert rows(database)["requests"] == before["requests"]
    assert len(deliveries(database)) == 1


def test_a_settlement_whose_lease_was_lost_writes_nothing(database, given):
    late = replace(given, request=replace(given.request, lease="an earlier one"))
    before = rows(database)
    settled = database.write(
        work.settle, late, accepted(late), SEEN, now=NOON, problems=(strike(),)
    )
    assert not settled
    assert rows(database) == before


def test_a_persons_verb_in_between_wins_but_what_was_seen_is_kept(database, given):
    assert database.write(verbs.skip, given.episode.id, "not ours", NOON)
    assert database.write(work.settle, given, accepted(given), SEEN, now=NOON, problems=(strike(),))
    after = find(database, given.episode.id)
    assert (after.request.status, after.request.accepted_at) == (Status.SKIPPED, None)
    assert after.episode.processing_state == "Queued"
    assert names(database) == ["request.skipped", "state.changed", "problem.opened"]


def test_a_request_keeps_every_fact_that_a_settlement_gives_it(database, given):
    facts = {
        "epoch": 2,
        "status": Status.PENDING,
        "reason": "http_503",
        "attempts": 3,
        "next_attempt_at": NOON + HOUR,
        "action_url": "https://stenobird.example/v1/x",
        "first_posted_at": NOON - HOUR,
        "outcome_unknown": True,
        "state_before_post": "failed",
        "accepted_at": NOON - DAY,
        "reasks": 1,
        "same_digest": "503:abc",
        "same_count": 2,
        "same_at": NOON - MINUTE,
    }
    database.write(work.settle, given, becoming(given, **facts), None, now=NOON)
    (again,) = deliveries(database, now=NOON + HOUR)
    assert again.request == replace(given.request, **facts)


def test_what_is_unchanged_is_neither_dated_nor_stored_anew(database, given):
    database.write(work.observe, given.episode.id, SEEN, NOON)
    same = replace(SEEN, state_changed=False, resource=None, digest="another", events=())
    database.write(work.observe, given.episode.id, same, NOON + DAY)
    episode = find(database, given.episode.id).episode
    assert (episode.state_changed_at, episode.resource_digest) == (NOON, "digest")
    stored = database.read(reading.published, given.episode.id)
    assert (stored["summary"], stored["chapters"][0]["start_s"]) == ("Ü", 0)


def test_a_word_is_remembered_once_whatever_its_case(database, given):
    for n, state in enumerate(("Queued", "QUEUED", "done")):
        seen = replace(SEEN, state=state, resource=None)
        database.write(work.observe, given.episode.id, seen, NOON + n * HOUR)
    assert rows(database)["words"] == [("done", NOON + 2 * HOUR), ("queued", NOON)]


# --- POSTs -------------------------------------------------------------------------------


def posting(given):
    request = replace(given.request, outcome_unknown=True, first_posted_at=NOON, attempts=1)
    return Post(request, "https://stenobird.example/v1/x", "key", event(1, name="request.posted"))


def begin(database, given, now=NOON, minutes=75):
    return database.write(ledger.begin, given, posting(given), None, minutes=minutes, now=now)


def test_a_post_is_on_disk_before_it_leaves(database, given):
    post_id = begin(database, given)
    assert rows(database)["posts"] == [
        (
            post_id,
            given.request.id,
            NOON,
            "key",
            "https://stenobird.example/v1/x",
            75,
            None,
            False,
        )
    ]
    after = find(database, given.episode.id).request
    assert (after.outcome_unknown, after.first_posted_at) == (True, NOON)
    assert names(database) == ["request.posted"]
    database.write(ledger.end, post_id, "http_202", in_vain=True)
    assert rows(database)["posts"][0][-2:] == ("http_202", True)


def test_what_was_seen_before_a_post_is_written_with_it_or_not_at_all(database, given):
    late = replace(given, request=replace(given.request, lease="an earlier one"))
    for work_given, seen in ((late, None), (given, "Queued")):
        begun = database.write(ledger.begin, work_given, posting(given), SEEN, minutes=75, now=NOON)
        assert (begun is None) == (seen is None)
        assert find(database, given.episode.id).episode.processing_state == seen
    assert names(database) == ["state.changed", "request.posted"]


def test_a_post_whose_lease_was_lost_does_not_begin(database, given):
    before = rows(database)
    late = replace(given, request=replace(given.request, lease="an earlier one"))
    assert begin(database, late) is None
    assert rows(database) == before


def test_a_post_does_not_begin_once_a_person_has_skipped_it(database, given):
    database.write(verbs.skip, given.episode.id, "not ours", NOON)
    before = rows(database)
    assert begin(database, given) is None
    assert rows(database) == before


def test_the_ledger_tells_what_the_last_24_hours_cost(database, given):
    assert database.read(ledger.spent, NOON) == []
    first = begin(database, given, now=NOON - DAY, minutes=10)
    second = begin(database, given, now=NOON - HOUR, minutes=20)
    begin(database, given, now=NOON, minutes=30)
    database.write(ledger.end, first, "http_202", in_vain=False)
    database.write(ledger.end, second, "http_404", in_vain=True)
    request_id = given.request.id
    spent = sorted(database.read(ledger.spent, NOON), key=lambda s: s.at)
    assert spent == [Spent(NOON - HOUR, request_id, 0), Spent(NOON, request_id, 30)]
    assert len(database.read(ledger.spent, NOON - SECOND)) == 3
