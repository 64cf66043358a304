"""When the episodes of real feeds came: what the policies are tried on."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from statistics import median

SHARED = Path(__file__).parents[3] / "shared" / "feeds"
FEWEST = 60  # publish times of a feed
NEWEST = 200  # drops of it
TOGETHER = timedelta(minutes=10)
LEAST_SPAN = timedelta(days=30)
ALIKE = 0.3  # of a feed's times also another's: it is the same show
WEEKLY = (timedelta(days=5), timedelta(days=9))  # median gap
LATENT_SPACE = "Latent Space"


@dataclass(frozen=True, slots=True)
class History:
    """A feed's drops, oldest first; the second half of them is to be found."""

    name: str
    drops: Sequence[datetime]

    @property
    def is_weekly(self) -> bool:
        """Whether it comes weekly, and not by a generator that writes one time of day."""
        gap = median(after - before for before, after in pairwise(self.drops))
        times = [drop.time() for drop in self.drops]
        nominal = max(map(times.count, times)) >= 0.9 * len(times)
        return WEEKLY[0] <= gap <= WEEKLY[1] and not nominal

    @property
    def is_held_out(self) -> bool:
        """Whether it is of the third that nothing was tuned on, by a hash of its name."""
        return sha256(self.name.encode()).digest()[0] % 3 == 0


def histories(shared: Path = SHARED) -> Iterator[History]:
    """Yield the histories that are long enough, each show once."""
    kept: list[set[datetime]] = []
    for path in sorted((shared / "publish_times").glob("*.txt")):
        times = {datetime.fromisoformat(line) for line in path.read_text().split()}
        if len(times) < FEWEST or any(_alike(times, other) for other in kept):
            continue
        drops = _drops(sorted(times))
        if drops[-1] - drops[0] >= LEAST_SPAN:
            kept.append(times)
            yield History(path.stem, drops[-NEWEST:])


def latent_space(shared: Path = SHARED) -> History:
    """Return the drops of Latent Space whose time is known to the second.

    What is known by its date alone would leave silences: each is closed by whole weeks.
    """
    drops: list[datetime] = []
    closed, skipped = timedelta(), False
    with (shared / "latent_space_episodes.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["published_precision"] != "second":
                skipped = True
                continue
            at = datetime.fromisoformat(row["published_utc"]).astimezone(UTC) - closed
            if skipped and drops:
                weeks = max((at - drops[-1]) // timedelta(weeks=1) - 1, 0) * timedelta(weeks=1)
                closed, at = closed + weeks, at - weeks
            skipped = False
            drops.append(at)
    return History(LATENT_SPACE, _drops(drops))


def _alike(times: set[datetime], other: set[datetime]) -> bool:
    return len(times & other) > ALIKE * min(len(times), len(other))


def _drops(times: Sequence[datetime]) -> list[datetime]:
    drops: list[datetime] = []
    for at in times:
        if not drops or at - drops[-1] >= TOGETHER:
            drops.append(at)
    return drops
