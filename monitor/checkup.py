"""``podcast-monitor check``: configuration, database, both sources, open problems; a line each."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import typer

from monitor.adapters.http import Http
from monitor.adapters.stenobird import Stenobird
from monitor.adapters.store import instance, migrate, reading
from monitor.adapters.store.database import connect
from monitor.config import Config
from monitor.core.model import (
    ConfigError,
    Document,
    FetchFailed,
    LookupFailed,
    MonitorError,
    NotModified,
    ParseError,
    Validators,
)
from monitor.core.parse import parse_feed
from monitor.core.slug import candidates
from monitor.daemon import now, open_http, open_stenobird
from monitor.jobs.context import Podcast
from monitor.jobs.poll import fetch_body
from monitor.log.fields import escaped
from monitor.rules import podcasts

Verdict = Literal["ok", "problem", "wrong"]
EXIT: dict[Verdict, int] = {"ok": 0, "problem": 1, "wrong": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    verdict: Verdict
    subject: str
    text: str


def main(config: Config) -> int:
    """Print every finding; return the exit status of the worst."""
    return asyncio.run(_main(config))


async def _main(config: Config) -> int:
    worst = 0
    async for finding in _findings(config):
        worst = max(worst, EXIT[finding.verdict])
        typer.echo(f"{finding.verdict:<8} {finding.subject:<24} {escaped(finding.text)}")
    return worst


async def _findings(config: Config) -> AsyncIterator[Finding]:
    count = len(config.podcasts)
    yield Finding("ok", "configuration", f"{count} podcast{'s' * (count != 1)}, mode {config.mode}")
    for finding in _database(config):
        yield finding
    async with open_http(config) as http:
        stenobird = open_stenobird(config, http)
        for podcast in podcasts(config).values():
            found = await _feed(config, http, podcast)
            if isinstance(found, Finding):
                yield found
                continue
            episodes = len(found.episodes)
            yield Finding(
                "ok", f"feed {podcast.name}", f"{episodes} episodes in {found.items} items"
            )
            yield await _stenobird(stenobird, podcast, found)


def _database(config: Config) -> Iterator[Finding]:
    try:
        with closing(connect(config.database, readonly=True)) as database:
            migrate.require_current(database)
            snapshot = database.read(reading.snapshot)
            runs = "a daemon runs on it" if instance.is_held(database) else "no daemon runs on it"
            yield Finding("ok", "database", f"{snapshot.episodes} episodes; {runs}")
            for problem in database.read(reading.problems):
                about = problem.guid or problem.podcast or "stenobird"
                text = f"{problem.kind}: {problem.reason} since {problem.since:%Y-%m-%d %H:%M} UTC"
                yield Finding("problem", about, text)
    except ConfigError as error:
        yield Finding("wrong", "database", str(error))
    except MonitorError as error:
        yield Finding("problem", "database", str(error))


async def _feed(config: Config, http: Http, podcast: Podcast) -> Document | Finding:
    """GET a feed, unconditionally, and read it; nothing is recorded."""
    outcome, body = await fetch_body(
        http,
        podcast,
        url=podcast.feed,
        validators=Validators(),
        max_body_bytes=config.network.max_body,
        now=now(),
    )
    subject = f"feed {podcast.name}"
    if isinstance(outcome, FetchFailed | NotModified):
        reason = getattr(outcome, "reason", "unexpected_304")
        detail = getattr(outcome, "detail", "")
        return Finding("problem", subject, f"{reason}: {detail}" if detail else reason)
    try:
        return parse_feed(body)
    except ParseError as error:
        return Finding("problem", subject, str(error))


async def _stenobird(stenobird: Stenobird, podcast: Podcast, document: Document) -> Finding:
    """Ask for the feed's first episode: listed or not, an answer is an answer."""
    subject = f"stenobird {podcast.slug}"
    slugs = candidates([e.title for e in document.episodes[:1]])
    if not slugs:
        return Finding("ok", subject, "not asked: the feed has no episode with a title")
    answer = await stenobird.look_up(podcast.slug, slugs[0], now=now())
    if isinstance(answer, LookupFailed):
        return Finding("problem", subject, answer.reason)
    state = getattr(answer, "state", None)
    return Finding("ok", subject, f"its newest episode is {state or 'not listed yet'}")
