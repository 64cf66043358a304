"""A set of feeds imported cold, polled again with nothing new, and polled in vain: us and rivals."""

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.daemon import ON_DEMAND, Daemon
from benchmarks.figures import MB, TIMES, Row, ms, part, table, times
from benchmarks.processes import Cost, Counts, Origin, Rival
from benchmarks.scale import Scale

US = "podcast-monitor"
Poll = Literal["cold", "churn", "steady"]
SAYS = {
    "cold": "cold: an empty store, every item is new",
    "churn": "churn: only lastBuildDate changed, so every answer is a 200",
    "steady": "steady: nothing changed",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One program's poll of the whole set. The peak is beyond what the program needs at rest."""

    program: str
    poll: Poll
    cost: Cost
    counts: Counts
    loading_bytes: int = 0  # of the peak, what the first small feed brought: the parser's own code


def measure(scale: Scale, directory: Path) -> tuple[list[Row], str]:
    """Return the rows about whole sweeps, and a table of what each program cost."""
    with Origin(scale.feeds, scale.items) as origin:
        largest_bytes = max(body for body, _ in origin.command("sizes").values())
        runs = list(_runs(scale, directory, origin))
    feeds = len(origin.names)
    rows = [
        _ratio("re-poll, only lastBuildDate changed: CPU", runs, "churn", "script", 1 / 40),
        _ratio("the same", runs, "churn", "newsboat", 1 / 8),
        _ratio("cold import of the whole set: CPU", runs, "cold", "script", 0.5, show=times),
        _memory(runs, largest_bytes),
    ]
    return rows, _programs(runs, feeds)


# --- measuring ---------------------------------------------------------------------------


def _runs(scale: Scale, directory: Path, origin: Origin) -> Iterator[Run]:
    """Run every program in turn, again and again; the last import's stores are polled further."""
    for i in range(scale.runs):
        at = directory / str(i)
        rivals = [
            Rival(name, at / name, list(origin.feeds().values())) for name in sorted(scale.rivals)
        ]
        yield _import(scale, at / "us", origin)
        yield from _turns(rivals, "cold", origin)
    with _daemon(scale, at / "us", origin) as daemon:
        for i in range(scale.runs):
            origin.command("touch")
            yield _sweep(daemon, "churn", origin)
            yield from _turns(rivals, "churn", origin)
            yield _sweep(daemon, "steady", origin)
            if i == 0:  # no target hangs on it, and one of the rivals reads everything again
                yield from _turns(rivals, "steady", origin)


def _turns(rivals: Sequence[Rival], poll: Poll, origin: Origin) -> Iterator[Run]:
    for rival in rivals:
        print(f"{poll}: {rival.name}", file=sys.stderr)
        origin.counts()
        cost = rival.poll()
        yield Run(rival.name, poll, cost, origin.counts())


@contextmanager
def _daemon(scale: Scale, directory: Path, origin: Origin) -> Iterator[Daemon]:
    with Daemon(directory, origin.feeds(), poll=ON_DEMAND.format(least=scale.least)) as daemon:
        yield daemon


def _import(scale: Scale, directory: Path, origin: Origin) -> Run:
    """Import everything, from when the daemon rests, its first request still unanswered.

    What it parses apart, in processes of their own, counts as its CPU time, not as its memory.
    """
    print(f"cold: {US}", file=sys.stderr)
    origin.command("hold", *origin.names)
    origin.counts()
    with _daemon(scale, directory, origin) as daemon:
        origin.until_waiting()
        daemon.forget_peak()
        cpu_s, memory_bytes = daemon.cpu_s(), daemon.memory_bytes()
        origin.command("release")
        daemon.until("feed.polled", 1)
        loading_bytes = daemon.memory_bytes() - memory_bytes
        origin.command("open")
        daemon.until_polled()
        cpu_s = daemon.cpu_s() + daemon.children_cpu_s() - cpu_s
        cost = Cost(cpu_s, daemon.peak_bytes() - memory_bytes)
    return Run(US, "cold", cost, origin.counts(), loading_bytes)


def _sweep(daemon: Daemon, poll: Poll, origin: Origin) -> Run:
    print(f"{poll}: {US}", file=sys.stderr)
    origin.counts()
    cost, _ = daemon.sweep()
    return Run(US, poll, cost, origin.counts())


# --- what it comes to ----------------------------------------------------------------------


def _costs(runs: Sequence[Run], program: str, poll: Poll) -> list[Cost]:
    return [run.cost for run in runs if (run.program, run.poll) == (program, poll)]


def _ratio(
    metric: str,
    runs: Sequence[Run],
    poll: Poll,
    rival: str,
    limit: float,
    show: Callable[[float], str] = part,
) -> Row:
    ours, theirs = _costs(runs, US, poll), _costs(runs, rival, poll)
    values = [us.cpu_s / them.cpu_s for us, them in zip(ours, theirs, strict=bool(theirs))]
    said = "" if theirs else "not installed, or not asked for"
    return Row(metric, f"the {rival}" if rival == "script" else rival, limit, values, show, said)


def _memory(runs: Sequence[Run], largest_bytes: int) -> Row:
    ours, script = (
        [cost.peak_bytes / largest_bytes for cost in _costs(runs, name, "cold")]
        for name in (US, "script")
    )
    metric = "peak memory in that import, less memory at rest"
    loading = [r.loading_bytes / largest_bytes for r in runs if r.loading_bytes]
    said = f"script: {times(statistics.median(script))}"
    said += f"; of ours {times(statistics.median(loading))} after the first small feed"
    return Row(metric, "the largest document", 1.0, ours, times, said)


def _programs(runs: Sequence[Run], feeds: int) -> str:
    """Return a table of what each program cost: medians, start-up and memory at rest subtracted."""
    lines = []
    for program, poll in dict.fromkeys((run.program, run.poll) for run in runs):
        costs = _costs(runs, program, poll)
        counts = next(r.counts for r in runs[::-1] if (r.program, r.poll) == (program, poll))
        answers = ", ".join(f"{count} {TIMES} {status}" for status, count in counts.answers.items())
        cpu_s = statistics.median(cost.cpu_s for cost in costs)
        peak = statistics.median(cost.peak_bytes for cost in costs)
        figures = (ms(cpu_s / feeds), f"{peak / MB:.1f}", answers, str(counts.connections))
        lines.append((SAYS[poll], program, *figures, str(len(costs))))
    lines.sort(key=lambda line: tuple(SAYS.values()).index(line[0]))
    return table(
        ("poll", "program", "CPU ms a feed", "peak MB", "answers", "connections", "n"), lines
    )
