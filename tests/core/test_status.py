"""The status block: what it says, in which order, and where it is cut."""

from dataclasses import replace

import pytest

from monitor.core.lifecycle import Status
from monitor.core.status import MOST, FeedStatus, Process, RequestStatus, Snapshot, block, one_line
from tests.core.scenarios import HOUR, NOW

PROCESS = Process("1.0", "live", pid=42)
EMPTY = Snapshot(
    as_of_seq=0,
    episodes=0,
    requests={},
    held={},
    oldest_pending_at=None,
    problems=0,
    feeds=(),
    unsettled=(),
)


def feed(podcast, failures=0):
    reason = "timeout" if failures else None
    return FeedStatus(podcast, NOW, NOW, None, failures, reason, next_poll_at=NOW + HOUR)


def request(guid, status=Status.PENDING, created_at=NOW):
    return RequestStatus("show", guid, status, 1, None, 0, NOW, created_at)


def test_an_empty_database_has_a_status_too():
    summary, end = block(EMPTY, PROCESS)
    assert summary.name == "status.summary"
    assert summary.fields == {
        "as_of_seq": 0,
        "version": "1.0",
        "mode": "live",
        "pid": 42,
        "uptime_s": None,
        "podcasts": 0,
        "episodes": 0,
        "requests": dict.fromkeys(
            ("pending", "accepted", "processed", "failed", "skipped", "held"), 0
        ),
        "held": {},
        "oldest_pending_at": None,
        "problems": 0,
    }
    assert (end.name, end.fields) == ("status.end", {"as_of_seq": 0, "omitted": 0})


def test_the_lines_stand_in_their_order_with_failing_feeds_first():
    snapshot = replace(
        EMPTY,
        feeds=[feed("b"), feed("z", failures=1), feed("a"), feed("y", failures=9)],
        unsettled=[request("1", Status.ACCEPTED), request("2", created_at=NOW - HOUR)],
    )
    lines = [(e.name, e.podcast, e.guid) for e in block(snapshot, PROCESS)]
    assert lines == [
        ("status.summary", None, None),
        ("status.feed", "y", None),
        ("status.feed", "z", None),
        ("status.feed", "a", None),
        ("status.feed", "b", None),
        ("status.request", "show", "2"),
        ("status.request", "show", "1"),
        ("status.end", None, None),
    ]


def test_a_feed_tells_when_it_answered_and_what_ails_it():
    (_, failing, healthy, _) = block(replace(EMPTY, feeds=[feed("b"), feed("z", 2)]), PROCESS)
    assert failing.fields == {
        "last_attempt_at": "2026-10-10T12:00:00.000Z",
        "last_ok_at": "2026-10-10T12:00:00.000Z",
        "last_new_at": None,
        "failures": 2,
        "reason": "timeout",
        "next_poll_at": "2026-10-10T13:00:00.000Z",
        "next_poll_reason": None,
        "found": 0,
        "delays_s": 0,
        "fixed_delays_s": 0,
    }
    assert (failing.level, healthy.level) == ("warning", "info")


def test_a_request_tells_what_it_waits_for():
    waits = RequestStatus("show", "g", Status.PENDING, 2, "budget", 3, NOW, NOW - HOUR)
    (_, line, _) = block(replace(EMPTY, unsettled=[waits]), PROCESS)
    assert line.fields == {
        "status": "pending",
        "generation": 2,
        "reason": "budget",
        "attempts": 3,
        "next_attempt_at": "2026-10-10T12:00:00.000Z",
        "created_at": "2026-10-10T11:00:00.000Z",
    }


def test_held_requests_are_counted_by_reason():
    snapshot = replace(EMPTY, requests={Status.HELD: 5}, held={"shadow": 1, "bulk": 4})
    fields = block(snapshot, PROCESS)[0].fields
    assert fields["requests"]["held"] == 5
    assert list(fields["held"].items()) == [("bulk", 4), ("shadow", 1)]


def test_problems_make_the_summary_a_warning():
    assert block(EMPTY, PROCESS)[0].level == "info"
    assert block(replace(EMPTY, problems=1), PROCESS)[0].level == "warning"


@pytest.mark.parametrize(
    ("feeds", "requests", "omitted"),
    [
        pytest.param(MOST, MOST, 0, id="a hundred of each are all there"),
        pytest.param(MOST + 2, 0, 2, id="more feeds are counted"),
        pytest.param(MOST + 2, MOST + 3, 5, id="feeds and requests are counted together"),
    ],
)
def test_what_the_limit_cuts_is_counted(feeds, requests, omitted):
    snapshot = replace(
        EMPTY,
        feeds=[feed(f"{n:03}") for n in range(feeds)],
        unsettled=[request(f"{n}") for n in range(requests)],
    )
    lines = block(snapshot, PROCESS)
    assert len(lines) == 2 + min(feeds, MOST) + min(requests, MOST)
    assert lines[-1].fields["omitted"] == omitted


def test_a_failing_feed_is_never_among_those_cut():
    feeds = [feed(f"{n:03}") for n in range(MOST)] + [feed("zzz", failures=1)]
    assert block(replace(EMPTY, feeds=feeds), PROCESS)[1].podcast == "zzz"


def test_one_line_for_systemctl_status():
    snapshot = replace(
        EMPTY,
        episodes=233,
        requests={Status.PENDING: 1, Status.ACCEPTED: 2},
        problems=3,
        oldest_pending_at=NOW,
        feeds=[feed("a"), feed("b", failures=1)],
    )
    assert one_line(snapshot) == (
        "2 podcasts (1 failing), 233 episodes, 1 pending, 2 accepted, 0 failed, 3 problems;"
        " next poll 2026-10-10T13:00:00.000Z"
    )
    assert block(snapshot, PROCESS)[0].fields["oldest_pending_at"] == "2026-10-10T12:00:00.000Z"


def test_one_line_without_podcasts_names_no_poll():
    assert one_line(EMPTY) == "0 podcasts, 0 episodes, 0 pending, 0 accepted, 0 failed, 0 problems"
