"""Which lines of a log count, in what order, and what it is said not to tell."""

from dataclasses import replace

import pytest

from monitor.core.lifecycle import Status
from monitor.core.model import Line, LogEvent, iso
from monitor.core.resequencer import WAITING
from monitor.core.retelling import Retelling
from monitor.core.status import MOST, FeedStatus, Process, RequestStatus, Snapshot, block
from tests.core.scenarios import HOUR, NOW

MINUTE = HOUR / 60
PROCESS = Process("1.0", "live", 42)
FEED = FeedStatus("show", NOW, NOW, NOW, 0, None, NOW + HOUR)
STATUS = Snapshot(
    as_of_seq=10,
    episodes=3,
    requests={Status.PENDING: 1, Status.HELD: 2},
    held={"baseline": 2},
    oldest_pending_at=NOW,
    problems=0,
    feeds=(FEED,),
    unsettled=(RequestStatus("show", "a", Status.PENDING, 1, None, 0, NOW, NOW),),
)


def status_lines(status=STATUS, at=NOW):
    return [Line(at, event) for event in block(status, PROCESS)]


def line(name, seq=None, guid=None, at=NOW, podcast="show", **fields):
    return Line(at, LogEvent(name, podcast, guid, fields=fields), seq)


def discovered(seq, guid, request="pending", **fields):
    return line("episode.discovered", seq, guid, request=request, **fields)


def accepted(seq, guid="a", **fields):
    waits = {"attempts": 1, "next_attempt_at": iso(NOW), "created_at": iso(NOW)}
    return line("request.accepted", seq, guid, **{"generation": 1, **waits, **fields})


def processed(seq, guid="a", was="accepted", **fields):
    return line("request.processed", seq, guid, generation=1, was=was, reason="processed", **fields)


def polled(failures=0, at=NOW, podcast="show", **fields):
    said = {"last_attempt_at": iso(at), "last_ok_at": iso(at), "next_poll_at": iso(at + HOUR)}
    return line("feed.polled", None, None, at, podcast, **{"failures": failures, **said, **fields})


def test_what_was_held_is_held_no_more_even_where_only_its_reason_was_said():
    told = retelling(*status_lines(), processed(11, "b", was=None, held="baseline")).snapshot()
    assert (told.requests, told.held) == (
        {Status.PENDING: 1, Status.HELD: 1, Status.PROCESSED: 1},
        {"baseline": 1},
    )


STARTED = line("daemon.started", podcast=None, version="1.0", pid=42, mode="live")


def retelling(*lines):
    told = Retelling()
    for each in lines:
        told.hear(each)
    return told


def counts(*lines):
    return retelling(*lines).snapshot().requests


def test_a_block_is_told_as_it_was():
    told = retelling(*status_lines())
    assert block(told.snapshot(), PROCESS) == block(STATUS, PROCESS)
    assert told.process == PROCESS
    missing = told.missing()
    assert not any((missing.block, missing.events, missing.feeds, missing.requests))


def test_events_and_polls_change_what_the_last_block_says():
    told = retelling(*status_lines(), accepted(11), polled(2, NOW + HOUR, reason="timeout"))
    snapshot = told.snapshot()
    assert snapshot.as_of_seq == 11
    assert snapshot.requests == {Status.ACCEPTED: 1, Status.HELD: 2}
    assert [(r.guid, r.status, r.attempts) for r in snapshot.unsettled] == [
        ("a", Status.ACCEPTED, 1)
    ]
    assert snapshot.oldest_pending_at is None
    (feed,) = snapshot.feeds
    assert (feed.failures, feed.reason, feed.last_new_at) == (2, "timeout", NOW)


def test_events_that_a_block_knows_already_and_repeated_ones_count_once():
    late = discovered(10, "a")
    twice = discovered(11, "b")
    assert counts(*status_lines(), late, twice, twice)[Status.PENDING] == 2


def test_a_block_without_its_end_and_one_with_a_missing_line_are_none():
    summary, *rest = status_lines(replace(STATUS, as_of_seq=20, episodes=99), NOW + HOUR)
    feed_is_missing = [summary, *rest[1:]]
    for torn in ([summary, *rest[:-1]], rest, feed_is_missing):
        assert retelling(*status_lines(), *torn).snapshot().episodes == 3


def test_blocks_of_two_daemons_are_told_apart_by_their_instant():
    ours = status_lines(at=NOW + MINUTE)
    theirs = status_lines(replace(STATUS, as_of_seq=11, episodes=4), NOW + 2 * MINUTE)
    mixed = [each for pair in zip(ours, theirs, strict=True) for each in pair]
    assert retelling(*mixed).snapshot().episodes == 4


