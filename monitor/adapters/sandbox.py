"""A whole document, parsed in a process of its own that can be killed.

For what ``monitor.core.cut`` is not certain of. feedparser on a hostile document may take minutes
(22 s for one element of 40,000 attributes) or a gigabyte, and no thread can be stopped. To start a
process costs some 200 ms of processor time, which is why it is started only then.
"""

import asyncio
import os
import resource
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from fcntl import F_GETFL, F_SETFL, F_SETOWN, fcntl
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from monitor.core.cut import check_attributes
from monitor.core.model import ParseError, Reading

DEADLINE_S = 30.0  # the largest captured document takes 3
PATIENCE_S = 30.0  # for a turn; with the deadline and the fetch before it less than a feed's lease
# Of the child's address space: enough for an illformed feed of 42 MiB, and with the daemon less
# than the unit's MemoryMax, beyond which systemd ends them both.
MAX_MEMORY_BYTES = 335_544_320
MAX_ANSWER_BYTES = 16_777_216  # 20,000 items; the event loop stands still for 0.2 s to read it
MAX_FILES = 16  # open at a time, to import the parser
CHUNK_BYTES = 65_536
NICE = 10
STDOUT = 1

CHILD = "from monitor.adapters.sandbox import child; child()"


@dataclass(frozen=True, slots=True)
class _Refused:
    reason: str
    detail: str
    kind: Literal["refused"] = "refused"


_ANSWER: TypeAdapter[Reading | _Refused] = TypeAdapter(Reading | _Refused)


class Sandbox:
    """Reads one document at a time."""

    def __init__(
        self,
        *,
        deadline_s: float = DEADLINE_S,
        patience_s: float = PATIENCE_S,
        max_memory_bytes: int = MAX_MEMORY_BYTES,
    ) -> None:
        self._deadline_s = deadline_s
        self._patience_s = patience_s
        self._max_memory_bytes = max_memory_bytes
        self._free = asyncio.Semaphore(1)

    async def read(self, pieces: Iterable[bytes]) -> Reading:
        """Return what the document in *pieces* says.

        Raises:
            ParseError: as ``parse.read_whole``; ``too_slow``, or ``too_costly`` where the child
                died: of its memory limit, most likely; ``no_turn_to_parse`` where others took
                so long that there was no turn.
            OSError: no process could be started; nobody's fault. What *pieces* raises is passed on.
        """
        async with self._turn():
            process = await self._started()
            hearing = asyncio.create_task(_heard(process))
            try:
                async with asyncio.timeout(self._deadline_s):
                    await _tell(process, pieces)
                    answer = await asyncio.shield(hearing)
                    status = await process.wait()
            except TimeoutError:
                raise ParseError("too_slow", f"more than {self._deadline_s:g} s") from None
            finally:
                await _end(process, hearing)
        return _understood(answer, status)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._free.acquire()
        except TimeoutError:
            waited = f"others were parsed for {self._patience_s:g} s"
            raise ParseError("no_turn_to_parse", waited) from None
        try:
            yield
        finally:
            self._free.release()

    async def _started(self) -> Process:
        """Start a child that finds its modules where this process did, and gets none of its secrets."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", CHILD),
            *(str(self._max_memory_bytes), str(round(self._deadline_s) + 1)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )


async def _end(process: Process, hearing: asyncio.Task[bytes]) -> None:
    """Kill a child if it still runs; when this returns it is gone and its pipes are closed.

    What it said is read to the end even so: before, asyncio says of no process that it ended.
    """
    with suppress(ProcessLookupError):
        process.kill()
    await asyncio.shield(asyncio.gather(hearing, process.wait()))


async def _tell(process: Process, pieces: Iterable[bytes]) -> None:
    assert process.stdin is not None
    with suppress(ConnectionError):  # it died: its status says why
        for piece in pieces:
            process.stdin.write(piece)
            await process.stdin.drain()
        process.stdin.close()


async def _heard(process: Process) -> bytes:
    """Return what the child says; of an answer that is too long, a byte more than it may have."""
    assert process.stdout is not None
    answer = bytearray()
    while chunk := await process.stdout.read(CHUNK_BYTES):
        answer += chunk[: MAX_ANSWER_BYTES + 1 - len(answer)]
    return bytes(answer)


def _understood(answer: bytes, status: int) -> Reading:
    if len(answer) > MAX_ANSWER_BYTES:
        raise ParseError("too_costly", "its items fill more than the answer may hold")
    try:
        said = _ANSWER.validate_json(answer)
    except ValidationError:
        raise ParseError("too_costly", f"the parser ended with {status}") from None
    if isinstance(said, _Refused):
        raise ParseError(said.reason, said.detail)
    return said


# --- in the child ------------------------------------------------------------------------


def child() -> None:
    """Read a document from standard input; write what it says, or why it is refused."""
    memory_bytes, cpu_s = map(int, sys.argv[1:])
    _leave_signals_to_the_parent()
    _end_with_the_parent(watched=True)
    with suppress(PermissionError):  # the unit's system call filter forbids it
        os.nice(NICE)
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, MAX_FILES),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),  # the last resort
    ):
        resource.setrlimit(limit, (most, most))
    answer = _ANSWER.dump_json(_read(sys.stdin.buffer.read()))
    _end_with_the_parent(watched=False)  # that there is room in the pipe is a signal too
    sys.stdout.buffer.write(answer)
    sys.stdout.flush()
    os._exit(0)


def _leave_signals_to_the_parent() -> None:
    """Ignore what means the daemon, which ends this process itself.

    Ctrl-C and ``systemctl kill -s USR1`` reach every process of the service; a child that died of
    them would be held against the publisher.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def _end_with_the_parent(*, watched: bool) -> None:
    """Have the kernel send SIGIO, which ends this process, when nobody can hear its answer any more.

    Not a thread that waits for that: it gets no turn while a regular expression runs. Not prctl:
    it needs ctypes, which MemoryDenyWriteExecute may forbid.
    """
    flags = fcntl(STDOUT, F_GETFL) & ~os.O_ASYNC
    fcntl(STDOUT, F_SETOWN, os.getpid())
    fcntl(STDOUT, F_SETFL, flags | os.O_ASYNC if watched else flags)


def _read(body: bytes) -> Reading | _Refused:
    from monitor.core.parse import read_whole  # noqa: PLC0415 - the parent needs no parser here

    try:
        check_attributes(body.replace(b"\0", b""))  # in UTF-16 too, as parse.check_whole does
        return read_whole(body)
    except ParseError as error:
        if isinstance(error.__cause__, MemoryError):  # in feedparser, which is not to blame
            return _Refused("too_costly", "the parser ran out of memory")
        return _Refused(error.reason, error.detail)
