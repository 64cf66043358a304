"""What becomes of 4,500 odd and broken documents that other programs keep as tests.

Each is read, or refused for a stable reason, soon and without a warning; a table says how many of
each repository, so that any change shows in a diff. Where a change is meant, write it anew:
``PYTHONPATH=. python tests/core/test_wild.py``. It holds counts and digests only.
"""

from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from time import process_time

import pytest

from monitor.core.model import Document, ParseError
from monitor.core.parse import parse_feed

pytestmark = pytest.mark.shared

WILD = "feeds/wild"
TABLE = Path(__file__).with_name("wild.tsv")
REFUSALS = ["empty_body", "html_page", "not_a_feed", "entities", "truncated", "unreadable"]
COLUMNS = ["repository", "documents", "read", *REFUSALS, "items", "episodes", "guids", "facts"]
SLOWEST_S = 1.0  # of CPU, for one document; the slowest took 0.08 s

SAMPLE = {  # in every run of the tests; the others in `make corpus`
    "einmalfel__Earl",
    "gpodder__podcastparser",
    "lemon24__reader",
    "mpgirro__stalla",
    "nkanaev__yarr",
    "rbren__rss-parser",
    "rometools__rome",
}


def table() -> dict[str, list[str]]:
    """Return the cells of each repository's row, its name first."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()[1:]
    return {row[0]: row for row in (line.split("\t") for line in lines)}


EACH = [pytest.param(name, marks=() if name in SAMPLE else pytest.mark.corpus) for name in table()]


def documents(repository: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(path for path in repository.rglob("*") if path.is_file()):
        yield path.relative_to(repository).as_posix(), path.read_bytes()


def outcome(body: bytes) -> Document | str:
    """Return what was read, or the reason of the refusal."""
    try:
        return parse_feed(body)
    except ParseError as error:
        return error.reason


def row(repository: Path) -> list[str]:
    """Return a repository's cells; *guids* and *facts* are digests, file by file."""
    outcomes: Counter[str] = Counter()
    items = episodes = 0
    guids, facts = sha256(), sha256()
    for name, body in documents(repository):
        read = outcome(body)
        if isinstance(read, str):
            outcomes[read] += 1
            continue
        outcomes["read"] += 1
        items += read.items
        episodes += len(read.episodes)
        guids.update(repr((name, [e.guid for e in read.episodes])).encode())
        facts.update(repr((name, read)).encode())
    counts = (outcomes.total(), *(outcomes[kind] for kind in ("read", *REFUSALS)), items, episodes)
    return [repository.name, *map(str, counts), guids.hexdigest()[:12], facts.hexdigest()[:12]]


@pytest.mark.corpus
def test_the_table_has_every_repository(shared):
    assert list(table()) == sorted(folder.name for folder in (shared / WILD).iterdir())


@pytest.mark.parametrize("name", EACH)
def test_what_a_repository_keeps_is_read_or_refused_as_the_table_says(shared, name):
    assert row(shared / WILD / name) == table()[name]


@pytest.mark.corpus
def test_no_document_takes_long(shared):
    slow = []
    for name, body in documents(shared / WILD):
        began = process_time()
        outcome(body)
        took = process_time() - began
        if took > SLOWEST_S:
            slow.append((name, took))
    assert slow == []


def _write_table() -> None:
    wild = Path(__file__).resolve().parents[3] / "shared" / WILD
    rows = [COLUMNS, *(row(folder) for folder in sorted(wild.iterdir()))]
    TABLE.write_text("".join("\t".join(cells) + "\n" for cells in rows), encoding="utf-8")


if __name__ == "__main__":
    _write_table()
