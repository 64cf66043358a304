"""One look at Stenobird: which slug is the episode's, and what is published of it."""

import asyncio

from sqlalchemy import Connection

from monitor.adapters.failure import NO_TURN
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
from monitor.core.slug import proves, to_try
from monitor.jobs.context import Context


async def look_up(ctx: Context, episode: Episode) -> Lookup:
    """Try the proved slug, then every candidate, until one is proved to be the episode's.

    In half of the lease: the rest is for what follows.
    """
    unproved, proofs = None, await ctx.read(catalogue.proofs, episode.id)
    clock = asyncio.get_running_loop().time
    ends_at = clock() + ctx.limits.lease_for.total_seconds() / 2
    titles = (episode.title, *reversed(episode.former_titles))
    for slug in to_try(episode.slug, titles, ctx.now()):
        if clock() > ends_at:
            return LookupFailed("timeout", detail="no time to try every slug")
        answer = await ctx.stenobird.look_up(episode.podcast_slug, slug, now=ctx.now())
        if isinstance(answer, LookupFailed):
            return answer
        if isinstance(answer, Resource):
            if any(proves(answer, **{kind: value}) for kind, value in proofs):
                return Found(answer, slug)
            unproved = slug
    if unproved is None:
        return NotListed("not_listed_yet")
    return NotListed("slug_unproved", f"{unproved} shows nothing that is this episode's alone")


async def is_our_outage(ctx: Context, lookup: Lookup) -> bool:
    """Return whether Stenobird could not be asked because nobody can be."""
    if not isinstance(lookup, LookupFailed):
        return False
    return await ctx.uplink.is_to_blame(ctx.stenobird.base_url, lookup.reason, ctx.now())


def health(conn: Connection, ctx: Context, lookup: Lookup) -> ProblemUpdate | None:
    """Return what a look says of Stenobird itself."""
    problem = events.problem(conn, Kind.STENOBIRD_FAILING)
    if isinstance(lookup, LookupFailed):
        if lookup.reason == NO_TURN:  # it was not asked
            return None
        return problems.strike(problem, Kind.STENOBIRD_FAILING, reason=lookup.reason, now=ctx.now())
    return problems.recover(problem, now=ctx.now())
