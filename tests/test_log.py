"""The log as its readers meet it: lines, and nothing but lines, whatever is said in them."""

import ast
import fcntl
import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
import threading
import unicodedata
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.core.model import LogEvent
from monitor.log import EVENTS, emit, render, setup
from monitor.log.console import PHRASES, span
from monitor.log.redact import redact

ROOT = Path(__file__).parent.parent
AT = datetime(2026, 10, 10, 14, 3, 5, 123_456, UTC)
GUID = "substack:post:174512233"
FORMS = ("console", "json", "logfmt")

DISCOVERED = LogEvent(
    "episode.discovered",
    "latent-space",
    GUID,
    fields={
        "reason": None,
        "request": "pending",
        "title": "Mistral: “Voxtral” — w/ Łukasz",
        "published_at": "2026-10-10T13:55:00+00:00",
        "duration_s": 4511,
    },
)
FEED = LogEvent(
    "status.feed",
    "latent-space",
    fields={"last_ok_at": "2026-10-10T13:54:05+00:00", "failures": 0},
)
SUMMARY = LogEvent(
    "status.summary",
    fields={
        "mode": "live",
        "podcasts": 1,
        "requests": {"pending": 1, "accepted": 0, "held": 4},
        "held": {"baseline": 3, "bulk": 1},
        "problems": 0,
    },
)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Whatever a test sets up, the next one finds logging, warnings and hooks untouched."""
    root, hook = logging.getLogger(), sys.excepthook
    before, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers, sys.excepthook = before, hook
    root.setLevel(level)
    logging.getLogger("monitor").setLevel(logging.NOTSET)


def logged(form: str, stream: io.StringIO, level: str = "info") -> io.StringIO:
    setup(form, stream, environ={}, level=level)
    return stream


def a_library_says(message: str, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        raise error
    logging.getLogger("library").error(message, exc_info=caught.value)


# --- the closed list ---------------------------------------------------------------------


def test_the_manual_tabulates_exactly_the_events_of_the_code() -> None:
    row = re.compile(r"^\| `([a-z]+\.[a-z]+)` \| (.*?) \| (.*?) \|$", re.MULTILINE)
    manual = row.findall((ROOT / "docs" / "log.md").read_text())

    code = [
        (name, " ".join(f"`{field}`" for field in kind.fields) or "-", kind.says)
        for name, kind in EVENTS.items()
    ]

    assert manual == code


def test_no_event_is_named_in_the_code_that_is_not_in_the_list() -> None:
    nouns = "|".join({name.partition(".")[0] for name in EVENTS})
    looks_like_one = re.compile(rf"({nouns})\.[a-z]+")

    used = {
        (path.name, node.value)
        for path in (ROOT / "monitor").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and looks_like_one.fullmatch(node.value)
    }

    assert {(path, name) for path, name in used if name not in EVENTS} == set()


# --- one record --------------------------------------------------------------------------


def test_keys_come_in_their_fixed_order_and_nothing_that_is_absent() -> None:
    line = render(DISCOVERED, AT, 241, form="json")

    assert list(json.loads(line)) == [
        *("seq", "at", "level", "event", "podcast", "guid"),
        *("title", "published_at", "duration_s", "request"),
    ]


def test_logfmt_says_the_same_in_the_same_order() -> None:
    assert render(DISCOVERED, AT, 241, form="logfmt") == (
        "seq=241 at=2026-10-10T14:03:05.123Z level=info event=episode.discovered"
        " podcast=latent-space guid=substack:post:174512233"
        ' title="Mistral: “Voxtral” — w/ Łukasz" published_at=2026-10-10T13:55:00.000Z'
        " duration_s=4511 request=pending"
    )


def test_a_status_keeps_every_promised_key_in_json() -> None:
    line = json.loads(render(FEED, AT, form="json"))

    assert list(line)[3:] == ["podcast", *EVENTS["status.feed"].fields]
    assert line["reason"] is None
    assert "reason=" not in render(FEED, AT, form="logfmt")


def test_counts_are_objects_in_json_and_flat_in_logfmt() -> None:
    assert json.loads(render(SUMMARY, AT, form="json"))["held"] == {"baseline": 3, "bulk": 1}
    assert "pending=1 accepted=0 held=4 held.baseline=3 held.bulk=1" in render(
        SUMMARY, AT, form="logfmt"
    )


def test_a_field_of_a_newer_version_comes_last_and_is_not_lost() -> None:
    event = LogEvent("request.enqueued", fields={"colour": "red", "generation": 2})

    assert render(event, AT, form="logfmt").endswith("generation=2 colour=red")


def test_instants_of_any_offset_are_printed_in_utc_with_milliseconds() -> None:
    east = timezone(timedelta(hours=2))
    event = LogEvent("problem.reminded", fields={"since": "2026-10-10T16:03:05.999999+02:00"})

    line = render(event, AT.astimezone(east), form="logfmt")

    assert "at=2026-10-10T14:03:05.123Z" in line
    assert "since=2026-10-10T14:03:05.999Z" in line


@pytest.mark.parametrize("text", ["42", "-1.5", "true", "null", "", "a b", 'a"b', "a=b", "a\\b"])
def test_text_that_would_read_as_something_else_is_quoted_in_logfmt(text: str) -> None:
    line = render(LogEvent("daemon.stopping", fields={"signal": text}), AT, form="logfmt")

    assert json.loads(line.partition(" signal=")[2]) == text


# --- forging -----------------------------------------------------------------------------

HOSTILE = "\n<0>x \x1b]52;c;!\x07\x85\u2028\u2029\u202e\u200f\x9b2J\x7f\r\ud7ff\U000e0041"


@pytest.mark.parametrize("form", FORMS)
@given(text=st.text())
@example(text=HOSTILE)
@example(text='" level=error event=problem.opened x="')
def test_any_text_in_any_field_makes_one_printable_line(form: str, text: str) -> None:
    for name, kind in EVENTS.items():
        event = LogEvent(name, text, text, fields=dict.fromkeys(kind.fields, text))

        line = render(event, AT, 1, form=form)

        assert line.isprintable(), (name, line)
        assert line.splitlines() == [line]


@given(text=st.text())
@example(text=HOSTILE)
def test_a_json_line_gives_every_text_back_as_it_was(text: str) -> None:
    event = LogEvent("episode.discovered", text, text, fields={"title": text})

    line = json.loads(render(event, AT, form="json"))

    assert [line["podcast"], line["guid"], line["title"]] == [text] * 3


@given(text=st.text())
@example(text=HOSTILE)
@example(text="1e5")
def test_a_logfmt_line_gives_every_text_back_as_it_was(text: str) -> None:
    line = render(LogEvent("episode.discovered", fields={"title": text}), AT, form="logfmt")

    value = line.partition(" title=")[2]

    assert (json.loads(value) if value.startswith('"') else value) == text


@pytest.mark.parametrize("form", FORMS)
@given(text=st.text())
@example(text=HOSTILE)
def test_a_library_cannot_break_a_line_either(form: str, text: str) -> None:
    out = logged(form, io.StringIO())

    logging.getLogger("library").warning("%s", text)

    line = out.getvalue().removesuffix("\n")
    assert line.isprintable()


def test_a_key_cannot_break_a_line() -> None:
    event = LogEvent("status.summary", fields={"held": {"a b\n=": 1}})

    assert "held.a_b__=1" in render(event, AT, form="logfmt")


# --- for eyes ----------------------------------------------------------------------------


def test_the_console_says_what_happened_in_columns() -> None:
    polled = {"outcome": "ok", "new": 1, "changed": 0, "bytes": 96_412, "took_ms": 412}
    soon = (AT + timedelta(minutes=12)).isoformat()
    changed = LogEvent("state.changed", "latent-space", GUID, fields={"from": "queued", "to": "x"})

    lines = [
        render(event, AT, seq, form="console")
        for event, seq in [
            (LogEvent("feed.polled", "latent-space", fields=polled | {"next_poll_at": soon}), None),
            (DISCOVERED, 241),
            (changed, 242),
            (SUMMARY, None),
        ]
    ]

    assert lines == [
        "14:03:05   feed.polled        latent-space   ok · 1 new · 96 kB · 412 ms · next in 12m",
        '14:03:05   episode.discovered latent-space   substack:post:174512233 "Mistral: “Voxtral” — w/ Łukasz" · 8m ago · 1h 15m · pending  #241',
        "14:03:05   state.changed      latent-space   substack:post:174512233 queued → x  #242",
        "14:03:05   status.summary                    no problems · live · 1 podcast · 1 pending, 4 held · held: 3 baseline, 1 bulk · 2026-10-10",
    ]


@pytest.mark.parametrize(("generation", "said"), [(1, "wanted"), (2, "wanted · generation 2")])
def test_what_goes_without_saying_is_not_said(generation: int, said: str) -> None:
    event = LogEvent("request.enqueued", "p", fields={"generation": generation})

    assert (
        render(event, AT, form="console") == f"14:03:05   request.enqueued   p              {said}"
    )


def test_trouble_is_loud_with_and_without_colours() -> None:
    failed = LogEvent("request.failed", "p", GUID, "error", {"reason": "rejected"})

    assert render(failed, AT, form="console").startswith("14:03:05 ✗ request.failed")
    assert "\x1b[1;31mrejected\x1b[0m" in render(failed, AT, form="console", colour=True)


UNSAID = {  # on the console: what the line before says, the reason implies, or only programs read
    "feed.polled": "http read items requests last_attempt_at last_ok_at last_new_at",
    "episode.discovered": "fixed_delay_s",
    "request.held": "was",
    "request.released": "was attempts",
    "request.accepted": "attempts next_attempt_at created_at",
    "request.deferred": "generation was http created_at",
    "request.processed": "generation was json_url markdown_url",
    "request.failed": "was http",
    "request.skipped": "was",
    "status.summary": "as_of_seq version pid",
    "status.feed": "last_attempt_at",
}


@pytest.mark.parametrize("name", EVENTS)
def test_the_console_leaves_out_what_is_listed_here_and_nothing_else(name: str) -> None:
    said = set(re.findall(r"\{(\w+)\}", "".join(PHRASES.get(name, ())))) - {"day"}
    if name in PHRASES:
        assert set(EVENTS[name].fields) - said == set(UNSAID.get(name, "").split())
        assert said <= set(EVENTS[name].fields)


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_has_something_to_say_on_the_console(name: str) -> None:
    fields = dict.fromkeys(EVENTS[name].fields, 3)

    line = render(LogEvent(name, fields=fields), AT, form="console")

    assert (line[30:].strip() == "") is (fields == {})


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        *((0, "0s"), (0.4, "0.4s"), (59, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h 0m")),
        *((86_399, "23h 59m"), (86_400, "1d 0h"), (-90, "-1m")),
    ],
)
def test_a_duration_is_said_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert span(seconds) == said


# --- where it goes -----------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[tuple[Path, io.TextIOWrapper, dict[str, str]]]:
    """A file that $JOURNAL_STREAM names, as systemd names the socket it hands over."""
    path = tmp_path / "journal"
    with path.open("w", encoding="ascii") as stream:
        stat = os.fstat(stream.fileno())
        yield path, stream, {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}


def test_under_journald_it_is_logfmt_with_priorities(journal) -> None:
    path, stream, environ = journal
    setup("auto", stream, environ=environ)

    emit(DISCOVERED, at=AT, seq=1)
    emit(LogEvent("tick.overran", level="warning", fields={"tick": "poll"}), at=AT)
    emit(LogEvent("tick.failed", level="error", fields={"tick": "poll"}), at=AT)

    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line[:6] for line in lines] == ["<6>seq", "<4>at=", "<3>at="]
    assert "“Voxtral”" in lines[0]  # UTF-8, whatever the locale made of the stream


@pytest.mark.parametrize("form", ["auto", *FORMS])
def test_under_journald_every_physical_line_has_its_priority(journal, form: str) -> None:
    path, stream, environ = journal
    setup(form, stream, environ=environ)

    a_library_says("it\n<0>broke", ValueError("first\n<0>second"))

    lines = path.read_text().splitlines()
    assert lines
    assert [line for line in lines if not line.startswith("<3>")] == []


def test_a_line_too_long_for_journald_is_cut_before_journald_splits_it(journal) -> None:
    path, stream, environ = journal
    setup("auto", stream, environ=environ)

    emit(LogEvent("episode.discovered", fields={"title": "é" * 60_000 + "<0>"}), at=AT)

    (line,) = path.read_bytes().splitlines()
    assert 39_000 < len(line) < 48 * 1024
    assert line.decode().endswith("é…")


def test_an_inherited_journal_stream_that_is_not_this_one_means_nothing(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        setup("auto", stream, environ={"JOURNAL_STREAM": "8:12345"})
        emit(DISCOVERED, at=AT)

    assert json.loads((tmp_path / "log").read_text())["guid"] == GUID


@pytest.mark.parametrize(
    ("environ", "colours"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_a_terminal_gets_the_console_with_colours_unless_told_not_to(
    environ: dict[str, str], colours: bool
) -> None:
    ours, its = pty.openpty()
    with os.fdopen(its, "w") as terminal:
        setup("auto", terminal, environ=environ)
        emit(DISCOVERED, at=AT)
        seen = os.read(ours, 4096).decode()
    os.close(ours)

    assert "episode.discovered" in seen
    assert ("\x1b[" in seen) is colours
    assert seen.startswith("\x1b[2m14:03:05" if colours else "14:03:05")


def test_set_up_again_it_still_says_everything_once() -> None:
    out = io.StringIO()
    for _ in range(3):
        logged("json", out)

    emit(DISCOVERED, at=AT)

    assert len(out.getvalue().splitlines()) == 1


def test_what_is_below_the_level_is_not_said() -> None:
    out = logged("json", io.StringIO(), level="warning")

    emit(DISCOVERED, at=AT)
    emit(LogEvent("tick.overran", level="warning"), at=AT)

    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["tick.overran"]


def test_lines_of_several_threads_do_not_mix() -> None:
    out = logged("logfmt", io.StringIO())

    def talk() -> None:
        for _ in range(50):
            emit(DISCOVERED, at=AT)

    threads = [threading.Thread(target=talk) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(out.getvalue().splitlines()) == {render(DISCOVERED, AT, form="logfmt")}
    assert len(out.getvalue().splitlines()) == 200


# --- what libraries say ------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "logfmt"])
def test_a_traceback_is_one_line(form: str) -> None:
    out = logged(form, io.StringIO())

    a_library_says("it broke", ValueError("the\nreason"))

    (line,) = out.getvalue().splitlines()
    assert "log.error" in line
    assert r"ValueError: the\nreason" in line


def test_a_traceback_on_the_console_can_be_read_and_cannot_pass_for_lines_of_the_log() -> None:
    out = logged("console", io.StringIO())

    forged = render(DISCOVERED, AT, form="console")
    a_library_says("it broke", ValueError(f"x\n{forged}\x1b[2J"))

    first, *rest = out.getvalue().splitlines()
    assert first.endswith("library: it broke")
    assert rest[0] == "          │ Traceback (most recent call last):"
    assert rest[-1].endswith(r"pending\u001b[2J")
    assert all(line.startswith("          │ ") for line in rest)


def test_warnings_and_uncaught_exceptions_are_lines_like_any_other() -> None:
    out = logged("json", io.StringIO())

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", stacklevel=1)
    error = RuntimeError("nobody caught this")
    sys.excepthook(RuntimeError, error, None)

    warned, uncaught = map(json.loads, out.getvalue().splitlines())
    assert (warned["event"], warned["logger"]) == ("log.warning", "py.warnings")
    assert uncaught["exception"] == "RuntimeError: nobody caught this"


@pytest.mark.parametrize("name", ["aiohttp", "alembic", "apscheduler", "asyncio", "httpx"])
def test_libraries_that_chatter_are_heard_from_warning_up(name: str) -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    out = logged("json", io.StringIO())
    library = logging.getLogger(f"{name}.inner")

    library.info("HTTP Request: GET https://example.com/feed?token=SECRET")
    library.warning("this matters")

    assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == ["this matters"]


@pytest.mark.parametrize("form", FORMS)
def test_secrets_in_messages_and_tracebacks_do_not_reach_the_log(form: str) -> None:
    out = logged(form, io.StringIO())

    a_library_says(
        "GET https://f.example/CANARY.rss?t=CANARY failed",
        OSError("postgresql+psycopg://me:CANARY@db.example:5432/x refused"),
    )
    emit(LogEvent("tick.failed", level="error", fields={"error": "Bearer CANARY"}), at=AT)

    assert "CANARY" not in out.getvalue()
    assert "db.example:5432" in out.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://u:CANARY@h.example/", "https://h.example/"),
        ("https://u:CAN/ARY@h.example/x", "https://…"),
        ("https://h.example:8443/p/CANARY.rss", "https://h.example:8443/…"),
        ("URL('https://h.example/?a=CANARY')", "URL('https://h.example/…')"),
        ("http://[::1]:80/CANARY", "http://[::1]:80/…"),
        ("(https://h.example).", "(https://h.example)."),
        ("https://h.example: refused", "https://h.example: refused"),
        ("sqlite:////var/lib/x.db?key=CANARY", "sqlite:////var/lib/x.db"),
        ("GET /feed?token=CANARY&n=CANARY HTTP/1.1", "GET /feed?token=…&n=… HTTP/1.1"),
        ("Authorization: Basic CANARY==", "Authorization: …"),
        ("[(b'authorization', b'Bearer CANARY')]", "[(b'authorization', b'…')]"),
        ('{"Cookie": "CANARY"}', '{"Cookie": "…"}'),
        ("token bearer CANARY.x.y, twice", "token bearer …, twice"),
        ("nothing to hide: 3/4 of it", "nothing to hide: 3/4 of it"),
    ],
)
def test_redaction_keeps_what_helps_and_hides_what_opens(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown  # what is redacted once more stays as it is


def test_half_a_url_at_the_cut_of_a_long_traceback_is_redacted_too() -> None:
    out = logged("json", io.StringIO())

    a_library_says("long", ValueError(f"https://h.example/{'CANARY' * 4_000} {'x' * 12_000}"))

    assert "CANARY" not in out.getvalue()


# --- a broken stream ---------------------------------------------------------------------

SPEAKER = """
import os, sys
from datetime import UTC, datetime
from monitor.core.model import LogEvent
from monitor.log import emit, setup

