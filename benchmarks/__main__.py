"""``make bench``: measures podcast-monitor against its targets and its rivals, and prints tables."""

import argparse
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import head, latency, parts, steady, sweeps
from benchmarks.figures import HEADINGS, Row, put, table
from benchmarks.processes import installed
from benchmarks.scale import FULL, SMOKE, Scale

PACKAGES = ("httpx", "httpx-aiohttp", "aiohttp", "feedparser", "sqlalchemy", "reader")


def main() -> None:
    options = _options()
    scale = SMOKE if options.smoke else FULL
    rivals = scale.rivals & set(installed())
    began = time.monotonic()
    with TemporaryDirectory(prefix="podcast-monitor-bench-") as directory:
        rows, programs = measure(replace(scale, rivals=rivals), Path(directory))
    took_s = time.monotonic() - began
    text = "\n\n".join([table(HEADINGS, (row.cells() for row in rows)), programs, _where(took_s)])
    print(text)
    if options.write is not None:
        put("bench", text, options.write)


def measure(scale: Scale, directory: Path) -> tuple[list[Row], str]:
    """Return a row for each target, and the table of what each program cost."""
    _tell("sweeps")
    [script, newsboat, cold, memory], programs = sweeps.measure(scale, directory / "sweeps")
    _tell("head polls")
    little = head.measure(scale, directory / "head")
    _tell("parts")
    one_new, books = parts.parsing(scale), parts.bookkeeping(scale)
    _tell("304s")
    quiet = steady.measure(scale, directory / "steady")
    _tell("requests")
    delay = latency.measure(scale, directory / "latency")
    rows = [script, newsboat, little, one_new, quiet, cold, memory, books, *delay]
    return rows, programs


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: do all parts work?")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into a page")
    return parser.parse_args()


def _where(took_s: float) -> str:
    """Return what the figures hang on."""
    packages = ", ".join(_versions())
    load = Path("/proc/loadavg").read_text().split()[1]
    python = f"CPython {platform.python_version()}"
    return f"{took_s / 60:.0f} minutes, load {load} at the end; {python}, {packages}."


def _versions() -> Iterator[str]:
    for name in PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            yield f"{name} not installed"


def _tell(what: str) -> None:
    print(f"measuring: {what}", file=sys.stderr)


if __name__ == "__main__":
    main()
