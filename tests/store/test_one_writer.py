"""One writer at a time, on both databases: nothing is lost, nothing deadlocks, nothing half done."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy as sa
from databases import IMPATIENT, KINDS, new_database
from recorded import (
    DAY,
    HOUR,
    MINUTE,
    NAME,
    NOON,
    SLUG,
    URL,
    all_rows,
    another_writer,
    becoming,
    configure,
    deliveries,
    event,
    lease_feeds,
    new,
    planned,
    record,
    rows,
)

from monitor.adapters.store import (
    due,
    editions,
    events,
    freezing,
    leases,
    ledger,
    polls,
    reading,
    schema,
    takeover,
    verbs,
    work,
)
from monitor.adapters.store.database import Database, connect
from monitor.adapters.store.freezing import Freeze
from monitor.core import problems
from monitor.core.lifecycle import Status
from monitor.core.model import DatabaseError, Edition, Observation, Post
from monitor.core.problems import Kind

ROOT = Path(__file__).parents[2]


def test_three_processes_that_read_and_write_a_counter_lose_no_update(database, database_url):
    counting = [sys.executable, Path(__file__).with_name("counting.py"), database_url, "0.7"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    rivals = [subprocess.Popen(counting, env=env, **pipes) for _ in range(3)]
    for rival in rivals:
        assert rival.stdout.readline() == "ready\n"
    for rival in rivals:
        rival.stdin.write("go\n")
        rival.stdin.flush()
    acknowledged = [int(rival.communicate()[0]) for rival in rivals]
    assert [rival.returncode for rival in rivals] == [0, 0, 0]
    assert database.read(events.counter, schema.LOGGED) == sum(acknowledged)
    assert min(acknowledged) > 0


def test_numbers_have_no_gap_and_are_seen_in_the_order_of_commits(database):
    """Four writers, of whose transactions every third is rolled back, and a reader beside them."""
    threads, rounds = 4, 12
    together = Barrier(threads + 1)

    def write(thread: int) -> None:
        together.wait(10)
        for n in range(rounds):
            with suppress(ZeroDivisionError):
                database.write(append_or_fail, thread, n)

    def append_or_fail(conn: sa.Connection, thread: int, n: int) -> None:
        events.append(conn, [event(thread), event(n)], NOON)
        if n % 3 == 2:
            raise ZeroDivisionError

    def follow() -> list[int]:
        together.wait(10)
        seen: list[int] = []
        while len(seen) < threads * rounds * 2 * 2 / 3:
            seen += [e.seq for e in database.read(events.after, len(seen))]
            assert seen == list(range(1, len(seen) + 1))
        return seen

    with ThreadPoolExecutor(threads + 1) as pool:
        writers = [pool.submit(write, thread) for thread in range(threads)]
        seen = pool.submit(follow).result(30)
        assert [writer.result(30) for writer in writers] == [None] * threads
    assert database.read(events.counter, schema.SEQ) == len(seen)


def test_two_daemons_that_claim_at_once_never_claim_the_same(database, database_url):
    record(database, *(new(n) for n in range(20)))
    together = Barrier(2)

    def claim(token: str) -> list[int]:
        claimed: list[int] = []
        with closing(connect(database_url)) as own:
            together.wait(10)
            while some := deliveries(own, token=token, limit=2):
                claimed += [w.episode.id for w in some]
        return claimed

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(claim, ("first", "second"))
    assert len(first) + len(second) == len({*first, *second}) == 20


def test_leasing_settling_freezing_and_operators_verbs_do_not_deadlock(database, database_url):
    ids = record(database, *(new(n) for n in range(12)))
    together = Barrier(4)

    def each(act: Callable[[Database, int], object]) -> int:
        with closing(connect(database_url)) as own:
            together.wait(10)
            for turn in range(12):
                act(own, turn)
        return 12

    def settle(own: Database, turn: int) -> None:
        seen = Observation("slug", f"state {turn}", True, "digest", None, (event(),))
        now = NOON + turn * HOUR
        for w in deliveries(own, now=now, token=f"settle {turn}", limit=3):
            update = problems.strike(None, Kind.STENOBIRD_FAILING, reason="timeout", now=now)
            deferred = becoming(w, event(), next_attempt_at=now + MINUTE, reason="timeout")
            assert own.write(work.settle, w, deferred, seen, now=now, problems=(update,))

    def freeze(own: Database, turn: int) -> None:
        own.write(freezing.freeze, Freeze("http_401", 1, NOON + turn * HOUR), NOON)

    def thaw(own: Database, _turn: int) -> None:
        own.write(freezing.thaw)

    def skip(own: Database, turn: int) -> None:
        own.write(verbs.skip, ids[turn], "not ours", NOON)
        own.write(verbs.request, ids[turn], "ours after all", NOON)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(each, (settle, freeze, thaw, skip))) == [12] * 4
    seqs = [row[0] for row in rows(database)["events"]]
    assert seqs == list(range(1, len(seqs) + 1))


# --- while another connection writes -----------------------------------------------------


class Stock:
    """A database with a row for every verb to write to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.database = database = connect(url)
        self.pending, leased, self.held, self.skipped, self.done = record(
            database,
            new(1),
            new(2),
            new(3, Status.HELD, "bulk"),
            new(4, Status.SKIPPED),
            new(5, Status.PROCESSED),
        )
        configure(database, NAME, "spare")
        database.write(polls.mark_due, [NAME], NOON)
        (self.feed,) = lease_feeds(database)
        (self.leased,) = deliveries(database, limit=1)
        assert self.leased.episode.id == leased
        request = replace(self.leased.request, outcome_unknown=True)
        self.post = Post(request, URL, "key", event(2))
        self.posted = database.write(_post, self.leased.request.id)
        self.settlement = becoming(self.leased, event(2), status=Status.ACCEPTED)
        self.observation = Observation("slug", "queued", True, "digest", None, (event(2),))
        self.problem = problems.strike(None, Kind.FEED_FAILING, reason="dns", now=NOON)
        database.write(events.append, [event()], NOON)
        database.write(freezing.freeze, Freeze("http_401", 1, NOON - HOUR), NOON)


