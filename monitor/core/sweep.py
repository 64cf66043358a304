"""One document of a feed as it comes in, compared with the last one that was read.

Whoever fetches a feed gives the pieces to ``Sweep.take``. It knows at the end, without a parser,
whether there is anything to read at all, and ``read`` parses no more than what is new.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import islice, pairwise

from monitor.core import parse
from monitor.core.cut import (
    DIGEST_BYTES,
    MARK_BYTES,
    NO_MARK,
    Cutter,
    Item,
    UncutError,
    check_attributes,
    check_depth,
)
from monitor.core.model import Edition, Fetched, ObservedEpisode, ParseError, Reading

ENOUGH = 20  # known items in a row: what follows them is known too, in a feed that is calm
FEW_ENOUGH = 3  # of them, where they are long: a hundredth of the document
LONG = 100
CALM = 2  # whole documents in a row
MAX_FRESH_BYTES = 16_777_216  # of items to be parsed here; more are parsed apart
SLICE = 50  # items parsed at a time: so much memory, and the other threads' turn in between

_ROOT = re.compile(rb"<((?:[\w.-]+:)?(?:rss|feed|RDF))[\s>]")
_NO_EDITION = Edition(b"", b"", alone=True, calm=0, body_bytes=0, wire_bytes=0)


class Sweep:
    """A document, cut as it comes in."""

    def __init__(self, last: Edition | None, *, may_stop: bool) -> None:
        """*may_stop*: the head of the document is enough, where it brings nothing unexpected."""
        self.last = last or _NO_EDITION
        self.refusal: ParseError | None = None  # why the document is not to be read at all
        self.uncut = False  # it is to be read whole
        self.complete = False
        self.items: list[Item] = []
        self._before = _split(self.last.digests, DIGEST_BYTES)
        self._known = frozenset(self._before)
        marks = _split(self.last.marks, MARK_BYTES)
        by_mark = dict(zip(marks, self._before, strict=True))
        by_mark.pop(NO_MARK, None)
        self._cutter = Cutter(by_mark)
        self._may_stop = may_stop
        self._taken = 0  # bytes
        self._fresh_bytes = 0
        self._in_order = 0  # items of the last document that were found again, one after the other
        self._run = 0  # of those, the ones since the last that is new
        self._run_began = 0  # how much was taken before them

    def take(self, piece: bytes) -> bool:
        """Take the next piece of the document; return whether more is wanted."""
        self._taken += len(piece)
        return self.uncut or (
            self._add(partial(self._cutter.feed, piece)) and not self._is_enough()
        )

    def finish(self) -> None:
        """Take the end of the document."""
        self.complete = True
        if not self.uncut and self._add(self._cutter.finish) and not self.uncut:
            try:
                parse.check_whole(b"".join(self._cutter.frame))
            except ParseError as error:
                self.refusal = error

    def _add(self, cut: Callable[[], list[Item]]) -> bool:
        """Take items; return whether the document is still worth reading."""
        try:
            for item in cut():
                self._add_item(item)
        except UncutError:
            self.uncut = True
        except ParseError as error:
            self.refusal = error
        return self.refusal is None

    def _add_item(self, item: Item) -> None:
        self.items.append(item)
        if item.digest not in self._known:
            self._run, self._run_began = 0, self._taken
            self._fresh_bytes += len(item.text or b"")
            if self._fresh_bytes > MAX_FRESH_BYTES:
                raise UncutError
        elif self._in_order < len(self._before) and self._before[self._in_order] == item.digest:
            self._in_order += 1
            self._run += 1
        else:  # it was elsewhere: nothing can be said of what was not read
            self._may_stop = False

    def _is_enough(self) -> bool:
        if not self._may_stop or self._run < FEW_ENOUGH:
            return False
        return self._run >= ENOUGH or self._taken - self._run_began >= self.last.body_bytes / LONG

    # --- what it comes to -----------------------------------------------------------------

    @property
    def repeats(self) -> bool:
        """Whether nothing in it is new, and in a complete one nothing is missing."""
        if self.uncut or self.refusal or not self._before:
            return False
        if self.complete and len(self.items) != len(self._before):
            return False
        return self._in_order == len(self.items)

    @property
    def last_items(self) -> int:
        """How many items the last document had."""
        return len(self._before)

    def read(self, before: Reading | None) -> Reading:
        """Return what the document says; *before* is what the last one said.

        Of one that is not complete, the rest is taken to be as it was.

        Raises:
            UncutError: it is to be read whole.
            ParseError: it is not to be read.
        """
        if self.refusal:
            raise self.refusal
        if before is not None and len(before.items) != len(self._before):
            before = None  # it is not that document's
        known = dict(zip(self._before, before.items, strict=True)) if before else {}
        if self.uncut or not (self.last.alone and known.keys() >= self._known):
            raise UncutError
        fresh = {c.digest: c.text for c in self.items if c.digest not in known and c.text}
        channel, read = self._parse(fresh)
        known |= read
        items = [known[cut.digest] for cut in self.items]
        if not self.complete:
            items += [known[digest] for digest in self._before[self._in_order :]]
            return replace(before, items=tuple(items)) if before else channel
        return replace(channel, items=tuple(items))

    def _parse(
        self, fresh: Mapping[bytes, bytes]
    ) -> tuple[Reading, dict[bytes, ObservedEpisode | None]]:
        """Return what is said of the channel, and what the *fresh* items say, by digest."""
        header, footer = self._cutter.frame
        if not self.complete:
            footer = _closing(header)
        for text in (header + footer, *fresh.values()):
            check_attributes(text)
            check_depth(text)
        channel: Reading | None = None
        read: dict[bytes, ObservedEpisode | None] = {}
        digests = iter(fresh)
        while (some := list(islice(digests, SLICE))) or channel is None:
            texts = [fresh[digest] for digest in some]
            parsed = parse.read(b"".join([header, *texts, footer]))
            channel = parse.reading_of(parsed)
            if parse.is_illformed(parsed) or not channel.alone or len(channel.items) != len(some):
                raise UncutError
            read |= zip(some, channel.items, strict=True)
        return channel, read

    def edition(self, fetched: Fetched, read: Reading | None) -> Edition:
        """Return what is to be remembered of the document; *read* is what it says, where it was read.

        One that could not be cut is remembered by its bytes on the wire alone.
        """
        marks = b"".join(item.mark for item in self.items)
        digests = b"".join(item.digest for item in self.items)
        if not self.complete:
            marks += self.last.marks[self._in_order * MARK_BYTES :]
            digests += self.last.digests[self._in_order * DIGEST_BYTES :]
            return replace(self.last, marks=marks, digests=digests)
        if self.uncut or (read is not None and len(read.items) != len(self.items)):
            return _NO_EDITION
        calm = min(self.last.calm + 1, CALM) if self._is_calm(read) else 0
        if (marks, digests, calm) == (self.last.marks, self.last.digests, self.last.calm):
            return self.last
        return Edition(
            marks,
            digests,
            alone=self.last.alone if read is None else read.alone,
            calm=calm,
            body_bytes=fetched.body_bytes,
            wire_bytes=fetched.wire_bytes,
        )

    def _is_calm(self, read: Reading | None) -> bool:
        """Return whether the document is newest first and has kept nine of ten of its items."""
        if read is None:
            return self.last.calm > 0  # it is the same as the last one
        kept = len(self._known.intersection(item.digest for item in self.items))
        return kept * 10 >= len(self._known) * 9 and _newest_first(read.items)


def _split(joined: bytes, size: int) -> list[bytes]:
    return [joined[at : at + size] for at in range(0, len(joined), size)]


def _newest_first(items: Iterable[ObservedEpisode | None]) -> bool:
    dates: list[datetime | None] = [seen.published_at for seen in items if seen is not None]
    return all(
        before is not None and after is not None and before >= after
        for before, after in pairwise(dates)
    )


def _closing(header: bytes) -> bytes:
    """Return the end of a document of which only the head was read."""
    root = _ROOT.search(header)
    if root is None:
        raise UncutError
    name = root[1]
    return (b"</channel></%b>" if name.endswith(b"rss") else b"</%b>") % name
