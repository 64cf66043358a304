"""What one item of a feed means, as feedparser read it. Nothing here knows the document.

The rules, and the feeds behind them, stand in ``docs/feeds.md``.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from monitor.core.model import ObservedEpisode
from monitor.core.substack import post_id_of
from monitor.core.values import instant

Entry = dict[str, Any]  # feedparser's item, channel or link: an element may put anything anywhere

MAX_KEY_BYTES = 2_000  # of a guid or a link: PostgreSQL indexes no key above 2,704
MAX_TITLE = 1_000  # characters
MAX_RAW_DATE = 200  # characters
MAX_DURATION_S = 360_000  # 100 hours: what claims to be longer is no episode's length
FIRST_YEAR = 1990  # 1970 is how programs write that they do not know
LAST_YEAR = 2100
NO_YEAR = " 0001 "  # how Go and .NET write that there is no date; email.utils takes it for 2001
HTML = ("text/html", "application/xhtml+xml")

_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# What no database stores or no line of a log shows; tab and line ends are white space.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_LINE_BREAK = re.compile(r"<br\b[^<>]*>", re.IGNORECASE)

_AUDIO_FILE = re.compile(  # at the end of the path or of a query: redirect.mp3/show.m4v is video
    r"\.(?:mp3|mp2|m4a|m4b|aac|ogg|oga|opus|flac|wav|wma|aiff?|amr|mka|weba)(?:[?#&]|$)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[0-9]{1,15}")
_COLON_ZONE = re.compile(r"([+-][0-9]{2}):([0-9]{2})$")
_HALF_DAY = re.compile(r"\b([0-9]{1,2})(:[0-9]{2}(?::[0-9]{2})?)\s?([ap])\.?m\b\.?", re.IGNORECASE)
_UNIT_S = {"h": 3600, "m": 60, "s": 1}
_DURATIONS = (
    re.compile(r"(?P<s>[0-9]{1,9})(?:\.[0-9]+)?"),
    # A fraction only after hours: of 24 MB, 00:49.53 was meant for 49 minutes.
    re.compile(r"(?:(?P<h>[0-9]{1,4}):)?(?P<m>[0-9]{1,4}):(?P<s>[0-9]{1,2})(?(h)(?:\.[0-9]+)?)"),
    re.compile(
        r"(?:PT)?(?:(?P<h>[0-9]{1,4})\s?h[a-z]*)?[\s,]{0,3}(?:(?P<m>[0-9]{1,5})\s?m[a-z]*)?[\s,]{0,3}"
        r"(?:(?P<s>[0-9]{1,7})\s?s[a-z]*)?",
        re.IGNORECASE,
    ),
)


@dataclass(frozen=True, slots=True)
class Enclosure:
    url: str  # absolute, http(s)
    type: str  # lower case; empty where the feed names none
    length: str


def episode_of(
    entry: Entry, *, base: str, link: str | None, unique: bool
) -> ObservedEpisode | None:
    """Return an item as an episode; None if it has no audio, or nothing to know it by.

    *base* and *link* are what ``base_of`` and ``link_of`` say. *unique*: neither another item
    of the document nor the channel has the same link.
    """
    enclosures = list(_enclosures(entry, base))
    audio = next(filter(_is_audio, enclosures), None)
    if audio is None:
        return None
    sole = audio.url if len(enclosures) == 1 else None
    guid = _key(text_of(entry, "id")) or (link if unique else None) or _key(sole)
    if guid is None:
        return None
    published = text_of(entry, "published") or text_of(entry, "updated")
    return ObservedEpisode(
        guid=guid,
        title=_title(entry),
        audio_url=audio.url,
        post_id=post_id_of(audio.url),
        link=link,
        audio_bytes=count(audio.length),
        duration_s=duration_s(text_of(entry, "itunes_duration")),
        published_at=published_at(published),
        published_raw=published[:MAX_RAW_DATE] or None,
    )


def _enclosures(entry: Entry, base: str) -> Iterator[Enclosure]:
    for link in links_of(entry):
        url = _absolute(text_of(link, "href"), base)
        if url and text_of(link, "rel") == "enclosure":
            yield Enclosure(url, text_of(link, "type"), text_of(link, "length"))


def _is_audio(enclosure: Enclosure) -> bool:
    """Return whether the type or the file's name says so; some types are plainly mistaken."""
    return "audio/" in enclosure.type or bool(_AUDIO_FILE.search(enclosure.url))


