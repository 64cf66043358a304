"""What commands take."""

from pathlib import Path
from typing import Annotated

import typer


def _named(ctx: typer.Context, path: Path | None) -> Path | None:
    """Return the file that is named behind the command, else before it: both are habits."""
    return path or ctx.obj


def _some(reason: str) -> str:
    reason.encode()  # raises where it is no text
    if not reason.strip():
        raise typer.BadParameter("say why; it is kept in the history")
    return reason


CONFIG_HELP = (
    "The configuration file; else $PODCAST_MONITOR_CONFIG, ./config/podcast-monitor.toml,"
    " /etc/podcast-monitor/podcast-monitor.toml."
)
ConfigPath = Annotated[
    Path | None, typer.Option("--config", metavar="PATH", help=CONFIG_HELP, callback=_named)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
EpisodeName = Annotated[
    str, typer.Argument(metavar="EPISODE", help="A guid, slug, post id or part of a title.")
]
Why = Annotated[
    str, typer.Option("--reason", help="Why; it is kept in the history.", callback=_some)
]
