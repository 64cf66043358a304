"""What is asked of the learned schedule at 24 polls a day, and whether it holds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from statistics import fmean, quantiles

from benchmarks.figures import table
from benchmarks.foresight.feeds import LATENT_SPACE, History
from benchmarks.foresight.replay import Outcome

PER_DAY = 24
SAMPLES = 2_000  # of as many feeds, drawn anew with replacement
WORSE = 0.02  # of the feeds may be worse than fixed

# What the phases of each feed came to, by the feed's name.
Found = Mapping[str, Sequence[Outcome]]

RATIOS: tuple[tuple[str, bool, Callable[[Outcome], float], float, float], ...] = (
    ("mean delay, ratio to fixed", False, Outcome.mean, 0.38, 0.30),
    ("median delay, ratio to fixed", False, Outcome.median, 0.25, 0.17),
    ("weekly shows, mean", True, Outcome.mean, 0.32, 0.26),
    ("weekly shows, median", True, Outcome.median, 0.20, 0.13),
)


def each(feeds: Sequence[Sequence[Outcome]], of: Callable[[Outcome], float]) -> list[float]:
    """Return each feed's figure, the mean of its phases."""
    return [fmean(map(of, phases)) for phases in feeds]


def targets(feeds: Sequence[History], ours: Found, uncapped: Found) -> str:
    """Return the table of what is asked and what was found.

    In brackets the 95 % interval of a mean over the feeds, by bootstrap.
    """
    columns = (
        ("all feeds", feeds, ours),
        ("looked at", [feed for feed in feeds if not feed.is_held_out], ours),
        ("held out", [feed for feed in feeds if feed.is_held_out], ours),
        ("all, uncapped", feeds, uncapped),
    )
    headings = ("at 24 polls a day", "target", "stretch", *(title for title, _, _ in columns))
    cells = [[*_cells(shown, found)] for _, shown, found in columns]
    asked = [
        *((name, f"≤ {target:.2f}", f"≤ {stretch:.2f}") for name, _, _, target, stretch in RATIOS),
        ("feeds worse than fixed", f"≤ {WORSE:.0%}", "0"),
        ("Latent Space, mean", "≤ 0.85", "≤ 0.75"),
    ]
    rows = ((*row, *(column[n] for column in cells)) for n, row in enumerate(asked))
    return f"**What is asked ({len(feeds)} feeds)**\n\n{table(headings, rows)}"


def _cells(feeds: Sequence[History], found: Found) -> Iterator[str]:
    for _, weekly, of, target, _ in RATIOS:
        ratios = each([found[f.name] for f in feeds if f.is_weekly or not weekly], of)
        yield f"{_mark(fmean(ratios), target)} ({_interval(ratios)})"
    means = each([found[feed.name] for feed in feeds], Outcome.mean)
    worse = sum(ratio > 1 for ratio in means)
    share = worse / len(means)
    yield f"{worse} of {len(means)}" if share <= WORSE else f"**{worse} of {len(means)}**"
    (latent,) = each([found[LATENT_SPACE]], Outcome.mean)
    yield _mark(latent, 0.85)


def _mark(ratio: float, target: float) -> str:
    """Return the ratio, bold where the target is missed."""
    return f"{ratio:.3f}" if ratio <= target else f"**{ratio:.3f}**"


def _interval(ratios: Sequence[float]) -> str:
    if len(ratios) < 2:
        return "one feed"
    chance = Random(0)
    means = [fmean(chance.choices(ratios, k=len(ratios))) for _ in range(SAMPLES)]
    least, *_, most = quantiles(means, n=40)
    return f"{least:.2f} to {most:.2f}"
