"""The daemon as a process of its own, its log shown as it comes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Self

from rich.console import Console
from rich.text import Text

STOP_WITHIN_S = 10.0
NOT_THE_DAEMONS = ("PODCAST_MONITOR_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_")
BACK_CATALOGUE_LINES = 3  # of the baseline's many, so many are shown


class DaemonProcess:
    """``podcast-monitor run``, to be started, killed, started again and stopped.

    As a context manager it is running inside the block, and never outlives it.
    """

    def __init__(self, config: Path, console: Console, back_catalogue: int) -> None:
        self._command = [sys.executable, "-m", "monitor", "--config", str(config), "run"]
        self._console = console
        self._back_catalogue = back_catalogue  # so many lines are alike
        self._process: subprocess.Popen[str]
        self._reader: threading.Thread

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:  # the rehearsal was broken off
            self.kill()

    def start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter on our own module
            self._command,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=self._environ(),
        )
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=self._show, args=(self._process.stderr,))
        self._reader.start()

    def _environ(self) -> dict[str, str]:
        """Return our environment without what would change the daemon: its settings, systemd's."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(NOT_THE_DAEMONS)}
        return kept | ({"FORCE_COLOR": "1"} if self._console.is_terminal else {})

    def kill(self) -> None:
        """End it as a power cut would: at once, with nothing written down."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to stop; return its exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        try:
            code = self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:  # the verdict will say so: it is not 0
            self._process.kill()
            code = self._process.wait()
        self._reader.join()
        return code

    def _show(self, lines: IO[str]) -> None:
        """Print the log; of a back catalogue only the start."""
        alike = 0
        for line in lines:
            if "baseline" in line and "episode.discovered" in line:
                alike += 1
                if alike > BACK_CATALOGUE_LINES:
                    self._fold(alike)
                    continue
            self._console.print(Text.from_ansi(line.rstrip()), overflow="ellipsis", no_wrap=True)

    def _fold(self, alike: int) -> None:
        if alike == self._back_catalogue:
            left = alike - BACK_CATALOGUE_LINES
            self._console.print(Text(f"{'':11}… and {left} more of the back catalogue", "dim"))


def wait_until(holds: Callable[[], bool], within_s: float) -> bool:
    """Return whether *holds* came true in time."""
    until = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
