"""The real daemon as a process, what it says and what it costs."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Self

from benchmarks.processes import ROOT, Cost

WITHIN_S = 300.0
CONFIG = """
database = "sqlite:///{database}"
mode = "{mode}"

[log]
format = "json"

[network]
deadline = "10m"
per_host_interval = "1ms"
allow_private = true

[stenobird]
base_url = "{stenobird}"

[requests]
per_minute = 1000000
audio_minutes_per_day = 1000000
bulk_over = 1000000
backdated_over = "5000w"
"""
PODCAST = """
[[podcasts]]
name = "{name}"
feed = "{url}"
stenobird = "{name}"
poll = {poll}
backfill = "none"
"""
# Due once and then, for as long as anybody measures, only when `podcast-monitor poll` says so.
ON_DEMAND = '{{ min = "{least}", max = "6h", per_day = 4 }}'


class Daemon:
    """``podcast-monitor run`` on a database of its own, while the block lasts."""

    def __init__(
        self,
        directory: Path,
        feeds: Mapping[str, str],
        *,
        stenobird: str = "http://127.0.0.1:9",
        mode: str = "shadow",
        poll: str,
    ) -> None:
        """*feeds*: their addresses, by podcast. Nobody listens at the default *stenobird*."""
        directory.mkdir(parents=True, exist_ok=True)
        self._config = directory / "podcast-monitor.toml"
        database = directory / "podcast-monitor.db"
        text = CONFIG.format(database=database, mode=mode, stenobird=stenobird)
        podcasts = [PODCAST.format(name=n, url=url, poll=poll) for n, url in feeds.items()]
        self._config.write_text("".join([text, *podcasts]))
        self._feeds = len(feeds)
        self._lines: list[dict[str, Any]] = []
        self._told = threading.Condition()

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "monitor", "--config", str(self._config), "run"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.until("daemon.ready", 1)
        return self

    def __exit__(self, *_: object) -> None:
        with self._process as process:
            process.send_signal(signal.SIGTERM)
            self._reader.join()

    def _read(self) -> None:
        for line in self._process.stderr or ():
            with self._told:
                self._lines.append(json.loads(line))
                self._told.notify()

    def told(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of an event so far."""
        return [line for line in tuple(self._lines) if line["event"] == event]

    def until(self, event: str, times: int) -> None:
        """Wait until an event has been told so often since the start."""
        self._until(lambda: len(self.told(event)) >= times, event)

    def until_all_polled(self, names: Collection[str]) -> None:
        """Wait until each podcast of *names* has been polled."""
        self._until(lambda: self.polled(names) == set(names), "polls")

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        with self._told:
            if not self._told.wait_for(holds, WITHIN_S):
                raise TimeoutError(f"still no {what} after {WITHIN_S} s: {self._lines[-3:]}")

    def polled(self, names: Collection[str]) -> set[str]:
        """Return those podcasts of *names* that have been polled."""
        return {line["podcast"] for line in self.told("feed.polled")} & set(names)

    # --- polling --------------------------------------------------------------------------

    def until_polled(self) -> list[dict[str, Any]]:
        """Wait for the first poll of every feed; return its lines."""
        self.until("feed.polled", self._feeds)
        return self.told("feed.polled")[: self._feeds]

    def sweep(self) -> tuple[Cost, list[dict[str, Any]]]:
        """Have every feed polled; return what that cost, and the lines of the polls.

        The memory is what it needed at most beyond what it had before.
        """
        before = len(self.told("feed.polled"))
        self.forget_peak()
        cpu_s, memory_bytes = self.cpu_s(), self.memory_bytes()
        mark_due = [sys.executable, "-m", "monitor", "--config", str(self._config), "poll"]
        subprocess.run(mark_due, stdout=subprocess.DEVNULL, check=True, cwd=ROOT)
        self.until("feed.polled", before + self._feeds)
        cost = Cost(self.cpu_s() - cpu_s, self.peak_bytes() - memory_bytes)
        return cost, self.told("feed.polled")[before:]

    # --- what the process costs -----------------------------------------------------------

    def cpu_s(self) -> float:
        """Return its CPU time so far, all threads', by the clock that the kernel keeps of it."""
        return time.clock_gettime((~self._process.pid << 3) | 2)  # clock_getcpuclockid(3)

    def children_cpu_s(self) -> float:
        """Return the CPU time of its children that have ended."""
        stat = self._proc("stat").rpartition(") ")[2].split()
        return (int(stat[13]) + int(stat[14])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        return self._memory("VmRSS")

    def peak_bytes(self) -> int:
        """Return the most memory that it had since the start, or since ``forget_peak``."""
        return self._memory("VmHWM")

    def forget_peak(self) -> None:
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")  # proc(5)

    def _memory(self, name: str) -> int:
        line = next(line for line in self._proc("status").splitlines() if line.startswith(name))
        return int(line.split()[1]) * 1024

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text()
