"""The commands, nothing else. Results go to stdout, logs and complaints to stderr.

Exit status: 0 fine, 1 a problem was found, 2 the configuration or the arguments are wrong.
"""

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from monitor import __version__
from monitor.commands import queries, service, verbs
from monitor.commands.complaint import explained
from monitor.commands.options import CONFIG_HELP
from monitor.log.fields import escaped

app = typer.Typer(
    name="podcast-monitor",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Follows podcasts by their transcripts: polls feeds, records every processing state,"
    " and asks Stenobird, once, to transcribe each new episode.",
)
for command in (
    service.run,
    service.demo,
    service.poll,
    service.check,
    service.backup,
    queries.status,
    queries.episodes,
    queries.show,
    queries.explain,
    queries.cadence,
    queries.events,
    verbs.request,
    verbs.skip,
    verbs.release,
    verbs.requeue,
):
    app.command()(command)


def main() -> None:
    """Run a command; tell what a user can cause in one message."""
    _open_what_is_closed()
    if isinstance(sys.stdout, TextIOWrapper):  # a title may hold what a terminal's encoding lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="podcast-monitor")
    except Exception as error:  # noqa: BLE001 - what is not explained is raised again
        text, code = explained(error)
        lines = map(escaped, text.split("\n"))  # it may quote a feed
        typer.echo("podcast-monitor: " + "\n".join(lines), err=True)
        sys.exit(code)


def _open_what_is_closed() -> None:
    """Let a stream that the caller closed lead to nowhere, or the database would get its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(nowhere, "r" if number == 0 else "w"))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"podcast-monitor {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="PATH", help=CONFIG_HELP)
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    ctx.obj = config
