"""The commands, nothing else. Results go to stdout, logs and complaints to stderr.

Exit status: 0 fine, 1 a problem was found, 2 the configuration or the arguments are wrong.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.exc import SQLAlchemyError

from monitor import __version__, log, report
from monitor.adapters.store import events as store_events
from monitor.adapters.store import instance, migrate, polls, reading, verbs
from monitor.adapters.store.database import Database, connect
from monitor.adapters.store.reading import EpisodeRow
from monitor.config import Config, load
from monitor.core.lifecycle import IllegalTransition, Status
from monitor.core.model import ConfigError, MonitorError, iso
from monitor.core.status import Process, block
from monitor.daemon import now

app = typer.Typer(
    name="podcast-monitor",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Follows podcasts by their transcripts: polls feeds, records every processing state,"
    " and asks Stenobird, once, to transcribe each new episode.",
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The options that stand before the command."""

    config: Path | None


Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
EpisodeName = Annotated[
    str, typer.Argument(metavar="EPISODE", help="A guid, slug, post id or part of a title.")
]
Why = Annotated[str, typer.Option("--reason", help="Why; it is kept in the history.")]


def main() -> None:
    """Run a command. Whatever a user can cause ends in one message, never in a traceback."""
    try:
        app(standalone_mode=True)
    except ConfigError as error:
        _fail(error, 2)
    except MonitorError as error:
        _fail(error, 1)
    except SQLAlchemyError as error:
        why = getattr(error, "orig", None) or error
        _fail(f"the database did not do what was asked: {why}", 1)
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _fail(error: object, code: int) -> None:
    typer.echo(f"podcast-monitor: {error}", err=True)
    sys.exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"podcast-monitor {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            help="The configuration file; else $PODCAST_MONITOR_CONFIG,"
            " ./config/podcast-monitor.toml, /etc/podcast-monitor/podcast-monitor.toml."
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    ctx.obj = Chosen(config)


def _config(ctx: typer.Context) -> Config:
    return load(ctx.find_object(Chosen).config, os.environ)  # type: ignore[union-attr] # set above


@contextmanager
def _reading(config: Config) -> Iterator[Database]:
    """Open the database without creating or changing it."""
    with closing(connect(config.database, readonly=True)) as database:
        migrate.require_current(database)
        yield database


@contextmanager
def _writing(config: Config) -> Iterator[Database]:
    """Open the database beside the daemon. It must be there already."""
    with _reading(config), closing(connect(config.database)) as database:
        yield database


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, default=_jsonable))


def _jsonable(value: object) -> str:
    return iso(value) if isinstance(value, datetime) else str(value)


def _colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


# --- the daemon ---------------------------------------------------------------------------


@app.command()
def run(
    ctx: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Poll, deliver and track once, then exit.")
    ] = False,
) -> None:
    """Run the daemon in the foreground, as systemd does."""
    from monitor import daemon  # noqa: PLC0415 - what only the daemon needs takes time to import

    config = _config(ctx)
    log.setup(config.log.format, sys.stderr, environ=os.environ, level=config.log.level)
    raise typer.Exit(daemon.serve_once(config) if once else daemon.serve(config))


@app.command()
def demo() -> None:
    """Rehearse everything on this machine in about 20 seconds, without the internet."""
    from monitor.demo import rehearsal  # noqa: PLC0415 - nothing else needs it

    raise typer.Exit(rehearsal.main())


@app.command()
def poll(
    ctx: typer.Context,
    podcast: Annotated[str | None, typer.Argument(help="Its name; all, if left out.")] = None,
) -> None:
    """Mark a podcast as due; the daemon polls it at its next tick."""
    config = _config(ctx)
    names = [p.name for p in config.podcasts]
    if podcast is not None:
        names = [_podcast(config, podcast)]
    with _writing(config) as database:
        database.write(polls.mark_due, names, now())
        typer.echo(f"due now: {', '.join(names)}")
        if not instance.is_held(database):
            typer.echo("no daemon runs on this database: start it, or `podcast-monitor run --once`")


@app.command()
def check(ctx: typer.Context) -> None:
    """Check configuration, database, both sources and open problems, a line each."""
    from monitor import checkup  # noqa: PLC0415 - it needs the network's libraries

    raise typer.Exit(checkup.main(_config(ctx)))


# --- what is known ------------------------------------------------------------------------


