"""The outside world in miniature: both far ends, a rehearsal, and what can go wrong with them.

``publisher`` is a podcast's host, ``stenobird`` a replica of Stenobird, ``server`` puts them
behind one real HTTP server on loopback. They share no code with the daemon: what agrees, agrees
over the wire. Here is what the far ends have in common: answers, faults and the ledger.

Nothing here reads a clock: each far end is given one, so tests may turn it.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

Clock = Callable[[], datetime]  # returns aware instants


class ManualClock:
    """A clock that stands still until it is turned."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def turn(self, by: timedelta) -> None:
        """Move it, back where *by* is negative."""
        self.at += by


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request in a far end's ledger, written down before its answer leaves."""

    at: datetime
    method: str
    path: str  # with its query, as it came
    headers: Mapping[str, str]  # by lower-case name
    body_sha256: str
    status: int | None  # None: the connection ended without an answer
    fault: str | None


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request.

    With neither an answer of its own nor the request carried out there is nothing to send: the
    connection is reset.
    """

    name: str  # for the ledger
    answer: Answer | None = None  # sent instead of the true one
    carried_out: bool = True  # False: the request has no effect
    part: float = 1.0  # how much of the body is sent; 0 with an ending: not even a status
    ending: Literal["regular", "closed", "reset"] = "regular"
    pause_s: float = 0.0  # after the effect, before the answer
    drip: tuple[int, float] | None = None  # bytes at a time, and seconds after each


def status(
    code: int,
    *,
    retry_after: str | int | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    after_effect: bool = False,
) -> Fault:
    """Answer *code*; *retry_after* is sent as it is: seconds, an HTTP date or nonsense."""
    told = dict(headers or {})
    if retry_after is not None:
        told["Retry-After"] = str(retry_after)
    return Fault(f"status_{code}", Answer(code, told, body), carried_out=after_effect)


def html_page() -> Fault:
    """Answer 200 with a page for people, as portals and error pages do."""
    body = b"<!DOCTYPE html><html><head><title>Just a moment</title></head><body></body></html>"
    return Fault("html_page", _html(body), carried_out=False)


def empty() -> Fault:
    """Answer 200 with no body at all."""
    return Fault("empty", _html(b""), carried_out=False)


def _html(body: bytes) -> Answer:
    return Answer(200, {"Content-Type": "text/html; charset=utf-8"}, body)


def truncated(part: float = 0.5) -> Fault:
    """Close the connection after *part* of the body: less than Content-Length promised."""
    return Fault("truncated", part=part, ending="closed")


def shortened(part: float = 0.5) -> Fault:
    """Send *part* of the body with a Content-Length to match: only the body can tell."""
    return Fault("shortened", part=part)


def reset(part: float = 0.0) -> Fault:
    """Reset the connection (RST) after *part* of the body; at 0 before anything was done."""
    return Fault("reset", part=part, carried_out=part > 0, ending="reset")


def lost_answer() -> Fault:
    """Carry the request out, then end the connection without an answer."""
    return Fault("lost_answer", part=0.0, ending="closed")


def slow(seconds: float) -> Fault:
    """Carry the request out at once, and answer after *seconds*."""
    return Fault("slow", pause_s=seconds)


def slow_drip(seconds: float, *, piece_bytes: int = 1) -> Fault:
    """Send the body *piece_bytes* at a time with *seconds* between."""
    return Fault("slow_drip", drip=(piece_bytes, seconds))


class Faults:
    """What goes wrong next: those put in the queue first, then the lasting one, if any."""

    def __init__(self) -> None:
        self._next: deque[Fault | None] = deque()
        self._lasting: Fault | None = None

    def next(self, *faults: Fault | None) -> None:
        """Let each of the next requests meet one of *faults*; None lets one pass."""
        self._next.extend(faults)

    def always(self, fault: Fault) -> None:
        """Let every request meet *fault* from now on, once the queue is empty."""
        self._lasting = fault

    def clear(self) -> None:
        self._next.clear()
        self._lasting = None

    def take(self) -> Fault | None:
        return self._next.popleft() if self._next else self._lasting
