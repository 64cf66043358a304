"""Two parts of the daemon by themselves: reading a document, and keeping the books."""

import json
import statistics
from collections.abc import Sequence

from benchmarks.figures import Row, ms, part, times
from benchmarks.processes import output, python
from benchmarks.scale import Scale


def parsing(scale: Scale) -> Row:
    """Compare one new episode in the 15 MB document with feedparser on the whole."""
    items = scale.items.get("transcripts")
    arguments = [str(scale.runs), *([str(items)] if items else [])]
    runs = json.loads(output(python("parse_one", *arguments)))
    ratios = [ours / whole for ours, whole in runs]
    ours_s, whole_s = (statistics.median(column) for column in zip(*runs, strict=True))
    said = f"{ms(ours_s)} and {ms(whole_s)} ms"
    metric = "one new episode in the 15 MB document: CPU"
    return Row(metric, "feedparser on the whole", 1 / 75, ratios, part, said)


def bookkeeping(scale: Scale) -> Row:
    """Compare a sweep's transactions through the store with the same through sqlite3."""
    sweeps = json.loads(output(python("keep_books", str(scale.short_runs))))
    ratios = [_ratio(list(sweep.values())) for sweep in sweeps]
    parts = {
        name: statistics.median(_ratio([sweep[name]]) for sweep in sweeps) for name in sweeps[0]
    }
    said = ", ".join(f"{name} {times(ratio)}" for name, ratio in parts.items())
    return Row("bookkeeping of a sweep: CPU", "the same through sqlite3", 2.0, ratios, times, said)


def _ratio(costs: Sequence[Sequence[float]]) -> float:
    ours_s, bare_s = map(sum, zip(*costs, strict=True))
    return ours_s / bare_s
