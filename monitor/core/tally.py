"""How each line changes what a status shows: the state that is rebuilt from a log.

It keeps every podcast, unsettled request and open problem that it heard of, and counts the rest.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from monitor.core.lifecycle import Status
from monitor.core.model import LogEvent
from monitor.core.problems import Kind, Problem
from monitor.core.said import Said
from monitor.core.status import FeedStatus, RequestStatus, Snapshot, feed_of

UNSETTLED: Final = frozenset({Status.PENDING, Status.ACCEPTED})
AFTER: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "request.held": Status.HELD,
        "request.released": Status.PENDING,
        "request.deferred": Status.PENDING,
        "request.accepted": Status.ACCEPTED,
        "request.processed": Status.PROCESSED,
        "request.failed": Status.FAILED,
        "request.skipped": Status.SKIPPED,
        "request.requeued": Status.PENDING,
    }
)
# What goes without saying, or what the console leaves out and is most likely.
BEFORE: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "request.released": Status.HELD,
        "request.deferred": Status.PENDING,
        "request.accepted": Status.PENDING,
        "request.processed": Status.ACCEPTED,
        "request.failed": Status.ACCEPTED,
        "request.skipped": Status.HELD,
    }
)


class Tally:
    """What is known so far.

    A line that does not say what it must raises ValueError, and changes nothing.
    """

    def __init__(self) -> None:
        self.problems: dict[tuple[Kind, str | None, str | None], Problem] = {}  # as far as told
        self.feeds: dict[str, FeedStatus] = {}
        self.unnamed_feeds = 0
        self.unnamed_requests = 0
        self._unsettled: dict[tuple[str, str], RequestStatus] = {}  # by podcast and guid
        self._episodes = 0
        self._requests: Counter[Status] = Counter()
        self._held: Counter[str] = Counter()
        self._open_problems = 0

    def snapshot(self, as_of_seq: int) -> Snapshot:
        """Return what a status would show."""
        unsettled = [r for r in self._unsettled.values() if self._is_listed(r.podcast)]
        pending = (r.created_at for r in unsettled if r.status is Status.PENDING)
        return Snapshot(
            as_of_seq=as_of_seq,
            episodes=self._episodes,
            requests={status: count for status, count in self._requests.items() if count > 0},
            held={reason: count for reason, count in self._held.items() if count > 0},
            oldest_pending_at=min(pending, default=None),
            problems=max(self._open_problems, len(self.problems)),
            feeds=tuple(self.feeds.values()),
            unsettled=unsettled,
            unnamed_feeds=self.unnamed_feeds,
            unnamed_requests=self.unnamed_requests,
        )

    def _is_listed(self, podcast: str) -> bool:
        """Return whether a podcast is configured, or may be: of others nothing is listed."""
        return podcast in self.feeds or bool(self.unnamed_feeds)

    # --- a status block -------------------------------------------------------------------

    def restate(self, status: Snapshot) -> None:
        """Take a status for what is; what it had no room for stays as it is known."""
        self._episodes = status.episodes
        self._requests, self._held = Counter(status.requests), Counter(status.held)
        self._open_problems = status.problems
        if len(self.problems) > status.problems:  # of a recovery nothing was heard
            self.problems.clear()
        named = {feed.podcast: feed for feed in status.feeds}
        others = [feed for name, feed in self.feeds.items() if name not in named]
        others.sort(key=lambda feed: feed.next_poll_at)  # those that were dropped come first
        kept = others[-status.unnamed_feeds :] if status.unnamed_feeds else []
        self.feeds = named | {feed.podcast: feed for feed in kept}
        self.unnamed_feeds = status.unnamed_feeds - len(kept)
        beyond = self._beyond(status)
        self._unsettled = beyond | {(r.podcast, r.guid): r for r in status.unsettled}
        self.unnamed_requests = max(0, status.unnamed_requests - len(beyond))

    def _beyond(self, status: Snapshot) -> dict[tuple[str, str], RequestStatus]:
        """Return the known requests that a status had no room for: it shows the oldest."""
        if not status.unnamed_requests:
            return {}
        last = max((request.place for request in status.unsettled), default=("", "", ""))
        return {
            key: request
            for key, request in self._unsettled.items()
            if request.place > last and self._is_listed(request.podcast)
        }

    # --- lines ----------------------------------------------------------------------------

    def polled(self, line: LogEvent) -> None:
        """Take a ``feed.polled`` for its feed's state; an instant it leaves out stays."""
        after = feed_of(line)
        before = self.feeds.get(after.podcast)
        if before is None:
            self.unnamed_feeds = max(0, self.unnamed_feeds - 1)
        else:
            after = replace(
                after,
                last_attempt_at=after.last_attempt_at or before.last_attempt_at,
                last_ok_at=after.last_ok_at or before.last_ok_at,
                last_new_at=after.last_new_at or before.last_new_at,
                found=before.found,
                delays_s=before.delays_s,
                fixed_delays_s=before.fixed_delays_s,
            )
        self.feeds[after.podcast] = after

    def heed(self, line: LogEvent, at: datetime) -> None:
        """Let a committed event change what it changed in the database."""
        match line.name:
            case "episode.discovered":
                self._discovered(line, at)
            case "problem.opened" | "problem.reminded":
                self._problem(line, at)
            case "problem.recovered":
                self._recovered(line)
            case name if name in AFTER:
                self._moved(line, at)

    def set_back(self, by: timedelta, now: datetime, *, spared: Collection[str]) -> None:
        """The wall clock was set back: shift what is due, as the database does.

        *spared* are the podcasts that were polled by the new time already.
        """

        def sooner(at: datetime) -> datetime:
            return max(at - by, now) if at > now else at

        def earlier(at: datetime | None) -> datetime | None:
            return None if at is None else min(at, now)

        feeds = {
            name: replace(
                feed,
                last_attempt_at=earlier(feed.last_attempt_at),
                last_ok_at=earlier(feed.last_ok_at),
                last_new_at=earlier(feed.last_new_at),
                next_poll_at=sooner(feed.next_poll_at),
            )
            for name, feed in self.feeds.items()
            if name not in spared
        }
        self._unsettled = {
            key: replace(request, next_attempt_at=sooner(request.next_attempt_at))
            for key, request in self._unsettled.items()
        }
        self.feeds |= feeds

    def _discovered(self, line: LogEvent, at: datetime) -> None:
        said = Said(line.fields)
        status = Status(str(said.text("request")))
        self._episodes += 1
        self._count(status, said.text("reason"), 1)
        if status is Status.PENDING:
            key = line.podcast or "", line.guid or ""
            self._unsettled[key] = RequestStatus(*key, status, 1, None, 0, at, at)
        feed, delay_s = self.feeds.get(line.podcast or ""), said.whole("delay_s")
        if feed is not None and delay_s is not None:
            self.feeds[feed.podcast] = replace(
                feed,
                found=feed.found + 1,
                delays_s=feed.delays_s + delay_s,
                fixed_delays_s=feed.fixed_delays_s + (said.whole("fixed_delay_s") or 0),
            )

    def _moved(self, line: LogEvent, at: datetime) -> None:
        said, after = Said(line.fields), AFTER[line.name]
        key = line.podcast or "", line.guid or ""
        known = self._unsettled.get(key)
        reason = said.text("reason")
        was = self._was(line, known)
        if was is None and after is Status.HELD:
            return  # it was counted with its discovery
        request = _going_on(line, after, known, at) if after in UNSETTLED else None
        if known is None and was in UNSETTLED and self._is_listed(key[0]):
            self.unnamed_requests = max(0, self.unnamed_requests - 1)
        if was is not None:
            self._count(was, said.text("held") or reason, -1)
        self._count(after, reason, 1)
        self._unsettled.pop(key, None)
        if request is not None:
            self._unsettled[key] = request

    def _was(self, line: LogEvent, known: RequestStatus | None) -> Status | None:
        """Return the request's status before a line; the console does not say it."""
        said = Said(line.fields).text("was")
        if said is not None:
            return Status(said)
        if known is not None:
            return known.status
        if line.fields.get("held") is not None:
            return Status.HELD
        if line.name == "request.released" and line.fields.get("reason") == "operator":
            return Status.SKIPPED
        return BEFORE.get(line.name)

    def _count(self, status: Status, reason: str | None, by: int) -> None:
        self._requests[status] += by
        if status is Status.HELD:
            self._held[reason or ""] += by

    def _problem(self, line: LogEvent, at: datetime) -> None:
        said = Said(line.fields)
        kind = Kind(str(said.text("problem")))
        since, strikes = said.moment("since"), said.whole("failures") or 0
        reason = said.text("reason") or ""
        found = Problem(kind, line.podcast, line.guid, reason, since, strikes, at, at)
        self.problems[kind, line.podcast, line.guid] = found
        self._open_problems += line.name == "problem.opened"

    def _recovered(self, line: LogEvent) -> None:
        kind = Kind(str(Said(line.fields).text("problem")))
        self.problems.pop((kind, line.podcast, line.guid), None)
        self._open_problems = max(0, self._open_problems - 1)


def _going_on(
    line: LogEvent, status: Status, known: RequestStatus | None, at: datetime
) -> RequestStatus:
    """Return an unsettled request after a line. What a person wants, or wants anew, is due."""
    said = Said(line.fields)
    anew = line.name == "request.requeued"
    attempts = 0 if anew else said.whole("attempts")
    created_at = at if anew else said.instant("created_at")
    return RequestStatus(
        podcast=line.podcast or "",
        guid=line.guid or "",
        status=status,
        generation=said.number("generation"),
        reason=None if line.name == "request.released" else said.text("reason"),
        attempts=(known.attempts if known else 0) if attempts is None else attempts,
        next_attempt_at=said.instant("next_attempt_at") or at,
        created_at=created_at or (known.created_at if known else at),
    )
