"""A feed's past publications make its expected rate over the week. Pure.

The rate is a mixture of kernels on the hour of the week and of the day, weighed by how well each
predicts the history, times a factor by how long ago the last drop was. ``docs/cadence.md`` has the
formulas, what they were compared with, and what they gain. A *drop* is an episode, or several that
came at once. Positions in time are counted in cells of five minutes since a Monday.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate, chain, pairwise
from math import exp, inf, pi, sqrt

CELL = timedelta(minutes=5)
WEEK = timedelta(weeks=1) // CELL
DAY = timedelta(days=1) // CELL
HOUR = timedelta(hours=1) // CELL
MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
TOGETHER = 2.0  # cells: what comes within them is one drop
NEWEST = 64  # drops that are learned from: rhythms change
FEWEST = 3  # drops of which anything is learned
HALF_LIFE = 24  # drops, after which one counts half
KERNELS = (  # standard deviation, period
    *((cells, WEEK) for cells in (2.0, 9.0, 36.0, 108.0)),
    *((cells, DAY) for cells in (2.0, 9.0)),
)
REACH = 4.0  # standard deviations, beyond which a kernel is nothing
PRIOR = (*(0.2 for _ in KERNELS), 1.0)  # pseudo-counts of the kernels, and of an even rate
ROUNDS = 25  # of expectation and maximization
EDGES = tuple(  # of the buckets of age, in which the rate gets a factor of its own
    days * DAY
    for days in (0, 0.2, 0.4, 0.7, 0.9, 1.1, *(n + 0.5 for n in range(1, 9)), 10, 14, 20, 30)
)
PRIOR_DUE = 2.0  # drops seen and expected in each bucket, before any was
OFTEN = 2.0  # times the mean rate, from which an episode is expected


@dataclass(frozen=True, slots=True)
class Cadence:
    """A feed's expected rate: that of the week, times a factor by the *age* of the last drop.

    It is kept as what polls are placed by, the sums of the square roots of the weekly rate.
    """

    last: float  # drop's position
    per_week: float  # drops
    due: Sequence[float]  # factor in each bucket of age
    roots: Sequence[float]  # before each cell of the week, and of all: 16 kB

    def after(self, last: datetime) -> "Cadence":
        """Return the same rhythm, with another drop since."""
        return replace(self, last=position(last))

    def rate(self, x: float) -> float:
        """Return how many drops are expected in the cell at *x*, if none comes before."""
        cell = int(x) % WEEK
        root = self.roots[cell + 1] - self.roots[cell]
        return root * root * self.due[_bucket(x - self.last)]

    def mass(self, begin: float, end: float) -> float:
        """Return the sum of the square roots of the rate from *begin* to *end*."""
        total = 0.0
        for stretch_end, due in self._stretches(begin):
            until = min(stretch_end, end)
            total += sqrt(due) * (self._root(until) - self._root(begin))
            begin = until
            if begin == end:
                break
        return total

    def when(self, begin: float, mass: float) -> float:
        """Return the position at which the mass since *begin* is *mass*: the inverse of ``mass``."""
        for until, due in self._stretches(begin):
            root = self._root(begin) + mass / sqrt(due)
            if until == inf or root <= self._root(until):
                break
            mass -= sqrt(due) * (self._root(until) - self._root(begin))
            begin = until
        return self._where(root)

    def _stretches(self, x: float) -> Iterator[tuple[float, float]]:
        """Yield the ends of the stretches of one factor from *x* on, and the factor."""
        first = _bucket(x - self.last)
        ends = chain((self.last + edge for edge in EDGES[first + 1 :]), (inf,))
        return zip(ends, self.due[first:], strict=True)

    def _root(self, x: float) -> float:
        weeks, within = divmod(x, WEEK)
        cell = int(within)
        part = (within - cell) * (self.roots[cell + 1] - self.roots[cell])
        return weeks * self.roots[WEEK] + self.roots[cell] + part

    def _where(self, root: float) -> float:
        weeks, within = divmod(root, self.roots[WEEK])
        cell = min(bisect_right(self.roots, within), WEEK) - 1
        part = (within - self.roots[cell]) / (self.roots[cell + 1] - self.roots[cell])
        return weeks * WEEK + cell + part

    def expected(self, x: float) -> tuple[float, float] | None:
        """Return the hours around *x* in which drops are expected; None: hardly any is.

        In each of them come at least twice as many as in the mean hour.
        """
        often = OFTEN * self.per_week / WEEK * HOUR
        begin = x // HOUR * HOUR
        if self._in_hour(begin) < often:
            return None
        end = begin + HOUR
        while end - begin < DAY and self._in_hour(begin - HOUR) >= often:
            begin -= HOUR
        while end - begin < DAY and self._in_hour(end) >= often:
            end += HOUR
        return begin, end

    def _in_hour(self, begin: float) -> float:
        return sum(self.rate(begin + cell) for cell in range(HOUR))


def position(at: datetime) -> float:
    return (at - MONDAY) / CELL


def instant(x: float) -> datetime:
    return MONDAY + x * CELL


def _bucket(age: float) -> int:
    return max(bisect_right(EDGES, age) - 1, 0)  # a clock that was set back makes it negative


def fit(came: Sequence[datetime]) -> Cadence | None:
    """Return the cadence of a feed whose episodes came then, in any order; None: too few to tell.

    It takes about 15 ms; what is learned changes with the newest drop only.
    """
    drops = _drops(came)
    if len(drops) < FEWEST:
        return None
    weights = [0.5 ** (rank / HALF_LIFE) for rank in reversed(range(len(drops)))]
    gaps = [after - before for before, after in pairwise(drops)]
    mean_gap = _dot(gaps, weights[1:]) / sum(weights[1:])
    density = _density(drops, weights, _parts(drops, weights))
    rates = [WEEK / mean_gap * each for each in density]
    return Cadence(
        drops[-1],
        WEEK / mean_gap,
        array("d", _due(drops, rates)),
        array("d", accumulate(map(sqrt, rates), initial=0.0)),
    )


def _drops(came: Sequence[datetime]) -> list[float]:
    """Return the positions of the newest drops, oldest first."""
    drops: list[float] = []
    for x in sorted(map(position, came)):
        if not drops or x - drops[-1] >= TOGETHER:
            drops.append(x)
    return drops[-NEWEST:]


def _parts(drops: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return how much of the rate each kernel has, and the even rate.

    By expectation and maximization of the likelihood of each drop under all the others.
    """
    columns = [_left_out(drops, weights, *kernel) for kernel in KERNELS]
    rows = [*zip(*columns, [1 / WEEK] * len(drops), strict=True)]
    parts = [1 / len(PRIOR)] * len(PRIOR)
    for _ in range(ROUNDS):
        counts = [*PRIOR]
        for weight, row in zip(weights, rows, strict=True):
            share = weight / _dot(parts, row)
            counts = [c + share * p * d for c, p, d in zip(counts, parts, row, strict=True)]
        parts = [count / sum(counts) for count in counts]
    return parts


