"""How much of the 15 MB feed a poll without news reads, and how much its publisher sends."""

import statistics
from pathlib import Path

from benchmarks.daemon import ON_DEMAND, Daemon
from benchmarks.figures import Row, percent
from benchmarks.processes import Origin
from benchmarks.scale import Scale

WHOLE = 2  # documents that are read whole before the head is enough, the first apart


def measure(scale: Scale, directory: Path) -> Row:
    """Compare with the body as it is on the wire, gzipped."""
    with Origin({"transcripts": 1}, scale.items) as origin:
        poll = ON_DEMAND.format(least=scale.least)
        with Daemon(directory, origin.feeds(), poll=poll) as daemon:
            daemon.until_polled()
            read, sent = zip(
                *(_visit(origin, daemon) for _ in range(WHOLE + scale.short_runs)), strict=True
            )
        [(_, wire_bytes)] = origin.command("sizes").values()
    shares = [count / wire_bytes for count in read[WHOLE:]]
    most_sent = statistics.median(sent[WHOLE:]) / wire_bytes
    said = f"of {wire_bytes:,} bytes; the server sent {percent(most_sent)}"
    return Row(
        "head poll of the 15 MB feed without news: bytes read",
        "its body",
        0.02,
        shares,
        percent,
        said,
    )


def _visit(origin: Origin, daemon: Daemon) -> tuple[int, int]:
    """Poll once after a change of lastBuildDate; return the bytes read, and the bytes sent."""
    origin.command("touch")
    origin.counts()
    _, [line] = daemon.sweep()
    return line["bytes"], origin.counts().sent_bytes
