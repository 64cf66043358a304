"""The status as a log tells it: without the database, and without a configuration."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from monitor.core.model import ConfigError
from monitor.core.problems import Problem
from monitor.core.retelling import Missing, Retelling
from monitor.core.status import Process, Snapshot
from monitor.log.unwrap import Cut, Reader, lines_of

STDIN = "-"
TO_DO = "give a file of lines as the daemon or `journalctl -u podcast-monitor -o cat` writes them"


@dataclass(frozen=True, slots=True)
class Retold:
    """What a log tells."""

    snapshot: Snapshot
    process: Process
    at: datetime  # of its last line
    problems: list[Problem]  # as far as they were told
    caveat: str | None  # what it does not tell, in one line


def retold(source: str) -> Retold:
    """Return what the log in the file *source*, or on standard input, tells.

    Raises:
        ConfigError: it cannot be read, or holds no line of ours.
    """
    reader, retelling, cut = Reader(), Retelling(), Cut()
    stdin: BinaryIO = sys.stdin.buffer
    try:
        for raw in lines_of(None if source == STDIN else Path(source), stdin, cut):
            if line := reader.read(raw):
                retelling.hear(line)
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror or error}; {TO_DO}") from error
    if retelling.at is None:
        raise ConfigError(f"{source}: not one line of podcast-monitor's log; {TO_DO}")
    snapshot = retelling.snapshot()
    caveats = [*_caveats(retelling.missing()), *(["it ends too soon"] if cut.off else [])]
    caveat = f"{source}: {'; '.join(caveats)}" if caveats else None
    return Retold(snapshot, retelling.process, retelling.at, retelling.problems(), caveat)


def _caveats(missing: Missing) -> Iterator[str]:
    """Yield what a log does not tell, and what therefore is not known."""
    if missing.block and missing.before:
        yield f"no whole status block: what happened before seq {missing.before + 1} is not counted"
    elif missing.block:
        yield "no whole status block: of the podcasts only those that were polled are known"
    if missing.events:
        ranges = ", ".join(f"{a}-{b}" if a < b else str(a) for a, b in missing.ranges)
        named = sum(b - a + 1 for a, b in missing.ranges)
        more = f" and {missing.events - named} more" if missing.events > named else ""
        yield f"seq {ranges}{more} missing: what they changed is not in it"
    if missing.feeds:
        yield f"podcasts that it does not name: {missing.feeds}"
    if missing.requests:
        yield f"unsettled requests that it does not name: {missing.requests}"
    if missing.problems:
        yield f"open problems that it does not describe: {missing.problems}"
    if missing.rough:
        yield "the console's form rounds times and leaves out what goes without saying"
