"""Problems: what a person should know, said once, reminded daily (of silence monthly), taken back.

A problem begins as a silent count of strikes. It is opened after enough of them over enough
time, so that a single bad answer wakes nobody; its recovery is said only if it was opened.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from monitor.core.model import LogEvent, Scalar, iso


class Kind(StrEnum):
    DATABASE = "database"  # it cannot be used: told, but not committed
    CLOCK = "clock"  # it was never set; likewise
    OFFLINE = "offline"  # nobody can be reached: it is our own connection
    FEED_FAILING = "feed_failing"
    FEED_SILENT = "feed_silent"  # it answers, and has brought nothing new for too long
    STENOBIRD_FAILING = "stenobird_failing"
    STENOBIRD_FROZEN = "stenobird_frozen"  # 401, 402, 403: nothing is POSTed until it is solved
    REQUEST_REFUSED = "request_refused"  # an answer to a POST that nobody foresaw
    REQUEST_FAILING = "request_failing"  # its POSTs bring it no further: silence, 5xx, 429, 404…
    REQUEST_UNLISTED = "request_unlisted"  # Stenobird does not list the episode, or proves no slug
    REQUEST_STALLED = "request_stalled"  # accepted, asked again, and still nothing moves
    STATE_REGRESSED = "state_regressed"  # was processed, and is not any more


AT_ONCE = (1, timedelta())
PATIENCE: dict[Kind, tuple[int, timedelta]] = {
    Kind.OFFLINE: (1, timedelta(minutes=2)),
    Kind.FEED_FAILING: (3, timedelta(minutes=10)),
    Kind.STENOBIRD_FAILING: (3, timedelta(minutes=10)),
    Kind.REQUEST_FAILING: (3, timedelta(hours=1)),
    Kind.REQUEST_UNLISTED: (3, timedelta(days=3)),  # it may take its time, but not for ever
}
REMIND_AFTER = timedelta(days=1)
REMIND_OF_SILENCE_AFTER = timedelta(days=30)  # nothing is broken, and shows do end
GONE = "http_410"  # looked at weekly from now on: the third strike would come two weeks late


@dataclass(frozen=True, slots=True)
class Problem:
    kind: Kind
    podcast: str | None
    guid: str | None
    reason: str
    since: datetime  # the first strike
    strikes: int
    opened_at: datetime | None = None  # None: not yet worth a person's time
    reminded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProblemUpdate:
    """What to write of one problem: its row as it will be (None: gone), and what to say."""

    kind: Kind
    podcast: str | None
    guid: str | None
    after: Problem | None
    events: tuple[LogEvent, ...] = ()


def strike(
    before: Problem | None,
    kind: Kind,
    *,
    reason: str,
    now: datetime,
    podcast: str | None = None,
    guid: str | None = None,
    since: datetime | None = None,
    detail: str | None = None,
) -> ProblemUpdate:
    """Count one more failure; open the problem, or remind of it, where it is time.

    *since* is when it began, if that was before *now*; *detail* explains it wherever it is said.
    """
    problem = before or Problem(kind, podcast, guid, reason, since=since or now, strikes=0)
    problem = replace(problem, reason=reason, strikes=problem.strikes + 1)
    enough, long_enough = AT_ONCE if reason == GONE else PATIENCE.get(kind, AT_ONCE)
    if problem.opened_at is not None:
        return remind(problem, now=now, detail=detail)
    if problem.strikes < enough or now - problem.since < long_enough:
        return ProblemUpdate(kind, podcast, guid, problem)
    problem = replace(problem, opened_at=now, reminded_at=now)
    told = _event("problem.opened", problem, failures=problem.strikes, detail=detail)
    return ProblemUpdate(kind, podcast, guid, problem, (told,))


def to_be_reminded_of(problem: Problem, now: datetime) -> bool:
    """Return whether a problem is open, and it is long enough since that was last said."""
    silent = problem.kind is Kind.FEED_SILENT
    wait = REMIND_OF_SILENCE_AFTER if silent else REMIND_AFTER
    return problem.reminded_at is not None and now - problem.reminded_at >= wait


def remind(problem: Problem, *, now: datetime, detail: str | None = None) -> ProblemUpdate:
    """Say again that an open problem stands, where it is time; *detail* explains it."""
    told: tuple[LogEvent, ...] = ()
    if to_be_reminded_of(problem, now):
        problem = replace(problem, reminded_at=now)
        told = (_event("problem.reminded", problem, detail=detail),)
    return ProblemUpdate(problem.kind, problem.podcast, problem.guid, problem, told)


def recover(before: Problem | None, *, now: datetime) -> ProblemUpdate | None:
    """Take a problem back; None where there was none."""
    if before is None:
        return None
    told: tuple[LogEvent, ...] = ()
    if before.opened_at is not None:
        took_s = round((now - before.since).total_seconds())
        told = (
            LogEvent(
                "problem.recovered",
                before.podcast,
                before.guid,
                fields={"problem": before.kind, "reason": before.reason, "took_s": took_s},
            ),
        )
    return ProblemUpdate(before.kind, before.podcast, before.guid, None, told)


def _event(name: str, problem: Problem, **extra: Scalar) -> LogEvent:
    fields = {
        "problem": problem.kind.value,
        "reason": problem.reason,
        "since": iso(problem.since),
        **{key: value for key, value in extra.items() if value is not None},
    }
    return LogEvent(name, problem.podcast, problem.guid, "warning", fields)
