"""The log's cursor: every committed event is written, and none twice by one process."""

import logging
from types import SimpleNamespace

import pytest

from monitor import log
from monitor.adapters.store import events, schema
from monitor.adapters.systemd import Notifier
from monitor.clock import now
from monitor.core.model import DatabaseError, LogEvent
from monitor.core.status import Process
from monitor.logbook import Logbook

pytestmark = pytest.mark.anyio


@pytest.fixture
def written(caplog):
    """The numbers of the lines that were written, in order."""
    caplog.set_level(logging.INFO, "monitor")
    logging.getLogger("monitor").propagate = True
    return lambda: [record.msg["seq"] for record in caplog.records if record.name == "monitor"]


def logbook(database):
    async def read(unit, *args):
        return database.read(unit, *args)

    async def write(unit, *args):
        if refuse:
            raise refuse.pop()
        return database.write(unit, *args)

    refuse: list[Exception] = []
    ctx = SimpleNamespace(read=read, write=write)
    book = Logbook(ctx, process=lambda: Process("0", "live", 1, 0), notify=Notifier(None), now=now)
    return book, refuse


def happen(database, times=1):
    for _ in range(times):
        database.write(events.append, [LogEvent("clock.jumped", fields={"skew_s": 1})], now())


async def test_a_line_whose_number_could_not_be_kept_is_not_written_again(database, written):
    book, refuse = logbook(database)
    happen(database, 2)
    refuse.append(DatabaseError("away", "unavailable", lasting=False))
    with pytest.raises(DatabaseError):
        await book.write()
    happen(database)
    await book.write()
    assert written() == [1, 2, 3]


async def test_numbers_that_come_again_with_a_restored_backup_are_written(database, written):
    book, _ = logbook(database)
    happen(database, 2)
    await book.write()
    restore = "UPDATE counters SET value = 0"
    database.write(lambda conn: conn.exec_driver_sql("DROP TABLE events"))
    database.write(schema.events.create)
    database.write(lambda conn: conn.exec_driver_sql(restore))
    happen(database)
    await book.write()
    assert written() == [1, 2, 1]


async def test_what_the_log_does_not_take_now_is_written_later(database, written, monkeypatch):
    book, _ = logbook(database)
    happen(database, 3)
    room = [True, False]
    say = log.emit
    monkeypatch.setattr(log, "emit", lambda *a, **k: room.pop(0) and say(*a, **k))
    await book.write()
    assert (written(), database.read(events.counter, schema.LOGGED)) == ([1], 1)
    room += [True, True]
    await book.write()
    assert (written(), database.read(events.counter, schema.LOGGED)) == ([1, 2, 3], 3)
