"""From the bytes of a feed to its episodes.

feedparser reads the document, whatever its dialect and however broken. This module decides
whether it is a whole feed at all, and which of its items are episodes; ``monitor.core.item``
says what an item means. Every rule, and the feed behind it, stands in ``docs/feeds.md``.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from io import BytesIO
from typing import Any
from xml.sax import SAXException

from monitor.core import item
from monitor.core.item import Entry
from monitor.core.model import Document, ObservedEpisode, ParseError, Reading

TAIL_BYTES = 65_536  # at the end of a body, searched for the end of its root element
MAX_TTL_MINUTES = 525_600  # a year

# The first of these in a body says what it is; a comment before it may name any of them.
_ROOT = re.compile(
    rb"<!--(?:.*?-->|.*)|<(?:!doctype\s+)?(?:[\w.-]+:)?(html|rss|feed|rdf|channel)(?=[\s/>])",
    re.IGNORECASE | re.DOTALL,
)
# An entity may only be declared before the first element in the root.
_PROLOGUE = re.compile(
    rb"<!--(?:.*?-->|.*)|(<!entity)\b|<(?:channel|item|entry|title)[\s>]", re.IGNORECASE | re.DOTALL
)
_ELEMENT = re.compile(rb"<([A-Za-z][\w.:-]{0,40})")
_PAGE_TITLE = re.compile(rb"<title[^<>]{0,200}>([^<]{1,1000})", re.IGNORECASE)
_URL = re.compile(r"\S*://\S*")
# Only references this far can name a character that does not exist.
_FAR_REFERENCE = re.compile(rb"&#(?:[xX]([0-9a-fA-F]{4,})|([0-9]{5,}));?")
# How wide characters begin. Without a declared encoding feedparser would take them for UTF-8.
_WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    ("<?".encode("utf-16-le"), "utf-16-le"),
    ("<?".encode("utf-16-be"), "utf-16-be"),
)


def parse_feed(body: bytes) -> Document:
    """Return what a whole feed document says. One without items is a document too.

    Raises:
        ParseError: ``empty_body``, ``html_page``, ``not_a_feed``, ``entities``, ``truncated``, or
            ``unreadable`` where feedparser raised. Illformed XML alone is no reason.
    """
    return document_of(read_whole(body))


def read_whole(body: bytes) -> Reading:
    """Return what a whole feed document says, item by item. Raises as ``parse_feed``."""
    check_whole(body)
    return reading_of(read(body))


# --- is it a whole feed? -----------------------------------------------------------------


def check_whole(body: bytes) -> None:
    """Do nothing if *body* begins and ends as a feed does; looks at no item.

    Raises:
        ParseError: ``empty_body``, ``html_page``, ``not_a_feed``, ``entities`` or ``truncated``.
    """
    text = body.replace(b"\0", b"")  # so that markup in UTF-16 and UTF-32 reads as ASCII
    if not text.strip(b" \t\r\n\xef\xbb\xbf\xff\xfe"):  # nor is a byte order mark content
        raise ParseError("empty_body")
    root = next((found[1] for found in _ROOT.finditer(text) if found[1]), None)
    if root is None:
        element = _ELEMENT.search(text)
        found = f"first element: {_ascii(element[1])}" if element else "no element"
        raise ParseError("not_a_feed", found)
    if any(_declared_entities(text)):
        raise ParseError("entities", "the document declares entities")
    if root.lower() == b"html":
        raise ParseError("html_page", _page_title(text))
    if not _is_closed(text, root):
        raise ParseError("truncated", f"no </{_ascii(root)}> at the end of {len(body)} bytes")


def _declared_entities(text: bytes) -> Iterator[bytes]:
    """Yield the starts of declarations: a few of them can stand for gigabytes (billion laughs)."""
    for found in _PROLOGUE.finditer(text):
        if found[1]:
            yield found[1]
        elif not found[0].startswith(b"<!"):
            return


def _ascii(name: bytes) -> str:
    return name.decode("ascii")


def _page_title(text: bytes) -> str:
    """Return what an error page calls itself, for a person; without URLs."""
    found = _PAGE_TITLE.search(text)
    title = found[1].decode("utf-8", "replace") if found else ""
    return _URL.sub("…", item.one_line(item.dereferenced(title)))[:100]


def _is_closed(text: bytes, root: bytes) -> bool:
    """Return whether the root element ends, outside any CDATA section.

    Anything may follow: Cloudflare, for one, appends a script to feeds that pass through it.
    """
    end = re.compile(
        rb"</(?:[\w.-]+:)?%b\s*>|<(?:[\w.-]+:)?%b(?:\s[^<>]*)?/>" % (root, root), re.IGNORECASE
    )
    ends = [found.start() for found in end.finditer(text, max(0, len(text) - TAIL_BYTES))]
    return bool(ends) and text.rfind(b"<![CDATA[", 0, ends[-1]) <= text.rfind(b"]]>", 0, ends[-1])


# --- feedparser --------------------------------------------------------------------------


def read(body: bytes) -> Any:
    """Return feedparser's result, the same for a well-formed document and for a broken one.

    Raises:
        ParseError: ``unreadable``.
    """
    import feedparser  # noqa: PLC0415 - its import costs what polls without a body never need

    encoding = next((name for mark, name in _WIDE if body.startswith(mark)), None)
    declared = {"content-type": f"application/xml; charset={encoding}"} if encoding else None
    try:
        parsed = feedparser.parse(
            # Bytes that are a path would be opened as a file; a stream never is.
            BytesIO(_FAR_REFERENCE.sub(_possible, body)),
            sanitize_html=False,
            resolve_relative_uris=False,
            response_headers=declared,
        )
    except Exception as error:
        raise ParseError("unreadable", type(error).__name__) from error
    if is_illformed(parsed):
        _decode_references(parsed.entries)
    return parsed


def is_illformed(parsed: Any) -> bool:
    """Return whether the document went through feedparser's second parser."""
    return isinstance(parsed.get("bozo_exception"), SAXException)


