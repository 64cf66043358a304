"""What shows: the status, the episodes, their stories, the events."""

import json
import os
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer

from monitor import __version__, chart, log, report, rules
from monitor.adapters.store import events as store_events
from monitor.adapters.store import instance, reading
from monitor.adapters.store.reading import EpisodeRow
from monitor.clock import now
from monitor.commands import opening
from monitor.commands.options import ConfigPath, EpisodeName, Json
from monitor.core.lifecycle import Status
from monitor.core.model import CommittedEvent, iso
from monitor.core.problems import Problem
from monitor.core.status import Process, Snapshot, block
from monitor.log.fields import escaped
from monitor.naming import the_episode, the_podcasts
from monitor.retold import retold

GREATEST_SEQ = 2**63 - 1  # of an SQL BIGINT


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
    loaded = opening.load(config)
    with opening.reading(loaded) as database:
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


def episodes(
    podcast: Annotated[str | None, typer.Option(help="Only this podcast's.")] = None,
    status: Annotated[
        Status | None, typer.Option(help="Only those whose request has this status.")
    ] = None,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """List episodes, newest first, with their requests."""
    loaded = opening.load(config)
    with opening.reading(loaded) as database:
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


def show(episode: EpisodeName, config: ConfigPath = None, as_json: Json = False) -> None:
    """Show an episode, and what Stenobird publishes of it."""
    with opening.reading(opening.load(config)) as database:
        row = the_episode(database, episode)
        published = database.read(reading.published, row.id)
    if as_json:
        _print_json(_facts(row) | {"published": published})
        return
    console = report.Terminal()
    console.print(report.facts(row, now()))
    for part in report.published(published):
        console.print(part)


def explain(episode: EpisodeName, config: ConfigPath = None, as_json: Json = False) -> None:
    """Tell an episode's whole story, with every reason."""
    with opening.reading(opening.load(config)) as database:
        row = the_episode(database, episode)
        told = database.read(store_events.of_episode, row.podcast, row.guid)
    if not as_json:
        report.Terminal().print(report.facts(row, now()))
        typer.echo()
    _print_events(told, as_json=as_json)


def cadence(
    podcast: Annotated[str, typer.Argument(help="Its name.")],
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Draw when a podcast is expected to publish, and its polls."""
    loaded = opening.load(config)
    the_podcasts(loaded, podcast)
    polling = rules.podcasts(loaded)[podcast].polling
    at = now()
    with opening.reading(loaded) as database:
        outlook = database.read(chart.outlook, podcast, polling, at)
    if as_json:
        for hour in outlook.hours:
            _print_json(asdict(hour))
        return
    terminal = report.Terminal()
    plain = terminal.options.ascii_only
    week = chart.chart(outlook.hours, at, plain=plain)
    for line in (*chart.heading(outlook, polling, at), "", *week):
        terminal.print(line)


def events(
    after: Annotated[
        int, typer.Option(min=0, max=GREATEST_SEQ, help="Only those that follow this seq.")
    ] = 0,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Print the committed events in order, all or after one."""
    with opening.reading(opening.load(config)) as database:
        _print_events(database.read(store_events.after, after), as_json=as_json)


def _print_events(told: list[CommittedEvent], *, as_json: bool) -> None:
    if as_json:
        for event in told:
            typer.echo(log.render(event.event, event.at, event.seq, form="json"))
        return
    for line in report.story(told, colour=report.Terminal().is_coloured):
        typer.echo(line)


def _print_json(value: dict[str, Any]) -> None:
    """Print an object in one line, its text escaped as in the log."""
    typer.echo(escaped(json.dumps(value, ensure_ascii=False, default=_jsonable)))


def _jsonable(value: object) -> str:
    return iso(value) if isinstance(value, datetime) else str(value)
