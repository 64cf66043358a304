"""The commands, nothing else. Results go to stdout, logs and complaints to stderr.

Exit status: 0 fine, 1 a problem was found, 2 the configuration or the arguments are wrong.
"""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.exc import SQLAlchemyError

from monitor import __version__, chart, log, report, rules
from monitor.adapters.store import backup as store_backup
from monitor.adapters.store import events as store_events
from monitor.adapters.store import instance, migrate, polls, reading, verbs
from monitor.adapters.store.database import Database, connect
from monitor.adapters.store.reading import EpisodeRow
from monitor.clock import now
from monitor.config import Config, load
from monitor.core.lifecycle import IllegalTransition, Status
from monitor.core.model import CommittedEvent, ConfigError, MonitorError, iso
from monitor.core.problems import Problem
from monitor.core.status import Process, Snapshot, block
from monitor.log.fields import escaped
from monitor.naming import the_episode, the_podcasts
from monitor.retold import retold

app = typer.Typer(
    name="podcast-monitor",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Follows podcasts by their transcripts: polls feeds, records every processing state,"
    " and asks Stenobird, once, to transcribe each new episode.",
)
GREATEST_SEQ = 2**63 - 1  # of an SQL BIGINT
NO_DAEMON = "no daemon runs on this database: it waits for `podcast-monitor run` (or `run --once`)"


# --- what ends in a message, and never in a traceback ---------------------------------------


def main() -> None:
    """Run a command; tell what a user can cause in one message."""
    _open_what_is_closed()
    if isinstance(sys.stdout, TextIOWrapper):  # a title may hold what a terminal's encoding lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="podcast-monitor")
    except Exception as error:  # noqa: BLE001 - what is not explained is raised again
        text, code = _explained(error)
        lines = map(escaped, text.split("\n"))  # it may quote a feed
        typer.echo("podcast-monitor: " + "\n".join(lines), err=True)
        sys.exit(code)


def _open_what_is_closed() -> None:
    """Let a stream that the caller closed lead to nowhere, or the database would get its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(nowhere, "r" if number == 0 else "w"))


def _explained(error: Exception) -> tuple[str, int]:
    """Return what to tell a user of an error, and the exit status; raise it if it is our bug."""
    match error:
        case ConfigError():
            return str(error), 2
        case MonitorError():
            return str(error), 1
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            return f"{place}{error.strerror or error}; see to that, and try again", 1
        case SQLAlchemyError():
            why = getattr(error, "orig", None) or error
            return f"the database did not do what was asked ({why}); try again", 1
        case UnicodeEncodeError(reason="surrogates not allowed"):
            return "an argument is not UTF-8", 2
        case _:
            raise error


@contextmanager
def _told_in_the_log() -> Iterator[None]:
    """Say what ends the daemon in its log, in the log's form and with a priority."""
    try:
        yield
    except Exception as error:
        text, code = _explained(error)
        logging.getLogger("monitor").error(text)  # noqa: TRY400 - there is nothing to trace
        raise typer.Exit(code) from error


# --- what commands take ----------------------------------------------------------------------


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"podcast-monitor {__version__}")
        raise typer.Exit


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


def _load(path: Path | None) -> Config:
    return load(path, os.environ)


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
    """Print an object in one line, its text escaped as in the log."""
    typer.echo(escaped(json.dumps(value, ensure_ascii=False, default=_jsonable)))


def _jsonable(value: object) -> str:
    return iso(value) if isinstance(value, datetime) else str(value)


# --- the daemon ---------------------------------------------------------------------------


@app.command()
def run(
    config: ConfigPath = None,
    once: Annotated[
        bool, typer.Option("--once", help="Poll, deliver and track once, then exit.")
    ] = False,
) -> None:
    """Run the daemon in the foreground, as systemd does."""
    from monitor import daemon  # noqa: PLC0415 - what only the daemon needs takes time to import

    loaded = _load(config)
    log.setup(loaded.log.format, sys.stderr, environ=os.environ, level=loaded.log.level)
    with _told_in_the_log():
        code = (
            daemon.serve_once(loaded)
            if once
            else daemon.serve(loaded, reload=lambda: _load(config))
        )
    raise typer.Exit(code)


