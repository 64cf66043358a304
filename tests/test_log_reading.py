"""Lines of the log read back: in every form, and with whatever others put around them."""

import gzip
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.lifecycle import Status
from monitor.core.model import LEVELS, Line, LogEvent
from monitor.core.status import Process, process_of
from monitor.log import EVENTS, render
from monitor.log.console import EVENT_WIDTH
from monitor.log.fields import record
from monitor.log.unwrap import LONGEST_BYTES, Cut, Reader, lines_of

AT = datetime(2026, 10, 10, 14, 3, 5, 123_000, UTC)
GUID = "substack:post:174512233"
DEFERRED = LogEvent(
    "request.deferred",
    "latent-space",
    GUID,
    fields={
        "generation": 1,
        "reason": "http_503",
        "attempts": 2,
        "next_attempt_at": "2026-10-10T14:08:05.123Z",
        "created_at": "2026-10-10T12:00:00.000Z",
    },
)
TEXTS = st.text(st.characters(codec=None))
INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1)).map(  # noqa: DTZ001 - below
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000, tzinfo=UTC)
)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
WRITTEN_BY_OTHERS = {"error", "reason", "message", "exception"}  # addresses in them are cut


def read(raw: bytes | str) -> Line | None:
    whole = raw if isinstance(raw, bytes) else f"{raw}\n".encode()
    return Reader().read(whole)


@st.composite
def events(draw):
    name = draw(st.sampled_from(sorted(EVENTS)))
    fields = {}
    for key in EVENTS[name].fields:
        if name == "status.summary" and key == "requests":
            fields[key] = {str(s): draw(st.integers(0, 9)) for s in Status}
        elif name == "status.summary" and key == "held":
            fields[key] = draw(
                st.dictionaries(st.sampled_from(["bulk", "baseline"]), st.integers())
            )
        elif key.endswith("_at") or key == "since":
            fields[key] = draw(st.none() | INSTANTS.map(datetime.isoformat))
        elif key in WRITTEN_BY_OTHERS:
            fields[key] = draw(st.none() | st.sampled_from(["timeout", "http 500", "42", "…"]))
        else:
            fields[key] = draw(st.none() | st.booleans() | NUMBERS | TEXTS)
    level = draw(st.sampled_from(LEVELS))
    return LogEvent(name, draw(st.none() | TEXTS), draw(st.none() | TEXTS), level, fields)


@pytest.mark.parametrize("form", ["json", "logfmt"])
@given(event=events(), at=INSTANTS, seq=st.none() | st.integers(1, 2**63 - 1))
def test_what_was_written_is_read_back_as_it_was(form, event, at, seq):
    text = render(event, at, seq, form=form)
    line = Reader().read(text.encode("utf-8", "surrogatepass") + b"\n")
    assert line is not None
    assert (line.at, line.seq, line.rough) == (at, seq, False)
    assert record(line.event, line.at, line.seq) == record(event, at, seq)
    for key in ("title", "value", "by"):
        assert line.event.fields.get(key) == event.fields.get(key)


@given(raw=st.binary() | st.text().map(str.encode))
def test_whatever_else_is_in_a_file_is_passed_by(raw):
    assert Reader().read(raw) is None


# --- around a line ---------------------------------------------------------------------------

PREFIXES = {
    "nothing": "",
    "systemd's priority": "<4>",
    "journalctl -o short": "Oct 10 14:03:05 machine podcast-monitor[417]: ",
    "journalctl -o short-iso": "2026-10-10T16:03:05+0200 machine podcast-monitor[417]: ",
    "journalctl -o short-iso-precise": "2026-10-10T16:03:05.123456+02:00 machine python3[417]: ",
    "journalctl -o short-full": "Sat 2026-10-10 14:03:05 UTC machine podcast-monitor[417]: ",
    "journalctl -o short-unix": "1791640985.123456 machine podcast-monitor[417]: ",
    "journalctl -o short-monotonic": "[ 1417.123456] machine podcast-monitor[417]: ",
    "both": "Oct  1 14:03:05 machine podcast-monitor: <6>",
}


def entry(text: str, *, as_bytes: bool = False) -> str:
    message = list(text.encode()) if as_bytes else text
    written = str(int(AT.timestamp() * 1_000_000))
    return json.dumps({"MESSAGE": message, "PRIORITY": "6", "__REALTIME_TIMESTAMP": written})


