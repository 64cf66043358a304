"""What a 304 costs the running daemon, against a loop that only asks."""

from pathlib import Path

from benchmarks.daemon import ON_DEMAND, Daemon
from benchmarks.figures import Row, ms, times
from benchmarks.processes import Origin, output, python
from benchmarks.scale import Scale

HOSTS = 8  # a daemon's feeds are spread over many; at one they would take turns


def measure(scale: Scale, directory: Path) -> Row:
    """Compare CPU a feed, claim and outcome included, with that of ``httpx.Client.get``."""
    ratios: list[float] = []
    ours_s = bare_s = 0.0
    feeds = scale.quiet_feeds
    poll = ON_DEMAND.format(least=scale.least)
    with Origin({"tiny": feeds}) as origin:
        urls = directory / "urls"
        directory.mkdir()
        podcasts = origin.feeds(HOSTS)
        urls.write_text("".join(f"{url}\n" for url in podcasts.values()))
        with Daemon(directory, podcasts, poll=poll) as daemon:
            daemon.until_polled()
            for _ in range(scale.short_runs):
                cost, lines = daemon.sweep()
                assert {line["http"] for line in lines} == {304}
                ours_s = cost.cpu_s / feeds
                bare_s = float(output(python("bare_loop", str(urls)))) / feeds
                ratios.append(ours_s / bare_s)
    said = f"last run: {ms(ours_s)} and {ms(bare_s)} ms a feed, {feeds} feeds at {HOSTS} origins"
    return Row(
        "steady 304 in the running daemon: CPU",
        "a loop of `httpx.Client.get`",
        1.4,
        ratios,
        times,
        said,
    )
