"""The service as its operator has it: processes, signals, commands, and a world on loopback."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from monitor.demo.publisher import Publisher, new_item
from monitor.demo.stenobird import Replica

SLUG = "latent-space-ai-engineer"
CONFIG = """
database = "{database}"
mode = "{mode}"

[log]
format = "json"

[network]
deadline = "20s"
per_host_interval = "1ms"
allow_private = true

[stenobird]
base_url = "{url}"

[requests]
per_minute = 600
audio_minutes_per_day = 10000
retry = {{ min = "200ms", max = "1s" }}
not_listed = {{ min = "200ms", max = "1s" }}

[[podcasts]]
name = "show"
feed = "{url}{path}"
stenobird = "{slug}"
poll = {{ min = "200ms", max = "2s", per_day = 400000 }}
track = {{ min = "200ms", max = "1s" }}
"""
WITHIN_S = 15.0


def now() -> datetime:
    return datetime.now(UTC)


class Far:
    """A publisher with an old episode, and Stenobird, by the real clock."""

    def __init__(self) -> None:
        old = new_item(100, "An old \x1b[31mepisode", now() - timedelta(days=90))
        self.old = old
        self.publisher = Publisher("show", [old], clock=now)
        step = timedelta(milliseconds=200)
        self.replica = Replica({SLUG: self.publisher}, clock=now, step_every=step)

    def publish(self, number: int, title: str | None = None) -> str:
        item = new_item(number, title or f"Episode {number}", now())
        self.publisher.publish(item)
        return item.guid


class Service:
    """One configuration, and what is done with it."""

    def __init__(self, directory: Path, url: str, far: Far) -> None:
        self.directory = directory
        self.url = url
        self.far = far
        self.config = directory / "podcast-monitor.toml"
        self.database = directory / "t.db"
        self.processes: list[Process] = []
        self.configure()

    def configure(self, mode: str = "live", database: str | None = None, extra: str = "") -> None:
        text = CONFIG.format(
            database=database or f"sqlite:///{self.database}",
            mode=mode,
            url=self.url,
            path=self.far.publisher.path,
            slug=SLUG,
        )
        self.config.write_text(text + extra)

    def command(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "monitor", "--config", str(self.config), *arguments],
            capture_output=True,
            check=False,
            text=True,
            env={**os.environ, **environ},
            timeout=60,
        )

    def json(self, *arguments: str) -> list[dict[str, Any]]:
        done = self.command(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def start(self, **environ: str) -> "Process":
        process = self.launch(**environ)
        process.until("daemon.ready")
        return process

    def launch(self, **environ: str) -> "Process":
        """Start without waiting until it is ready."""
        process = Process(self.config, environ)
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in self.processes:
            process.kill()


class Process:
    """``podcast-monitor run``; its log is read as it comes."""

    def __init__(self, config: Path, environ: dict[str, str]) -> None:
        self.lines: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "monitor", "--config", str(config), "run"],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environ},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        for line in self._process.stderr or ():
            self.raw.append(line)
            if line.startswith("{"):
                self.lines.append(json.loads(line))

    def told(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        wanted = {"event": event, **fields}
        return [line for line in tuple(self.lines) if wanted.items() <= line.items()]

    def until(self, event: str, **fields: Any) -> dict[str, Any]:
        wait_until(lambda: bool(self.told(event, **fields)), f"{event} {fields}: {self.raw[-5:]}")
        return self.told(event, **fields)[0]

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        code = self._process.wait(WITHIN_S)
        self._reader.join()
        if self._process.stderr is not None:
            self._process.stderr.close()
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return self.wait()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.wait()


def wait_until(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < until, what
        time.sleep(0.02)
