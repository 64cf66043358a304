"""What must have become of every episode, in a few lines: no code of the daemon's is used.

An episode is known by podcast and guid. What is new when it appears is wanted; what is old is
held until a person releases it. A person may skip what was not taken yet, and ask anew for what
is over. In the end what is wanted is as Stenobird has it.
"""

from dataclasses import dataclass, field
from typing import Literal

Key = tuple[str, str]  # podcast, guid
Status = Literal["held", "wanted", "skipped"]


@dataclass
class Expected:
    status: Status
    generation: int = 1


@dataclass
class Model:
    episodes: dict[Key, Expected] = field(default_factory=dict)

    def publish(self, key: Key, *, old: bool) -> None:
        self.episodes[key] = Expected("held" if old else "wanted")

    def decide(self, key: Key, verb: str) -> None:
        """A person's verb had an effect."""
        expected = self.episodes[key]
        match verb:
            case "request" | "release":
                expected.status = "wanted"
            case "skip":
                expected.status = "skipped"
            case "requeue":
                expected.status = "wanted"
                expected.generation += 1

    def may_be(self, key: Key) -> set[str]:
        """Return the statuses that its newest request may have when all is quiet."""
        status = self.episodes[key].status
        return {"processed", "failed"} if status == "wanted" else {status}
