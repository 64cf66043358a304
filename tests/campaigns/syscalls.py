"""Every system call of a small history fails once, or is the last one the process makes.

The real daemon lives from an empty directory to a request that is accepted, under strace, which
fails the *n*-th call of a kind or kills the process at it. What follows is undisturbed, and must
bring everything to its end. ENOSPC lasts to the end of the process; every other error comes once.
"""

import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from monitor.demo.server import World, serve_in_thread
from tests.campaigns.checker import check
from tests.campaigns.figures import Figures, Violation
from tests.campaigns.history import History
from tests.campaigns.once import Once
from tests.campaigns.tracing import STRACE
from tests.campaigns.world import Fates, history_of
from tests.service import SLUG, Far, Service

DISK = {
    "openat": ("error=EIO", "error=ENOSPC", "signal=SIGKILL"),
    "pwrite64": ("error=EIO", "error=ENOSPC", "signal=SIGKILL"),
    "fdatasync": ("error=EIO", "error=ENOSPC", "signal=SIGKILL"),
    "ftruncate": ("error=EIO", "signal=SIGKILL"),
}
NETWORK = {
    "connect": ("error=ECONNRESET", "signal=SIGKILL"),
    "sendto": ("error=ECONNRESET", "signal=SIGKILL"),
    "recvfrom": ("error=ECONNRESET", "signal=SIGKILL"),
}
WORKERS = 2
RUNS = 6  # undisturbed, at most, until everything is settled
TRACED = re.compile(r"(\d+) +(\w+)\((.*)")


@dataclass(frozen=True, slots=True)
class Point:
    call: str
    fault: str
    nth: int  # such call of a thread

    def __str__(self) -> str:
        return f"{self.call} {self.nth} {self.fault}"

    @property
    def injection(self) -> str:
        lasts = "+" if self.fault == "error=ENOSPC" else ""
        return f"inject={self.call}:{self.fault}:when={self.nth}{lasts}"


@dataclass(frozen=True, slots=True)
class Traced:
    """What a traced run left."""

    code: int
    log: str
    trace: Sequence[str]

    @property
    def is_real(self) -> bool:
        """Return whether what failed can fail so; not a call within the process."""
        return not any("INJECTED" in line and _is_internal(line) for line in self.trace)


def syscalls(count: int, seed: int) -> Figures:
    """Live *count* histories, from the *seed*-th point on; at most as many as there are points."""
    began = time.monotonic()
    known = points()
    count = min(count, len(known))
    chosen = [(number, known[number % len(known)]) for number in range(seed, seed + count)]
    with ThreadPoolExecutor(WORKERS) as pool:
        shares = pool.map(_live_all, [chosen[n::WORKERS] for n in range(WORKERS)])
        violations = [violation for share in shares for violation in share]
    faults = Counter(f"{point.call} {point.fault.partition('=')[2]}" for _, point in chosen)
    took_s = time.monotonic() - began
    return Figures("syscalls", count, "points", faults, violations, took_s)


def points() -> Sequence[Point]:
    """Return every point of an undisturbed history: one of each class, then the next of each."""
    with Once() as once, _world() as service:
        places = _places(service, once)
    found: list[tuple[int, Point]] = []
    for call, faults in {**DISK, **NETWORK}.items():
        for fault in faults:
            nths = sorted(places[call])
            Random(f"{call} {fault}").shuffle(nths)
            found += [(rank, Point(call, fault, nth)) for rank, nth in enumerate(nths)]
    found.sort(key=lambda ranked: (ranked[0], ranked[1].call, ranked[1].fault))
    return [point for _, point in found]


def _places(service: Service, once: Once) -> dict[str, set[int]]:
    """Return which calls of each kind a history makes, numbered as strace does for each thread."""
    done = _trace(service, once, ["-f", "-e", "trace=" + ",".join(DISK | NETWORK)])
    assert done.code == 0, done.log
    lines = [found.groups() for line in done.trace if (found := TRACED.match(line))]
    first = lines[0][0]
    counts = Counter[tuple[str, str]]()
    places: dict[str, set[int]] = {call: set() for call in DISK | NETWORK}
    for thread, call, arguments in lines:
        if thread == first if call in NETWORK else str(service.database) in arguments:
            counts[thread, call] += 1
            if not _is_internal(arguments):
                places[call].add(counts[thread, call])
    return places


def _is_internal(arguments: str) -> bool:
    """Return whether a call is within the process: asyncio's pair of sockets is never reset."""
    return "<UNIX" in arguments.partition(",")[0]


