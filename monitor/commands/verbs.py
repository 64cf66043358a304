"""The operator's verbs: what a person decides of one episode, and why."""

from collections.abc import Callable
from pathlib import Path

import typer

from monitor import report
from monitor.adapters.store import instance, reading
from monitor.adapters.store import verbs as store_verbs
from monitor.clock import now
from monitor.commands import opening
from monitor.commands.options import ConfigPath, EpisodeName, Why
from monitor.core.lifecycle import IllegalTransition, Status
from monitor.core.model import ConfigError
from monitor.naming import the_episode


def request(episode: EpisodeName, reason: Why, config: ConfigPath = None) -> None:
    """Want an episode transcribed, whatever held it back."""
    _do(store_verbs.request, episode, reason, config)


def skip(episode: EpisodeName, reason: Why, config: ConfigPath = None) -> None:
    """Never send an episode's request."""
    _do(store_verbs.skip, episode, reason, config)


def release(episode: EpisodeName, reason: Why, config: ConfigPath = None) -> None:
    """Let a held request go."""
    _do(store_verbs.release, episode, reason, config)


def requeue(episode: EpisodeName, reason: Why, config: ConfigPath = None) -> None:
    """Ask anew for what is settled or has stalled."""
    _do(store_verbs.requeue, episode, reason, config)


def _do(verb: Callable[..., bool], name: str, reason: str, config: Path | None) -> None:
    """Do a verb to the episode that is meant; say what became of its request, and what it needs."""
    loaded = opening.load(config)
    with opening.writing(loaded) as database:
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
                typer.echo(opening.NO_DAEMON)
