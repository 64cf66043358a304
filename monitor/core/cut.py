"""Cuts a feed into its frame and its items while its bytes arrive, and parses none of it.

Nearly every poll that carries a body repeats what is known. feedparser needs a millisecond for each
item of it; to cut an item out, drop the elements that nobody reads and take a digest of the rest
costs a hundredth. Only items of unknown digests are handed on, in a document that has the frame of
the original: feedparser reads them as if it had read the whole.

The cutter knows comments, CDATA sections, processing instructions and the tags it looks for, no
more. Where that is not enough to be certain it raises ``UncutError``, and the document is read whole.
"""

import codecs
import re
import struct
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

from monitor.core.model import ParseError

DIGEST_BYTES = 12  # the chance that two of a million items share a digest is 1 in 10**17
MARK_BYTES = 8
NO_MARK = bytes(MARK_BYTES)
RULES = 1  # raised when an item may be cut or read differently than before: all are read anew

MAX_ITEM_BYTES = 262_144  # of one item, without what nobody reads
MAX_FRAME_BYTES = 262_144  # of everything outside the items
MAX_STRETCH_BYTES = 8_388_608  # from the end of one item to the end of the next
MAX_ITEMS = 20_000
MAX_ATTRIBUTES = 256  # of one element: feedparser needed 22 s for one with 40,000
MAX_DEPTH = 100
MOST_UNCLOSED = 500  # outside the items: each costs a look through the rest of the frame

START_BYTES = 1024  # that hold the encoding, if it is declared

# In these, the bytes of ASCII mean ASCII. The others are read whole.
_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_LIKE_ASCII = re.compile(rb"utf-?8|us-ascii|iso-8859-\d+|windows-125\d", re.IGNORECASE)

# After a "<", so that each expression begins with one: a search then skips text at memchr's speed.
# Possessive, so that what does not match costs one look.
_CDATA = rb"!\[CDATA\[(?:[^\]]++|\](?!\]>))*+\]\]>"
_COMMENT = rb"!--(?:[^-]++|-(?!->))*+-->"
_INSTRUCTION = rb"\?(?:[^?]++|\?(?!>))*+\?>"
_ITEM = rb"(?:item|entry)(?=[\s/>])"
# What core.item reads nothing from. Atom's source repeats another feed's id, title and link.
_UNREAD_NAME = (
    rb"(?:description|content:encoded|content|summary|author|category|comments|source|contributor"
    rb"|dc:(?:creator|description|subject|rights)|slash:comments|wfw:commentRss|thr:total"
    rb"|(?:itunes:(?!duration\b|title\b)|podcast:|googleplay:|psc:|spotify:)[A-Za-z-]{1,40}+"
    rb"|media:(?:category|copyright|credit|description|keywords|rating|restriction|thumbnail))"
    rb"(?=[\s/>])"
)
_UNREAD = (
    rb"(?P<name>%(name)b)[^<>]*+(?:(?<=/)>|>"
    rb"(?:[^<]++|<(?:%(cdata)b|%(comment)b|(?!/?(?:(?P=name)|item|entry)[\s/>]|[!?])))*+"
    rb"</(?P=name)\s*+>)"
) % {b"name": _UNREAD_NAME, b"cdata": _CDATA, b"comment": _COMMENT}
_TOKEN = re.compile(
    rb"<(?:(?P<unread>%(unread)b)"
    rb"|(?P<end>/%(item)b\s*+>)"
    rb"|(?P<start>%(item)b[^<>]*+>)"
    rb"|(?P<opaque>%(cdata)b|%(comment)b|%(instruction)b)"
    rb"|(?P<entity>!ENTITY\b)"
    rb"|(?P<open>!\[CDATA\[|!--|\?|%(name)b|/?%(item)b))"  # its end has not come yet
    % {
        b"cdata": _CDATA,
        b"comment": _COMMENT,
        b"instruction": _INSTRUCTION,
        b"unread": _UNREAD,
        b"name": _UNREAD_NAME,
        b"item": _ITEM,
    }
)
_A_BOUND = re.compile(rb"<(?:!|\?|/?%b)" % _ITEM)
_BASE = b"xml:base"  # feedparser lets it run on into what follows

