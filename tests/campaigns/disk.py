"""Faults of the disk: the power goes while it still has to write, or a system call fails.

``images``: a history is lived once under strace; then the disk is rebuilt as a power cut at any
moment of it may have left it, and SQLite opens what is there. Everything that was certain by then,
because a commit had returned or a POST had left, must be in it, and the whole must be exactly
the state before or after the commit that was under way.
"""

import os
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.campaigns.figures import Figures, Violation
from tests.campaigns.images import Disk, Image, write
from tests.campaigns.lived import DATABASE
from tests.campaigns.tracing import Call, record

NAMES = (DATABASE, f"{DATABASE}-journal")
DIARY = "diary"


@dataclass(frozen=True, slots=True)
class Certain:
    """What a power cut may not take back."""

    commits: int = 0
    seq: int = 0  # of the last event
    posts: int = 0  # that left, or are about to


@dataclass(frozen=True, slots=True)
class Trace:
    calls: Sequence[Call]
    states: Sequence[str]  # after so many commits


def images(count: int, seed: int, synchronous: str | None = None) -> Figures:
    """Rebuild *count* disks after power cuts, each by a seed of its own, and open them."""
    began = time.monotonic()
    with TemporaryDirectory(dir=_in_memory()) as name:
        place = Path(name)
        trace = live(place, synchronous)
        violations, faults = [], Counter[str]()
        for number, image, certain in _cuts(trace.calls, range(seed, seed + count)):
            faults += Counter(dropped=image.dropped, torn=image.torn)
            what = judge(image, certain, trace.states, place / "image")
            violations += [Violation("images", number, text) for text in what]
    took_s = time.monotonic() - began
    return Figures("images", count, "images", faults, violations, took_s)


def live(place: Path, synchronous: str | None) -> Trace:
    """Live the history once, and learn its states."""
    (place / "image").mkdir()
    lived = [sys.executable, "-m", "tests.campaigns.lived", str(place / DIARY)]
    lived += [synchronous] if synchronous else []
    calls = record(lived, place, {**os.environ, "TMPDIR": str(place)})
    calls = calls[: [call.data for call in calls].index(b"end\n")]
    return Trace(calls, list(_states(calls, place / "image")))


def _states(calls: Iterable[Call], directory: Path) -> Iterator[str]:
    """Give the state at the beginning, and after each commit, as it is if the power stays."""
    disk = Disk(NAMES)
    yield state(directory / DATABASE)
    for call in calls:
        disk.do(call)
        if call.path.name == DIARY and call.data.startswith(b"seq"):
            write(disk.flushed(), directory)
            yield state(directory / DATABASE)


def _cuts(calls: Sequence[Call], seeds: Iterable[int]) -> Iterator[tuple[int, Image, Certain]]:
    """Give the disk after each power cut, in the order of time."""
    chances = ((seed, Random(seed)) for seed in seeds)
    cuts = sorted((chance.randrange(len(calls) + 1), seed) for seed, chance in chances)
    disk, certain, done = Disk(NAMES), Certain(), 0
    for at, seed in cuts:
        for call in calls[done:at]:
            disk.do(call)
            certain = _after(certain, call)
        done = at
        yield seed, disk.cut(Random(f"image {seed}")), certain


def _after(certain: Certain, call: Call) -> Certain:
    if call.path.name != DIARY or call.name != "write":
        return certain
    match call.data.split():
        case [b"seq", seq]:
            return Certain(certain.commits + 1, int(seq), certain.posts)
        case [b"post"]:
            return Certain(certain.commits, certain.seq, certain.posts + 1)
    raise ValueError(call.data)


# --- what is there -------------------------------------------------------------------------


def judge(image: Image, certain: Certain, states: Sequence[str], directory: Path) -> list[str]:
    """Return what is wrong with a disk after a power cut."""
    write(image, directory)
    when = f"after {certain.commits} commits ({image.dropped} dropped, {image.torn} torn)"
    try:
        return [f"{when}: {what}" for what in _wrong(directory / DATABASE, certain, states)]
    except sqlite3.Error as error:
        return [f"{when}: {error}"]


def _wrong(database: Path, certain: Certain, states: Sequence[str]) -> Iterator[str]:
    with closing(sqlite3.connect(database)) as conn:
        (found,) = conn.execute("PRAGMA integrity_check").fetchone()
        if found != "ok":
            yield found
        if certain.commits:
            yield from _lost(conn, certain)
        if _digest(conn) not in states[certain.commits : certain.commits + 2]:
            yield "neither the state before nor that after the commit under way"


def _lost(conn: sqlite3.Connection, certain: Certain) -> Iterator[str]:
    count, last = conn.execute("SELECT count(*), coalesce(max(seq), 0) FROM events").fetchone()
    if last < certain.seq:
        yield f"events {last + 1} to {certain.seq} are lost"
    if count != last:
        yield f"{count} events with numbers up to {last}"
    (posts,) = conn.execute("SELECT count(*) FROM posts").fetchone()
    if posts < certain.posts:
        yield f"{certain.posts} POSTs left, and {posts} are written down"


def state(database: Path) -> str:
    """Return a digest of everything that a database says."""
    with closing(sqlite3.connect(database)) as conn:
        return _digest(conn)


def _digest(conn: sqlite3.Connection) -> str:
    digest = blake2b(digest_size=16)
    tables = conn.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    for name, sql in tables:
        digest.update(repr((name, sql)).encode())
        if sql and sql.startswith("CREATE TABLE"):
            digest.update(repr(conn.execute(f"SELECT * FROM {name}").fetchall()).encode())
    return digest.hexdigest()


def _in_memory() -> str | None:
    """Return a directory in memory, if there is one: what is rebuilt there needs no disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
