"""A body as it comes off the wire, unzipped with bounds.

gzip only, and one layer of it: 826 bytes of brotli made httpx allocate 3.1 GB before a cap could
act, and it took a truncated gzip stream for a good answer.
"""

import zlib
from collections.abc import Iterator
from hashlib import sha256

GZIP = 31  # zlib's wbits for a gzip stream
PIECE_BYTES = 65_536  # unzipped at a time
SHORT_BYTES = 1_048_576  # on the wire; only a body that ends within them has a digest


class BodyError(Exception):
    """A body that is not received: ``too_large``, ``truncated`` or ``bad_encoding``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Body:
    """Counts, bounds, digests and unzips what ``feed`` is given.

    A short body of which the digest is expected is the last one again: it is not even unzipped.
    """

    def __init__(self, encoding: str, *, max_bytes: int) -> None:
        coding = encoding.strip().lower()  # RFC 9110, section 8.4.1: in any case
        if coding not in {"", "identity", "gzip", "x-gzip"}:
            raise BodyError("bad_encoding")
        self.coding = "gzip" if "gzip" in coding else ""
        self._unzip = zlib.decompressobj(GZIP) if self.coding else None
        self._max_bytes = max_bytes
        self._last: bytes | None = None
        self._held: list[bytes] | None = None
        self._digest = sha256()
        self.wire_bytes = 0
        self.body_bytes = 0

    def expect(self, last: bytes | None) -> None:
        """Hold the body back for as long as it may be the one of which *last* is the digest."""
        self._last = last
        self._held = None if last is None else []

    @property
    def wire_digest(self) -> bytes | None:
        return self._digest.digest() if self.wire_bytes <= SHORT_BYTES else None

    @property
    def repeated(self) -> bool:
        """Whether the body, at its end, is the last one again."""
        return self._held is not None and self.wire_digest == self._last

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what *chunk* unzips to, in bounded pieces."""
        self.wire_bytes += len(chunk)
        if self.wire_bytes > self._max_bytes:
            raise BodyError("too_large")
        if self.wire_bytes <= SHORT_BYTES:
            self._digest.update(chunk)
            if self._held is not None:
                self._held.append(chunk)
                return
        yield from self._release()
        yield from self._unzipped(chunk)

    def finish(self) -> Iterator[bytes]:
        """Yield what was held back; check that the body ended where its encoding says."""
        if self.repeated:
            return
        yield from self._release()
        if self._unzip is not None and not self._unzip.eof and self.wire_bytes:
            raise BodyError("truncated")

    def _release(self) -> Iterator[bytes]:
        held, self._held = self._held, None
        for chunk in held or ():
            yield from self._unzipped(chunk)

    def _unzipped(self, chunk: bytes) -> Iterator[bytes]:
        for piece in self._pieces(chunk):
            self.body_bytes += len(piece)
            if self.body_bytes > self._max_bytes:
                raise BodyError("too_large")
            yield piece

    def _pieces(self, chunk: bytes) -> Iterator[bytes]:
        if self._unzip is None:
            yield chunk
            return
        try:
            while chunk:
                if self._unzip.eof:  # what follows a gzip stream is no part of it
                    raise BodyError("bad_encoding")
                piece = self._unzip.decompress(chunk, PIECE_BYTES)
                chunk = self._unzip.unconsumed_tail or self._unzip.unused_data
                if piece:
                    yield piece
        except zlib.error:
            raise BodyError("bad_encoding") from None
