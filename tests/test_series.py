"""The captured time series, lived through: each episode once, none missed, every edit told.

What is asserted of the product is found out without it (``series.look``). The table in
``docs/series.md`` says what each series came to. Where a change is meant, write it anew, and look
at each number that moved: ``PYTHONPATH=.:tests python tests/test_series.py``.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain, combinations, groupby, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from history import RULES, Step, Way, cut, opened, replay, whole
from series import Sight, Snapshot, look, names, snapshots

from monitor.adapters.store import catalogue
from monitor.core.lifecycle import Status
from monitor.core.model import Known

pytestmark = [pytest.mark.shared, pytest.mark.timeout(900)]

TABLE = Path(__file__).parent.parent / "docs" / "series.md"
COLUMNS = [
    "series",
    "snapshots",
    "accepted",
    "refused",
    "items",
    "discovered",
    "aliases",
    "requested",
    "held",
    "changed",
]
SAMPLE = {  # in every run of the tests; the others in `make corpus`
    "arepodcast",
    "aufeinohr",
    "beginnenmetbitcoin",
    "dannyshaw",
    "psyk-personal",
    "radiodaal",
    "techlife",
}
# Pairs that look like one episode and are two, each looked at by hand: docs/series.md says why.
TWO = {
    "psyk-personal": [("1CL0-MSL-J7AGkMLlDnPJLYSzClR416H-", "1nmsnSFfH_tC3tCuP8avHOG0c0b-ZRrgc")],
}


def table() -> dict[str, list[str]]:
    """Return the cells of each series' row in the document, its name first."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    return {row[0]: row for row in rows if len(row) == len(COLUMNS) and row[1].isdigit()}


def each(sample: set[str]) -> list[object]:
    """Return all series as a test's parameters; those outside the *sample* are left to `make corpus`."""
    return [
        pytest.param(name, marks=() if name in sample else pytest.mark.corpus) for name in table()
    ]


@dataclass(frozen=True, slots=True)
class Lived:
    """A series as it was lived through, and as it was looked at."""

    steps: list[Step]
    known: Known  # at the end
    documents: dict[int, list[Sight]]  # of the snapshots that were applied, by number
    count: int  # of snapshots
    broken: set[int]  # snapshots that plainly are no whole document

    @property
    def ids(self) -> dict[str, int]:
        """Which episode the product takes a guid for."""
        return {value: id_ for (kind, value), id_ in self.known.aliases.items() if kind == "guid"}

    @property
    def applied(self) -> list[Step]:
        return [step for step in self.steps if not step.refused]


def live(shared: Path, name: str, way: Way = cut) -> Lived:
    with TemporaryDirectory() as place, opened(Path(place)) as database:
        steps = replay(database, snapshots(shared, name), way)
        known = database.read(catalogue.known, steps[0].plan.feed.id)
    applied = {step.snapshot for step in steps if not step.refused}
    documents, count, broken = {}, 0, set()
    for snapshot in snapshots(shared, name):
        count += 1
        if snapshot.number in applied:
            documents[snapshot.number] = look(snapshot.body)
        if not snapshot.body.rstrip().endswith(b"</rss>"):
            broken.add(snapshot.number)
    return Lived(steps, known, documents, count, broken)


# --- each episode once -------------------------------------------------------------------


def missed(lived: Lived) -> set[str]:
    """Return the guids of audio items in applied documents that are nobody's."""
    return {s.guid for s in chain(*lived.documents.values())} - lived.ids.keys()


def merged(lived: Lived) -> Iterator[tuple[int, set[str]]]:
    """Yield what stands in one document as several items and is taken for one episode."""
    for number, sights in lived.documents.items():
        guids = defaultdict(set)
        for sight in sights:
            guids[lived.ids[sight.guid]].add(sight.guid)
        yield from ((number, several) for several in guids.values() if len(several) > 1)