def _left_out(
    drops: Sequence[float], weights: Sequence[float], width: float, period: int
) -> list[float]:
    """Return the density of a kernel at each drop, made of the others."""
    sums = [0.0] * len(drops)
    for i, x in enumerate(drops):
        for j in range(i):
            apart = (x - drops[j]) % period
            apart = min(apart, period - apart)
            if apart < REACH * width:
                near = _kernel(apart, width, period)
                sums[i] += weights[j] * near
                sums[j] += weights[i] * near
    total = sum(weights)
    return [s / (total - weight) for s, weight in zip(sums, weights, strict=True)]


def _density(
    drops: Sequence[float], weights: Sequence[float], parts: Sequence[float]
) -> list[float]:
    """Return the density in each cell of the week; they add up to 1."""
    total = sum(weights)
    curves = {WEEK: [parts[-1] / WEEK] * WEEK, DAY: [0.0] * DAY}
    for (width, period), part in zip(KERNELS, parts[:-1], strict=True):
        curve = curves[period]
        reach = int(REACH * width)
        shape = [_kernel(n, width, period) for n in range(-reach, reach + 1)]
        for x, weight in zip(drops, weights, strict=True):
            share = part * weight / total
            for cell, near in enumerate(shape, int(x) - reach):  # as if in the middle of its cell
                curve[cell % period] += share * near
    days = curves[DAY] * (WEEK // DAY)
    return [a + b for a, b in zip(curves[WEEK], days, strict=True)]


def _kernel(apart: float, width: float, period: int) -> float:
    """Return a Gaussian's density a cell, of a week; one with a shorter period has several tops."""
    return exp(-0.5 * (apart / width) ** 2) / (width * sqrt(2 * pi)) * (period / WEEK)


def _due(drops: Sequence[float], rates: Sequence[float]) -> list[float]:
    """Return drops seen to drops expected by the weekly rate, in each bucket of age."""
    sums = [*accumulate(rates, initial=0.0)]

    def until(x: float) -> float:
        weeks, within = divmod(x, WEEK)
        return weeks * sums[WEEK] + sums[int(within)]

    seen, expected = ([PRIOR_DUE] * len(EDGES) for _ in range(2))
    for before, after in pairwise(drops):
        last = _bucket(after - before)
        seen[last] += 1
        bounds = [*(before + edge for edge in EDGES[: last + 1]), after]
        for n, (begin, end) in enumerate(pairwise(bounds)):
            expected[n] += until(end) - until(begin)
    return [s / e for s, e in zip(seen, expected, strict=True)]


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
