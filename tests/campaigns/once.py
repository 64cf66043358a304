"""``podcast-monitor run --once`` in forks of one process that has imported everything already.

``python -m tests.campaigns.once`` reads orders, one a line: a configuration's path, a log's, and
whether to wait. It answers each with a child's pid, and then with its exit status. A child that
waits is stopped before it has done anything, so that a tracer can attach to it.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import IO, Self

from monitor import cli

NEEDED = ("monitor.daemon", "feedparser", "certifi", "sqlalchemy.dialects.sqlite", "typer._click")
PR_SET_PTRACER, PR_SET_PTRACER_ANY = 0x59616D61, ctypes.c_ulong(-1)  # man 2 prctl


class Once:
    """As a context manager: runs within the block."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.campaigns.once"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            _open(self._process.stdin).close()

    def run(self, config: Path, log: Path) -> int:
        """Return the exit status; negative: the number of the signal that ended it."""
        self.begin(config, log, wait=False)
        return self.end()

    def begin(self, config: Path, log: Path, *, wait: bool) -> int:
        """Return the pid of a run; one that is to *wait* goes on after a SIGCONT."""
        orders = _open(self._process.stdin)
        orders.write(json.dumps([str(config), str(log), wait]) + "\n")
        orders.flush()
        return self.end()

    def end(self) -> int:
        """Return the exit status of what was begun, when it has ended."""
        return int(_open(self._process.stdout).readline())


def _open(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _serve() -> None:
    for module in NEEDED:
        import_module(module)
    for order in sys.stdin:
        config, log, wait = json.loads(order)
        child = os.fork()
        if child == 0:
            _live(config, log, wait=wait)
        if wait:
            os.waitpid(child, os.WUNTRACED)
        _answer(child)
        _, status = os.waitpid(child, 0)
        _answer(os.waitstatus_to_exitcode(status))


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _live(config: str, log: str, *, wait: bool) -> None:
    """Be the command, to the end of the process."""
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    sys.argv = ["podcast-monitor", "run", "--once", "--config", config]
    if wait:
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY)
        os.kill(os.getpid(), signal.SIGSTOP)
    code = 1
    try:
        cli.main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
