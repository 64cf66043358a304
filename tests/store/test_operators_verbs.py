"""The operator's verbs: each moves once, says so once, and takes back what was a problem."""

import pytest
from recorded import HOUR, NAME, NOON, deliveries, find, force, names, new, record, rows

from monitor.adapters.store import events, verbs, work
from monitor.core import problems
from monitor.core.lifecycle import IllegalTransition, Status
from monitor.core.problems import Kind

MOVES = [
    (verbs.request, Status.HELD, "bulk", Status.PENDING, "request.released"),
    (verbs.request, Status.SKIPPED, None, Status.PENDING, "request.released"),
    (verbs.release, Status.HELD, "bulk", Status.PENDING, "request.released"),
    (verbs.skip, Status.HELD, "bulk", Status.SKIPPED, "request.skipped"),
    (verbs.skip, Status.PENDING, None, Status.SKIPPED, "request.skipped"),
]


@pytest.mark.parametrize(("verb", "before", "reason", "after", "told"), MOVES)
def test_a_verb_moves_a_request_once_with_one_event(database, verb, before, reason, after, told):
    (episode_id,) = record(database, new(1, before, reason))
    assert database.write(verb, episode_id, "I say so", NOON + HOUR)
    moved = find(database, episode_id).request
    why = "operator" if verb is verbs.skip else None
    assert (moved.status, moved.reason, moved.next_attempt_at) == (after, why, NOON + HOUR)
    (said,) = database.read(events.after, 0)
    assert (said.event.name, said.event.fields["by"]) == (told, "I say so")
    once = rows(database)
    assert not database.write(verb, episode_id, "I say so", NOON + 2 * HOUR)
    assert rows(database) == once


def test_what_is_asked_cannot_be_unasked(database):
    (episode_id,) = record(database, new(1, Status.ACCEPTED))
    before = rows(database)
    with pytest.raises(IllegalTransition):
        database.write(verbs.skip, episode_id, "too late", NOON)
    assert rows(database) == before


@pytest.mark.parametrize("status", [Status.PROCESSED, Status.FAILED, Status.SKIPPED])
def test_requeue_adds_a_generation_once_and_keeps_the_one_before(database, status):
    (episode_id,) = record(database, new(1, status))
    first = find(database, episode_id).request
    assert database.write(verbs.requeue, episode_id, "once more", NOON + HOUR)
    second = find(database, episode_id).request
    assert (second.generation, second.status) == (2, Status.PENDING)
    assert (second.created_at, second.attempts) == (NOON + HOUR, 0)
    kept = [(row[0], row[2], row[3], row[5]) for row in rows(database)["requests"]]
    assert kept == [(first.id, 1, False, status), (second.id, 2, True, "pending")]
    assert names(database) == ["request.requeued"]
    assert not database.write(verbs.requeue, episode_id, "once more", NOON + HOUR)
    assert len(rows(database)["requests"]) == 2
    assert [w.request.id for w in deliveries(database, now=NOON + HOUR)] == [second.id]


def test_requeue_of_what_stalled_replaces_it(database):
    (episode_id,) = record(database, new(1, Status.ACCEPTED))
    assert not database.write(verbs.requeue, episode_id, "impatient", NOON)
    force(database, episode_id, reasks=1)
    assert database.write(verbs.requeue, episode_id, "it stalled", NOON)
    old, young = rows(database)["requests"]
    assert (old[5], old[6], young[5]) == ("skipped", "superseded", "pending")


@pytest.mark.parametrize("verb", [verbs.skip, verbs.requeue])
def test_a_verb_takes_back_what_was_a_problem_of_the_request(database, verb):
    status = Status.PENDING if verb is verbs.skip else Status.FAILED
    (episode_id,) = record(database, new(1, status))
    guid = find(database, episode_id).episode.guid
    of_it, of_another = (
        problems.strike(None, kind, reason="http_418", now=NOON, podcast=NAME, guid=about)
        for kind, about in ((Kind.REQUEST_REFUSED, guid), (Kind.REQUEST_STALLED, "another"))
    )
    database.write(events.write_problems, [of_it, of_another], NOON)
    assert database.write(verb, episode_id, "seen to", NOON)
    assert database.read(events.problems) == [of_another.after]
    assert names(database)[-1] == "problem.recovered"


def test_a_verb_that_does_nothing_leaves_problems_alone(database):
    (episode_id,) = record(database, new(1))
    guid = find(database, episode_id).episode.guid
    update = problems.strike(
        None, Kind.REQUEST_REFUSED, reason="http_418", now=NOON, podcast=NAME, guid=guid
    )
    database.write(events.write_problems, [update], NOON)
    assert not database.write(verbs.release, episode_id, "why", NOON)
    assert database.read(events.problems) == [update.after]


def test_a_verb_may_come_while_the_request_is_being_delivered(database):
    """The status is pending again; the same POST, under the same key, is its delivery."""
    record(database, new(1))
    (given,) = deliveries(database)
    assert database.write(verbs.skip, given.episode.id, "no", NOON)
    assert database.write(verbs.request, given.episode.id, "yes", NOON)
    assert database.write(work.settle, given, None, None, now=NOON)
    assert find(database, given.episode.id).request.status is Status.PENDING
