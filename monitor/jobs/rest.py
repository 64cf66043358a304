"""Leaving Stenobird alone when it asks for that."""

from sqlalchemy import Connection

from monitor.adapters.store import freezing
from monitor.core.model import Lookup, PostOutcome
from monitor.core.resting import rest_until
from monitor.jobs.context import Context


def rest_if_asked(conn: Connection, ctx: Context, outcome: Lookup | PostOutcome) -> None:
    """Write until when nothing is to be asked of Stenobird, if *outcome* says so."""
    until = rest_until(outcome, now=ctx.now(), bounds=ctx.limits.retry)
    if until is not None:
        freezing.rest(conn, until)
