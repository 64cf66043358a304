"""``make foresight``: replays when real episodes came, and prints how late each policy finds them."""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from random import Random
from statistics import fmean

from benchmarks.figures import put, table
from benchmarks.foresight.feeds import LATENT_SPACE, SHARED, History, histories, latent_space
from benchmarks.foresight.policies import CONTENDERS, OURS, UNCAPPED
from benchmarks.foresight.replay import Outcome, replay
from benchmarks.foresight.targets import PER_DAY, each, targets

BUDGETS = (12, 24, 48, 96)
LATENT_PHASES = 8  # its figure is of few drops
MARK = "foresight"

Key = tuple[str, int, str]  # policy, polls a day, feed


def main() -> None:
    options = _options()
    if not SHARED.exists():
        sys.exit(f"{SHARED.name}: the publish times are not beside this checkout")
    feeds = [*histories()][:: options.every]
    shown = {
        "All feeds": feeds,
        "of them weekly": [feed for feed in feeds if feed.is_weekly],
        "Feeds held out": [feed for feed in feeds if feed.is_held_out],
        "of those weekly": [feed for feed in feeds if feed.is_held_out and feed.is_weekly],
        "Latent Space": [latent_space()],
    }
    outcomes = _outcomes([*feeds, latent_space()], options.budgets)
    parts = [_part(*part, options.budgets, outcomes) for part in shown.items() if part[1]]
    if PER_DAY in options.budgets:
        parts.insert(0, targets(feeds, *(_of(outcomes, name) for name in (OURS, UNCAPPED))))
    text = "\n\n".join(parts)
    print(text)
    if options.write is not None:
        put(MARK, text, options.write)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.foresight", description=__doc__)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS, help="polls a day")
    parser.add_argument("--every", type=int, default=1, help="only one feed in so many")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into a page")
    return parser.parse_args()


def _outcomes(feeds: Sequence[History], budgets: Sequence[int]) -> dict[Key, list[Outcome]]:
    """Replay every feed under every policy, on all processors."""
    tasks = [*product(CONTENDERS, budgets, feeds)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(_replayed, tasks, chunksize=8)
        return {(p, n, feed.name): found for (p, n, feed), found in zip(tasks, done, strict=True)}


def _replayed(task: tuple[str, int, History]) -> list[Outcome]:
    name, per_day, feed = task
    phases = LATENT_PHASES if feed.name == LATENT_SPACE else 1
    return [
        replay(feed, CONTENDERS[name], per_day, Random(f"{feed.name} {phase}"))
        for phase in range(phases)
    ]


def _part(
    title: str,
    feeds: Sequence[History],
    budgets: Sequence[int],
    outcomes: dict[Key, list[Outcome]],
) -> str:
    headings = ("policy", *(f"{n} a day" for n in budgets))
    rows = (
        (name, *(_cell([outcomes[name, n, feed.name] for feed in feeds]) for n in budgets))
        for name in CONTENDERS
    )
    return f"**{title} ({len(feeds)})**\n\n{table(headings, rows)}"


def _cell(feeds: Sequence[Sequence[Outcome]]) -> str:
    """Return mean / median / p90 as ratios, the mean delay, the polls, and feeds worse than fixed."""
    mean, middle, late = (
        fmean(each(feeds, of)) for of in (Outcome.mean, Outcome.median, Outcome.p90)
    )
    minutes, polls = fmean(each(feeds, Outcome.minutes)), fmean(each(feeds, Outcome.polls))
    worse = sum(ratio > 1 for ratio in each(feeds, Outcome.mean))
    return f"{mean:.2f} / {middle:.2f} / {late:.2f} ({minutes:.1f} min, {polls:.0f} polls, {worse})"


def _of(outcomes: dict[Key, list[Outcome]], policy: str) -> dict[str, list[Outcome]]:
    return {feed: found for (p, n, feed), found in outcomes.items() if (p, n) == (policy, PER_DAY)}


if __name__ == "__main__":
    main()