setup("json", sys.stderr, environ=os.environ)
for number in range(1, 20_000):  # far more than fits into a pipe nobody reads
    emit(LogEvent("request.enqueued", fields={"generation": number}), at=datetime(2026, 1, 1, tzinfo=UTC))
print("alive", flush=True)
"""


def test_a_reader_that_goes_away_does_not_take_the_daemon_with_it() -> None:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", SPEAKER],
        cwd=ROOT,
        env=buffered,
        stdout=subprocess.PIPE,
        stderr=writer,
    ) as speaker:
        os.close(writer)
        first = os.read(reader, 20)
        os.close(reader)
        said, _ = speaker.communicate(timeout=60)

    assert first.startswith(b'{"at"')
    assert (speaker.returncode, said) == (0, b"alive\n")


def test_a_full_disk_loses_lines_and_nothing_else() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        setup("json", full, environ={})
        assert not emit(DISCOVERED, at=AT)


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """A pipe that is soon full: its read end, and its write end as a text stream."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 16_384)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        yield reader, stream
    os.close(reader)


def test_a_pipe_that_nobody_reads_holds_the_daemon_up_for_a_moment_only(pipe) -> None:
    setup("json", pipe[1], environ={})
    taken = [emit(DISCOVERED, at=AT, seq=number) for number in range(1, 1001)]
    assert taken[0]
    assert not taken[-1]
    assert taken == sorted(taken, reverse=True)  # after the first that was not, none was


