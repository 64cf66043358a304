"""What is read of each captured feed, as a table, so that any change of it shows in a diff.

Where a change is meant, write the table anew:
``PYTHONPATH=. python tests/core/test_parse_census.py``.
It holds counts and digests only: the feeds belong to their publishers.
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from monitor.core.model import ParseError
from monitor.core.parse import parse_feed

FEEDS = "feeds/podcasts"
CENSUS = Path(__file__).with_name("census.tsv")
COLUMNS = [
    "feed",
    "outcome",
    "items",
    "episodes",
    "dated",
    "timed",
    "sized",
    "linked",
    "guids",
    "titles",
]


def census(feeds: Path) -> Iterator[str]:
    """Yield the lines of the table: how many of a feed's episodes have which fact.

    *guids* and *titles* are digests of all of them, in the document's order.
    """
    yield "\t".join(COLUMNS)
    for path in sorted(path for path in feeds.rglob("*") if path.is_file()):
        cells = [path.relative_to(feeds).as_posix(), *_cells(path.read_bytes())]
        yield "\t".join(cells + ["-"] * (len(COLUMNS) - len(cells)))


def _cells(body: bytes) -> list[str]:
    try:
        document = parse_feed(body)
    except ParseError as error:
        return [error.reason]
    episodes = document.episodes
    facts = ("published_at", "duration_s", "audio_bytes", "link")
    counts = [sum(getattr(e, fact) is not None for e in episodes) for fact in facts]
    texts = ([e.guid for e in episodes], [e.title for e in episodes])
    digests = [sha256("\n".join(text).encode()).hexdigest()[:12] for text in texts]
    return ["read", *map(str, (document.items, len(episodes), *counts)), *digests]


@pytest.mark.shared
def test_every_captured_feed_is_read_as_the_census_says(shared):
    expected = CENSUS.read_text(encoding="utf-8").splitlines()
    assert list(census(shared / FEEDS)) == expected


if __name__ == "__main__":
    beside = Path(__file__).resolve().parents[3] / "shared"
    CENSUS.write_text("\n".join(census(beside / FEEDS)) + "\n", encoding="utf-8")
