"""What an attempt to hand a request over says of the request's own problems."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection

from monitor.adapters.store import events
from monitor.core import problems
from monitor.core.answers import Answer, classify
from monitor.core.model import Found, Lookup, NotListed, PostAnswered, PostOutcome, Work
from monitor.core.problems import Kind, ProblemUpdate


def word(outcome: PostOutcome) -> str:
    """Return an outcome as the ledger and a problem's reason have it."""
    return f"http_{outcome.http}" if isinstance(outcome, PostAnswered) else outcome.reason


def of_posting(
    conn: Connection, work: Work, outcome: PostOutcome | None, *, over: bool, now: datetime
) -> Iterator[ProblemUpdate | None]:
    """Yield what a POST's outcome has against its request's going on; *over*: it went."""
    podcast, guid = work.episode.podcast, work.episode.guid
    complaint = None if outcome is None else _complaint(outcome)
    for kind in (Kind.REQUEST_REFUSED, Kind.REQUEST_FAILING):
        problem = events.problem(conn, kind, podcast, guid)
        if over:
            yield problems.recover(problem, now=now)
        elif outcome is not None and kind is complaint:
            reason = word(outcome)
            yield problems.strike(problem, kind, reason=reason, now=now, podcast=podcast, guid=guid)


def _complaint(outcome: PostOutcome) -> Kind | None:
    if not isinstance(outcome, PostAnswered):
        return Kind.REQUEST_FAILING
    match classify(outcome.http):
        case Answer.RETRY | Answer.NOT_YET:
            return Kind.REQUEST_FAILING
        case Answer.UNEXPECTED:
            return Kind.REQUEST_REFUSED
    return None


def of_listing(conn: Connection, work: Work, lookup: Lookup, now: datetime) -> ProblemUpdate | None:
    """Return what a look says of Stenobird's knowing the episode at all."""
    kind, podcast, guid = Kind.REQUEST_UNLISTED, work.episode.podcast, work.episode.guid
    problem = events.problem(conn, kind, podcast, guid)
    match lookup:
        case NotListed(reason):
            return problems.strike(
                problem, kind, reason=reason, now=now, podcast=podcast, guid=guid
            )
        case Found():
            return problems.recover(problem, now=now)
    return None