# --- one history -----------------------------------------------------------------------------


@contextmanager
def _world() -> Iterator[Service]:
    """Give a service with nothing recorded, an old episode and one to be requested."""
    far = Far()
    far.publish(1)
    with (
        TemporaryDirectory(prefix="podcast-monitor-") as directory,
        serve_in_thread(World(far.publisher, replica=far.replica)) as url,
    ):
        yield Service(Path(directory), url, far)


def _live_all(chosen: Sequence[tuple[int, Point]]) -> list[Violation]:
    with Once() as once:
        return [
            Violation("syscalls", number, f"{point}: {what}")
            for number, point in chosen
            for what in _live(point, once)
        ]


def _live(point: Point, once: Once) -> list[str]:
    """Live one history; return what is wrong with it."""
    with _world() as service:
        disturbed = _disturb(service, once, point)
        logs, code = [disturbed.log], 1
        while len(logs) <= RUNS and (code or not _settled(service.database)):
            log = service.directory / f"{len(logs)}.log"
            code = once.run(service.config, log)
            logs.append(log.read_text())
        wrong = list(_untold(point, disturbed))
        if code:
            wrong.append(f"exit status {code}: {logs[-1][-500:]}")
        if damage := _damage(service.database):
            return [*wrong, damage]
        return wrong + check(_history(service, logs))


def _disturb(service: Service, once: Once, point: Point) -> Traced:
    """Run once; of the disk's calls on the database's files alone.

    Of the network's in the first thread alone: the others wake it through a pair of sockets that
    no network resets.
    """
    options = ["-e", f"trace={point.call}", "-e", point.injection]
    if point.call in DISK:
        options += ["-f"]
        options += [f"--trace-path={service.database}{end}" for end in ("", "-journal", ".lock")]
    return _trace(service, once, options)


def _trace(service: Service, once: Once, options: Sequence[str]) -> Traced:
    trace, log = service.directory / "trace", service.directory / "traced.log"
    pid = once.begin(service.config, log, wait=True)
    command = [str(STRACE), "-yy", "-e", "signal=none", "-o", str(trace), *options]
    with subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        attached = tracer.stderr.readline()
        os.kill(pid, signal.SIGCONT)
        code = once.end()
    assert "attached" in attached, attached
    return Traced(code, log.read_text(), trace.read_text().splitlines())


# --- what became of it -----------------------------------------------------------------------


def _settled(database: Path) -> bool:
    try:
        return ("processed",) in _rows(database, "SELECT status FROM requests")
    except sqlite3.Error:
        return False


def _damage(database: Path) -> str | None:
    try:
        found = str(_rows(database, "PRAGMA integrity_check"))
    except sqlite3.Error as error:
        found = str(error)
    return None if found == "[('ok',)]" else found


def _rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=rw", uri=True)) as conn:
        return conn.execute(query).fetchall()


def _untold(point: Point, disturbed: Traced) -> Iterator[str]:
    """Say what a reader of the disturbed run's log would miss."""
    if not disturbed.is_real:
        return
    if strange := [line for line in disturbed.log.splitlines() if not line.startswith("{")]:
        yield f"lines that are no JSON: {strange}"
    if disturbed.code not in (0, 1, 2, -9):
        yield f"exit status {disturbed.code}"
    if disturbed.code in (1, 2) and not any(map(_is_complaint, _lines(disturbed.log))):
        yield f"no word of it: {disturbed.log[-2000:]}"
    if (disturbed.code == -9) != (point.fault == "signal=SIGKILL"):
        yield f"exit status {disturbed.code}, and the fault was {point.fault}"


def _is_complaint(told: Mapping[str, Any]) -> bool:
    is_put_off = told["event"] == "request.deferred"
    return is_put_off or told["level"] != "info" or told.get("outcome", "ok") != "ok"


def _history(service: Service, logs: Sequence[str]) -> History:
    far = service.far
    fates = Fates(unwanted={far.old.guid})
    fates.want(next(item.guid for item in far.publisher.items if item.guid != far.old.guid))
    return history_of(
        f"sqlite:///{service.database}",
        {"show": far.publisher},
        far.replica,
        {SLUG: "show"},
        fates,
        min_gap_s=0.0,  # ``--once`` asks at once
        log=[_lines(log) for log in logs],
        per_minute=600,
        audio_minutes_per_day=10_000,
        quiet=True,
    )


def _lines(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]
