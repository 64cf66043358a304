"""The captured time series: each feed's documents in order, and what plain search finds in them.

Nothing here knows the product. ``look`` is an independent reader: a few expressions that suit these
26 archives (all RSS, in UTF-8), so that what it finds can be held against what the product found.
"""

import csv
import html
import re
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from urllib.parse import urljoin

SERIES = "feeds/series"

_OPAQUE = rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>"
_ITEM = re.compile(rb"<item[\s>](?:%b|.)*?</item>|%b" % (_OPAQUE, _OPAQUE), re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->|<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_ENCLOSURE = re.compile(r"<enclosure\s([^>]*)>")
_ATTRIBUTE = re.compile(r"""([\w:]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_JEKYLL = re.compile(r"^(\d{4}-\S+ \S+) ([+-]\d{4})$")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_AUDIO_FILE = re.compile(r"\.(mp3|m4a|wav|ogg)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One document of a series."""

    number: int
    at: datetime  # when it was put where it was captured
    body: bytes


@dataclass(frozen=True, slots=True)
class Sight:
    """One audio item, as plain search sees it."""

    guid: str
    title: str
    published_at: datetime | None
    audio: str  # its address, without query and fragment

    @property
    def file(self) -> str:
        return self.audio.rpartition("/")[2]

    @property
    def day(self) -> date | None:
        return self.published_at.date() if self.published_at else None


def names(shared: Path) -> list[str]:
    """Return the names of all series."""
    return sorted(folder.name for folder in (shared / SERIES).iterdir())


def snapshots(shared: Path, name: str) -> Iterator[Snapshot]:
    """Yield the documents of a series in order."""
    folder = shared / SERIES / name
    with (folder / "index.tsv").open(encoding="utf-8", newline="") as index:
        times = {int(r["seq"]): r["commit_date"] for r in csv.DictReader(index, delimiter="\t")}
    with tarfile.open(folder / "all.tar.xz", "r|xz") as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            number = int(Path(member.name).stem)
            at = datetime.fromisoformat(times[number]).astimezone(UTC)
            yield Snapshot(number, at, content.read())


def look(body: bytes) -> list[Sight]:
    """Return a document's audio items in its order."""
    page = _text(body.partition(b"<item")[0].decode("utf-8", "replace"), "link")
    items = (found[0] for found in _ITEM.finditer(body) if found[0].startswith(b"<item"))
    sights = (_sight(item, page) for item in items)
    return [sight for sight in sights if sight is not None]


@lru_cache(20_000)
def _sight(item: bytes, page: str) -> Sight | None:
    text = _COMMENT.sub(lambda found: html.escape(found[1] or ""), item.decode("utf-8", "replace"))
    audio = _audio(text, page)
    if audio is None:
        return None
    return Sight(
        guid=_text(text, "guid") or _text(text, "link") or audio,
        title=" ".join(html.unescape(_TAG.sub("", _text(text, "title"))).split()),
        published_at=_instant(_text(text, "pubDate")),
        audio=audio.partition("#")[0].partition("?")[0],
    )


def _audio(item: str, page: str) -> str | None:
    for found in _ENCLOSURE.finditer(item):
        attributes = {name: one or two for name, one, two in _ATTRIBUTE.findall(found[1])}
        url = html.unescape(attributes.get("url", "")).strip()
        audio = "audio" in attributes.get("type", "") or _AUDIO_FILE.search(url.partition("?")[0])
        whole = url if re.match(r"\w+:", url) else urljoin(page, url)
        if url and audio and re.match("https?://.", whole):
            return whole
    return None


def _text(item: str, name: str) -> str:
    found = re.search(rf"<{name}(?:\s[^>]*)?>(.*?)</{name}\s*>", item, re.DOTALL)
    return html.unescape(found[1]).strip() if found else ""


def _instant(written: str) -> datetime | None:
    """Return a date as RFC 822 and RFC 3339 write it, and as Jekyll prints it by itself."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        with suppress(ValueError):
            at = read(_JEKYLL.sub(r"\1\2", written))
            return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    return None
