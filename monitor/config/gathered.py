"""What was found in all sources together, and what is wrong with it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KeyPath = tuple[str | int, ...]  # ("podcasts", 0, "poll", "min")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that the operator has to put right."""

    origin: str  # a file, a variable or a credential
    key: str  # podcasts[0].poll.min; empty where the variable itself is not known
    what: str  # is wrong, and what to write instead; holds no secret

    def __str__(self) -> str:
        """Return one line, whatever control characters a key or a file's name holds."""
        line = ": ".join(filter(None, (self.origin, self.key, self.what)))
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def is_there(file: Path) -> bool:
    """Return whether there is something to read; what cannot even be looked at will say why."""
    try:
        return file.exists()
    except OSError:  # such as a directory that this user may not enter
        return True


def dotted(path: KeyPath) -> str:
    """Return a path as operators read it: podcasts[0].poll.min."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that was found, not yet checked."""

    file: Path
    data: dict[str, Any]
    origins: dict[KeyPath, str] = field(default_factory=dict)  # path → not the file
    mistakes: list[Mistake] = field(default_factory=list)

    def origin(self, path: KeyPath) -> str:
        """Return the variable, the credential or the file that *path* came from.

        Of a table that the file shares with variables, it is the first variable: it came last.
        """
        above = [path[:length] for length in range(len(path), 0, -1)]
        below = [p for p in self.origins if p[: len(path)] == path]
        return next((self.origins[p] for p in above + below if p in self.origins), str(self.file))

    def mistake(self, path: KeyPath, what: str) -> None:
        self.mistakes.append(Mistake(self.origin(path), dotted(path), what))
