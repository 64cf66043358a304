"""A podcast's host: one feed in Substack's shape, whose episodes a script may change."""

import csv
import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from hashlib import shake_256
from html import escape
from importlib.resources import files
from typing import Any

from monitor.demo import Answer, Clock, Exchange, Faults

NOTES_CHARS = 2_000  # the real median is 75,799: as slow to make as to read

# Two halves of a byte choose a syllable: filler that shrinks about as prose does.
_ONSETS = ("b", "c", "d", "f", "g", "l", "m", "n", "p", "r", "s", "t", "v", "st", "pr", "qu")
_RIMES = ("a", "e", "i", "o", "u", "an", "em", "is", "or", "us", "al", "et", "ia", "io", "um", "ae")


@dataclass(frozen=True, slots=True)
class Item:
    """What a feed says of one episode."""

    guid: str
    title: str
    published_at: datetime
    link: str
    audio_url: str | None  # None: a text post, without an enclosure
    audio_bytes: int
    duration_s: int
    notes: str  # HTML


@dataclass(frozen=True, slots=True)
class Publication:
    """An item with what its host remembers of it."""

    item: Item  # as it is now
    first_title: str
    appeared_at: datetime
    is_removed: bool = False


def real_items(*, notes_chars: int = NOTES_CHARS) -> tuple[Item, ...]:
    """Return 92 real episodes of Latent Space, newest first, with invented notes.

    Facts that nobody could find are invented too; the column ``filled`` names them.
    """
    table = files("monitor.demo").joinpath("episodes.csv").read_text(encoding="utf-8")
    items = (_item(row, notes_chars) for row in csv.DictReader(table.splitlines()))
    return _newest_first(items)


def _item(row: Mapping[str, str], notes_chars: int) -> Item:
    return Item(
        guid=row["guid"],
        title=row["title"],
        published_at=datetime.fromisoformat(row["published"]),
        link=row["link"],
        audio_url=row["audio_url"],
        audio_bytes=int(row["bytes"]),
        duration_s=int(row["seconds"]),
        notes=filler(row["guid"], notes_chars),
    )


def new_item(
    post_id: int,
    title: str,
    published_at: datetime,
    *,
    duration_s: int = 3_600,
    notes_chars: int = NOTES_CHARS,
) -> Item:
    """Return an invented episode whose addresses follow from *post_id*, as Substack's do."""
    return Item(
        guid=f"substack:post:{post_id}",
        title=title,
        published_at=published_at,
        link=f"https://www.latent.space/p/post-{post_id}",
        audio_url=f"https://api.substack.com/feed/podcast/{post_id}/{_hex(str(post_id))}.mp3",
        audio_bytes=duration_s * 16_000,
        duration_s=duration_s,
        notes=filler(str(post_id), notes_chars),
    )


