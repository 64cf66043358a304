"""Which episodes of a back catalogue are wanted when a podcast is polled for the first time.

A date in the future counts as now; an undated episode is the oldest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.core.model import ObservedEpisode


@dataclass(frozen=True, slots=True)
class Within:
    """Those published within *age* before the first poll."""

    age: timedelta


@dataclass(frozen=True, slots=True)
class Latest:
    """The *count* newest by published time, at a tie the first in the document. 0: none."""

    count: int


@dataclass(frozen=True, slots=True)
class Everything:
    """The whole back catalogue."""


Backfill = Within | Latest | Everything


def leaves_out(backfill: Backfill, published_at: datetime, baseline_at: datetime) -> bool:
    """Return whether an item seen only after the baseline is of what *backfill* leaves alone."""
    match backfill:
        case Everything():
            return False
        case Within(age):
            return published_at < baseline_at - age
    return published_at < baseline_at


def wanted(
    episodes: Sequence[ObservedEpisode], backfill: Backfill, now: datetime
) -> Iterable[tuple[ObservedEpisode, bool]]:
    """Pair each episode with whether *backfill* wants it.

    A date in the future counts as now. An episode without a date is the oldest: nobody can say
    that it is new, and a feed without dates must not have its whole back catalogue transcribed.
    """

    def age_of(episode: ObservedEpisode) -> timedelta:
        at = episode.published_at
        return timedelta.max if at is None else max(now - at, timedelta())

    match backfill:
        case Everything():
            return [(e, True) for e in episodes]
        case Within(age):
            return [(e, age_of(e) <= age) for e in episodes]
    newest = {e.guid for e in sorted(episodes, key=age_of)[: backfill.count]}
    return [(e, e.guid in newest) for e in episodes]
