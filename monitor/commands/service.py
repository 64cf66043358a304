"""What acts: the daemon, the rehearsal, and what is done to the whole of it."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from monitor import log, signals
from monitor.adapters.store import backup as store_backup
from monitor.adapters.store import instance, polls, reading
from monitor.adapters.store.database import connect
from monitor.clock import now
from monitor.commands import opening
from monitor.commands.complaint import told_in_the_log
from monitor.commands.options import ConfigPath
from monitor.log.fields import escaped
from monitor.naming import the_podcasts


def run(
    config: ConfigPath = None,
    once: Annotated[
        bool, typer.Option("--once", help="Poll, deliver and track once, then exit.")
    ] = False,
) -> None:
    """Run the daemon in the foreground, as systemd does."""
    signals.ignore_until_heeded()
    from monitor import daemon  # noqa: PLC0415 - what only the daemon needs takes time to import

    loaded = opening.load(config)
    log.setup(loaded.log.format, sys.stderr, environ=os.environ, level=loaded.log.level)
    with told_in_the_log():
        code = (
            daemon.serve_once(loaded)
            if once
            else daemon.serve(loaded, reload=lambda: opening.load(config))
        )
    raise typer.Exit(code)


def demo() -> None:
    """Rehearse everything in 20 seconds, without the internet."""
    from monitor.demo import rehearsal  # noqa: PLC0415 - nothing else needs it

    raise typer.Exit(rehearsal.main())


def poll(
    podcast: Annotated[str | None, typer.Argument(help="Its name; all, if left out.")] = None,
    config: ConfigPath = None,
) -> None:
    """Mark a podcast as due; the daemon polls it at its next tick."""
    loaded = opening.load(config)
    names = the_podcasts(loaded, podcast)
    with opening.writing(loaded) as database:
        recorded = database.read(reading.podcast_names)
        database.write(polls.mark_due, names, now())
        if due := [name for name in names if name in recorded]:
            typer.echo(f"due now: {', '.join(due)}")
        if new := [name for name in names if name not in recorded]:
            typer.echo(f"new in the configuration, polled when the daemon starts: {', '.join(new)}")
        if not instance.is_held(database):
            typer.echo(opening.NO_DAEMON)


def check(config: ConfigPath = None) -> None:
    """Check configuration, database, sources and open problems."""
    from monitor import checkup  # noqa: PLC0415 - it needs the network's libraries

    raise typer.Exit(checkup.main(opening.load(config)))


def backup(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file that is not there yet.")],
    config: ConfigPath = None,
) -> None:
    """Write a copy of the database, while the daemon runs."""
    with (
        closing(connect(opening.load(config).database, readonly=True)) as database,
        _ended_by_sigterm(),
    ):
        made = store_backup.back_up(database, path)
    typer.echo(escaped(f"{made.path}: {made.size_bytes:,} bytes, as of seq {made.seq}"))


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does, so that it leaves nothing half-done."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
