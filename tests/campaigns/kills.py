"""SIGKILL at random moments of the real daemon's life, under faults, again and again.

A history is some dozens of lives on one database. Then there is peace: one more life, until all
that is wanted has come to its end, and the checker. Histories of an odd seed are on PostgreSQL.

A warm life is forked from a process that has everything imported (``warm``): it is ready after
some 90 ms. A cold one is ``python -m monitor run``.
"""

import json
import math
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa

from monitor.demo.server import serve_in_thread
from tests.campaigns.checker import check
from tests.campaigns.figures import Figures, Violation
from tests.campaigns.outside import Outside
from tests.databases import PostgreSQL, postgresql_server

ROOT = Path(__file__).parent.parent.parent
WARM_KILLS, COLD_KILLS = 50, 10  # of a history
SETTLED_WITHIN_S = 90.0  # on a machine with much else to do
STOPPED_WITHIN_S = 20.0
STATUSES = """
    SELECT e.guid, r.status FROM requests r JOIN episodes e ON e.id = r.episode_id WHERE r.newest
"""
# Time passes: what a dead daemon holds on PostgreSQL runs out. It would take minutes.
RUN_OUT = (
    "UPDATE podcasts SET leased_until = now() WHERE leased_until IS NOT NULL",
    "UPDATE episodes SET leased_until = now() WHERE leased_until IS NOT NULL",
    "UPDATE daemons SET until = now()",
)
STRANGE = ("tick.failed", "log.error", "log.warning")
Line = dict[str, Any]


# --- lives -------------------------------------------------------------------------------


class Lives(ABC):
    """Starts daemons, and ends them."""

    def end(self, pid: int, number: signal.Signals) -> int:
        """Send a signal; return the exit status, negative for a signal's."""
        os.kill(pid, number)
        return self.wait(pid)

    @abstractmethod
    def begin(self, config: Path, log: Path) -> int:
        """Start a life that logs to a file; return its pid."""

    @abstractmethod
    def wait(self, pid: int) -> int:
        """Return the exit status of a life that ends."""

    @abstractmethod
    def close(self) -> None:
        """End what is left."""


class Warm(Lives):
    """Forks them from a template; *hurried*: a dead one's leases run out within seconds."""

    def __init__(self, *, hurried: bool = False) -> None:
        self._left: set[int] = set()
        self._template = subprocess.Popen(
            [sys.executable, "-m", "tests.campaigns.warm", *["hurried"][:hurried]],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, config: Path, log: Path) -> int:
        log.touch()  # for who reads it at once
        pid = self._ask(f"{config}\t{log}")
        self._left.add(pid)
        return pid

    def wait(self, pid: int) -> int:
        self._left.discard(pid)
        return self._ask(str(pid))

    def _ask(self, question: str) -> int:
        assert self._template.stdin is not None
        assert self._template.stdout is not None
        self._template.stdin.write(f"{question}\n")
        self._template.stdin.flush()
        return int(self._template.stdout.readline())

    def end_all(self) -> None:
        for pid in tuple(self._left):
            self.end(pid, signal.SIGKILL)

    def close(self) -> None:
        self.end_all()
        self._template.communicate(timeout=STOPPED_WITHIN_S)


class Cold(Lives):
    """Starts them as a service manager does."""

    def __init__(self) -> None:
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def begin(self, config: Path, log: Path) -> int:
        command = [sys.executable, "-m", "monitor", "--config", str(config), "run"]
        with log.open("wb") as file:
            process = subprocess.Popen(command, cwd=ROOT, stderr=file)
        self._processes[process.pid] = process
        return process.pid

    def wait(self, pid: int) -> int:
        return self._processes.pop(pid).wait(STOPPED_WITHIN_S)

    def close(self) -> None:
        for pid in tuple(self._processes):
            self.end(pid, signal.SIGKILL)


# --- one history -------------------------------------------------------------------------


def lines(log: Path) -> Iterator[Line]:
    """Yield what a life said; its last line may be torn. What is no line of ours is strange."""
    for line in log.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line) if line.startswith("{") else {"event": "stray", "text": line}


def strange(logs: Sequence[Sequence[Line]]) -> Iterator[str]:
    """Yield what no daemon should have to say, whatever the far ends do."""
    for each in (line for log in logs for line in log):
        if each["event"] in {"stray", *STRANGE}:
            yield f"the daemon said {each}"