@pytest.mark.parametrize("form", ["json", "logfmt"])
@pytest.mark.parametrize("prefix", PREFIXES.values(), ids=PREFIXES)
def test_a_prefix_is_taken_off(form, prefix):
    assert read(prefix + render(DEFERRED, AT, 7, form=form)) == Line(AT, DEFERRED, 7)


@pytest.mark.parametrize("form", ["json", "logfmt"])
@pytest.mark.parametrize("as_bytes", [False, True], ids=["text", "bytes"])
def test_the_message_of_journalds_json_is_read(form, as_bytes):
    text = render(DEFERRED, AT, 7, form=form)
    assert read(entry(text, as_bytes=as_bytes)) == Line(AT, DEFERRED, 7)


def test_what_quotes_a_line_of_ours_is_none():
    ours = render(DEFERRED, AT, 7, form="logfmt")
    for quoted in (f"audit: {ours}", f'say "{ours}"', f"> {ours}", f"x{ours}"):
        assert read(quoted) is None


@pytest.mark.parametrize("form", ["json", "logfmt"])
def test_a_line_that_was_cut_anywhere_is_none_or_none_of_its_beginning_is_missing(form):
    whole = render(DEFERRED, AT, 7, form=form).encode()
    assert not [cut for cut in range(len(whole)) if Reader().read(whole[:cut])]
    heads = [Reader().read(whole[cut:] + b"\n") for cut in range(1, len(whole))]
    assert all(line is None or line.seq is None for line in heads)


# --- the console's form ----------------------------------------------------------------------


def glimpsed(event, seq=None, *, colour=False, prefix=""):
    reader = Reader()
    started = LogEvent("daemon.started", fields={"version": "1", "mode": "live", "pid": 4})
    assert reader.read((render(started, AT, form="console") + "\n").encode()) is not None
    text = prefix + render(event, AT, seq, form="console", colour=colour)
    return reader.read(f"{text}\n".encode())


@pytest.mark.parametrize("colour", [False, True])
def test_the_console_is_read_back_rounded(colour):
    line = glimpsed(DEFERRED, 7, colour=colour)
    assert (line.at, line.seq, line.rough) == (AT.replace(microsecond=0), 7, True)
    assert (line.event.podcast, line.event.guid) == ("latent-space", GUID)
    own = line.event.fields
    assert (own["reason"], own["attempts"], own["generation"]) == ("http_503", 2, 1)
    assert own["next_attempt_at"] == "2026-10-10T14:08:05.000Z"


def test_what_the_console_does_not_say_is_what_goes_without_saying():
    polled = {"outcome": "ok", "failures": 0, "new": 0, "took_ms": 12}
    line = glimpsed(LogEvent("feed.polled", "a", fields=polled))
    assert line.event.fields["failures"] == 0
    assert line.event.fields["last_ok_at"] == "2026-10-10T14:03:05.000Z"
    assert "reason" not in line.event.fields


def test_a_poll_that_reached_nobody_says_nothing_new_of_its_feed_on_the_console_either():
    line = glimpsed(LogEvent("feed.polled", "a", fields={"outcome": "offline", "failures": 0}))
    assert not {"last_attempt_at", "last_ok_at", "last_new_at"} & set(line.event.fields)


@pytest.mark.parametrize("title", ["9 in a row", "next in 5h", "ok", "7 new", "a · b", "Sorry!"])
def test_what_a_page_says_passes_for_nothing_else_on_the_console(title):
    fields = {
        "outcome": "failed",
        "reason": "html_page",
        "detail": title,
        "failures": 3,
        "next_poll_at": "2026-10-10T14:08:05.000Z",
        "next_poll_reason": "backoff",
    }
    line = glimpsed(LogEvent("feed.polled", "a", level="warning", fields=fields))
    assert fields.items() <= line.event.fields.items()


def test_a_start_is_read_back_from_the_console():
    started = {"version": "1", "mode": "live", "pid": 77, "podcasts": 2, "database": "sqlite"}
    line = glimpsed(LogEvent("daemon.started", fields=started))
    assert line.event.fields == started
    assert process_of(line.event) == Process("1", "live", 77)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("request.requeued", {"by": "a person", "was": "processed", "generation": 2}),
        ("request.processed", {"held": "bulk", "latency_s": 60, "reason": "already_processed"}),
    ],
)
def test_what_a_request_was_before_is_read_back_from_the_console(name, fields):
    line = glimpsed(LogEvent(name, "a", GUID, fields=fields), 7)
    assert fields.items() <= line.event.fields.items()


