"""``podcast-monitor check``: configuration, database, both sources, open problems; a line each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import typer

from monitor import vitals
from monitor.adapters.address import origin
from monitor.adapters.fetch import fetch
from monitor.adapters.http import Http
from monitor.adapters.sandbox import Sandbox
from monitor.adapters.stenobird import Stenobird
from monitor.assembly import open_http, open_stenobird
from monitor.clock import now
from monitor.config import Config
from monitor.core.model import (
    Document,
    FetchFailed,
    LookupFailed,
    NotModified,
    ParseError,
    Reading,
    Resource,
    Validators,
)
from monitor.core.parse import document_of
from monitor.core.slug import candidates
from monitor.jobs.context import Podcast
from monitor.jobs.reading import Reader, read
from monitor.log.fields import escaped
from monitor.rules import podcasts
from monitor.vitals import Finding, Verdict

MOST_ASKED_FOR = 3  # episodes, at Stenobird
EXIT: dict[Verdict, int] = {"ok": 0, "problem": 1, "wrong": 2}


def main(config: Config) -> int:
    """Print every finding; return the exit status of the worst."""
    return asyncio.run(_main(config))


async def _main(config: Config) -> int:
    worst = 0
    width = max(len(subject) for subject in _subjects(config))
    async for finding in _findings(config):
        worst = max(worst, EXIT[finding.verdict])
        typer.echo(f"{finding.verdict:<7}  {finding.subject:<{width}}  {escaped(finding.text)}")
    return worst


def _subjects(config: Config) -> Iterator[str]:
    yield from ("configuration", *vitals.SUBJECTS)
    for podcast in config.podcasts:
        yield from (_feed_of(podcast.name), _stenobird_of(podcast.name))


def _feed_of(podcast: str) -> str:
    return f"feed {podcast}"


def _stenobird_of(podcast: str) -> str:
    return f"stenobird {podcast}"


async def _findings(config: Config) -> AsyncIterator[Finding]:
    count = len(config.podcasts)
    yield Finding("ok", "configuration", f"{count} podcast{'s' * (count != 1)}, mode {config.mode}")
    for finding in vitals.findings(config.database, now()):
        yield finding
    async with open_http(config) as http:
        stenobird = open_stenobird(config, http)
        for podcast in podcasts(config).values():
            document = await _document(config, http, podcast)
            yield _feed(podcast, document)
            yield await _stenobird(config, stenobird, podcast, document)


async def _document(config: Config, http: Http, podcast: Podcast) -> Document | str:
    """GET a feed, unconditionally, and read it; nothing is recorded. A text: why it cannot be."""
    with Reader(None) as reader:
        outcome = await fetch(
            http,
            podcast.feed,
            validators=Validators(),
            headers=podcast.headers,
            max_body_bytes=config.network.max_body,
            receiver=reader,
            now=now(),
        )
        match outcome:
            case NotModified():
                return "unexpected_304"
            case FetchFailed(reason=reason, detail=detail):
                return f"{reason}: {detail}" if detail else reason
        try:
            reading = await read(reader, outcome, None, parse=_at_once, sandbox=Sandbox())
        except ParseError as error:
            return str(error)
    assert reading is not None  # nothing was known, so nothing was left out
    return document_of(reading)


async def _at_once(sweep: Callable[[Reading | None], Reading], before: Reading | None) -> Reading:
    return sweep(before)


def _feed(podcast: Podcast, found: Document | str) -> Finding:
    subject = _feed_of(podcast.name)
    if isinstance(found, str):
        return Finding("problem", subject, f"{found} (from {origin(podcast.feed)})")
    episodes, items = len(found.episodes), found.items
    return Finding("ok", subject, f"{episodes} episodes in {items} items")


async def _stenobird(
    config: Config, stenobird: Stenobird, podcast: Podcast, found: Document | str
) -> Finding:
    """Ask for the newest episodes until one is listed, or for any: an answer is an answer."""
    subject = _stenobird_of(podcast.name)
    newest = () if isinstance(found, str) else found.episodes[:MOST_ASKED_FOR]
    slugs = [slug for episode in newest for slug in candidates([episode.title])[:1]]
    for slug in slugs or [podcast.slug]:
        match await stenobird.look_up(podcast.slug, slug, now=now()):
            case LookupFailed(reason=reason):
                where = origin(config.stenobird.base_url)
                return Finding("problem", subject, f"{reason} (from {where})")
            case Resource(state=state):
                return Finding("ok", subject, f"answers; {slug} is {state}")
    if not slugs:
        return Finding("ok", subject, "answers; not asked for an episode")
    text = (
        f"answers, but lists none of the newest {len(slugs)}; is {podcast.slug!r} its slug there?"
    )
    return Finding("ok", subject, text)