class Killing:
    """One history: a world, a database, many lives."""

    def __init__(self, seed: int, lives: Lives, directory: Path, database: str) -> None:
        self.outside = Outside(seed)
        self.chance = Random(seed)
        self.lives = lives
        self.directory = directory
        self.database = database
        self.engine = sa.create_engine(database, poolclass=sa.NullPool)
        self.logs: list[Path] = []  # of each life
        self.killed: Counter[str] = Counter()  # when

    def live(self, kills: int, moment: Callable[[Random], float]) -> list[str]:
        """Be killed so often, then live on in peace; return what was not kept."""
        with serve_in_thread(self.outside.world) as url:
            config = self.outside.configure(self.directory, self.database, url)
            for _ in range(kills):
                self._die(config, moment(self.chance))
            wrong = list(self._live_on(config))
        logs = [list(lines(log)) for log in self.logs]
        return [*wrong, *strange(logs), *check(self.outside.history(self.database, logs))]

    def _begin(self, config: Path) -> int:
        self.logs.append(self.directory / f"{len(self.logs)}.log")
        return self.lives.begin(config, self.logs[-1])

    def _die(self, config: Path, after_s: float) -> None:
        """Live for so long, or until a POST has arrived, while episodes are published."""
        if self.chance.random() < 0.6:
            self.outside.publish()
        pid = self._begin(config)
        posts = len(self.outside.replica.posts)
        at_a_post = self.chance.random() < 0.2
        until = time.monotonic() + after_s + 0.2 * at_a_post
        publish_at = time.monotonic() + self.chance.uniform(0, 2 * after_s)
        while time.monotonic() < until:
            if publish_at and time.monotonic() > publish_at:
                self.outside.publish()
                publish_at = 0.0
            if at_a_post and len(self.outside.replica.posts) > posts:
                time.sleep(self.chance.uniform(0, 0.02))
                break
            time.sleep(0.001)
        code = self.lives.end(pid, signal.SIGKILL)
        assert code == -signal.SIGKILL, f"it ended by itself, with {code}"
        is_ready = b'"daemon.ready"' in self.logs[-1].read_bytes()
        self.killed["SIGKILL at work" if is_ready else "SIGKILL at start"] += 1
        self._run_out()

    def _run_out(self) -> None:
        """Let time pass, as far as the dead daemon's leases are concerned."""
        if self.engine.dialect.name == "sqlite":
            return
        with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as conn:
            while conn.exec_driver_sql(OTHERS).scalar():  # what it had sent is still carried out
                time.sleep(0.005)
            if conn.exec_driver_sql("SELECT to_regclass('daemons')").scalar():
                for statement in RUN_OUT:
                    conn.exec_driver_sql(statement)

    def _live_on(self, config: Path) -> Iterator[str]:
        self.outside.make_peace()
        pid = self._begin(config)
        wait_until(lambda: b'"daemon.ready"' in self.logs[-1].read_bytes(), SETTLED_WITHIN_S)
        if not wait_until(lambda: is_settled(self.engine, self.outside), SETTLED_WITHIN_S):
            yield f"not everything came to its end within {SETTLED_WITHIN_S:.0f} s of peace"
        code = self.lives.end(pid, signal.SIGTERM)
        if code != 0:
            yield f"asked to stop, it ended with {code}"


def is_settled(engine: sa.Engine, outside: Outside) -> bool:
    """Return whether all that is wanted has come to its end."""
    try:
        with engine.connect() as conn:
            statuses = dict(tuple(row) for row in conn.exec_driver_sql(STATUSES))
    except sa.exc.DBAPIError:  # there is no table yet, or it is being written
        return False
    wanted = set().union(*outside.wanted.values())
    return all(statuses.get(guid) == "processed" for guid in wanted)


OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


def wait_until(holds: Callable[[], bool], within_s: float, every_s: float = 0.05) -> bool:
    """Return whether it came true in time."""
    until = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(every_s)
    return True


# --- the campaigns -----------------------------------------------------------------------


def warm_moment(chance: Random) -> float:
    """Return after how many seconds to kill: ready is it after 0.09."""
    return chance.uniform(0.02, 0.1) if chance.random() < 0.25 else chance.uniform(0.09, 0.3)


def cold_moment(chance: Random) -> float:
    return chance.uniform(0.1, 0.8) if chance.random() < 0.25 else chance.uniform(0.8, 1.8)


def warm(
    count: int, seed: int, server: PostgreSQL | None = None, lives: Lives | None = None
) -> Figures:
    """Kill so many warm lives, rounded up to whole histories of 50."""
    with ExitStack() as stack:
        lives = lives or stack.enter_context(closing(Warm()))
        plan = Plan("kills-warm", lives, warm_moment, WARM_KILLS)
        return _campaign(plan, count, seed, server)


def cold(count: int, seed: int, server: PostgreSQL | None = None) -> Figures:
    """Kill so many cold ones, rounded up to whole histories of 10."""
    with closing(Cold()) as lives:
        plan = Plan("kills-cold", lives, cold_moment, COLD_KILLS)
        return _campaign(plan, count, seed, server)


@dataclass(frozen=True, slots=True)
class Plan:
    campaign: str
    lives: Lives
    moment: Callable[[Random], float]  # of a kill, in seconds after the start
    kills: int  # of a history


def _campaign(plan: Plan, count: int, seed: int, server: PostgreSQL | None) -> Figures:
    began = time.monotonic()
    faults: Counter[str] = Counter()
    violations: list[Violation] = []
    seeds = range(seed, seed + math.ceil(count / plan.kills))
    with ExitStack() as stack:
        for each in seeds:
            if each % 2 and server is None:
                server = stack.enter_context(postgresql_server())
            with (
                TemporaryDirectory() as directory,
                new_database(Path(directory), server if each % 2 else None) as database,
            ):
                killing = Killing(each, plan.lives, Path(directory), database)
                wrong = killing.live(plan.kills, plan.moment)
            faults += killing.outside.met + killing.killed
            violations += [Violation(plan.campaign, each, what) for what in wrong]
    took_s = time.monotonic() - began
    return Figures(plan.campaign, len(seeds) * plan.kills, "kills", faults, violations, took_s)


@contextmanager
def new_database(directory: Path, server: PostgreSQL | None) -> Iterator[str]:
    """Give the address of a database in which there is nothing; a SQLite file without a server."""
    if server is None:
        yield f"sqlite:///{directory / 't.db'}"
        return
    name = server.create()
    yield server.address(name)
    server.drop(name)
