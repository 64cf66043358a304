"""Stenobird lets nobody in: one freeze, and every request that waits for its end."""

from dataclasses import replace

from recorded import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    becoming,
    deliveries,
    event,
    find,
    force,
    new,
    record,
    rows,
)

from monitor.adapters.store import events, freezing, ledger, work
from monitor.adapters.store.freezing import Freeze
from monitor.core.lifecycle import Status
from monitor.core.model import Post, iso

UNTIL = NOON + HOUR
CLOSED = Freeze("http_401", 1, UNTIL)


def freeze(database, frozen=CLOSED):
    database.write(freezing.freeze, frozen, NOON)


def test_every_pending_request_waits_and_says_so_once(database):
    ids = record(
        database,
        new(1),
        new(2),
        new(3, Status.HELD, "bulk"),
        new(4, Status.ACCEPTED),
        new(5),
    )
    force(database, ids[4], next_attempt_at=NOON + DAY, reason="budget")
    freeze(database)
    waits = [find(database, i).request for i in ids]
    assert [(r.reason, r.next_attempt_at) for r in waits] == [
        ("frozen", UNTIL),
        ("frozen", UNTIL),
        ("bulk", NOON),
        (None, NOON),
        ("budget", NOON + DAY),
    ]
    told = [e.event for e in database.read(events.after, 0)]
    assert [(e.name, e.guid) for e in told] == [
        ("request.deferred", "substack:post:1"),
        ("request.deferred", "substack:post:2"),
    ]
    assert told[0].fields == {
        "generation": 1,
        "reason": "frozen",
        "attempts": 0,
        "next_attempt_at": iso(UNTIL),
        "created_at": iso(NOON),
    }


def test_only_the_newest_generation_waits(database):
    (episode_id,) = record(database, new(1))
    anew = becoming(find(database, episode_id), generation=2)
    database.write(work.add_generation, episode_id, anew, NOON)
    freeze(database)
    assert [row[6] for row in rows(database)["requests"]] == [None, "frozen"]


def test_a_freeze_that_goes_on_is_one_freeze(database):
    record(database, new(1))
    assert database.read(freezing.current) is None
    freeze(database)
    longer = Freeze("http_403", 2, UNTIL + HOUR)
    freeze(database, longer)
    assert database.read(freezing.current) == longer
    assert len(database.read(events.after, 0)) == 2


def test_with_nothing_pending_a_freeze_tells_nothing(database):
    freeze(database)
    assert database.read(events.after, 0) == []


def test_after_a_thaw_what_waited_comes_due_by_itself(database):
    record(database, new(1))
    freeze(database)
    database.write(freezing.thaw)
    database.write(freezing.thaw)
    assert database.read(freezing.current) is None
    assert deliveries(database) == []
    assert len(deliveries(database, now=UNTIL)) == 1


def test_what_was_under_way_when_it_froze_is_settled_as_it_turned_out(database):
    """Its reason was none before and is none now, and must not stay frozen for that."""
    record(database, new(1))
    (given,) = deliveries(database)
    freeze(database)
    settlement = becoming(given, status=Status.ACCEPTED)
    assert database.write(work.settle, given, settlement, None, now=NOON)
    after = find(database, given.episode.id).request
    assert (after.status, after.reason, after.next_attempt_at) == (Status.ACCEPTED, None, NOON)


def test_a_post_that_begins_after_a_freeze_does_not_hide_it(database):
    record(database, new(1))
    (given,) = deliveries(database)
    freeze(database)
    post = Post(replace(given.request, outcome_unknown=True), "https://x.example", "key", event())
    assert database.write(ledger.begin, given, post, None, minutes=75, now=NOON + MINUTE)
    after = find(database, given.episode.id).request
    assert (after.outcome_unknown, after.reason) == (True, "frozen")
