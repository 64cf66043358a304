"""What is read of each captured feed, as a table, so that any change of it shows in a diff.

Where a change is meant, write the tables anew:
``PYTHONPATH=.:tests python tests/core/test_parse_census.py``.
They hold counts and digests only: the feeds belong to their publishers. ``census_large.tsv`` is of
the feeds that are kept together in an archive, being a megabyte each on the average.
"""

import tarfile
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import chain
from pathlib import Path

import pytest
from series import Sight, look

from monitor.core.model import Document, ParseError
from monitor.core.parse import parse_feed

FEEDS = "feeds/podcasts"
LARGE = "feeds/podcasts_large.tar.xz"
CENSUS = Path(__file__).with_name("census.tsv")
CENSUS_LARGE = CENSUS.with_name("census_large.tsv")
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

Feeds = Iterable[tuple[str, bytes]]  # name and body


def files(feeds: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(path for path in feeds.rglob("*") if path.is_file()):
        yield path.relative_to(feeds).as_posix(), path.read_bytes()


def members(archive: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive, "r|xz") as stream:
        for member in stream:
            content = stream.extractfile(member)
            assert content is not None
            yield member.name, content.read()


def census(feeds: Feeds) -> Iterator[str]:
    """Yield the lines of a table: how many of a feed's episodes have which fact.

    *guids* and *titles* are digests of all of them, in the document's order.
    """
    yield "\t".join(COLUMNS)
    for name, body in feeds:
        cells = [name, *_cells(body)]
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
    assert list(census(files(shared / FEEDS))) == expected


@pytest.mark.corpus
@pytest.mark.shared
def test_every_large_captured_feed_is_read_as_the_census_says(shared):
    expected = CENSUS_LARGE.read_text(encoding="utf-8").splitlines()
    assert list(census(members(shared / LARGE))) == expected


def sights(document: Document) -> list[Sight]:
    """Return what was read as plain search would have it."""
    return [
        Sight(e.guid, e.title, e.published_at, e.audio_url.partition("#")[0].partition("?")[0])
        for e in document.episodes
    ]


def searched(body: bytes) -> list[Sight]:
    """Return a document's audio items as an independent reader sees them, each guid once."""
    found: dict[str, Sight] = {}
    for sight in look(body):
        found.setdefault(sight.guid, sight)
    return list(found.values())


@pytest.mark.corpus
@pytest.mark.shared
def test_plain_search_finds_the_same_episodes_in_every_captured_feed(shared):
    feeds = chain(files(shared / FEEDS), members(shared / LARGE))
    differ = [name for name, body in feeds if searched(body) != sights(parse_feed(body))]
    assert differ == [
        "alatiera__gnome-podcasts__2022-series-i-cinema.xml",  # plain search knows UTF-8 only,
        "danjac__radiofeed-app__rss_mock_catalan.xml",
        "danjac__radiofeed-app__rss_mock_iso_8859-1.xml",
        "w3stling__rssreader__itunes-podcast.xml",  # and no itunes:title
    ]


def _write(table: Path, feeds: Feeds) -> None:
    table.write_text("\n".join(census(feeds)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    beside = Path(__file__).resolve().parents[3] / "shared"
    _write(CENSUS, files(beside / FEEDS))
    _write(CENSUS_LARGE, members(beside / LARGE))