# --- addresses ---------------------------------------------------------------------------


def base_of(entry: Entry, channel: str | None) -> str:
    """Return what an item's relative addresses are relative to; *channel* is its link.

    feedparser tells an xml:base only beside a text, such as the title.
    """
    detail = dict.get(entry, "title_detail")
    declared = text_of(detail, "base") if isinstance(detail, dict) else ""
    return _absolute(declared, channel or "") or channel or ""


def link_of(entry: Entry, base: str) -> str | None:
    """Return an item's link; a guid that stands in for it is one only if it is a whole URL."""
    link = text_of(entry, "link")
    return _key(_absolute(link, "" if link == text_of(entry, "id") else base))


def channel_link(channel: Entry) -> str | None:
    """Return the channel's first link to a page.

    Not feedparser's ``link``, which is the last one: that of a podcast:liveItem, if it has one.
    """
    for link in links_of(channel):
        if text_of(link, "rel") == "alternate" and text_of(link, "type") in HTML:
            return _key(_absolute(text_of(link, "href"), ""))
    return None


def links_of(element: Entry) -> list[Entry]:
    links = dict.get(element, "links")
    return [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []


def _absolute(url: str, base: str) -> str | None:
    """Return *url* as an absolute http(s) address, as it stands if it is one already."""
    try:
        whole = url if urlsplit(url).scheme else urljoin(base, url)
        parts = urlsplit(whole)
    except ValueError:
        return None
    return whole if url and parts.scheme in ("http", "https") and parts.netloc else None


# --- texts and numbers -------------------------------------------------------------------


def text_of(element: Entry, key: str) -> str:
    """Return a text without the white space around it, or "".

    By dict's own ``get``: feedparser's answers with another key's value, and warns of it.
    """
    value = dict.get(element, key)
    return _CONTROL.sub("", value).strip() if isinstance(value, str) else ""


def _key(text: str | None) -> str | None:
    return text if text and len(text.encode()) <= MAX_KEY_BYTES else None


def _title(entry: Entry) -> str:
    """Return plain text on one line: tags go where feedparser saw HTML, references everywhere.

    Apple's own example has an item with an ``itunes:title`` alone.
    """
    title = text_of(entry, "title") or text_of(entry, "itunes_title")
    detail = dict.get(entry, "title_detail")
    if isinstance(detail, dict) and text_of(detail, "type") in HTML:
        title = _TAG.sub("", _LINE_BREAK.sub(" ", title))
    return one_line(dereferenced(title))[:MAX_TITLE].rstrip()


def one_line(text: str) -> str:
    """Return *text* with its white space folded and without control characters."""
    return " ".join(_CONTROL.sub("", text).split())


def dereferenced(text: str) -> str:
    """Return *text* with its character references resolved, those only that end in ``;``."""
    return _REFERENCE.sub(lambda reference: html.unescape(reference[0]), text)


def published_at(written: str) -> datetime | None:
    """Return an aware UTC instant, or None where no date, or no likely one, is written.

    Not feedparser's: it reads some garbage as a date, some by the machine's clock and zone.
    """
    if NO_YEAR in written:
        return None
    at = instant(_COLON_ZONE.sub(r"\1\2", _HALF_DAY.sub(_in_24_hours, written)))
    return at if at and FIRST_YEAR <= at.year < LAST_YEAR else None


def _in_24_hours(clock: re.Match[str]) -> str:
    """Return ``16:42`` for ``04:42 PM``; email.utils takes the PM for a zone, and that for UTC."""
    hour = int(clock[1]) % 12 + (12 if clock[3] in "pP" else 0)
    return f"{hour:02}{clock[2]}"


def duration_s(written: str) -> int | None:
    """Return seconds from ``5097``, ``84:57``, ``1:24:57``, ``1h 24m`` or ``PT1H24M``.

    None for 0, which says that nobody knows, and for what is too long to be true.
    """
    for pattern in _DURATIONS:
        if match := pattern.fullmatch(written):
            parts = match.groupdict(default="0")
            total = sum(int(digits) * _UNIT_S[unit] for unit, digits in parts.items())
            return total if 0 < total <= MAX_DURATION_S else None
    return None


def count(digits: str) -> int | None:
    """Return a positive number; 0 stands for not known."""
    return (int(digits) or None) if _NUMBER.fullmatch(digits) else None