@app.command()
def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Show the status block, as the daemon writes it to its log."""
    config = _config(ctx)
    with _reading(config) as database:
        snapshot = database.read(reading.snapshot)
    lines = block(snapshot, Process(__version__, config.mode, os.getpid()))
    form: log.Form = "json" if as_json else "console"
    at = now()
    for event in lines:
        typer.echo(log.render(event, at, form=form, colour=_colour()))


@app.command()
def episodes(
    ctx: typer.Context,
    podcast: Annotated[str | None, typer.Option(help="Only this podcast's.")] = None,
    status: Annotated[
        Status | None, typer.Option(help="Only those whose request has this status.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List episodes, newest first, with their requests."""
    config = _config(ctx)
    if podcast is not None:
        podcast = _podcast(config, podcast)
    with _reading(config) as database:
        rows = database.read(reading.episodes, podcast, status)
    if as_json:
        for row in rows:
            _print_json({k: v for k, v in asdict(row).items() if k != "id"})
    elif rows:
        report.console().print(report.episodes(rows, now()))
    else:
        typer.echo("no episodes", err=True)


@app.command()
def show(ctx: typer.Context, episode: EpisodeName, as_json: Json = False) -> None:
    """Show an episode, and what Stenobird publishes of it."""
    with _reading(_config(ctx)) as database:
        row = _one(database, episode)
        published = database.read(reading.published, row.id)
    if as_json:
        _print_json({k: v for k, v in asdict(row).items() if k != "id"} | {"published": published})
        return
    console = report.console()
    console.print(report.facts(row, now()))
    console.print()
    if published is None:
        console.print("Stenobird has published nothing of it yet.")
    for paragraph in report.published(published or {}):
        console.print(paragraph)


@app.command()
def explain(ctx: typer.Context, episode: EpisodeName, as_json: Json = False) -> None:
    """Tell an episode's whole story, with the reason of every decision."""
    with _reading(_config(ctx)) as database:
        row = _one(database, episode)
        told = database.read(store_events.of_episode, row.podcast, row.guid)
    if as_json:
        for event in told:
            typer.echo(log.render(event.event, event.at, event.seq, form="json"))
        return
    report.console().print(report.facts(row, now()))
    typer.echo()
    for line in report.story(told, colour=_colour()):
        typer.echo(line)


@app.command()
def events(
    ctx: typer.Context,
    after: Annotated[int, typer.Option(help="Only those that follow this seq.")] = 0,
    as_json: Json = False,
) -> None:
    """Print the committed events, in order: a cursor for the next program."""
    form: log.Form = "json" if as_json else "console"
    with _reading(_config(ctx)) as database:
        for event in database.read(store_events.after, after):
            line = log.render(event.event, event.at, event.seq, form=form, colour=_colour())
            typer.echo(line)


# --- the operator's verbs -----------------------------------------------------------------


@app.command()
def request(ctx: typer.Context, episode: EpisodeName, reason: Why) -> None:
    """Want an episode's transcription, whatever held it back."""
    _do(ctx, verbs.request, episode, reason)


@app.command()
def skip(ctx: typer.Context, episode: EpisodeName, reason: Why) -> None:
    """Never send an episode's request."""
    _do(ctx, verbs.skip, episode, reason)


@app.command()
def release(ctx: typer.Context, episode: EpisodeName, reason: Why) -> None:
    """Let a held request go."""
    _do(ctx, verbs.release, episode, reason)


@app.command()
def requeue(ctx: typer.Context, episode: EpisodeName, reason: Why) -> None:
    """Ask anew for what is settled, or what has stalled: a further transcription."""
    _do(ctx, verbs.requeue, episode, reason)


def _do(ctx: typer.Context, verb: Callable[..., bool], name: str, reason: str) -> None:
    with _writing(_config(ctx)) as database:
        row = _one(database, name)
        try:
            moved = database.write(verb, row.id, reason, now())
        except IllegalTransition as error:
            raise ConfigError(f"{row.guid}: {error}") from error
        after = database.read(reading.matching, row.guid)[0]
        said = f"{after.request}: {after.reason}" if after.reason else after.request
        change = "is now" if moved else "nothing to do: it is"
        report.console().print(report.clean(f"{row.title} ({row.guid}) {change} {said}"))


# --- names --------------------------------------------------------------------------------


def _one(database: Database, name: str) -> EpisodeRow:
    """Return the one episode that *name* means."""
    rows = database.read(reading.matching, name)
    if len(rows) == 1:
        return rows[0]
    if rows:
        raise ConfigError(
            f"{name!r} may mean {len(rows)} episodes; name one by its guid:\n"
            + report.candidates(rows)
        )
    raise ConfigError(
        f"no episode is known by {name!r}; EPISODE is a guid, a slug, a post id or a part of a"
        " title, and `podcast-monitor episodes` lists them"
    )


def _podcast(config: Config, name: str) -> str:
    names = [p.name for p in config.podcasts]
    if name not in names:
        raise ConfigError(f"no podcast is configured as {name!r}; there is: {', '.join(names)}")
    return name
