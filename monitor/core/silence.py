"""When a feed that answers has been without news for too long, judged by its own past."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil

NEWEST = 51  # episodes that are looked at: rhythms change
FEW_GAPS = 5  # of which nothing can be learned
LEAST = timedelta(days=7)  # a daily show has its holidays
MOST = timedelta(days=90)
ENDED = timedelta(days=365)  # a show that ended before it was followed is no news


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a feed may be silent, and what that was learned from."""

    after: timedelta
    gaps: int
    usual: timedelta  # 95 in 100 gaps were no longer
    longest: timedelta

    def __str__(self) -> str:
        """Return the explanation that goes into the log."""
        if self.gaps < FEW_GAPS:
            return f"{self.gaps} gaps tell nothing, so it may take {_days(self.after)}"
        return (
            f"of its last {self.gaps} gaps 95 % were within {_days(self.usual)}, the longest was"
            f" {_days(self.longest)}; it may take twice the former or the latter,"
            f" from {_days(LEAST)} to {_days(MOST)}"
        )


@dataclass(frozen=True, slots=True)
class Silence:
    since: datetime  # the newest episode came
    limit: Limit

    @property
    def reason(self) -> str:
        return f"no_news_in_{self.limit.after.days}d"


def silence(came: Sequence[datetime], now: datetime) -> Silence | None:
    """Return the silence that has lasted for too long, given when episodes came, in any order."""
    newest = sorted(came)[-NEWEST:]
    if not newest:
        return None
    found = Silence(newest[-1], limit(newest))
    return found if found.limit.after < now - found.since < ENDED else None


def limit(newest: Sequence[datetime]) -> Limit:
    """Return how long a feed may be silent whose last episodes came then, oldest first."""
    gaps = sorted(after - before for before, after in pairwise(newest))
    if len(gaps) < FEW_GAPS:
        return Limit(MOST, len(gaps), MOST, MOST)
    usual, longest = gaps[ceil(0.95 * len(gaps)) - 1], gaps[-1]
    return Limit(min(max(2 * usual, longest, LEAST), MOST), len(gaps), usual, longest)


def _days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):.1f} d"
