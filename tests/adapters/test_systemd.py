"""What systemd hears, over a real datagram socket."""

import os
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.adapters.systemd import Notifier, watchdog_interval

Verb = Callable[[Notifier], bool]


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path: Path) -> Iterator[tuple[socket.socket, Notifier]]:
    """The far end of $NOTIFY_SOCKET, and a notifier that was told of it as systemd does."""
    path = str(tmp_path / "notify")
    name = f"@podcast-monitor-test-{os.getpid()}" if request.param == "abstract" else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(name.replace("@", "\0", 1))
        heard.settimeout(5)
        yield heard, Notifier.from_environ({"NOTIFY_SOCKET": name})


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        pytest.param(Notifier.ready, "READY=1", id="ready"),
        pytest.param(Notifier.stopping, "STOPPING=1", id="stopping"),
        pytest.param(Notifier.watchdog, "WATCHDOG=1", id="watchdog"),
        pytest.param(
            lambda to: to.reloading(12_345_678),
            "RELOADING=1\nMONOTONIC_USEC=12345678",
            id="reloading-with-the-monotonic-clock",
        ),
        pytest.param(lambda to: to.status("1 podcast — ø"), "STATUS=1 podcast — ø", id="status"),
    ],
)
def test_each_verb_is_heard_as_systemd_expects_it(systemd, verb: Verb, message: str) -> None:
    heard, notifier = systemd

    assert verb(notifier)
    assert heard.recv(4096).decode() == message


def test_a_status_cannot_carry_a_second_message(systemd) -> None:
    heard, notifier = systemd

    notifier.status("a title\nWATCHDOG=trigger\r\u2028MAINPID=1")

    assert heard.recv(4096).decode() == "STATUS=a title WATCHDOG=trigger MAINPID=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}], ids=["absent", "empty"])
def test_without_systemd_every_message_is_a_no_op(environ: dict[str, str]) -> None:
    notifier = Notifier.from_environ(environ)

    assert not notifier.ready()


@pytest.mark.parametrize(
    "address", ["/nonexistent/notify", "@nobody-listens-here", "vsock:2:1", "/" + "x" * 200]
)
def test_a_systemd_that_cannot_be_reached_is_no_error(address: str) -> None:
    assert not Notifier(address).ready()


def test_a_full_queue_holds_up_the_daemon_for_a_bounded_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "notify"))
        notifier = Notifier(str(tmp_path / "notify"))

        sent = [notifier.watchdog() for _ in range(_queue_length() + 2)]

    assert sent[0]
    assert not sent[-1]


def _queue_length() -> int:
    return int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        pytest.param({}, None, id="nobody-watches"),
        pytest.param({"WATCHDOG_USEC": "120000000"}, timedelta(minutes=1), id="half-of-it"),
        pytest.param(
            {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "42"},
            timedelta(seconds=1.5),
            id="this-process-is-watched",
        ),
        pytest.param(
            {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "41"}, None, id="another-is-watched"
        ),
        pytest.param({"WATCHDOG_USEC": "0"}, None, id="zero-is-off"),
        pytest.param({"WATCHDOG_USEC": "soon"}, None, id="not-a-number"),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_asks(
    environ: dict[str, str], interval: timedelta | None
) -> None:
    assert watchdog_interval(environ, pid=42) == interval