_MARK = struct.Struct("<II")
_WHITE = re.compile(rb">\s+<")
# Of an attribute's address: up to the quote after which the tag goes on or ends.
_QUERY = re.compile(rb"""\?[^"'<>\s]++(?=["'](?:\s+[\w:]+=|\s*/?>))""")
_SECTION = re.compile(rb"<" + _CDATA)
_TAG = re.compile(rb"<(/?)[A-Za-z_:][^<>]*?(/?)>")
_ATTRIBUTE = re.compile(rb"""=\s*["']""")


class UncutError(Exception):
    """The document cannot be cut with certainty; it is to be read whole."""


class Item(NamedTuple):
    """One item of a document."""

    mark: bytes  # of its bytes as they came; NO_MARK where they alone do not tell it
    digest: bytes  # of what is read of it
    text: bytes | None  # it, without what nobody reads; None: its mark was known


class Cutter:
    """Takes a document piece by piece and hands out its items.

    It goes from the end of one item to the end of the next. A stretch of known mark is the one
    item that it was the last time, if the one before it ended outside any item. Every other
    stretch is passed token by token; if its end stands in a comment, together with the next one.
    """

    def __init__(self, known: Mapping[bytes, bytes]) -> None:
        self.items = 0
        self._known = known  # digests, by mark
        self._close: bytes | None = None  # </item> or </entry>, once one was seen
        self._data = b""  # of the stretch whose end has not come
        self._searched = 0  # how much of it was searched for that
        self._outside = False  # after the header, and outside any item, comment or tag
        self._held: list[bytes] = []  # from the start of a token that did not end in its stretch
        self._held_bytes = 0
        self._worth = 0  # how much of it there must be before it is passed again
        self._unclosed = 0  # tags outside the items of which no end was found
        self._header: bytes | None = None  # all that comes before the first item
        self._frame: list[bytes] = []  # what stands outside the items, after the header
        self._frame_bytes = 0
        self._item: list[bytes] | None = None  # what is kept of the item we are in

    @property
    def frame(self) -> tuple[bytes, bytes]:
        """What stands before the first item, and between and after all; whole after ``finish``."""
        rest = b"".join(self._frame)
        return (rest, b"") if self._header is None else (self._header, rest)

    def feed(self, piece: bytes) -> list[Item]:
        """Return the items that end in *piece*.

        Raises:
            UncutError: the document is to be read whole.
            ParseError: it is not to be read at all.
        """
        data = self._data + piece
        if self._close is None:
            self._begin(data)
        items: list[Item] = []
        at, searched = 0, self._searched
        while self._close and (found := data.find(self._close, searched)) >= 0:
            searched = found + len(self._close)
            stretch = data[at:searched]
            mark = _mark(stretch)
            if self._outside and mark in self._known:
                items.append(Item(mark, self._known[mark], None))
            else:
                items += self._take(stretch, mark)
            at = searched
        self._data = data[at:]
        self._searched = max(0, len(self._data) - len("</entry>"))
        if len(self._data) > MAX_STRETCH_BYTES:
            raise UncutError
        return self._counted(items)

    def finish(self) -> list[Item]:
        """Return the items that only the end of the document completes. Raises as ``feed``."""
        items = list(self._pass(b"".join([*self._held, self._data])))
        if self._item is not None or self._held:
            raise UncutError
        return self._counted(items)

    def _begin(self, data: bytes) -> None:
        """Find out what items are called here; refuse what may not be encoded like ASCII."""
        declared = _ENCODING.match(data[:START_BYTES].removeprefix(codecs.BOM_UTF8))
        if b"\0" in data[:START_BYTES] or (declared and not _LIKE_ASCII.fullmatch(declared[1])):
            raise UncutError
        places = [(data.find(close), close) for close in (b"</item>", b"</entry>")]
        self._close = min((place for place in places if place[0] >= 0), default=(0, None))[1]

    def _counted(self, items: list[Item]) -> list[Item]:
        self.items += len(items)
        if self.items > MAX_ITEMS:
            raise ParseError("too_many_items", f"more than {MAX_ITEMS}")
        return items

    def _take(self, stretch: bytes, mark: bytes) -> list[Item]:
        """Return the items of a stretch, which is usually one.

        It has a mark only if it is one item and nothing else.
        """
        whole = self._outside and stretch.lstrip().startswith(b"<" + self._name)
        if self._held:
            self._held.append(stretch)
            self._held_bytes += len(stretch)
            if self._held_bytes > MAX_STRETCH_BYTES:
                raise UncutError
            if self._held_bytes < self._worth:
                return []
            stretch = b"".join(self._held)
        first = self._header is None
        items = list(self._pass(stretch))
        self._outside = self._item is None and not self._held and self._header is not None
        if len(items) != 1 or not self._outside:
            return items
        if first:  # the header is another in every answer
            mark = _mark(stretch[len(self._header or b"") :])
        elif not whole:
            mark = NO_MARK
        return [items[0]._replace(mark=mark)]

    @property
    def _name(self) -> bytes:
        return (self._close or b"")[2:-1]

    def _pass(self, data: bytes) -> Iterator[Item]:
        """Pass the tokens of *data* that are whole, and hold back the first that is not."""
        at = 0
        self._held = []
        for token in _TOKEN.finditer(data):
            kind = token.lastgroup
            if kind == "unread" and self._item is not None:
                if _BASE in token[0]:
                    raise UncutError
                self._item.append(data[at : token.start()])
                at = token.end()
            elif kind == "end":
                text = self._end(data[at : token.end()])
                yield Item(NO_MARK, digest(text), text)
                at = token.end()
            elif kind == "start":
                self._start(data[at : token.start()], token[0])
                at = token.end()
            elif kind == "open" and not self._leave_open(token[0]):
                self._keep(data[at : token.start()])
                self._held = [data[token.start() :]]
                self._held_bytes = len(self._held[0])
                self._worth = 2 * self._held_bytes
                return
            elif kind == "entity":
                raise ParseError("entities", "the document declares entities")
        self._keep(data[at:])

    def _leave_open(self, opening: bytes) -> bool:
        """Return whether a tag may stay without an end: outside the items nothing is dropped."""
        if self._item is not None or _A_BOUND.match(opening):
            return False
        self._unclosed += 1
        if self._unclosed > MOST_UNCLOSED:
            raise UncutError
        return True

    def _start(self, before: bytes, tag: bytes) -> None:
        if self._item is not None or tag.endswith(b"/>"):
            raise UncutError
        self._keep(before)
        if self._header is None:
            self._header, self._frame = b"".join(self._frame), []
        self._item = [tag]

    def _end(self, rest: bytes) -> bytes:
        if self._item is None:
            raise UncutError
        self._keep(rest)
        text, self._item = b"".join(self._item), None
        if _BASE in text:
            raise UncutError
        return text

    def _keep(self, text: bytes) -> None:
        if self._item is not None:
            self._item.append(text)
            if sum(map(len, self._item)) > MAX_ITEM_BYTES:
                raise ParseError("item_too_large", f"more than {MAX_ITEM_BYTES} bytes")
        elif text:
            self._frame.append(text)
            self._frame_bytes += len(text)
            if self._frame_bytes > MAX_FRAME_BYTES:
                raise UncutError


