"""From a changed feed asked for to the POST received, while a cold import runs beside it."""

import math
import statistics
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from benchmarks.daemon import Daemon
from benchmarks.figures import Row, ms, seconds, times
from benchmarks.processes import Origin, output, python
from benchmarks.scale import Scale

CHANGING = 20  # small feeds that bring news in turn
BARE_ROUNDS = 3
OFTEN = '{ min = "200ms", max = "200ms", per_day = 1000000 }'
LOOK_EVERY_S = 0.005


def measure(scale: Scale, directory: Path) -> list[Row]:
    """Time both on the origin's clock; the bare requests are alone on the machine."""
    with Origin({"small": CHANGING, "large": 1}, scale.items) as origin:
        changing = origin.names[:CHANGING]
        bare_s = statistics.median(_bare(origin, changing))
        origin.command("hold", "large-0")
        feeds = {name: f"{origin.base_url()}/{name}.rss" for name in changing}
        imports = [f"large-{i}" for i in range(scale.imports)]
        feeds |= {name: f"{origin.base_url(2)}/large-0.rss?copy={name}" for name in imports}
        stenobird = origin.base_url(1)
        with Daemon(directory, feeds, stenobird=stenobird, mode="live", poll=OFTEN) as daemon:
            daemon.until_all_polled(changing)
            took_s = list(_requests(origin, daemon, changing, imports))
    said = f"bare: {ms(bare_s)} ms; {len(took_s)} requests beside {len(imports)} imports"
    ratios = [took / bare_s for took in took_s]
    metric = "changed small feed asked for → POST received, an import beside it"
    worst_s = sorted(took_s)[math.ceil(0.99 * len(took_s)) - 1]
    return [
        Row(metric, "a bare GET + GET + POST", 5.0, ratios, times, said),
        Row("the same, 99th percentile", "", 1.0, [worst_s], seconds),
    ]


def _bare(origin: Origin, names: list[str]) -> Iterator[float]:
    for _ in range(BARE_ROUNDS):
        origin.command("publish", *names)
        output(python("bare_request", origin.base_url(), *names))
        yield from (took_s for [took_s] in origin.command("posts").values())


def _requests(
    origin: Origin, daemon: Daemon, changing: list[str], imports: list[str]
) -> Iterator[float]:
    """Let one feed after the other bring an episode, for as long as imports are under way."""
    for name in cycle(changing):
        if not _importing(origin, daemon, imports):
            return
        origin.command("publish", name)
        while not (posts := origin.command("posts")):
            _importing(origin, daemon, imports)
            time.sleep(LOOK_EVERY_S)
        yield posts[name][0]


def _importing(origin: Origin, daemon: Daemon, imports: list[str]) -> bool:
    """Begin the next import, if none is under way; return whether there was one to begin."""
    ended = daemon.polled(imports)
    if len(ended) == len(imports):
        return False
    if origin.command("released") == len(ended):
        origin.until_waiting()
        origin.command("release")
    return True
