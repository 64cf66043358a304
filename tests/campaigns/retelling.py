"""A history beside which somebody reads its log, and never looks into the database.

At every rest what he knows is compared with what the database's status says. The daemon's part,
to write a status at its start and now and then, is played here.
"""

from collections.abc import Mapping
from datetime import datetime
from itertools import zip_longest
from typing import Any

from monitor.adapters.store import reading
from monitor.adapters.store.database import Database
from monitor.core.model import LogEvent
from monitor.core.retelling import Retelling
from monitor.core.status import Process, Snapshot, block
from monitor.log import Form, render
from monitor.log.unwrap import Reader
from tests.campaigns.simulation import Simulated
from tests.campaigns.stateful import AnyHistory, Played

FORMS: tuple[Form, ...] = ("json", "logfmt")
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
        self.raw.append(f"{render(event, at, seq, form=self.form)}\n".encode())
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


def assert_same(told: Snapshot, true: Snapshot, where: object = "") -> None:
    for one, other in zip_longest(said(told), said(true)):
        assert one == other, f"{where}: the log says\n{one}\nand the database\n{other}"


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
            assert_same(told, true, f"{listener.form}, rest {self.rests}")
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