def _possible(reference: re.Match[bytes]) -> bytes:
    """Return a character reference, replaced where no such character exists.

    Some exporters write an emoji as two surrogates, ``&#xD83D;&#xDE00;``, on which feedparser
    raises: one title would cost the whole document.
    """
    digits, base = (reference[1], 16) if reference[1] else (reference[2], 10)
    digits = digits.lstrip(b"0")
    code = int(digits or b"0", base) if len(digits) < 8 else 0x110000
    return reference[0] if code < 0xD800 or 0xDFFF < code < 0x110000 else b"&#xFFFD;"


def _decode_references(entries: Sequence[Entry]) -> None:
    """Undo a difference of feedparser's second parser, which reads what is not well-formed.

    It leaves ``&amp;`` and its like in guids, addresses and itunes:title. Without this, one stray
    ``&`` in any item's notes would give every guid with an ``&`` (WordPress's have one) a new
    spelling.
    """
    for entry in entries:
        for element in (entry, *item.links_of(entry)):
            for key in ("id", "link", "href", "itunes_title"):
                if isinstance(dict.get(element, key), str):
                    element[key] = item.dereferenced(element[key])


# --- the document ------------------------------------------------------------------------


def document_of(reading: Reading) -> Document:
    """Return a document's episodes, in its order, each guid once."""
    episodes: dict[str, ObservedEpisode] = {}
    for episode in filter(None, reading.items):
        episodes.setdefault(episode.guid, episode)
    return Document(tuple(episodes.values()), len(reading.items), reading.link, reading.ttl)


def reading_of(parsed: Any) -> Reading:
    """Return what feedparser's result says.

    Where every item has a guid, each is read by itself; the link of one without is compared with
    all the others'.
    """
    entries = parsed.entries
    link = item.channel_link(parsed.feed)
    bases = [item.base_of(entry, link) for entry in entries]
    links = [item.link_of(entry, base) for entry, base in zip(entries, bases, strict=True)]
    times = Counter((link, *links))
    return Reading(
        tuple(
            item.episode_of(entry, base=base, link=own, unique=times[own] == 1)
            for entry, base, own in zip(entries, bases, links, strict=True)
        ),
        link,
        _ttl(parsed.feed),
        alone=all(item.text_of(entry, "id") for entry in entries),
    )


def _ttl(channel: Entry) -> timedelta | None:
    """Return how long the channel says that it may be cached; ``<ttl>`` counts minutes."""
    minutes = item.count(item.text_of(channel, "ttl"))
    return timedelta(minutes=min(minutes, MAX_TTL_MINUTES)) if minutes else None
