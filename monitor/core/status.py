"""The status block: the same lines in the log, from the database and rebuilt from a log.

``status.summary``, a ``status.feed`` per podcast, failing ones first, a ``status.request`` per
unsettled request, ``status.end``. Of feeds and requests at most 100 each; what was cut is
counted in ``omitted``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.core.lifecycle import Status
from monitor.core.model import LogEvent, iso
from monitor.core.said import Said

MOST = 100


@dataclass(frozen=True, slots=True)
class FeedStatus:
    podcast: str
    last_attempt_at: datetime | None
    last_ok_at: datetime | None
    last_new_at: datetime | None
    failures: int
    reason: str | None
    next_poll_at: datetime
    next_poll_reason: str | None = None
    found: int = 0  # episodes since it is followed
    delays_s: int = 0  # from their publication to their discovery, all together
    fixed_delays_s: int = 0  # what as many polls at fixed intervals would have taken


@dataclass(frozen=True, slots=True)
class RequestStatus:
    podcast: str
    guid: str
    status: Status
    generation: int
    reason: str | None
    attempts: int
    next_attempt_at: datetime
    created_at: datetime

    @property
    def place(self) -> tuple[str, str, str]:
        """Sort key: oldest first; of one instant, as a log shows it, by name."""
        return iso(self.created_at), self.podcast, self.guid


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state at one committed event, read in one transaction."""

    as_of_seq: int
    episodes: int
    requests: Mapping[Status, int]
    held: Mapping[str, int]  # by reason
    oldest_pending_at: datetime | None
    problems: int
    feeds: Sequence[FeedStatus]
    unsettled: Sequence[RequestStatus]  # pending and accepted, in any order
    unnamed_feeds: int = 0  # there are, and nothing is known of; the database knows all
    unnamed_requests: int = 0  # likewise


@dataclass(frozen=True, slots=True)
class Process:
    """Who answers. A command has no uptime, and a log may not say who wrote it."""

    version: str | None
    mode: str | None
    pid: int | None
    uptime_s: int | None = None


def block(snapshot: Snapshot, process: Process) -> tuple[LogEvent, ...]:
    """Return the lines of a status, in order."""
    feeds = sorted(snapshot.feeds, key=lambda f: (f.failures == 0, f.podcast))
    unsettled = sorted(snapshot.unsettled, key=lambda r: r.place)
    omitted = max(0, len(feeds) - MOST) + max(0, len(unsettled) - MOST)
    omitted += snapshot.unnamed_feeds + snapshot.unnamed_requests
    end = {"as_of_seq": snapshot.as_of_seq, "omitted": omitted}
    return (
        _summary(snapshot, process),
        *(_feed(feed) for feed in feeds[:MOST]),
        *(_request(request) for request in unsettled[:MOST]),
        LogEvent("status.end", fields=end),
    )


def read_block(lines: Sequence[LogEvent]) -> tuple[Snapshot, Process]:
    """Return what ``block`` was given: the reverse of it.

    Raises:
        ValueError: they are not the lines of one whole block.
    """
    summary, *listed, end = lines
    feeds = tuple(feed_of(line) for line in listed if line.name == "status.feed")
    unsettled = tuple(request_of(line) for line in listed if line.name == "status.request")
    said = Said(summary.fields)
    podcasts, omitted = said.number("podcasts"), Said(end.fields).number("omitted")
    unnamed = podcasts - len(feeds)
    as_of_seq = Said(end.fields).number("as_of_seq")
    if len(feeds) != min(podcasts, MOST) or omitted < unnamed:
        raise ValueError("a line is missing")
    if said.whole("as_of_seq") not in {as_of_seq, None}:  # the console says it once
        raise ValueError("the end is another's")
    snapshot = Snapshot(
        as_of_seq=as_of_seq,
        episodes=said.number("episodes"),
        requests={Status(name): count for name, count in said.counts("requests").items()},
        held=said.counts("held"),
        oldest_pending_at=said.instant("oldest_pending_at"),
        problems=said.number("problems"),
        feeds=feeds,
        unsettled=unsettled,
        unnamed_feeds=unnamed,
        unnamed_requests=omitted - unnamed,
    )
    return snapshot, process_of(summary)