def _post(conn: sa.Connection, request_id: int) -> int:
    values = {"request_id": request_id, "at": NOON, "key": "k", "url": URL}
    inserted = sa.insert(schema.posts).values(**values, audio_minutes=75, in_vain=False)
    return conn.execute(inserted.returning(schema.posts.c.id)).scalar_one()


@pytest.fixture(scope="module", params=KINDS)
def stock(request, tmp_path_factory):
    """Built once: every test leaves it as it was."""
    with new_database(request.param, request, tmp_path_factory.mktemp("stock")) as url:
        stock = Stock(url)
        yield stock
        stock.database.close()


EDITION = Edition(b"m" * 8, b"d" * 12, alone=True, calm=1, body_bytes=9, wire_bytes=5)
LATER = {"now": NOON + DAY, "due_by": NOON + DAY, "token": "b", "lease_for": MINUTE, "limit": 9}
VERBS: dict[str, Callable[[sa.Connection, Stock], object]] = {
    "configure": lambda c, _: polls.configure(c, [("another", URL, SLUG)], NOON),
    "lease_feeds": lambda c, _: polls.lease_feeds(
        c, least={"spare": MINUTE}, per_origin=9, **LATER
    ),
    "put_back": lambda c, s: polls.put_back(c, [s.feed]),
    "commit_polls": lambda c, s: polls.commit_polls(c, [planned(s.feed)]),
    "write_edition": lambda c, s: editions.write(c, s.feed.id, EDITION, None),
    "commit_poll": lambda c, s: polls.commit_poll(c, planned(s.feed, new(9)), s.problem, now=NOON),
    "mark_due": lambda c, _: polls.mark_due(c, ["spare"], NOON + DAY),
    "void": lambda c, s: leases.void(c, s.leased.request.lease),
    "void_all": lambda c, _: leases.void_all(c),
    "lease_deliveries": lambda c, _: freezing.thaw(c) or work.lease_deliveries(c, **LATER),
    "lease_looks": lambda c, _: work.lease_looks(c, **LATER),
    "observe": lambda c, s: work.observe(c, s.pending, s.observation, NOON),
    "settle": lambda c, s: work.settle(c, s.leased, s.settlement, s.observation, now=NOON),
    "begin_post": lambda c, s: ledger.begin(c, s.leased, s.post, None, minutes=75, now=NOON),
    "end_post": lambda c, s: ledger.end(c, s.posted, "http_202", in_vain=False),
    "move": lambda c, s: work.move(c, s.leased, s.settlement, NOON),
    "add_generation": lambda c, s: work.add_generation(
        c, s.done, becoming(s.leased, generation=2), NOON
    ),
    "freeze": lambda c, _: freezing.freeze(c, Freeze("http_403", 2, NOON + HOUR), NOON),
    "rest": lambda c, _: freezing.rest(c, NOON + HOUR),
    "set_back": lambda c, _: due.set_back(c, HOUR, NOON),
    "take_over": lambda c, _: takeover.take_over(c, [("another", URL, SLUG)], NOON),
    "thaw": lambda c, _: freezing.thaw(c),
    "append": lambda c, _: events.append(c, [event()], NOON),
    "set_logged": lambda c, _: events.set_logged(c, 1),
    "write_problems": lambda c, s: events.write_problems(c, [s.problem], NOON),
    "request": lambda c, s: verbs.request(c, s.skipped, "why", NOON),
    "release": lambda c, s: verbs.release(c, s.held, "why", NOON),
    "skip": lambda c, s: verbs.skip(c, s.pending, "why", NOON),
    "requeue": lambda c, s: verbs.requeue(c, s.done, "why", NOON),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_locked_database_makes_every_verb_raise_and_change_nothing(verb, stock):
    before = rows(stock.database)
    with another_writer(stock.url) as second:
        with pytest.raises(DatabaseError, match=r"database is locked|lock timeout"):
            second.write(VERBS[verb], stock)
        assert rows(stock.database) == before


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_an_effect_and_it_is_gone_after_a_rollback(verb, stock):
    before = rows(stock.database)
    with stock.database.engine.begin() as conn:
        VERBS[verb](conn, stock)
        assert all_rows(conn) != before
        conn.rollback()
    assert rows(stock.database) == before


def test_who_was_refused_can_write_later_on_the_same_connection(database_url):
    with another_writer(database_url) as second:
        with pytest.raises(DatabaseError, match="locked"):
            second.write(events.append, [event()], NOON)
        patient = second
    assert patient.write(events.append, [event()], NOON) is None
    patient.close()


def test_who_only_reads_waits_for_no_writer(database, database_url):
    record(database, new(1))
    with another_writer(database_url) as second:
        assert second.read(reading.snapshot).episodes == 1


def test_a_reader_sees_one_moment_whoever_writes_meanwhile(database, database_url):
    def read_twice(conn: sa.Connection) -> tuple[int, int]:
        first = events.counter(conn, schema.SEQ)
        with suppress(DatabaseError):  # SQLite's writers wait for its readers
            impatient.write(events.append, [event()], NOON)
        return first, events.counter(conn, schema.SEQ)

    with closing(connect(database_url, patience=IMPATIENT)) as impatient:
        assert database.read(read_twice) == (0, 0)


def test_what_raises_midway_leaves_nothing(database):
    (episode_id,) = record(database, new(1))
    before = rows(database)

    def act(conn: sa.Connection) -> None:
        verbs.skip(conn, episode_id, "why", NOON)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.write(act)
    assert rows(database) == before


def test_what_a_reader_writes_is_refused_or_not_kept(database):
    before = rows(database)
    refused = pytest.raises(DatabaseError, match="read-only transaction")
    with refused if database.kind == "postgresql" else nullcontext():
        database.read(events.append, [event()], NOON)
    assert rows(database) == before