def test_once_it_is_read_again_every_line_is_whole_and_the_gap_is_told(pipe) -> None:
    reader, stream = pipe
    setup("json", stream, environ={})
    long = LogEvent("episode.discovered", "show", GUID, fields={"title": "x" * 10_000})
    while emit(long, at=AT, seq=1):
        pass
    before = os.read(reader, 65_536).decode().split("\n")
    assert emit(DISCOVERED, at=AT, seq=2)
    after = os.read(reader, 65_536).decode().split("\n")
    assert {json.loads(line)["seq"] for line in before[:-1]} == {1}
    assert after[0] == ""  # ends the line that was cut
    told = [json.loads(line) for line in after[1:-1]]
    assert [line["event"] for line in told] == ["episode.discovered", "log.warning"]
    assert "no line could be written from" in told[1]["message"]


def test_a_line_longer_than_the_pipe_is_taken_while_it_is_read(pipe) -> None:
    reader, stream = pipe
    setup("json", stream, environ={})
    read = io.BytesIO()
    long = LogEvent("episode.discovered", "show", GUID, fields={"title": "x" * 100_000})
    with ThreadPoolExecutor(1) as thread:
        taken = thread.submit(emit, long, at=AT)
        while not read.getvalue().endswith(b"\n"):
            read.write(os.read(reader, 65_536))
    assert taken.result()
    assert json.loads(read.getvalue())["title"] == "x" * 100_000


def test_every_character_that_is_escaped_is_one_that_cannot_be_seen() -> None:
    title = "".join(map(chr, range(0x20, 0x3000)))
    line = render(LogEvent("episode.changed", fields={"title": title}), AT, form="logfmt")

    hidden = {chr(int(code, 16)) for code in re.findall(r"\\u([0-9a-f]{4})", line)}

    assert {unicodedata.category(char)[0] for char in hidden} == {"C", "Z"}
