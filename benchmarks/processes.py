"""The far end and the rivals, as processes of their own, and what a process cost."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parent.parent
PROGRAMS = "benchmarks.programs"
WITHIN_S = 60.0
NEWSBOAT_CONFIG = "reload-threads 8\n"


@dataclass(frozen=True, slots=True)
class Cost:
    cpu_s: float  # user and system
    peak_bytes: int  # of resident memory

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.cpu_s - other.cpu_s, self.peak_bytes - other.peak_bytes)


@dataclass(frozen=True, slots=True)
class Counts:
    """What an origin was asked for and sent."""

    connections: int
    sent_bytes: int  # of bodies
    answers: Mapping[str, int]  # by status


class Origin:
    """``programs.origin`` while the block lasts."""

    def __init__(self, counts: Mapping[str, int], items: Mapping[str, int] | None = None) -> None:
        """*counts*: feeds of each kind; *items*: of each, where not as many as usual."""
        self.names = [f"{kind}-{i}" for kind, count in counts.items() for i in range(count)]
        self._command = python("origin", json.dumps(counts), json.dumps(items or {}))

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self._ports = self._heard()
        return self

    def __exit__(self, *_: object) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()  # it ends with its input

    def base_url(self, port: int = 0) -> str:
        """Return one of its origins: all serve the same."""
        return f"http://127.0.0.1:{self._ports[port % len(self._ports)]}"

    def feeds(self, hosts: int = 1) -> dict[str, str]:
        """Return each feed's address by name, spread over so many origins."""
        return {name: f"{self.base_url(i % hosts)}/{name}.rss" for i, name in enumerate(self.names)}

    def command(self, verb: str, *names: str) -> Any:
        """Have a command of ``programs.origin.Site`` carried out."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([verb, *names]) + "\n")
        self._process.stdin.flush()
        return self._heard()

    def until_waiting(self) -> None:
        """Wait until somebody waits for a feed that is held."""
        until = time.monotonic() + WITHIN_S
        while not self.command("waiting"):
            if time.monotonic() > until:
                raise TimeoutError("nobody asks for a feed that is held")
            time.sleep(0.002)

    def counts(self) -> Counts:
        """Return what happened since the last call."""
        return Counts(*self.command("counts"))

    def _heard(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


def python(program: str, *arguments: str) -> list[str]:
    """Return the command that runs one of ``programs/``, in ``ROOT``."""
    return [sys.executable, "-m", f"{PROGRAMS}.{program}", *arguments]


def output(command: Sequence[str]) -> str:
    """Run a command in ``ROOT`` and return what it prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, cwd=ROOT)
    return done.stdout


def cost(command: Sequence[str]) -> Cost:
    """Run a command in ``ROOT`` and return what it cost, start-up included."""
    return Cost(*json.loads(output([*python("measured"), *command])))


class Rival:
    """A program that polls feeds, as a new process each time; its store is in *directory*."""

    def __init__(self, name: str, directory: Path, urls: Sequence[str]) -> None:
        self.name = name
        self._directory = directory
        directory.mkdir(parents=True)
        (directory / "urls").write_text("".join(f"{url}\n" for url in urls))
        (directory / "none").touch()
        (directory / "config").write_text(NEWSBOAT_CONFIG)

    def poll(self) -> Cost:
        """Poll every feed once; return what that cost, less what it costs to poll none."""
        return cost(self._command("urls", "reload")) - cost(self._command("none", "print-unread"))

    def _command(self, urls: str, verb: str) -> list[str]:
        at = self._directory
        if self.name == "newsboat":  # which refuses to start without feeds
            cache, config = str(at / "cache.db"), str(at / "config")
            command = ["newsboat", "-u", str(at / "urls"), "-c", cache, "-C", config, "-x", verb]
            return ["sh", "-c", 'exec "$@" >/dev/null', "sh", *command]
        program = {"script": "script", "reader": "by_reader"}[self.name]
        return python(program, str(at / "store.db"), str(at / urls))


def installed() -> list[str]:
    """Return the rivals that can run here, the script first."""
    found = ["script"]
    if shutil.which("newsboat"):
        found.append("newsboat")
    if _starts("reader"):
        found.append("reader")
    return found


def _starts(module: str) -> bool:
    command = [sys.executable, "-c", f"import {module}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
