"""One look at Stenobird: which slug is the episode's, and what is published of it."""

from sqlalchemy import Connection

from monitor.adapters.store import catalogue, events
from monitor.core import problems
from monitor.core.model import (
    Episode,
    Found,
    Lookup,
    LookupFailed,
    NotListed,
    Resource,
)
from monitor.core.problems import Kind, ProblemUpdate
from monitor.core.slug import candidates, proves
from monitor.jobs.context import Context


async def look_up(ctx: Context, episode: Episode) -> Lookup:
    """Try the proved slug, then every candidate, until one is proved to be the episode's."""
    unproved = None
    for slug in _slugs(episode):
        answer = await ctx.stenobird.look_up(episode.podcast_slug, slug, now=ctx.now())
        if isinstance(answer, LookupFailed):
            return answer
        if isinstance(answer, Resource):
            if await _is_proved(ctx, episode, answer):
                return Found(answer, slug)
            unproved = slug
    if unproved is None:
        return NotListed("not_listed_yet")
    return NotListed("slug_unproved", f"{unproved} shows neither this post id nor this link")


async def _is_proved(ctx: Context, episode: Episode, resource: Resource) -> bool:
    """Return whether a resource is the episode's, by what its feed says now or ever said of it."""
    if proves(resource, post_id=episode.post_id, link=episode.link):
        return True
    keys = await ctx.read(catalogue.keys, episode.id)
    return any(proves(resource, **{kind: value}) for kind, value in keys if kind != "guid")


def _slugs(episode: Episode) -> tuple[str, ...]:
    guesses = candidates((episode.title, *reversed(episode.former_titles)))
    return tuple(dict.fromkeys((episode.slug, *guesses) if episode.slug else guesses))


def health(conn: Connection, ctx: Context, lookup: Lookup) -> ProblemUpdate | None:
    """Return what a look says of Stenobird itself."""
    problem = events.problem(conn, Kind.STENOBIRD_FAILING)
    if isinstance(lookup, LookupFailed):
        return problems.strike(problem, Kind.STENOBIRD_FAILING, reason=lookup.reason, now=ctx.now())
    return problems.recover(problem, now=ctx.now())
