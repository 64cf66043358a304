"""What a campaign reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept in one history."""

    campaign: str
    seed: int
    what: str

    def __str__(self) -> str:
        again = f"python -m tests.campaigns {self.campaign} --seed {self.seed} --count 1"
        return f"{self.what}\n  again: {again}"


@dataclass(frozen=True, slots=True)
class Figures:
    campaign: str
    histories: int  # kills, images, points, histories: what ``unit`` says
    unit: str
    faults: Mapping[str, int] = field(default_factory=dict)  # by name
    violations: Sequence[Violation] = ()
    took_s: float = 0.0
