"""What was measured, as tables."""

import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

MB = 1_000_000
TIMES = "×"  # noqa: RUF001 - the multiplication sign is meant
HEADINGS = ("metric", "against", "target", "median", "spread", "n", "met", "beside it")


@dataclass(frozen=True, slots=True)
class Row:
    """One metric against its target: the median of *values* must not be above *limit*."""

    metric: str
    against: str
    limit: float
    values: Sequence[
        float
    ]  # one a run, each a ratio of two figures of that run; empty: not measured
    show: Callable[[float], str]
    said: str = ""  # beside the figures

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def cells(self) -> tuple[str, ...]:
        target = f"≤ {self.show(self.limit)}"
        if not self.values:
            return (self.metric, self.against, target, "not measured", "", "0", "", self.said)
        spread = f"{self.show(min(self.values))} … {self.show(max(self.values))}"
        met = "yes" if self.median <= self.limit else "**no**"
        n = str(len(self.values))
        return (
            self.metric,
            self.against,
            target,
            self.show(self.median),
            spread,
            n,
            met,
            self.said,
        )


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown that can be read as it is."""
    lines = [tuple(headings), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))
    padded = (
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
    return "\n".join(f"| {line} |" for line in padded)


def put(name: str, text: str, page: Path) -> None:
    """Write *text* into a page, between the marks of that name."""
    block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    page.write_text(block.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page.read_text()))


def part(ratio: float) -> str:
    """Show a small ratio as a fraction: 0.025 is 1/40."""
    return f"1/{1 / ratio:.0f}" if 0 < ratio < 1 else times(ratio)


def times(ratio: float) -> str:
    return f"{ratio:.2f} {TIMES}"


def percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")


def seconds(value_s: float) -> str:
    return f"{value_s:.2f} s"


def ms(value_s: float) -> str:
    return f"{value_s * 1000:,.2f}"