def filler(seed: str, chars: int) -> str:
    """Return HTML of exactly *chars* characters (7 or more) that means nothing.

    The same for the same *seed*.
    """
    noise = shake_256(seed.encode()).digest(chars // 2 + 1)
    syllables = [_ONSETS[byte >> 4] + _RIMES[byte & 15] for byte in noise]
    words = [a + b for a, b in zip(syllables[::2], syllables[1::2], strict=False)]
    prose = " ".join(words)[: max(chars - len("<p></p>"), 0)]
    return f"<p>{prose}</p>"


def _hex(seed: str) -> str:
    return shake_256(seed.encode()).hexdigest(16)


def _newest_first(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(sorted(items, key=lambda item: item.published_at, reverse=True))


class Publisher:
    """One feed under ``/feed/<name>.rss``.

    *validators*: whether it sends ETag and Last-Modified, and answers 304 to them; whether
    Substack does is not known.
    """

    def __init__(
        self, name: str, items: Iterable[Item] = (), *, clock: Clock, validators: bool = True
    ) -> None:
        self.name = name
        self.clock = clock
        self.validators = validators
        self.faults = Faults()
        self.exchanges: list[Exchange] = []  # every request, in order
        self._publications = {
            item.guid: Publication(item, item.title, min(item.published_at, clock()))
            for item in items
        }
        self._revision = 0
        self._changed_at = clock()

    @property
    def path(self) -> str:
        return f"/feed/{self.name}.rss"

    @property
    def publications(self) -> tuple[Publication, ...]:
        """Everything that ever was in the feed, in the order in which it came."""
        return tuple(self._publications.values())

    @property
    def items(self) -> tuple[Item, ...]:
        """What is in the feed now, newest first by date."""
        return _newest_first(p.item for p in self.publications if not p.is_removed)

    def publish(self, item: Item) -> None:
        """Put *item* into the feed, where its date (which may be an old one) places it."""
        self._put(Publication(item, item.title, self.clock()))

    def edit_title(self, guid: str, title: str) -> None:
        self._edit(guid, title=title)

    def replace_audio(self, guid: str, url: str) -> None:
        self._edit(guid, audio_url=url)

    def redate(self, guid: str, published_at: datetime) -> None:
        self._edit(guid, published_at=published_at)

    def remove(self, guid: str) -> None:
        self._put(replace(self._publications[guid], is_removed=True))

    def restore(self, guid: str) -> None:
        self._put(replace(self._publications[guid], is_removed=False))

    def _edit(self, guid: str, **changes: Any) -> None:
        publication = self._publications[guid]
        self._put(replace(publication, item=replace(publication.item, **changes)))

    def _put(self, publication: Publication) -> None:
        self._publications[publication.item.guid] = publication
        self._revision += 1
        self._changed_at = self.clock()

    def answer(self, headers: Mapping[str, str]) -> Answer:
        """Return the feed, or 304; *headers* are the request's, by lower-case name."""
        told = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if self.validators:
            told |= {"ETag": self._etag, "Last-Modified": _http_date(self._changed_at)}
            if self._is_current(headers):
                return Answer(304, told)
        told["Content-Type"] = "application/xml; charset=utf-8"
        body = self.document().encode()
        if "gzip" in headers.get("accept-encoding", ""):
            told["Content-Encoding"] = "gzip"
            body = gzip.compress(body, compresslevel=1, mtime=0)
        return Answer(200, told, body)

    @property
    def _etag(self) -> str:
        # Weak, since lastBuildDate differs in every body (RFC 9110, section 8.8.1).
        return f'W/"{int(self._changed_at.timestamp())}-{self._revision}"'

    def _is_current(self, headers: Mapping[str, str]) -> bool:
        """Return whether the request's validators are ours; the ETag is the one that counts.

        RFC 9110, section 13.2.2.
        """
        if "if-none-match" in headers:
            return self._etag in headers["if-none-match"]
        if "if-modified-since" not in headers:
            return False
        since = parsedate_to_datetime(headers["if-modified-since"])
        return self._changed_at.replace(microsecond=0) <= since

    def document(self) -> str:
        """Return the feed as Substack writes it: one line, dated now."""
        items = "".join(_item_xml(item) for item in self.items)
        return f"{_HEAD}{_channel_xml(self.name, self.clock())}{items}</channel></rss>"


# --- Substack's shape: its elements, their order and its way of writing them --------------

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<rss xmlns:dc="http://purl.org/dc/elements/1.1/"'
    ' xmlns:content="http://purl.org/rss/1.0/modules/content/"'
    ' xmlns:atom="http://www.w3.org/2005/Atom" version="2.0"'
    ' xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"><channel>'
)
_AUTHOR = "Latent.Space"
_IMAGES = "https://substackcdn.com/feed/podcast/1084089"


def _channel_xml(name: str, now: datetime) -> str:
    address = f"https://api.substack.com/feed/podcast/{escape(name)}.rss"
    return (
        f"<title>{_cdata('Latent Space: The AI Engineer Podcast')}</title>"
        f"<description>{_cdata(filler(name, 300))}</description>"
        "<link>https://www.latent.space/podcast</link>"
        "<generator>Substack</generator>"
        f"<lastBuildDate>{_http_date(now)}</lastBuildDate>"
        f'<atom:link href="{address}" rel="self" type="application/rss+xml"/>'
        f"<author>{_cdata(_AUTHOR)}</author><copyright>{_cdata(_AUTHOR)}</copyright>"
        f"<language>{_cdata('en')}</language>"
        f"<webMaster>{_cdata('owner@example.invalid')}</webMaster>"
        f"<itunes:new-feed-url>{address}</itunes:new-feed-url>"
        f"<itunes:author>{_AUTHOR}</itunes:author>"
        "<itunes:subtitle>A model of the real feed</itunes:subtitle>"
        "<itunes:type>episodic</itunes:type>"
        f"<itunes:owner><itunes:name>{_AUTHOR}</itunes:name>"
        "<itunes:email>owner@example.invalid</itunes:email></itunes:owner>"
        "<itunes:explicit>No</itunes:explicit>"
        '<itunes:category text="Technology"/>'
        f'<itunes:image href="{_IMAGES}/{_hex(name)}.jpg"/>'
    )


@lru_cache(maxsize=1_000)  # a poll changes one item of hundreds
def _item_xml(item: Item) -> str:
    return (
        f"<item><title>{_cdata(item.title)}</title>"
        f"<description>{_cdata(item.notes + _FOOTER)}</description>"
        f"<link>{escape(item.link)}</link>"
        f'<guid isPermaLink="false">{escape(item.guid)}</guid>'
        f"<dc:creator>{_cdata(_AUTHOR)}</dc:creator>"
        f"<pubDate>{_http_date(item.published_at)}</pubDate>"
        f"{_enclosure_xml(item)}"
        f"<itunes:author>{_AUTHOR}</itunes:author><itunes:explicit>No</itunes:explicit>"
        f"<itunes:duration>{item.duration_s}</itunes:duration>"
        f'<itunes:image href="{_IMAGES}/post/{_hex(item.guid)}.jpg"/></item>'
    )


_FOOTER = (
    ' <br/><br/>To hear more, visit <a href="https://www.latent.space?utm_medium=podcast'
    '&#38;utm_campaign=CTA_1">www.latent.space</a>'
)


def _enclosure_xml(item: Item) -> str:
    if item.audio_url is None:
        return ""
    url = escape(item.audio_url)
    return f'<enclosure url="{url}" length="{item.audio_bytes}" type="audio/mpeg"/>'


def _cdata(text: str) -> str:
    return f"<![CDATA[{text.replace(']]>', ']]]]><![CDATA[>')}]]>"


def _http_date(at: datetime) -> str:
    return format_datetime(at.astimezone(UTC), usegmt=True)
