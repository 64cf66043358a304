"""A feed's body, from the wire to what it says."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import IO, Self

from monitor.adapters.body import SHORT_BYTES, Body
from monitor.adapters.sandbox import Sandbox
from monitor.core.cut import UncutError
from monitor.core.model import Edition, Fetched, Reading
from monitor.core.sweep import CALM, Sweep

IN_MEMORY_BYTES = 1_048_576  # of a body on the wire; a longer one is kept in a temporary file
CHUNK_BYTES = 65_536

Parse = Callable[
    [Callable[[Reading | None], Reading], Reading | None], Awaitable[Reading]
]  # off the loop


class Reader:
    """Receives a body: cuts it as it comes, and keeps what came in case it must be read whole."""

    def __init__(
        self, last: Edition | None, last_digest: bytes | None = None, *, head: bool = False
    ) -> None:
        """*last* is what was read before; *head*: the document's head may be enough."""
        self._last = last
        self._last_digest = last_digest
        self._head = head
        self.coding = ""
        self._sweep: Sweep | None = None
        self._wire: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._wire is not None:
            self._wire.close()

    @property
    def sweep(self) -> Sweep:
        assert self._sweep is not None  # a body has begun
        return self._sweep

    def begin(self, coding: str) -> bytes | None:
        self.coding = coding
        last, may_stop = self._last, False
        if last is not None:
            long = last.wire_bytes > SHORT_BYTES and last.calm >= CALM and last.alone
            may_stop = self._head and long
        self._sweep = Sweep(last, may_stop=may_stop)
        self._wire = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - closed by __exit__
        return self._last_digest

    def keep(self, chunk: bytes) -> None:
        assert self._wire is not None
        self._wire.write(chunk)

    def take(self, piece: bytes) -> bool:
        return self.sweep.take(piece)

    def end(self) -> None:
        self.sweep.finish()

    def wire(self) -> Iterator[bytes]:
        """Yield again what came on the wire, as far as it came."""
        if self._wire is None:
            return
        self._wire.seek(0)
        while chunk := self._wire.read(CHUNK_BYTES):
            yield chunk

    def whole(self, fetched: Fetched) -> Iterator[bytes]:
        """Yield the body again, unzipped."""
        body = Body(self.coding, max_bytes=fetched.body_bytes)
        for chunk in self.wire():
            yield from body.feed(chunk)
        yield from body.finish()


async def read(
    reader: Reader, fetched: Fetched, before: Reading | None, *, parse: Parse, sandbox: Sandbox
) -> Reading | None:
    """Return what a document says; None if only its head came, and that is not enough.

    What cannot be cut is parsed in a process of its own. Raises ParseError.
    """
    with suppress(UncutError):
        return await parse(reader.sweep.read, before)
    if not fetched.complete:
        return None
    return await sandbox.read(reader.whole(fetched))
