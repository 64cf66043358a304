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
    podcasts: tuple[int, ...]  # of one daemon, in the page on scaling
    books: tuple[int, int]  # feeds and committed events of its big database


FULL = Scale(
    feeds={"small": 100, "medium": 10, "large": 1},
    items={},
    runs=3,
    short_runs=7,
    quiet_feeds=500,
    imports=60,
    least="1m",
    rivals=frozenset({"script", "newsboat", "reader"}),
    podcasts=(1, 100, 1_000, 10_000),
    books=(10_000, 1_000_000),
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
    podcasts=(1, 3),
    books=(20, 200),
)
