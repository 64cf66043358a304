"""What other parsers say of their own documents, against what we say of them.

Three programs keep that as data: gPodder's podcastparser, feed-rs and rss-parser. Every difference
was looked at by hand; those that stay are meant, and named here with their reason.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.core.item import one_line
from monitor.core.model import ObservedEpisode, ParseError
from monitor.core.parse import read_whole
from monitor.core.values import instant

pytestmark = pytest.mark.shared

WILD = "feeds/wild"
Facts = dict[str, Any]
Expected = Callable[[Any], Iterator[Facts]]


def podcastparser(document: Any) -> Iterator[Facts]:
    for episode in document["episodes"]:
        enclosure = next(iter(episode["enclosures"]), {})
        yield {
            "title": episode["title"],
            "audio_url": enclosure.get("url"),
            "audio_bytes": max(0, enclosure.get("file_size", 0)) or None,
            "published": episode["published"],
            "duration_s": episode["total_time"] or None,
        }


def feed_rs(document: Any) -> Iterator[Facts]:
    for entry in document["entries"]:
        media = [content for one in entry["media"] for content in one["content"] if content["url"]]
        yield {
            "guid": entry["id"],
            "title": (entry["title"] or {}).get("content", ""),
            "audio_url": media[0]["url"] if media else None,
            "published": _seconds(entry["published"]),
        }


def rss_parser(document: Any) -> Iterator[Facts]:
    for item in document["feed"]["items"]:
        yield {
            "guid": item.get("guid", ""),
            "title": item.get("title", ""),
            "link": item.get("link"),
            "audio_url": item.get("enclosure", {}).get("url"),
            "published": _seconds(item.get("isoDate")),
        }


def _seconds(written: str | None) -> int:
    at = instant(written)
    return int(at.timestamp()) if at else 0


def ours(episode: ObservedEpisode) -> Facts:
    at = episode.published_at
    return {
        "guid": episode.guid,
        "title": episode.title,
        "link": episode.link,
        "audio_url": episode.audio_url,
        "audio_bytes": episode.audio_bytes,
        "published": int(at.timestamp()) if at else 0,
        "duration_s": episode.duration_s,
    }


def differences(feed: Path, expected: Path, read: Expected) -> Iterator[str]:
    """Yield the names of the facts that differ in an item that we take for an episode."""
    text = expected.read_text(encoding="utf-8", errors="replace")
    theirs = list(read(json.loads(text, strict=False)))
    try:
        reading = read_whole(feed.read_bytes()).items
    except ParseError as error:
        yield error.reason
        return
    if len(theirs) != len(reading):
        yield "items"
    for their, episode in zip(theirs, reading, strict=False):
        if episode is not None:
            our = ours(episode)
            their["title"] = one_line(their["title"])
            yield from (name for name, value in their.items() if value != our[name])


KEPT = [  # where the documents are, how a feed's expected result is called, and who wrote it
    ("gpodder__podcastparser/tests/data", "*.rss", "{}.json", podcastparser),
    ("feed-rs__feed-rs/feed-rs/fixture", "*/*.xml", "{}.serde.json", feed_rs),
    ("rbren__rss-parser/test/input", "*.*", "../output/{}.json", rss_parser),
]
MEANT = {
    "atom_entry_1": {"not_a_feed"},  # an entry alone
    "image_and_audio": {"audio_url"},  # theirs lists the picture first
    "atom_example_1": {"audio_url"},  # they read no <link rel="enclosure">
    "heraldsun": {"guid"},  # they leave it empty; we take the link
    "itunes_type_serial": {"title", "audio_url", "published"},  # they turn serials around
    "max_episodes": {"items"},  # a limit of theirs
    "no_guid": {"title"},  # without one they take the name of the file
    "no_title": {"title"},
    "no_title_multi_enclosure": {"items"},  # they drop what has no title
    "no_enclosure": {"items"},  # and what has no enclosure
    "no_url": {"items"},
    "rss_0.92_spec_1": {"guid"},  # they invent one
    "rss_2.0_spiegel": {"audio_url"},  # they put media:content first
}


@pytest.mark.parametrize(("place", "feeds", "result", "read"), KEPT, ids=lambda v: str(v)[:13])
def test_other_parsers_read_of_episodes_what_we_read(shared, place, feeds, result, read):
    folder = shared / WILD / place
    found, compared = {}, 0
    for feed in sorted(folder.glob(feeds)):
        expected = feed.parent / result.format(feed.stem)
        if expected.is_file():
            compared += 1
            found[feed.stem] = set(differences(feed, expected, read))
    assert compared > 20
    meant = {name: facts for name, facts in MEANT.items() if name in found}
    assert {name: facts for name, facts in found.items() if facts} == meant
