"""What a sweep writes, through the store and SQLAlchemy, and the same through sqlite3 alone.

The statements and values of real sweeps are recorded, and carried out by sqlite3 on a copy of the
database. It turns instants into text and back, as the store must, and makes no more of the rows:
nobody who wrote this by hand could do less. Prints, for each sweep, the CPU seconds of each part,
ours and sqlite3's. With ``parse_one`` the only program that knows our insides.
"""

import json
import re
import shutil
import sqlite3
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from benchmarks.documents import KINDS
from benchmarks.documents import Feed as Publisher
from monitor.adapters.store import catalogue, editions, migrate, polls
from monitor.adapters.store.database import Database, connect
from monitor.core import parse, reconcile
from monitor.core.baseline import Latest
from monitor.core.model import Feed, Fetched, Known, NotModified, PollPlan, Reading, Validators
from monitor.core.rules import PollRules
from monitor.core.schedule import Bounds
from monitor.core.sweep import Sweep

START = datetime(2024, 7, 1, tzinfo=UTC)
APART = timedelta(hours=1)
FEEDS = 128  # in a sweep; the first has a new episode, the others answer 304
LEAST = timedelta(minutes=5)
RULES = PollRules(
    poll=Bounds(LEAST, APART / 2),
    per_day=48,
    backfill=Latest(0),
    bulk_over=1_000,
    backdated_over=timedelta(weeks=5_000),
)
JITTER = 0.5
PRAGMAS = ("journal_mode = TRUNCATE", "synchronous = FULL", "foreign_keys = ON")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")

Values = tuple[Any, ...]


