"""Lines that only look like ours: a log that others wrote in, or a person, or a broken disk."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.lifecycle import Status
from monitor.core.model import LogEvent
from monitor.core.retelling import Retelling
from monitor.core.status import FeedStatus, Process, RequestStatus, Snapshot, block
from monitor.log import render
from monitor.log.unwrap import Reader

AT = datetime(2026, 10, 10, 14, 3, 5, tzinfo=UTC)
ISO = "2026-10-10T14:03:05.000Z"
WAITS = {"generation": 1, "attempts": 1, "next_attempt_at": ISO, "created_at": ISO}
STATUS = Snapshot(
    as_of_seq=2,
    episodes=2,
    requests={Status.PENDING: 1, Status.HELD: 1},
    held={"bulk": 1},
    oldest_pending_at=AT,
    problems=0,
    feeds=(FeedStatus("show", AT, AT, AT, 0, None, AT),),
    unsettled=(RequestStatus("show", "g", Status.PENDING, 1, None, 0, AT, AT),),
)
POLLED = {"outcome": "ok", "failures": 0, "last_attempt_at": ISO, "next_poll_at": ISO}
OPENED = {"problem": "feed_failing", "reason": "timeout", "since": ISO, "failures": 3}
COMMITTED = (
    LogEvent("episode.discovered", "show", "h", fields={"request": "pending"}),
    LogEvent("request.accepted", "show", "g", fields={**WAITS, "http": 202}),
    LogEvent("clock.jumped", fields={"skew_s": -3600.5}),
    LogEvent("problem.opened", "show", fields=OPENED),
)
LOG: tuple[tuple[int | None, LogEvent], ...] = (
    (None, LogEvent("daemon.started", fields={"version": "1", "mode": "live", "pid": 4})),
    *((None, event) for event in block(STATUS, Process("1", "live", 4))),
    *enumerate(COMMITTED, start=3),
    (None, LogEvent("feed.polled", "show", fields=POLLED)),
)
NUMBERS = (float("inf"), float("-inf"), float("nan"), 1e300, -1, 0, 5, 2**63, 10**4299)
TEXTS = ("0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00", "", "now", "held", "\ud800")
FLAT = (None, True, *NUMBERS, *TEXTS)
ODD = (*FLAT, [], [1], {}, *({"held": each} for each in FLAT), {"": {}})
WORDS = (
    "9999999999999d ago",
    "in 1e+400s",
    "1e999",
    '"',
    "",
    "#99",
    "0",
    "✗",
    "\ufffd",
    *TEXTS[:5],
)


def told(*raws):
    """Return the status in every form, as all these lines tell it."""
    reader, retelling = Reader(), Retelling()
    for raw in raws:
        if line := reader.read(raw):
            retelling.hear(line)
    retelling.missing()
    retelling.problems()
    lines = block(retelling.snapshot(), retelling.process)
    at = retelling.at or AT
    return [render(line, at, form=form) for line in lines for form in ("json", "console")]


def entry(**fields):
    return json.dumps({"MESSAGE": "x", **fields}).encode() + b"\n"


def ours(name, seq=None, **fields):
    head = {"seq": seq, "at": ISO, "level": "info", "event": name, "podcast": "show"}
    return json.dumps(head | fields).encode() + b"\n"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"event": [], "level": "info"}\n', id="a list for a name"),
        pytest.param(b'{"event": {"name": "x"}, "level": "info"}\n', id="an object for a name"),
        pytest.param(entry(__REALTIME_TIMESTAMP="9" * 18), id="journald's clock in the year 33658"),
        pytest.param(entry(__REALTIME_TIMESTAMP="9" * 23), id="a clock beyond 64 bits"),
        pytest.param(entry(__REALTIME_TIMESTAMP="9" * 5000), id="a clock too long to read"),
        pytest.param(ours("feed.polled", at="0001-01-01T00:00:00+10:00"), id="before all years"),
    ],
)
def test_what_is_none_of_ours_is_passed_by(raw):
    assert Reader().read(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(ours("clock.jumped", 3, skew_s=float("inf")), id="set back for ever"),
        pytest.param(ours("clock.jumped", 3, skew_s=-1e300), id="set back beyond all years"),
        pytest.param(
            ours("feed.polled", failures=0, next_poll_at="0001-01-01T00:00:00+10:00"),
            id="an instant before all years",
        ),
        pytest.param(
            ours("request.accepted", 3, guid="g", **{**WAITS, "attempts": 10**4299}),
            id="a number that nobody counts to",
        ),
    ],
)
def test_a_line_of_ours_that_cannot_be_changes_nothing(raw):
    before = [render(event, AT, None, form="json").encode() + b"\n" for _, event in LOG[:5]]
    assert [line for line in told(*before, raw) if "status." in line][2:-2] == told(*before)[2:-2]


def test_a_span_beyond_all_years_is_passed_by_on_the_console():
    started = render(LOG[0][1], AT, form="console").encode() + b"\n"
    fields = {"title": "x", "request": "pending", "published_at": ISO}
    found = render(LogEvent("episode.discovered", "show", "h", fields=fields), AT, form="console")
    reader = Reader()
    assert reader.read(started)
    assert reader.read(found.encode() + b"\n")
    odd = found.encode().replace(b"0s ago", b"9999999999999d ago")
    assert odd != found.encode()
    assert reader.read(odd + b"\n") is None


@given(data=st.data())
def test_no_value_of_any_line_ends_the_reading(data):
    raws = []
    for seq, event in LOG:
        record = json.loads(render(event, AT, seq, form="json"))
        for key in data.draw(st.sets(st.sampled_from(sorted(record)), max_size=2)):
            record[key] = data.draw(st.sampled_from(ODD))
        raws.append(json.dumps(record).encode() + b"\n")
    told(*raws)


@given(data=st.data(), form=st.sampled_from(["logfmt", "console"]))
def test_no_word_of_any_line_ends_the_reading(data, form):
    raws = []
    for seq, event in LOG:
        words = render(event, AT, seq, form=form).split(" ")
        for place in data.draw(st.sets(st.integers(0, len(words) - 1), max_size=2)):
            key, eq, _ = words[place].partition("=")
            words[place] = f"{key}{eq}" * bool(eq) + data.draw(st.sampled_from(WORDS))
        raws.append(" ".join(words).encode() + b"\n")
    told(*raws)
