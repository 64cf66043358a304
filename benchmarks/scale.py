"""How much is measured: in full, or just enough to see that every part works."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    feeds: Mapping[str, int]  # of each kind, in the set that is imported and swept
    items: Mapping[str, int]  # of a feed of each kind, where not as many as usual
    runs: int  # of what takes tens of seconds
    short_runs: int  # of what takes one
    quiet_feeds: int  # that all answer 304
    imports: int  # beside which requests are timed
    least: (
        str  # the shortest interval of a podcast: the daemon's ticks are ten times as fast, to 5 s
    )
    rivals: frozenset[str]


FULL = Scale(
    feeds={"small": 100, "medium": 10, "large": 1},
    items={},
    runs=3,
    short_runs=7,
    quiet_feeds=500,
    imports=60,
    least="1m",
    rivals=frozenset({"script", "newsboat", "reader"}),
)
SMOKE = Scale(
    feeds={"small": 2, "large": 1},
    items={"small": 3, "large": 10, "transcripts": 80},
    runs=1,
    short_runs=1,
    quiet_feeds=3,
    imports=2,
    least="1s",
    rivals=frozenset({"script"}),
)