@app.command()
def demo() -> None:
    """Rehearse everything in 20 seconds, without the internet."""
    from monitor.demo import rehearsal  # noqa: PLC0415 - nothing else needs it

    raise typer.Exit(rehearsal.main())


@app.command()
def poll(
    podcast: Annotated[str | None, typer.Argument(help="Its name; all, if left out.")] = None,
    config: ConfigPath = None,
) -> None:
    """Mark a podcast as due; the daemon polls it at its next tick."""
    loaded = _load(config)
    names = the_podcasts(loaded, podcast)
    with _writing(loaded) as database:
        recorded = database.read(reading.podcast_names)
        database.write(polls.mark_due, names, now())
        if due := [name for name in names if name in recorded]:
            typer.echo(f"due now: {', '.join(due)}")
        if new := [name for name in names if name not in recorded]:
            typer.echo(f"new in the configuration, polled when the daemon starts: {', '.join(new)}")
        if not instance.is_held(database):
            typer.echo(NO_DAEMON)


@app.command()
def check(config: ConfigPath = None) -> None:
    """Check configuration, database, sources and open problems."""
    from monitor import checkup  # noqa: PLC0415 - it needs the network's libraries

    raise typer.Exit(checkup.main(_load(config)))


@app.command()
def backup(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file that is not there yet.")],
    config: ConfigPath = None,
) -> None:
    """Write a copy of the database, while the daemon runs."""
    with closing(connect(_load(config).database, readonly=True)) as database, _ended_by_sigterm():
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


# --- what is known ------------------------------------------------------------------------


@app.command()
def status(
    config: ConfigPath = None,
    as_json: Json = False,
    from_log: Annotated[
        str | None,
        typer.Option(
            "--from-log",
            metavar="FILE|-",
            help="From lines of the log alone, without database and configuration.",
        ),
    ] = None,
) -> None:
    """Show the status as the log has it, and the open problems."""
    if from_log is not None:
        told = retold(from_log)
        if told.caveat is not None:
            typer.echo("podcast-monitor: " + escaped(told.caveat), err=True)
        _print_status(told.snapshot, told.process, told.problems, told.at, as_json=as_json)
        return
    loaded = _load(config)
    with _reading(loaded) as database:
        snapshot = database.read(reading.snapshot)
        problems = database.read(reading.problems)
        runs = instance.is_held(database)
    process = Process(__version__, loaded.mode, os.getpid())
    _print_status(snapshot, process, problems, now(), as_json=as_json)
    if not (runs or as_json):
        typer.echo("no daemon runs on this database")


def _print_status(
    snapshot: Snapshot, process: Process, problems: list[Problem], at: datetime, *, as_json: bool
) -> None:
    colour = report.Terminal().is_coloured
    form: log.Form = "json" if as_json else "console"
    for event in block(snapshot, process):
        typer.echo(log.render(event, at, form=form, colour=colour))
    if problems and not as_json:
        report.Terminal().print(report.problems(problems, at))


