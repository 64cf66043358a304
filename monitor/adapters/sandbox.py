"""A whole document, parsed in a process of its own that can be killed.

For what ``monitor.core.cut`` is not certain of. feedparser on a hostile document may take minutes
(22 s for one element of 40,000 attributes) or a gigabyte, and no thread can be stopped. To start a
process costs some 150 ms of processor time, which is why it is started only then.
"""

import asyncio
import os
import resource
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

import monitor
from monitor.core.cut import check_attributes
from monitor.core.model import ParseError, Reading

DEADLINE_S = 30.0  # the largest captured document takes 3
MAX_MEMORY_BYTES = 1_073_741_824  # of the child's address space
MAX_ANSWER_BYTES = 67_108_864
CHUNK_BYTES = 65_536
NICE = 10

# Where the package stands, installed or not; and never from the working directory.
CHILD = (
    "import sys; sys.path.append(sys.argv[1]); from monitor.adapters.sandbox import child; child()"
)
ROOT = str(Path(monitor.__file__).parents[1])


@dataclass(frozen=True, slots=True)
class _Refused:
    reason: str
    detail: str
    kind: Literal["refused"] = "refused"


_ANSWER: TypeAdapter[Reading | _Refused] = TypeAdapter(Reading | _Refused)


class Sandbox:
    """Reads one document at a time."""

    def __init__(
        self, *, deadline_s: float = DEADLINE_S, max_memory_bytes: int = MAX_MEMORY_BYTES
    ) -> None:
        self._deadline_s = deadline_s
        self._max_memory_bytes = max_memory_bytes
        self._free = asyncio.Semaphore(1)

    async def read(self, pieces: Iterable[bytes]) -> Reading:
        """Return what the document in *pieces* says.

        Raises:
            ParseError: as ``parse.read_whole``; ``too_slow``, or ``too_costly`` where the child
                died: of its memory limit, most likely.
            OSError: no process could be started.
        """
        async with self._free, self._child() as process:
            try:
                async with asyncio.timeout(self._deadline_s):
                    _, answer = await asyncio.gather(_tell(process, pieces), _heard(process))
            except TimeoutError:
                raise ParseError("too_slow", f"more than {self._deadline_s:g} s") from None
            status = await process.wait()
        return _understood(answer, status)

    @asynccontextmanager
    async def _child(self) -> AsyncIterator[Process]:
        """Start a child; whatever happens, it is gone in the end."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", CHILD, ROOT),
            *(str(self._max_memory_bytes), str(round(self._deadline_s) + 1)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={"PYTHONHASHSEED": "0", "PATH": os.defpath},
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())


async def _tell(process: Process, pieces: Iterable[bytes]) -> None:
    assert process.stdin is not None
    with suppress(ConnectionError):  # it died: its status says why
        for piece in pieces:
            process.stdin.write(piece)
            await process.stdin.drain()
        process.stdin.close()


async def _heard(process: Process) -> bytes:
    assert process.stdout is not None
    answer = bytearray()
    while chunk := await process.stdout.read(CHUNK_BYTES):
        answer += chunk
        if len(answer) > MAX_ANSWER_BYTES:
            raise ParseError("too_costly", "its items fill more than the answer may hold")
    return bytes(answer)


def _understood(answer: bytes, status: int) -> Reading:
    try:
        said = _ANSWER.validate_json(answer)
    except ValidationError:
        raise ParseError("too_costly", f"the parser ended with {status}") from None
    if isinstance(said, _Refused):
        raise ParseError(said.reason, said.detail)
    return said


def child() -> None:
    """Read a document from standard input; write what it says, or why it is refused."""
    memory_bytes, cpu_s = map(int, sys.argv[2:])
    os.nice(NICE)
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),  # so that it ends even if its parent was killed
    ):
        resource.setrlimit(limit, (most, most))
    sys.stdout.buffer.write(_ANSWER.dump_json(_read(sys.stdin.buffer.read())))
    sys.stdout.flush()
    os._exit(0)


def _read(body: bytes) -> Reading | _Refused:
    from monitor.core.parse import read_whole  # noqa: PLC0415 - the parent needs no parser here

    try:
        check_attributes(body)
        return read_whole(body)
    except ParseError as error:
        return _Refused(error.reason, error.detail)
