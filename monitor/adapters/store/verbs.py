"""The operator's verbs, each one transaction. True: something moved; repeated, nothing does."""

from datetime import datetime

from sqlalchemy import Connection

from monitor.adapters.store import events, work
from monitor.core import operator, problems
from monitor.core.model import Settlement, Work
from monitor.core.problems import Kind

OF_A_REQUEST = (
    Kind.REQUEST_REFUSED,
    Kind.REQUEST_FAILING,
    Kind.REQUEST_UNLISTED,
    Kind.REQUEST_STALLED,
)


def request(conn: Connection, episode_id: int, by: str, now: datetime) -> bool:
    before = work.find(conn, episode_id)
    return _move(conn, before, operator.request(before, by, now=now), now)


def release(conn: Connection, episode_id: int, by: str, now: datetime) -> bool:
    before = work.find(conn, episode_id)
    return _move(conn, before, operator.release(before, by, now=now), now)


def skip(conn: Connection, episode_id: int, by: str, now: datetime) -> bool:
    before = work.find(conn, episode_id)
    return _move(conn, before, operator.skip(before, by, now=now), now)


def requeue(conn: Connection, episode_id: int, by: str, now: datetime) -> bool:
    before = work.find(conn, episode_id)
    settlements = operator.requeue(before, by, now=now)
    if not settlements:
        return False
    *superseded, anew = settlements
    for settlement in superseded:
        work.move(conn, before, settlement, now)
    work.add_generation(conn, episode_id, anew, now)
    _over(conn, before, now)
    return True


def _move(conn: Connection, before: Work, after: Settlement | None, now: datetime) -> bool:
    if after is None:
        return False
    moved = work.move(conn, before, after, now)
    _over(conn, before, now)
    return moved


def _over(conn: Connection, before: Work, now: datetime) -> None:
    """A person has seen to it: what was a problem of this request is none any more."""
    podcast, guid = before.episode.podcast, before.episode.guid
    for kind in OF_A_REQUEST:
        problem = events.problem(conn, kind, podcast, guid)
        events.write_problems(conn, [problems.recover(problem, now=now)], now)
