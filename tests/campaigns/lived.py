"""A small history, lived in a process of its own, that says aloud what is certain.

``python -m tests.campaigns.lived DIARY [SYNCHRONOUS]``: what was committed, and that a POST is about
to leave, is written to the diary as soon as it is so, and never synchronised. strace sees these
lines between the writes to the database, and so knows what a power cut may not take back. The
database is synchronised as the daemon has it, or by SQLite's SYNCHRONOUS, to see the difference.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from monitor.adapters.store import events, schema
from monitor.demo import lost_answer, status
from tests.living import Life, Switch

DATABASE = "life.db"  # as Life calls it


class Witness(Switch):
    """Writes down each POST before it leaves."""

    def __init__(self, diary: int) -> None:
        super().__init__()
        self._diary = diary

    def act(self, action: str) -> None:
        super().act(action)
        if action == "POST":
            os.write(self._diary, b"post\n")


class Witnessed(Life):
    """Writes down the last event's number after each commit."""

    def __init__(self, diary: int, synchronous: str | None) -> None:
        super().__init__(new=2)
        self._diary = diary
        self._synchronous = synchronous

    @contextmanager
    def _database(self) -> Iterator[Any]:
        with super()._database() as database:
            if self._synchronous is not None:
                sa.event.listen(database.engine, "connect", self._set)
            write = database.write

            def witnessed(*args: Any, **kwargs: Any) -> Any:
                result = write(*args, **kwargs)
                seq = database.read(events.counter, schema.SEQ)
                os.write(self._diary, b"seq %d\n" % seq)
                return result

            database.write = witnessed
            yield database

    def _set(self, connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")


def main(diary: Path, synchronous: str | None = None) -> None:
    file = os.open(diary, os.O_WRONLY | os.O_CREAT)
    with Witnessed(file, synchronous) as life:
        life.replica.post_faults.next(lost_answer())
        life.replica.post_faults.next(status(503))
        assert life.live(Witness(file))
        life.assert_kept()
        os.write(file, b"end\n")  # what follows is the clearing up


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