class Statement(NamedTuple):
    sql: str
    values: list[Values]  # of each execution; instants as such
    many: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction: what does it, and what that says to the database."""

    part: str
    run: Callable[[Database], Any]
    statements: list[Statement]


def main(sweeps: int) -> None:
    """Print *sweeps* times ``{part: [ours, sqlite3's]}``; one before them warms the caches."""
    publishers = [Publisher(f"tiny-{i}", KINDS["tiny"]) for i in range(1, FEEDS)]
    publishers.insert(0, Publisher("small-0", KINDS["small"]))
    with TemporaryDirectory() as directory:
        recorded, ours, bare = (Path(directory) / f"{i}.db" for i in range(3))
        with closing(connect(f"sqlite:///{recorded}")) as database:
            _import(database, publishers)
            shutil.copy(recorded, ours)
            shutil.copy(recorded, bare)
            recorder = Recorder(database)
            instants = [START + APART * i for i in range(1, sweeps + 2)]
            steps = [list(_sweep(recorder, publishers, now)) for now in instants]
        with closing(connect(f"sqlite:///{ours}")) as database, closing(_open(bare)) as db:
            costs = [_compare(database, db, sweep) for sweep in steps]
    print(json.dumps(costs[1:]))


# --- sweeps, recorded ----------------------------------------------------------------------


class Recorder:
    """Runs the steps of a sweep and writes down what they say."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._said: list[Statement] = []
        sa.event.listen(database.engine, "before_cursor_execute", self._note)

    def _note(self, *call: Any) -> None:
        _conn, _cursor, sql, values, _context, many = call
        each = [tuple(map(_read, row)) for row in (values if many else [values])]
        self._said.append(Statement(sql, each, many))

    def step(self, part: str, run: Callable[[Database], Any]) -> tuple[Step, Any]:
        """Return the step, and what *run* returned."""
        self._said = []
        returned = run(self._database)
        return Step(part, run, self._said), returned


def _import(database: Database, publishers: list[Publisher]) -> None:
    migrate.migrate(database)
    podcasts = [(p.name, f"https://{p.name}.example/feed", p.name) for p in publishers]
    database.write(polls.configure, podcasts, START)
    feeds = {feed.podcast: feed for feed in _claim(database, _names(publishers), START)}
    for publisher in publishers:
        feed = feeds[publisher.name]
        plan = _news(feed, (Known({}, {}), None), publisher.document(), START)
        database.write(polls.commit_poll, plan, None, now=START)


def _sweep(recorder: Recorder, publishers: list[Publisher], now: datetime) -> Iterator[Step]:
    publishers[0].publish()
    step, feeds = recorder.step("claim", partial(_claim, names=_names(publishers), now=now))
    yield step
    [first] = [feed for feed in feeds if feed.podcast == publishers[0].name]
    plans = [_quiet(feed, now) for feed in feeds if feed is not first]
    yield recorder.step("outcomes", lambda database: database.write(polls.commit_polls, plans))[0]
    step, known = recorder.step("rows", lambda database: database.read(_known, first))
    yield step
    plan = _news(first, known, publishers[0].document(), now)
    write = partial(_write_news, plan=plan, now=now)
    yield recorder.step("rows", write)[0]


def _names(publishers: list[Publisher]) -> list[str]:
    return [publisher.name for publisher in publishers]


def _claim(database: Database, names: list[str], now: datetime) -> list[Feed]:
    return database.write(
        polls.lease_feeds,
        least=dict.fromkeys(names, LEAST),
        now=now,
        due_by=now,
        token=now.isoformat(),
        lease_for=APART / 2,
        limit=FEEDS,
        per_origin=FEEDS,
    )


def _quiet(feed: Feed, now: datetime) -> PollPlan:
    answer = NotModified(feed.validators)
    return reconcile.unchanged(feed, answer, now=now, jitter=JITTER, rules=RULES)


def _known(conn: Connection, feed: Feed) -> tuple[Known, Reading | None]:
    return catalogue.known(conn, feed.id), editions.reading(conn, feed.id)


def _news(
    feed: Feed, known: tuple[Known, Reading | None], document: bytes, now: datetime
) -> PollPlan:
    episodes, before = known
    sweep = Sweep(feed.edition, may_stop=False)
    sweep.take(document)
    sweep.finish()
    reading = sweep.read(before)
    answer = Fetched(Validators(now.isoformat()), len(document), len(document), complete=True)
    read = parse.document_of(reading)
    plan = reconcile.reconcile(feed, episodes, read, answer, now=now, jitter=JITTER, rules=RULES)
    assert len(plan.new) == (1 if feed.baseline_at else len(reading.items))
    return replace(plan, edition=sweep.edition(answer, reading), reading=reading)


def _write_news(database: Database, plan: PollPlan, now: datetime) -> None:
    database.write(polls.commit_poll, plan, None, now=now)


# --- the same, twice ------------------------------------------------------------------------


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    for pragma in PRAGMAS:
        db.execute(f"PRAGMA {pragma}")
    return db


def _compare(database: Database, db: sqlite3.Connection, sweep: list[Step]) -> dict[str, Any]:
    costs: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for step in sweep:
        began = time.process_time()
        step.run(database)
        between = time.process_time()
        _carry_out(db, step.statements)
        ended = time.process_time()
        costs[step.part][0] += between - began
        costs[step.part][1] += ended - between
    return costs


def _carry_out(db: sqlite3.Connection, statements: list[Statement]) -> None:
    for sql, values, many in statements:
        texts = [tuple(map(_written, row)) for row in values]
        if many:
            db.executemany(sql, texts)
        else:
            rows = db.execute(sql, texts[0]).fetchall()
            instants = _instants(sql, rows)
            _ = [[row[i] and datetime.fromisoformat(row[i]) for i in instants] for row in rows]
    db.execute("COMMIT")


def _written(value: Any) -> Any:
    return value.isoformat(" ", "microseconds")[:26] if isinstance(value, datetime) else value


def _is_instant(value: Any) -> bool:
    return isinstance(value, str) and _INSTANT.fullmatch(value) is not None


def _read(value: Any) -> Any:
    return datetime.fromisoformat(value).replace(tzinfo=UTC) if _is_instant(value) else value


_columns: dict[str, list[int]] = {}


def _instants(sql: str, rows: Sequence[Values]) -> list[int]:
    """Return which columns of a statement's rows are instants, as whoever writes it knows."""
    if sql not in _columns and rows:
        columns = enumerate(zip(*rows, strict=True))
        _columns[sql] = [i for i, column in columns if any(map(_is_instant, column))]
    return _columns.get(sql, [])


if __name__ == "__main__":
    main(int(sys.argv[1]))