@app.command()
def episodes(
    podcast: Annotated[str | None, typer.Option(help="Only this podcast's.")] = None,
    status: Annotated[
        Status | None, typer.Option(help="Only those whose request has this status.")
    ] = None,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """List episodes, newest first, with their requests."""
    loaded = _load(config)
    with _reading(loaded) as database:
        if podcast is not None and podcast not in database.read(reading.podcast_names):
            the_podcasts(loaded, podcast)
        rows = database.read(reading.episodes, podcast, status)
    if as_json:
        for row in rows:
            _print_json(_facts(row))
    elif rows:
        report.Terminal().print(report.episodes(rows, now()))
    else:
        typer.echo("no episodes", err=True)


def _facts(row: EpisodeRow) -> dict[str, Any]:
    return {key: value for key, value in asdict(row).items() if key != "id"}


@app.command()
def show(episode: EpisodeName, config: ConfigPath = None, as_json: Json = False) -> None:
    """Show an episode, and what Stenobird publishes of it."""
    with _reading(_load(config)) as database:
        row = the_episode(database, episode)
        published = database.read(reading.published, row.id)
    if as_json:
        _print_json(_facts(row) | {"published": published})
        return
    console = report.Terminal()
    console.print(report.facts(row, now()))
    for part in report.published(published):
        console.print(part)


@app.command()
def explain(episode: EpisodeName, config: ConfigPath = None, as_json: Json = False) -> None:
    """Tell an episode's whole story, with every reason."""
    with _reading(_load(config)) as database:
        row = the_episode(database, episode)
        told = database.read(store_events.of_episode, row.podcast, row.guid)
    if not as_json:
        report.Terminal().print(report.facts(row, now()))
        typer.echo()
    _print_events(told, as_json=as_json)


@app.command()
def cadence(
    podcast: Annotated[str, typer.Argument(help="Its name.")],
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Draw when a podcast is expected to publish, and its polls."""
    loaded = _load(config)
    the_podcasts(loaded, podcast)
    polling = rules.podcasts(loaded)[podcast].polling
    at = now()
    with _reading(loaded) as database:
        outlook = database.read(chart.outlook, podcast, polling, at)
    if as_json:
        for hour in outlook.hours:
            _print_json(asdict(hour))
        return
    terminal = report.Terminal()
    for line in (*chart.heading(outlook, polling, at), "", *chart.chart(outlook.hours, at)):
        terminal.print(line)


@app.command()
def events(
    after: Annotated[
        int, typer.Option(min=0, max=GREATEST_SEQ, help="Only those that follow this seq.")
    ] = 0,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Print the committed events in order, all or after one."""
    with _reading(_load(config)) as database:
        _print_events(database.read(store_events.after, after), as_json=as_json)


def _print_events(told: list[CommittedEvent], *, as_json: bool) -> None:
    if as_json:
        for event in told:
            typer.echo(log.render(event.event, event.at, event.seq, form="json"))
        return
    for line in report.story(told, colour=report.Terminal().is_coloured):
        typer.echo(line)


# --- the operator's verbs -----------------------------------------------------------------


@app.command()
def request(episode: EpisodeName, reason: Why, config: ConfigPath = None) -> None:
    """Want an episode transcribed, whatever held it back."""
    _do(verbs.request, episode, reason, config)


@app.command()
def skip(episode: EpisodeName, reason: Why, config: ConfigPath = None) -> None:
    """Never send an episode's request."""
    _do(verbs.skip, episode, reason, config)


@app.command()
def release(episode: EpisodeName, reason: Why, config: ConfigPath = None) -> None:
    """Let a held request go."""
    _do(verbs.release, episode, reason, config)


@app.command()
def requeue(episode: EpisodeName, reason: Why, config: ConfigPath = None) -> None:
    """Ask anew for what is settled or has stalled."""
    _do(verbs.requeue, episode, reason, config)


def _do(verb: Callable[..., bool], name: str, reason: str, config: Path | None) -> None:
    """Do a verb to the episode that is meant; say what became of its request, and what it needs."""
    loaded = _load(config)
    with _writing(loaded) as database:
        before = the_episode(database, name)
        try:
            moved = database.write(verb, before.id, reason, now())
        except IllegalTransition as error:
            raise ConfigError(
                f"{before.title} ({before.guid}) is {before.request}: what Stenobird was asked"
                " for cannot be unasked"
            ) from error
        same_guid = database.read(reading.matching, before.guid)
        after = next(row for row in same_guid if row.id == before.id)
        report.Terminal().print(report.outcome(verb.__name__, before, after, moved=moved))
        if moved and after.request == Status.PENDING:
            if loaded.mode == "shadow":
                typer.echo('mode is "shadow": nothing is sent; the daemon will hold it again')
            elif not instance.is_held(database):
                typer.echo(NO_DAEMON)