def test_a_block_that_comes_after_later_events_takes_nothing_back():
    late = status_lines(at=NOW + MINUTE)
    told = retelling(*status_lines(), discovered(11, "b"), *late)
    assert (told.snapshot().episodes, told.snapshot().as_of_seq) == (4, 11)


def test_a_database_that_was_put_back_is_told_by_the_block_of_the_next_start():
    before = [discovered(11, "b"), discovered(12, "c")]
    told = retelling(*status_lines(), *before, STARTED, *status_lines(), discovered(11, "d"))
    assert sorted(r.guid for r in told.snapshot().unsettled) == ["a", "d"]
    assert told.snapshot().as_of_seq == 11


def test_numbers_that_are_missing_since_the_last_block_are_told():
    gaps = [discovered(11, "b"), discovered(14, "c"), discovered(16, "d")]
    told = retelling(*status_lines(), *gaps)
    missing = told.missing()
    assert (missing.ranges, missing.events) == (((12, 13), (15, 15)), 3)
    assert told.snapshot().episodes == 6
    healed = retelling(*status_lines(), *gaps, *status_lines(replace(STATUS, as_of_seq=16)))
    assert healed.missing().events == 0


def test_an_event_that_does_not_say_what_it_must_counts_as_missing():
    told = retelling(*status_lines(), line("request.accepted", 11, "a"))
    assert told.missing().ranges == ((11, 11),)
    assert told.snapshot().requests == STATUS.requests


def test_lines_of_two_daemons_that_are_not_quite_in_order_are_put_in_order():
    told = retelling(*status_lines(), processed(12), accepted(11), discovered(13, "b"))
    assert told.snapshot().requests == {Status.PENDING: 1, Status.PROCESSED: 1, Status.HELD: 2}
    assert told.missing().events == 0


def test_an_event_is_not_waited_for_for_ever():
    told = retelling(*status_lines(), *(discovered(n, f"{n}") for n in range(12, 14 + WAITING)))
    assert len(told._order._waiting) == 0
    assert told.missing().ranges == ((11, 11),)


def test_without_a_block_events_from_the_first_on_are_enough():
    told = retelling(
        STARTED, discovered(1, "a"), polled(), discovered(2, "b", "held", reason="bulk")
    )
    snapshot = told.snapshot()
    assert (snapshot.episodes, snapshot.held) == (2, {"bulk": 1})
    assert [r.guid for r in snapshot.unsettled] == ["a"]
    assert (told.missing().block, told.missing().before) == (True, 0)


def test_without_a_block_it_is_told_where_the_counting_began():
    missing = retelling(discovered(7, "a"), discovered(8, "b")).missing()
    assert (missing.block, missing.before) == (True, 6)


# --- requests ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "after"),
    [
        pytest.param(
            line("request.released", 11, "h", reason="baseline", was="held", generation=1),
            {Status.PENDING: 2, Status.HELD: 1},
            id="a released one is pending",
        ),
        pytest.param(
            line("request.skipped", 11, "h", reason="baseline", was="held", generation=1),
            {Status.PENDING: 1, Status.HELD: 1, Status.SKIPPED: 1},
            id="a held one that is skipped is held no more",
        ),
        pytest.param(
            processed(11, "h", "held", held="baseline"),
            {Status.PENDING: 1, Status.HELD: 1, Status.PROCESSED: 1},
            id="a held one may be processed by somebody else",
        ),
        pytest.param(
            line("request.held", 11, "a", reason="shadow", was="pending", generation=1),
            {Status.HELD: 3},
            id="shadow mode holds what is pending",
        ),
        pytest.param(
            line("request.held", 11, "h", reason="bulk", generation=1),
            STATUS.requests,
            id="a hold that is told beside the discovery was counted there",
        ),
    ],
)
def test_what_a_request_was_is_counted_no_more(event, after):
    snapshot = retelling(*status_lines(), event).snapshot()
    assert snapshot.requests == after
    assert sum(snapshot.held.values()) == after.get(Status.HELD, 0)


def test_a_request_that_is_asked_for_anew_begins_anew():
    again = line("request.requeued", 12, "a", NOW + HOUR, generation=2, was="processed")
    told = retelling(*status_lines(), processed(11, was="pending"), again).snapshot()
    (request,) = told.unsettled
    assert (request.generation, request.created_at) == (2, NOW + HOUR)
    assert told.requests == {Status.PENDING: 1, Status.HELD: 2}


