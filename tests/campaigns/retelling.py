"""A history beside which somebody reads its log, and never looks into the database.

At every rest what he knows is compared with what the database's status says. The daemon's part,
to write a status at its start and now and then, is played here.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any

from monitor.adapters.store import reading
from monitor.adapters.store.database import Database
from monitor.core.lifecycle import Status
from monitor.core.model import LogEvent
from monitor.core.retelling import Retelling
from monitor.core.status import FeedStatus, Process, RequestStatus, Snapshot, block
from monitor.log import Form, render
from monitor.log.unwrap import Reader
from tests.campaigns.simulation import Simulated
from tests.campaigns.stateful import AnyHistory, Played

FORMS: tuple[Form, ...] = ("json", "logfmt", "console")
ROUNDED = timedelta(hours=1, minutes=1)  # what the console takes at most off an instant
EVERY = 40  # rests, a status
PROCESS = Process("0", "live", 1, 0)
ITS_OWN = ("as_of_seq", "pid", "uptime_s")  # in which the two may differ


class Listener:
    """Reads a log in one form."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.raw: list[bytes] = []
        self._reader, self.retelling = Reader(), Retelling()

    def hear(self, event: LogEvent, at: datetime, seq: int | None) -> None:
        # Of a day that is slept through the console alone does not tell: journald does.
        stamp = f"{at:%Y-%m-%dT%H:%M:%SZ} machine podcast-monitor[1]: "
        prefix = stamp if self.form == "console" else ""
        self.raw.append(f"{prefix}{render(event, at, seq, form=self.form)}\n".encode())
        line = self._reader.read(self.raw[-1])
        assert line is not None, self.raw[-1]
        self.retelling.hear(line)


def said(status: Snapshot) -> list[Any]:
    """Return all that a status says, but for what is its own."""
    return [
        (line.name, line.level, line.podcast, line.guid, _without(line.fields, *ITS_OWN))
        for line in block(status, PROCESS)
    ]


def _without(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key not in names}


def retold(raw: list[bytes]) -> Retelling:
    """Return what a log tells that begins and ends with these lines."""
    reader, retelling = Reader(), Retelling()
    for line in map(reader.read, raw):
        if line is not None:
            retelling.hear(line)
    return retelling


def assert_same(told: Snapshot, true: Snapshot, form: Form, where: object = "") -> None:
    if form == "console":
        true = _as_said_for_eyes(true, told)
    for one, other in zip_longest(said(told), said(true)):
        assert one == other, f"{form}, {where}: the log says\n{one}\nand the database\n{other}"


def _as_said_for_eyes(true: Snapshot, told: Snapshot) -> Snapshot:
    """Return *true* as it was told where that is nearly the same, or is not said to eyes."""
    feeds = {feed.podcast: feed for feed in told.feeds}
    unsettled = {(r.podcast, r.guid): r for r in told.unsettled}
    return replace(
        true,
        oldest_pending_at=_nearly(true.oldest_pending_at, told.oldest_pending_at),
        feeds=[_rounded(feed, feeds.get(feed.podcast)) for feed in true.feeds],
        unsettled=[_rounded(r, unsettled.get((r.podcast, r.guid))) for r in true.unsettled],
    )


def _rounded(true: Any, told: Any) -> Any:
    if told is None:
        return true
    instants = [field.name for field in fields(true) if field.name.endswith("_at")]
    near = {name: _nearly(getattr(true, name), getattr(told, name)) for name in instants}
    if isinstance(true, RequestStatus) and true.status is told.status is Status.ACCEPTED:
        near["attempts"] = told.attempts  # ``request.accepted`` does not say it to eyes
    if isinstance(true, FeedStatus):  # the console says how late episodes were found, in minutes
        near |= {name: getattr(told, name) for name in ("delays_s", "fixed_delays_s")}
    if isinstance(true, FeedStatus) and true.failures and told.last_attempt_at is None:
        near["last_attempt_at"] = None  # nor does ``status.feed`` of a feed that fails
    return replace(true, **near)


def _nearly(true: datetime | None, told: datetime | None) -> datetime | None:
    return told if true and told and abs(true - told) <= ROUNDED else true


class _Overheard:
    """What a simulated history does beside its listeners."""

    def __init__(self, *args: Any, **more: Any) -> None:
        self.listeners = [Listener(form) for form in FORMS]
        self.compared = self.rests = 0
        super().__init__(*args, **more)

    def heard(self, event: LogEvent, at: datetime, seq: int | None) -> None:
        for listener in self.listeners:
            listener.hear(event, at, seq)

    def begun(self, database: Database) -> None:
        started = {"version": "0", "pid": 1, "mode": "live", "podcasts": 2}
        self.heard(LogEvent("daemon.started", fields=started), self.clock.wall(), None)
        self.tell_status(database)

    def tell_status(self, database: Database) -> None:
        at = self.clock.wall()
        for line in block(database.read(reading.snapshot), PROCESS):
            self.heard(line, at, None)

    def at_rest(self, database: Database) -> None:
        self.rests += 1
        true = database.read(reading.snapshot)
        for listener in self.listeners:
            told = listener.retelling.snapshot()
            assert_same(told, true, listener.form, f"rest {self.rests}")
            assert told.as_of_seq == true.as_of_seq
            assert not listener.retelling.missing().events
            self.compared += 1
        if self.rests % EVERY == 0:
            self.tell_status(database)


class Fortnight(_Overheard, Simulated):
    """A fortnight of faults."""


class _Played(_Overheard, Played):
    """Any history."""

    histories = compared_in_all = 0

    def come_to_an_end(self) -> list[str]:
        wrong = super().come_to_an_end()
        type(self).histories += 1
        type(self).compared_in_all += self.compared
        return wrong


class AnyRetelling(AnyHistory):
    player = _Played
