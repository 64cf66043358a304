"""Where lines go: a descriptor that may be full, broken, or read by nobody. None of it holds us up."""

import io
import os
import select
from typing import Final, TextIO

# A pipe whose reader stands still, a terminal stopped by Ctrl-S: they may go on.
_PATIENCE_MS: Final = 1000
# What is writable takes so much without blocking: PIPE_BUF of Linux, pipe(7).
_CHUNK_BYTES: Final = 4096


class Stream:
    """Takes whole lines. The first that finds no room waits a second, those after it not at all."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._descriptor = _descriptor(stream)
        self._patience_ms = _PATIENCE_MS
        self._cut = False  # a line was taken in part
        self._gone = False  # its reader went away, and a pipe has only one

    def write(self, line: str) -> bool:
        """Write *line* and a line end; return whether they were taken."""
        if self._gone or self.stream.closed:  # its descriptor may be another file's by now
            return False
        if self._descriptor is None:
            self.stream.write(f"{line}\n")
            return True
        data = line.encode(errors="backslashreplace") + b"\n"
        try:
            return self._take(self._descriptor, b"\n" + data if self._cut else data)
        except BrokenPipeError:
            self._discard_from_now_on(self._descriptor)
        except OSError:  # a full disk, for one
            pass
        return False

    def _take(self, descriptor: int, data: bytes) -> bool:
        ready = select.poll()
        ready.register(descriptor, select.POLLOUT)
        left = memoryview(data)
        while left:
            if not ready.poll(self._patience_ms):
                self._patience_ms = 0
                return False
            left = left[os.write(descriptor, left[:_CHUNK_BYTES]) :]
            self._cut = bool(left)
        self._patience_ms = _PATIENCE_MS
        return True

    def _discard_from_now_on(self, descriptor: int) -> None:
        """Let what else is written there lead to nowhere, or Python would exit with 120."""
        self._gone = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def _descriptor(stream: TextIO) -> int | None:
    """Return where *stream* leads; None: it is in memory."""
    try:
        return stream.fileno()
    except io.UnsupportedOperation:
        return None
