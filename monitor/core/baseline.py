"""Which episodes of a back catalogue are wanted when a podcast is polled for the first time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from monitor.core.model import ObservedEpisode


@dataclass(frozen=True, slots=True)
class Within:
    """Those published within *age* before the first poll. Undated ones are not."""

    age: timedelta


@dataclass(frozen=True, slots=True)
class Latest:
    """The *count* newest by published time; undated ones are the oldest. 0: none."""

    count: int


@dataclass(frozen=True, slots=True)
class Everything:
    """The whole back catalogue."""


Backfill = Within | Latest | Everything

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def wanted(
    episodes: Sequence[ObservedEpisode], backfill: Backfill, now: datetime
) -> Iterable[tuple[ObservedEpisode, bool]]:
    """Pair each episode with whether *backfill* wants it."""
    match backfill:
        case Everything():
            return [(e, True) for e in episodes]
        case Within(age):
            return [
                (e, e.published_at is not None and e.published_at >= now - age) for e in episodes
            ]
        case Latest(count):
            by_date = sorted(episodes, key=lambda e: e.published_at or _LONG_AGO, reverse=True)
            newest = {e.guid for e in by_date[:count]}
            return [(e, e.guid in newest) for e in episodes]