def test_nothing_is_listed_of_a_podcast_that_is_not_configured():
    other = line(
        "request.released", 11, "x", podcast="gone", was="held", reason="baseline", generation=1
    )
    told = retelling(*status_lines(), other, polled(podcast="gone")).snapshot()
    assert [r.guid for r in told.unsettled] == ["a"]
    assert [f.podcast for f in told.feeds] == ["show"]
    assert told.requests == {Status.PENDING: 2, Status.HELD: 1}


def test_a_podcast_that_is_new_at_a_start_is_known_by_its_poll():
    told = retelling(*status_lines(), STARTED, polled(podcast="new")).snapshot()
    assert {f.podcast for f in told.feeds} == {"show", "new"}


# --- more than a block has room for ----------------------------------------------------------


def crowd(count, first=0):
    return tuple(
        RequestStatus("show", f"{n:03}", Status.PENDING, 1, None, 0, NOW, NOW + n * MINUTE)
        for n in range(first, first + count)
    )


CROWDED = replace(STATUS, requests={Status.PENDING: MOST + 5}, held={}, unsettled=crowd(MOST + 5))


def test_requests_that_a_block_has_no_room_for_are_known_from_their_events():
    known = [
        replace(discovered(n + 1, r.guid), at=r.created_at) for n, r in enumerate(CROWDED.unsettled)
    ]
    status = replace(CROWDED, as_of_seq=len(known))
    told = retelling(polled(), *known, *status_lines(status, NOW + 3 * HOUR))
    assert block(told.snapshot(), PROCESS) == block(status, PROCESS)
    assert told.missing().requests == 0
    oldest = processed(len(known) + 1, "000", "pending")
    told.hear(oldest)
    assert told.snapshot().oldest_pending_at == NOW + MINUTE


def test_requests_that_are_named_nowhere_are_counted_and_told():
    told = retelling(*status_lines(CROWDED))
    assert block(told.snapshot(), PROCESS) == block(CROWDED, PROCESS)
    assert told.missing().requests == 5
    told.hear(accepted(11, "103"))
    assert told.missing().requests == 4
    told.hear(processed(12, "104", "pending"))
    assert told.missing().requests == 3


def test_podcasts_that_a_block_has_no_room_for_are_known_from_their_polls():
    feeds = tuple(replace(FEED, podcast=f"{n:03}") for n in range(MOST + 2))
    status = replace(STATUS, feeds=feeds, unsettled=(), oldest_pending_at=None)
    told = retelling(*status_lines(status), polled(podcast="100"))
    assert told.missing().feeds == 1
    told.hear(polled(podcast="101"))
    assert block(told.snapshot(), PROCESS)[-1].fields["omitted"] == 2
    again = retelling(
        *status_lines(status), polled(podcast="101"), *status_lines(status, NOW + HOUR)
    )
    assert "101" in {feed.podcast for feed in again.snapshot().feeds}


# --- problems, and the clock -----------------------------------------------------------------


def problem(name, seq, **fields):
    said = {"problem": "feed_failing", "reason": "timeout", "since": iso(NOW), **fields}
    return line(name, seq, **said)


def test_open_problems_are_counted_and_described():
    told = retelling(*status_lines(), problem("problem.opened", 11, failures=3))
    assert told.snapshot().problems == 1
    assert [(p.podcast, p.reason, p.since) for p in told.problems()] == [("show", "timeout", NOW)]
    told.hear(problem("problem.recovered", 12, took_s=1))
    assert (told.snapshot().problems, told.problems()) == (0, [])


def test_a_problem_that_a_block_only_counts_is_described_when_it_is_reminded_of():
    told = retelling(*status_lines(replace(STATUS, problems=1)))
    assert told.missing().problems == 1
    told.hear(problem("problem.reminded", 11))
    assert (told.missing().problems, told.snapshot().problems) == (0, 1)


def test_an_outage_of_the_database_is_not_among_its_problems():
    outage = problem("problem.opened", None, problem="database")
    assert retelling(*status_lines(), outage).snapshot().problems == 0


def test_a_clock_that_was_set_back_shifts_what_is_due_but_not_what_was_polled_since():
    jumped = line("clock.jumped", 11, at=NOW - HOUR, skew_s=-7200.5)
    told = retelling(*status_lines(at=NOW), jumped).snapshot()
    assert told.feeds[0].last_attempt_at == NOW - HOUR
    assert told.feeds[0].next_poll_at == NOW - HOUR  # never before the clock
    by_the_new_time = polled(at=NOW - HOUR + MINUTE / 12)
    told = retelling(*status_lines(at=NOW), by_the_new_time, jumped).snapshot()
    assert told.feeds[0].last_attempt_at == NOW - HOUR + MINUTE / 12
