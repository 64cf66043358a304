"""A feed lived through again, under a policy that knows only what its polls have found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from statistics import fmean, median

from benchmarks.foresight.feeds import History

DAY = timedelta(days=1)
PHASE = timedelta(hours=1)  # within which a feed's times are shifted: nobody profits by full hours
DRIFT = timedelta(minutes=1)  # by which a poll is late at most, as the scheduler has it


# When to poll next, given now and the drops that were found so far, oldest first.
Policy = Callable[[datetime, Sequence[datetime]], datetime]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one feed under one policy."""

    delays_s: Sequence[float]
    per_day: float  # polls

    # Of a fixed interval at the same number of polls these three are 1, at a random phase.

    def mean(self) -> float:
        return fmean(self.delays_s) * self.per_day / 43_200

    def median(self) -> float:
        return median(self.delays_s) * self.per_day / 43_200

    def p90(self) -> float:
        return sorted(self.delays_s)[int(0.9 * len(self.delays_s))] * self.per_day / 77_760

    def minutes(self) -> float:
        return fmean(self.delays_s) / 60

    def polls(self) -> float:
        return self.per_day


def replay(
    history: History,
    contender: Callable[[int, Sequence[datetime]], Policy],
    per_day: int,
    chance: Random,
) -> Outcome:
    """Train on the first half, then walk through the second; what is found is known from then on.

    A drop's time is taken as what a program can know: the later of its date and the last poll that
    did not see it.
    """
    shift = chance.random() * PHASE
    drops = [drop + shift for drop in history.drops]
    half = len(drops) // 2
    found, coming = drops[:half], drops[half:]
    policy = contender(per_day, coming)
    began = now = drops[half - 1] + chance.random() * PHASE
    delays_s: list[float] = []
    polls = 0
    while coming[len(delays_s) :]:
        before, now = now, policy(now, found) + chance.random() * DRIFT
        polls += 1
        while len(delays_s) < len(coming) and coming[len(delays_s)] <= now:
            drop = coming[len(delays_s)]
            delays_s.append((now - drop).total_seconds())
            found.append(max(drop, before))
    return Outcome(delays_s, polls / ((now - began) / DAY))
