"""``python -m tests.campaigns [NAME…] [--seed N] [--count N] [--write FILE]``: lives campaigns.

Without names all of them, at their full length (``make chaos``). Prints the seeds, then one table.
With ``--write`` each row also takes its place between the two marks in FILE, as soon as it is known.
Ends with 1 where a promise was broken; each violation comes with the command that repeats it.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from random import SystemRandom

from tests.campaigns.figures import Figures

SEEDS = 1_000_000
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
HEAD = (
    "| campaign | lived | seed | faults | violations | seconds |\n"
    "| --- | ---: | ---: | --- | ---: | ---: |"
)


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
    "power": Campaign("tests.campaigns.power", "run", 500, "power cuts"),
    "stateful": Campaign("tests.campaigns.stateful", "run", 200, "histories"),
    "images": Campaign("tests.campaigns.disk", "images", 20_000, "images"),
    "syscalls": Campaign("tests.campaigns.syscalls", "syscalls", 1_000, "points"),
    "restarts": Campaign("tests.campaigns.servers", "restarts", 50, "restarts"),
    "cuts": Campaign("tests.campaigns.servers", "cuts", 1_000, "cuts"),
    "endurance": Campaign("tests.campaigns.endurance", "run", 100_000, "polls"),
    "mutants": Campaign("tests.campaigns.mutants", "run", 12, "planted bugs"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; return the exit status."""
    asked = _parser().parse_args(arguments)
    seed = SystemRandom().randrange(SEEDS) if asked.seed is None else asked.seed
    rows, kept = {}, True
    if asked.write is not None:
        _write(asked.write, rows)  # a page without a place for it is better refused now
    for name in asked.names or CAMPAIGNS:
        figures = _live(name, seed, asked.count)
        kept = kept and not figures.violations
        rows[name] = _row(figures, seed)
        if asked.write is not None:
            _write(asked.write, rows)
    _say("\n".join(("", HEAD, *rows.values())))
    return 0 if kept else 1


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


def _live(name: str, seed: int, count: int | None) -> Figures:
    campaign = CAMPAIGNS[name]
    lives = campaign.count if count is None else count
    _say(f"{name}: {lives} {campaign.unit} from seed {seed}")
    figures = campaign.live(lives, seed)
    for violation in figures.violations:
        _say(f"  {violation}")
    return figures


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


# --- the table -----------------------------------------------------------------------------


def _row(figures: Figures, seed: int) -> str:
    most_first = sorted(figures.faults.items(), key=lambda fault: (-fault[1], fault[0]))
    faults = ", ".join(f"{name} {count:,}" for name, count in most_first if count) or "none"
    cells = (
        figures.campaign,
        f"{figures.histories:,} {figures.unit}",
        str(seed),
        faults,
        f"{len(figures.violations):,}",
        f"{figures.took_s:,.0f}",
    )
    return f"| {' | '.join(cells)} |"


def _write(page: Path, rows: Mapping[str, str]) -> None:
    page.write_text(replaced(page.read_text(encoding="utf-8"), rows), encoding="utf-8")


def replaced(page: str, rows: Mapping[str, str]) -> str:
    """Return *page* with the table between its marks brought up to date, by campaign.

    Raises:
        ValueError: it has no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    found, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"expected {BEGIN} and {END} in the page")
    names = {row: row.split(" | ")[0].removeprefix("| ") for row in found.splitlines()}
    there = {name: row for row, name in names.items() if name in CAMPAIGNS} | rows
    lines = "\n".join((HEAD, *(there[name] for name in CAMPAIGNS if name in there)))
    return f"{before}{begin}\n\n{lines}\n\n{end}{after}"


if __name__ == "__main__":
    sys.exit(main())