def _mark(stretch: bytes) -> bytes:
    """Return what tells a stretch from another one, in a third of a cryptographic digest's time.

    CRC-32 and the length: of edits that keep the length, one in 4 billion goes unseen. Who forges
    one hides his own news.
    """
    return _MARK.pack(crc32(stretch), len(stretch))


def digest(text: bytes) -> bytes:
    """Return what tells whether an item changed.

    The same for other white space between its tags, and for another query of its addresses: some
    hosts sign those anew in every answer.
    """
    text = _QUERY.sub(b"", _WHITE.sub(b"><", text))
    return blake2b(text, digest_size=DIGEST_BYTES).digest()


def check_attributes(text: bytes) -> None:
    """Do nothing if no element of *text* has more attributes than feedparser reads in good time.

    Raises:
        ParseError: ``too_many_attributes``.
    """
    for tag in _TAG.finditer(_SECTION.sub(b"", text)):
        if len(_ATTRIBUTE.findall(tag[0])) > MAX_ATTRIBUTES:
            raise ParseError("too_many_attributes", f"one element has more than {MAX_ATTRIBUTES}")


def check_depth(text: bytes) -> None:
    """Do nothing if the elements of *text*, an item or a frame, are not nested too deeply.

    Raises:
        ParseError: ``too_deep``.
    """
    depth = 0
    for tag in _TAG.finditer(_SECTION.sub(b"", text)):
        if tag[1]:
            depth -= 1
        elif not tag[2]:
            depth += 1
        if depth > MAX_DEPTH:
            raise ParseError("too_deep", f"more than {MAX_DEPTH} elements deep")