def test_no_event_is_longer_than_its_column():
    assert max(map(len, EVENTS)) <= EVENT_WIDTH


@pytest.mark.parametrize("title", ["One · two", 'a "b" · c', "back\\ · slash", "plain"])
def test_a_title_with_the_dot_between_phrases_is_read_back_from_the_console(title):
    fields = {"title": title, "request": "held", "reason": "bulk"}
    line = glimpsed(LogEvent("episode.discovered", "a", GUID, fields=fields), 7)
    assert line is not None
    assert fields.items() <= line.event.fields.items()


@pytest.mark.parametrize(
    "guid", ["a guid of words", "a·b", 'with "quotes"', "https://x.example/?a=1"]
)
def test_a_guid_of_any_kind_is_read_back_from_the_console(guid):
    event = LogEvent("request.failed", "a-podcast-with-a-long-name", guid, "error", {"reason": "x"})
    line = glimpsed(event, 7)
    assert (line.event.podcast, line.event.guid) == (event.podcast, guid)
    assert line.event.fields["reason"] == "x"


def test_a_time_of_day_belongs_to_the_nearest_day():
    reader, midnight = Reader(), datetime(2026, 10, 11, tzinfo=UTC)
    summary = LogEvent("status.summary", fields={"problems": 0, "mode": "live"})
    polled = LogEvent("feed.polled", "a", fields={"outcome": "ok"})
    instants = [midnight - timedelta(seconds=9), midnight + timedelta(seconds=5)]
    told = [(summary, instants[0]), (polled, instants[1]), (polled, instants[0])]
    found = [reader.read((render(e, at, form="console") + "\n").encode()).at for e, at in told]
    assert found == [at for _, at in told]


def test_without_a_day_the_console_tells_nothing_unless_journald_does():
    polled = render(LogEvent("feed.polled", "a", fields={"outcome": "ok"}), AT, form="console")
    assert read(polled) is None
    assert read(PREFIXES["journalctl -o short-iso"] + polled).at == AT.replace(microsecond=0)
    assert read(entry(polled)).at == AT.replace(microsecond=0)


@pytest.mark.parametrize("name", ["status.feed", "status.request", "status.end", "problem.opened"])
def test_every_number_of_a_status_is_read_back_from_the_console(name):
    fields = {
        "status.feed": {"failures": 3, "reason": "timeout"},
        "status.request": {"status": "pending", "generation": 2, "reason": "budget", "attempts": 4},
        "status.end": {"as_of_seq": 12, "omitted": 3},
        "problem.opened": {
            "problem": "feed_failing",
            "reason": "http_410",
            "failures": 3,
            "detail": "a · b",
        },
    }[name]
    guid = GUID if name == "status.request" else None
    line = glimpsed(LogEvent(name, "a", guid, fields=fields))
    assert line.event.guid == guid
    assert fields.items() <= line.event.fields.items()


# --- files -----------------------------------------------------------------------------------


def test_a_long_line_is_not_kept_in_memory():
    stream = io.BytesIO(b"x" * (3 * LONGEST_BYTES) + b"\nnext\n")
    assert [len(line) for line in lines_of(None, stream, Cut())] == [LONGEST_BYTES, 5]


def test_a_compressed_file_is_read_and_one_that_was_cut_as_far_as_it_goes(tmp_path):
    path, packed = tmp_path / "log.gz", gzip.compress(b"one\n" * 50_000) + gzip.compress(b"two\n")
    path.write_bytes(packed)
    cut = Cut()
    assert sum(1 for _ in lines_of(path, io.BytesIO(), cut)) == 50_001
    assert not cut.off
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n")[:-9])
    assert next(lines_of(path, io.BytesIO(), cut)) == b"one\n"
    assert b"one\n" in list(lines_of(path, io.BytesIO(), cut))
    assert cut.off


def test_what_is_no_gzip_file_is_told(tmp_path):
    path = tmp_path / "log.gz"
    path.write_bytes(b"plain text")
    with pytest.raises(OSError, match="gzip"):
        next(lines_of(path, io.BytesIO(), Cut()))