def traits(lived: Lived) -> Iterator[dict[str, object]]:
    """Yield the title with the day, then the file name, that each guid had most of the time.

    Most of the time, for some publishers give an item another's title or file by mistake. A file
    name that two items of one document have is no trait: ``default.mp3``.
    """
    titles: dict[str, Counter[object]] = defaultdict(Counter)
    files: dict[str, Counter[object]] = defaultdict(Counter)
    general = {""}
    for sights in lived.documents.values():
        general |= {file for file, n in Counter(s.file for s in sights).items() if n > 1}
        for sight in sights:
            titles[sight.guid][sight.title, sight.day] += 1
            files[sight.guid][sight.file] += 1
    for counted in (titles, files):
        usual = {guid: times.most_common(1)[0][0] for guid, times in counted.items()}
        yield {guid: trait for guid, trait in usual.items() if trait not in general}


def twice(lived: Lived) -> list[tuple[str, str]]:
    """Return pairs of guids with a trait in common that are two episodes, never seen together."""
    where: dict[int, set[int]] = defaultdict(set)
    for number, sights in lived.documents.items():
        for sight in sights:
            where[lived.ids[sight.guid]].add(number)
    found = set()
    for own in traits(lived):
        for _, same in groupby(sorted(own, key=lambda g: repr(own[g])), key=own.__getitem__):
            for one, other in combinations(sorted(same), 2):
                ids = lived.ids[one], lived.ids[other]
                if ids[0] != ids[1] and not where[ids[0]] & where[ids[1]]:
                    found.add((one, other))
    return sorted(found)


# --- edits -------------------------------------------------------------------------------

Edit = tuple[int, str]  # an episode's id, and what of it changed


def told(step: Step) -> set[Edit]:
    fields = ("title", "audio_url", "published_at")
    return {(c.episode_id, f) for c in step.plan.changed for f in c.fields if f in fields}


def edits(lived: Lived) -> Iterator[tuple[int, set[Edit]]]:
    """Yield each applied document with the edits that are plain to see in it."""
    last: dict[int, Sight] = {}
    for step in lived.applied:
        seen: dict[int, Sight] = {}
        for sight in lived.documents[step.snapshot]:
            seen.setdefault(lived.ids[sight.guid], sight)
        changed = (pair for id_, now in seen.items() for pair in _edits(id_, last.get(id_), now))
        yield step.snapshot, set(changed)
        last |= {id_: _filled(last.get(id_), now) for id_, now in seen.items()}


def _edits(id_: int, before: Sight | None, now: Sight) -> Iterator[Edit]:
    if before is None:
        return
    if now.title and now.title != before.title:
        yield id_, "title"
    if now.audio != before.audio:
        yield id_, "audio_url"
    if now.published_at and now.published_at != before.published_at:
        yield id_, "published_at"


def _filled(before: Sight | None, now: Sight) -> Sight:
    """Return an item as it is now; what it lacks did not change."""
    if before is None:
        return now
    published_at = now.published_at or before.published_at
    return replace(now, title=now.title or before.title, published_at=published_at)


# --- what is asked for -------------------------------------------------------------------


def old_and_requested(lived: Lived) -> list[str]:
    """Return the guids that were requested though dated long before the poll before."""
    found = []
    for before, step in pairwise(lived.steps):
        asked = {n.observed.guid for n in step.plan.new if n.status is Status.PENDING}
        limit = before.at - RULES.backdated_over
        sights = lived.documents.get(step.snapshot, [])
        found += [
            s.guid for s in sights if s.guid in asked and s.published_at and s.published_at < limit
        ]
    return found


def unasked(step: Step) -> bool:
    """Return whether a refused answer left everything as it was."""
    plan = step.plan
    return not any(
        (plan.new, plan.aliases, plan.changed, plan.vanished, plan.returned, plan.events)
    )


# --- the table ---------------------------------------------------------------------------


def row(name: str, lived: Lived) -> list[str]:
    """Return what a series came to. *refused* counts polls; one may be repeated and applied."""
    new = [episode for step in lived.steps for episode in step.plan.new]
    last = {step.snapshot: step.refused for step in lived.steps}
    numbers = (
        lived.count,
        lived.count - sum(reason is not None for reason in last.values()),
        _counts(step.refused for step in lived.steps if step.refused),
        sum(episode.present for episode in lived.known.episodes.values()),
        len(new),
        sum(alias.kind == "guid" for step in lived.steps for alias in step.plan.aliases),
        sum(episode.status is Status.PENDING for episode in new),
        _counts(episode.reason for episode in new if episode.reason),
        sum(len(step.plan.changed) for step in lived.steps),
    )
    return [name, *map(str, numbers)]


