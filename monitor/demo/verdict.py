"""What became of the rehearsal, judged by Stenobird's own ledger and the database.

Shares no decision with the daemon: it counts what the far end did, and reads rows.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from monitor.demo.publisher import Item
from monitor.demo.stenobird import FAILS, Replica

SETTLED = {"processed", "failed"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was to happen with one new episode, and what did."""

    item: Item
    effects: int  # transcriptions begun, by Stenobird's ledger
    posts: int  # by our ledger
    request: str | None  # its status in the end; None: the episode is not known
    expected: str

    @property
    def kept(self) -> bool:
        return self.effects == 1 and self.request == self.expected


@dataclass(frozen=True, slots=True)
class Verdict:
    outcomes: Sequence[Outcome]
    promises: Sequence[tuple[str, bool]]

    @property
    def kept(self) -> bool:
        return all(o.kept for o in self.outcomes) and all(kept for _, kept in self.promises)

    def shown(self) -> RenderableType:
        """Return it for eyes."""
        promises = Group(*(Text.assemble(_mark(kept), " ", text) for text, kept in self.promises))
        verdict = (
            ("Every promise was kept.", "bold green") if self.kept else ("Broken.", "bold red")
        )
        return Panel(
            Group(self._table(), Text(), promises, Text(), Text.assemble(verdict)),
            title="verdict",
            border_style="green" if self.kept else "red",
        )

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
        table.add_column("new episode", ratio=1, no_wrap=True, overflow="ellipsis")
        for heading in ("POSTs", "transcribed", "in the end"):
            table.add_column(heading, justify="right", no_wrap=True)
        for o in self.outcomes:
            times = {0: "never", 1: "once"}.get(o.effects, f"{o.effects} times")
            table.add_row(
                Text.assemble(_mark(o.kept), " ", o.item.title),
                str(o.posts),
                times,
                o.request or "unknown",
            )
        return table


def _mark(kept: bool) -> tuple[str, str]:  # noqa: FBT001 - a mark of a truth value
    return ("✓", "green") if kept else ("✗", "bold red")


def all_settled(database: Path, new: Iterable[Item]) -> bool:
    """Return whether every new episode has come to its end."""
    statuses = _statuses(database)
    return all(statuses.get(item.guid) in SETTLED for item in new)


def judge(
    database: Path, replica: Replica, new: Sequence[Item], old: Sequence[Item], exit_code: int
) -> Verdict:
    """Return the verdict on a rehearsal that has ended."""
    effects = Counter(effect.guid for effect in replica.effects)
    statuses = _statuses(database)
    posts = dict(_rows(database, POSTS))
    outcomes = [
        Outcome(
            item,
            effects[item.guid],
            posts.get(item.guid, 0),
            statuses.get(item.guid),
            "failed" if replica.entry(item.guid).path == FAILS else "processed",
        )
        for item in new
    ]
    guids = {item.guid for item in (*new, *old)}
    seqs = [seq for (seq,) in _rows(database, "SELECT seq FROM events ORDER BY seq")]
    changed = [fields for (fields,) in _rows(database, CHANGES)]
    return Verdict(
        outcomes,
        (
            (f"all {len(guids)} episodes are known, each once", statuses.keys() == guids),
            (f"none of the {len(old)} old ones was requested", effects.keys() <= _guids(new)),
            ("the edited title and the replaced audio are recorded as changes", len(changed) == 2),
            (
                f"{len(seqs)} events are recorded in one order without a gap",
                seqs == list(range(1, len(seqs) + 1)),
            ),
            ("killed once in the middle, stopped cleanly in the end", exit_code == 0),
        ),
    )


def _guids(items: Iterable[Item]) -> set[str]:
    return {item.guid for item in items}


POSTS = """
    SELECT e.guid, count(*) FROM posts p
    JOIN requests r ON r.id = p.request_id JOIN episodes e ON e.id = r.episode_id GROUP BY e.guid
"""
CHANGES = "SELECT fields FROM events WHERE name = 'episode.changed'"


def _statuses(database: Path) -> dict[str, str]:
    query = "SELECT e.guid, r.status FROM episodes e JOIN requests r ON r.episode_id = e.id"
    return dict(_rows(database, query))


def _rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    if not database.exists():  # the daemon did not get that far
        return []
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
        return connection.execute(query).fetchall()