def process_of(line: LogEvent) -> Process:
    """Return who speaks in ``daemon.started`` or ``status.summary``."""
    said = Said(line.fields)
    return Process(said.text("version"), said.text("mode"), said.whole("pid"))


def one_line(snapshot: Snapshot) -> str:
    """Return the status in one line, for ``systemctl status``."""
    failing = sum(1 for feed in snapshot.feeds if feed.failures)
    due = min((feed.next_poll_at for feed in snapshot.feeds), default=None)
    parts = [
        f"{len(snapshot.feeds)} podcasts" + (f" ({failing} failing)" if failing else ""),
        f"{snapshot.episodes} episodes",
        *(
            f"{snapshot.requests.get(s, 0)} {s}"
            for s in (Status.PENDING, Status.ACCEPTED, Status.FAILED)
        ),
        f"{snapshot.problems} problems",
    ]
    return ", ".join(parts) + (f"; next poll {iso(due)}" if due else "")


def _summary(snapshot: Snapshot, process: Process) -> LogEvent:
    oldest = snapshot.oldest_pending_at
    return LogEvent(
        "status.summary",
        level="warning" if snapshot.problems else "info",
        fields={
            "as_of_seq": snapshot.as_of_seq,
            "version": process.version,
            "mode": process.mode,
            "pid": process.pid,
            "uptime_s": process.uptime_s,
            "podcasts": len(snapshot.feeds) + snapshot.unnamed_feeds,
            "episodes": snapshot.episodes,
            "requests": {status.value: snapshot.requests.get(status, 0) for status in Status},
            "held": dict(sorted(snapshot.held.items())),
            "oldest_pending_at": iso(oldest) if oldest else None,
            "problems": snapshot.problems,
        },
    )


def _feed(feed: FeedStatus) -> LogEvent:
    return LogEvent(
        "status.feed",
        feed.podcast,
        level="warning" if feed.failures else "info",
        fields={
            "last_attempt_at": _iso(feed.last_attempt_at),
            "last_ok_at": _iso(feed.last_ok_at),
            "last_new_at": _iso(feed.last_new_at),
            "failures": feed.failures,
            "reason": feed.reason,
            "next_poll_at": iso(feed.next_poll_at),
            "next_poll_reason": feed.next_poll_reason,
            "found": feed.found,
            "delays_s": feed.delays_s,
            "fixed_delays_s": feed.fixed_delays_s,
        },
    )


def feed_of(line: LogEvent) -> FeedStatus:
    """Return what ``status.feed``, or ``feed.polled``, says of a feed.

    Raises:
        ValueError: it does not say enough.
    """
    said = Said(line.fields)
    return FeedStatus(
        podcast=line.podcast or "",
        last_attempt_at=said.instant("last_attempt_at"),
        last_ok_at=said.instant("last_ok_at"),
        last_new_at=said.instant("last_new_at"),
        failures=said.number("failures"),
        reason=said.text("reason"),
        next_poll_at=said.moment("next_poll_at"),
        next_poll_reason=said.text("next_poll_reason"),
        found=said.whole("found") or 0,
        delays_s=said.whole("delays_s") or 0,
        fixed_delays_s=said.whole("fixed_delays_s") or 0,
    )


def _request(request: RequestStatus) -> LogEvent:
    return LogEvent(
        "status.request",
        request.podcast,
        request.guid,
        fields={
            "status": request.status.value,
            "generation": request.generation,
            "reason": request.reason,
            "attempts": request.attempts,
            "next_attempt_at": iso(request.next_attempt_at),
            "created_at": iso(request.created_at),
        },
    )


def request_of(line: LogEvent) -> RequestStatus:
    """Return what ``status.request`` says of an unsettled request.

    Raises:
        ValueError: it does not say enough.
    """
    said = Said(line.fields)
    return RequestStatus(
        podcast=line.podcast or "",
        guid=line.guid or "",
        status=Status(str(said.text("status"))),
        generation=said.number("generation"),
        reason=said.text("reason"),
        attempts=said.number("attempts"),
        next_attempt_at=said.moment("next_attempt_at"),
        created_at=said.moment("created_at"),
    )


def _iso(at: datetime | None) -> str | None:
    return None if at is None else iso(at)