def _counts(reasons: Iterable[str]) -> str:
    return ", ".join(f"{reason} {n}" for reason, n in sorted(Counter(reasons).items())) or "-"


# --- the tests ---------------------------------------------------------------------------


def test_the_table_has_every_series(shared):
    assert list(table()) == names(shared)


@pytest.mark.parametrize("name", each(SAMPLE))
def test_a_series_is_lived_through_without_an_episode_missed_or_found_twice(shared, name):
    lived = live(shared, name)
    assert missed(lived) == set()
    assert list(merged(lived)) == []
    assert twice(lived) == TWO.get(name, [])
    assert list(edits(lived)) == [(step.snapshot, told(step)) for step in lived.applied]
    assert old_and_requested(lived) == []
    refused = [step for step in lived.steps if step.refused]
    assert lived.broken <= {step.snapshot for step in refused}
    assert all(unasked(step) for step in refused)
    present = {episode.id for episode in lived.known.episodes.values() if episode.present}
    assert present == {lived.ids[s.guid] for s in lived.documents[lived.applied[-1].snapshot]}
    assert row(name, lived) == table()[name]


@pytest.mark.parametrize("name", each({"arepodcast", "aufeinohr", "dannyshaw", "techlife"}))
def test_reading_only_what_is_new_leads_to_the_same_history(shared, tmp_path, name):
    histories = []
    for way in (whole, cut):
        (tmp_path / way.__name__).mkdir()
        with opened(tmp_path / way.__name__) as database:
            steps = replay(database, snapshots(shared, name), way)
        histories.append([(s.snapshot, s.at, s.refused, s.plan.events) for s in steps])
    assert histories[0] == histories[1]


def damaged(series: Iterable[Snapshot]) -> Iterator[Snapshot]:
    """Yield a series in which each document is followed by what else servers answer."""
    for snapshot in series:
        yield snapshot
        body = snapshot.body
        header = body[: body.index(b"<item>")]
        others = (b"", body[: len(body) // 2], b"<html><title>Soon back</title></html>")
        for minute, other in enumerate((*others, header + b"</channel></rss>"), start=1):
            at = snapshot.at + timedelta(minutes=minute)
            yield Snapshot(-snapshot.number, at, other)


@pytest.mark.parametrize("way", [whole, cut])
def test_no_damaged_answer_in_between_changes_anything(shared, tmp_path, way):
    with opened(tmp_path) as database:
        steps = replay(database, damaged(snapshots(shared, "techlife")), way)
    refused = Counter(step.refused for step in steps)
    assert refused.keys() == {None, "empty_body", "truncated", "html_page", "no_items"}
    assert refused.total() == 5 * refused[None]
    assert all(unasked(step) for step in steps if step.refused)
    applied = [(s.snapshot, lines(s)) for s in steps if not s.refused]
    assert applied == [(s.snapshot, lines(s)) for s in live(shared, "techlife").steps]


def lines(step: Step) -> list[tuple[str, str | None, dict[str, object]]]:
    """Return what a poll told, but for how late it found what it found: that is of the polls."""
    return [
        (event.name, event.guid, {k: v for k, v in event.fields.items() if k != "delay_s"})
        for event in step.plan.events
    ]


def _write_table() -> None:
    shared = Path(__file__).resolve().parents[2] / "shared"
    cells = [row(name, live(shared, name)) for name in names(shared)]
    lines = [" | ".join(line) for line in (COLUMNS, ["---"] * len(COLUMNS), *cells)]
    text = TABLE.read_text(encoding="utf-8")
    written = "\n".join(f"| {line} |" for line in lines)
    TABLE.write_text(re.sub(r"(?m)^\| series .*(?:\n\|.*)*", lambda _: written, text, count=1))


if __name__ == "__main__":
    _write_table()
