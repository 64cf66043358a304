"""``python -m tests.campaigns [NAME…] [--seed N] [--count N] [--write FILE]``: lives campaigns.

Without names all of them, at their full length (``make chaos``). Prints the seeds, then one table;
with ``--write`` the table also replaces what stands in FILE between the two marks. Ends with 1 where
a promise was broken; each violation comes with the command that repeats it.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from random import SystemRandom

from tests.campaigns.figures import Figures

SEEDS = 1_000_000
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
HEAD = "| campaign | lived | faults | violations | seconds |\n| --- | ---: | --- | ---: | ---: |"


@dataclass(frozen=True, slots=True)
class Campaign:
    module: str  # imported when it is lived: most tests need none
    function: str  # (count, seed) -> Figures
    count: int  # at full length
    unit: str

    def live(self, count: int, seed: int) -> Figures:
        run: Callable[[int, int], Figures] = getattr(import_module(self.module), self.function)
        return run(count, seed)


CAMPAIGNS: Mapping[str, Campaign] = {
    "kills-warm": Campaign("tests.campaigns.kills", "warm", 5_000, "kills"),
    "kills-cold": Campaign("tests.campaigns.kills", "cold", 300, "kills"),
    "simulation": Campaign("tests.campaigns.simulation", "run", 60, "histories"),
    "images": Campaign("tests.campaigns.disk", "images", 20_000, "images"),
    "syscalls": Campaign("tests.campaigns.syscalls", "syscalls", 100_000, "points"),
    "restarts": Campaign("tests.campaigns.servers", "restarts", 50, "restarts"),
    "cuts": Campaign("tests.campaigns.servers", "cuts", 1_000, "cuts"),
    "endurance": Campaign("tests.campaigns.endurance", "run", 100_000, "polls"),
    "mutants": Campaign("tests.campaigns.mutants", "run", 12, "planted bugs"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; return the exit status."""
    asked = _parser().parse_args(arguments)
    seed = SystemRandom().randrange(SEEDS) if asked.seed is None else asked.seed
    lived = list(_live(asked.names or CAMPAIGNS, seed, asked.count))
    text = table(lived)
    _say(f"\n{text}")
    if asked.write is not None:
        asked.write.write_text(replaced(asked.write.read_text(encoding="utf-8"), text), "utf-8")
    return 1 if any(figures.violations for figures in lived) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    known = f"of {', '.join(CAMPAIGNS)}"
    parser.add_argument("names", nargs="*", metavar="NAME", type=_campaign, help=known)
    parser.add_argument("--seed", type=int, help="of the first history; a random one if left out")
    parser.add_argument(
        "--count", type=int, help="how many; each campaign's full length if left out"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table there, too")
    return parser


def _campaign(name: str) -> str:
    if name not in CAMPAIGNS:
        raise argparse.ArgumentTypeError(f"no campaign {name!r}: there are {', '.join(CAMPAIGNS)}")
    return name


def _live(names: Iterable[str], seed: int, count: int | None) -> Iterable[Figures]:
    for name in names:
        campaign = CAMPAIGNS[name]
        lives = campaign.count if count is None else count
        _say(f"{name}: {lives} {campaign.unit} from seed {seed}")
        figures = campaign.live(lives, seed)
        for violation in figures.violations:
            _say(f"  {violation}")
        yield figures


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


# --- the table -----------------------------------------------------------------------------


def table(lived: Iterable[Figures]) -> str:
    """Return the figures as a Markdown table."""
    return "\n".join((HEAD, *map(_row, lived)))


def _row(figures: Figures) -> str:
    most_first = sorted(figures.faults.items(), key=lambda fault: (-fault[1], fault[0]))
    faults = ", ".join(f"{name} {count:,}" for name, count in most_first if count) or "none"
    cells = (
        figures.campaign,
        f"{figures.histories:,} {figures.unit}",
        faults,
        f"{len(figures.violations):,}",
        f"{figures.took_s:,.0f}",
    )
    return f"| {' | '.join(cells)} |"


def replaced(page: str, text: str) -> str:
    """Return *page* with *text* between its marks.

    Raises:
        ValueError: it has no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"expected {BEGIN} and {END} in the page")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


if __name__ == "__main__":
    sys.exit(main())
