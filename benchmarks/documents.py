"""Synthetic feeds of four sizes: the same bytes on every machine and in every run.

Their shapes are those of real feeds; the largest is Latent Space's, whose items hold transcripts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from random import Random

NEWEST_AT = datetime(2024, 6, 1, 12, tzinfo=UTC)
APART = timedelta(days=2)
VOCABULARY = 4_000  # words
POOL = 20_000  # sentences: far more than gzip's window holds, so that they hardly ever repeat in it
NOTES_CHARS = 400  # of a description, where the long text stands in content:encoded
HEADER = (
    '<?xml version="1.0" encoding="UTF-8"?><rss xmlns:dc="http://purl.org/dc/elements/1.1/"'
    ' xmlns:content="http://purl.org/rss/1.0/modules/content/" version="2.0"'
    ' xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"><channel>'
    "<title><![CDATA[{name}]]></title><description><![CDATA[{notes}]]></description>"
    "<link>https://{name}.example/podcast</link><generator>Substack</generator>"
    "<lastBuildDate>{built}</lastBuildDate><language><![CDATA[en]]></language>"
    "<itunes:author>{name}</itunes:author><itunes:type>episodic</itunes:type>"
    '<itunes:explicit>No</itunes:explicit><itunes:category text="Technology"/>'
    '<itunes:image href="https://{name}.example/cover.jpg"/>'
)
ITEM = (
    "<item><title><![CDATA[{title}]]></title><description><![CDATA[{notes}]]></description>{long}"
    "<link>https://{name}.example/p/{number}</link>"
    '<guid isPermaLink="false">{name}:post:{number}</guid>'
    "<dc:creator><![CDATA[{name}]]></dc:creator><pubDate>{published}</pubDate>"
    '<enclosure url="https://{name}.example/audio/{number}.mp3" length="{length}" type="audio/mpeg"/>'
    "<itunes:author>{name}</itunes:author><itunes:explicit>No</itunes:explicit>"
    "<itunes:duration>{duration_s}</itunes:duration>"
    '<itunes:image href="https://{name}.example/images/{number}.jpg"/></item>'
)
FOOTER = "</channel></rss>"


@dataclass(frozen=True, slots=True)
class Kind:
    """What the feeds of one size have in common."""

    items: int
    item_bytes: int | None  # about; None: as Latent Space's, the text all in the description
    pinned: bool = False  # the oldest item stands first, so that the feed is not newest first

    def of(self, items: int | None) -> "Kind":
        """Return this kind with so many items; None: as many as it has."""
        return self if items is None else replace(self, items=items)


KINDS = {
    "tiny": Kind(3, 1_500),
    "small": Kind(30, 2_285),
    "medium": Kind(250, 3_230),
    "large": Kind(1_000, 8_257, pinned=True),
    "transcripts": Kind(233, None),
}


class Feed:
    """One synthetic feed; a new edition of it is made by ``touch`` or ``publish``."""

    def __init__(self, name: str, kind: Kind) -> None:
        self.name = name
        self.edition = 0
        self._kind = kind
        self._first = kind.items  # the newest item's number
        self._chance = Random(name)
        numbers = range(kind.items, 0, -1)
        self._items = [self._item(n, size) for n, size in zip(numbers, self._sizes(), strict=True)]
        if kind.pinned:
            self._items.insert(0, self._items.pop())

    def touch(self) -> None:
        """Generate the document anew: only lastBuildDate is another."""
        self.edition += 1

    def publish(self) -> None:
        """Add one item, the newest."""
        self.touch()
        self._first += 1
        size = self._kind.item_bytes or latent_space_size(0.5)
        self._items.insert(0, self._item(self._first, size))

    @property
    def newest(self) -> dict[str, str | None]:
        """What Stenobird would publish of the newest episode, before anybody asked for it."""
        link = f"https://{self.name}.example/p/{self._first}"
        return {"title": f"Episode {self._first}", "episode_url": link, "processing_state": None}

    def document(self) -> bytes:
        built = format_datetime(NEWEST_AT + timedelta(minutes=self.edition), usegmt=True)
        header = HEADER.format(name=self.name, notes="Notes", built=built)
        return b"".join([header.encode(), *self._items, FOOTER.encode()])

    def _sizes(self) -> list[int]:
        if self._kind.item_bytes is not None:
            return [self._kind.item_bytes] * self._kind.items
        sizes = [latent_space_size(i / (self._kind.items - 1)) for i in range(self._kind.items)]
        self._chance.shuffle(sizes)
        return sizes

    def _item(self, number: int, size: int) -> bytes:
        text_bytes = max(size - len(ITEM) - 8 * len(self.name), 0)
        notes, long = self._prose(text_bytes), ""
        if self._kind.item_bytes is not None:
            notes = notes[:NOTES_CHARS].rpartition("<p>")[0]
            text = self._prose(max(text_bytes - len(notes), 0))
            long = f"<content:encoded><![CDATA[{text}]]></content:encoded>"
        published = NEWEST_AT + (number - self._kind.items) * APART
        return ITEM.format(
            name=self.name,
            number=number,
            title=f"Episode {number}",
            notes=notes,
            long=long,
            published=format_datetime(published, usegmt=True),
            length=1_000_000 + number,
            duration_s=1_800 + number,
        ).encode()

    def _prose(self, chars: int) -> str:
        return "".join(self._paragraphs(chars))

    def _paragraphs(self, chars: int) -> Iterator[str]:
        while chars > 0:
            sentences = " ".join(self._chance.choices(_sentences(), k=4))
            href = f"https://{self.name}.example/{self._chance.getrandbits(32)}"
            paragraph = f'<p>{sentences} <a href="{href}">More</a></p>'
            chars -= len(paragraph)
            yield paragraph


def latent_space_size(quantile: float) -> int:
    """Return the size in bytes of an item of Latent Space, from the smallest (0) to the largest (1).

    Its descriptions have 1,353 to 196,832 characters, 75,799 in the median; the exponents make 233
    of them a document of 14.5 MB.
    """
    if quantile < 0.5:
        return 1_353 + int(74_446 * (2 * quantile) ** 1.7)
    return 75_799 + int(121_033 * (2 * quantile - 1) ** 5.3)


@cache
def _sentences() -> list[str]:
    """Return sentences of made-up words, a few of them frequent, as in any language."""
    chance = Random("prose")
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "ar", "en")]
    words = ["".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(VOCABULARY)]
    weights = [1 / rank for rank in range(1, VOCABULARY + 1)]
    drawn = iter(chance.choices(words, weights, k=POOL * 14))
    return [
        " ".join(next(drawn) for _ in range(chance.randint(6, 14))).capitalize() + "."
        for _ in range(POOL)
    ]
