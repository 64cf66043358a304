"""What a poll leads to: known and observed episodes in, one PollPlan out.

The rules of identity and of an answer fit to act on stand in ``docs/feeds.md``. A poll ends
in exactly one of three plans: ``unchanged`` (a 304), ``failed``, or what ``reconcile`` makes
of a complete document.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from monitor.core import holds, matching, moving, schedule, telling
from monitor.core.model import (
    Document,
    Feed,
    Fetched,
    FetchFailed,
    Known,
    NotModified,
    PollPlan,
)
from monitor.core.rules import PollRules

HTTP_GONE = 410
FEW = 3  # a feed of at most this many items may replace them all at once


def is_full_due(feed: Feed, *, now: datetime) -> bool:
    """Return whether the next GET is the day's one for the whole document, without validators.

    Against a 304 that is stuck, and for what a head poll does not see.
    """
    return feed.last_full_at is None or now - feed.last_full_at >= schedule.DAY


def unchanged(
    feed: Feed, answer: NotModified, *, now: datetime, jitter: float, rules: PollRules
) -> PollPlan:
    """Return the plan after a 304: the document we know is the current one."""
    sent = answer.validators
    validators = replace(
        feed.validators,
        etag=sent.etag or feed.validators.etag,
        last_modified=sent.last_modified or feed.validators.last_modified,
    )
    healthy = _healthy(feed, now, [answer.max_age, feed.ttl], jitter, rules)
    after, moved = moving.after_answer(healthy, answer.moved_to, now=now)
    return PollPlan(replace(after, validators=validators), events=moved)


def repeated(
    feed: Feed, fetched: Fetched, *, now: datetime, jitter: float, rules: PollRules
) -> PollPlan:
    """Return the plan after a body in which every item is as it was."""
    healthy = _healthy(feed, now, [fetched.max_age, feed.ttl], jitter, rules)
    last_full_at = now if fetched.complete else feed.last_full_at
    after, moved = moving.after_answer(healthy, fetched.moved_to, now=now)
    after = replace(
        after,
        validators=fetched.validators,
        wire_digest=fetched.wire_digest,
        last_full_at=last_full_at,
    )
    return PollPlan(after, events=moved)


def is_quiet(plan: PollPlan) -> bool:
    """Return whether a plan changes nothing but its feed's own state, which is healthy."""
    changes = (plan.new, plan.aliases, plan.changed, plan.vanished, plan.returned, plan.events)
    return plan.feed.reason is None and not any(changes)


def is_doubtful(known: Known, document: Document) -> bool:
    """Return whether an unknown guid in a document's head may be a known episode's new one.

    Only the whole document tells: there the old guid is still present, or it is gone.
    """
    appeared = [o for o in document.episodes if ("guid", o.guid) not in known.aliases]
    return bool(matching.kin(known, document, appeared))


def failed(
    feed: Feed, failure: FetchFailed, *, now: datetime, jitter: float, rules: PollRules
) -> PollPlan:
    """Return the plan after a poll that brought nothing usable. Everything known stays."""
    failures = feed.failures + 1
    polled = schedule.last_day(feed.polled, now)
    again_at = schedule.next_poll_after_failure(
        now,
        rules.poll,
        failures=failures,
        retry_after=failure.retry_after,
        gone=failure.http == HTTP_GONE,
        jitter=jitter,
    )
    wanted = schedule.NextPoll(again_at, "backoff")
    after = replace(
        feed,
        failures=failures,
        reason=failure.reason,
        last_attempt_at=now,
        **_again(wanted, polled, rules),
    )
    after, moved = moving.after_failure(after)
    return PollPlan(after, events=moved)


def reconcile(
    feed: Feed,
    known: Known,
    document: Document,
    fetched: Fetched,
    *,
    now: datetime,
    jitter: float,
    rules: PollRules,
) -> PollPlan:
    """Return all that a complete document changes.

    1. An answer that cannot be believed yet changes nothing but the feed's own state.
    2. Match observed episodes with known ones by their keys.
    3. Decide for each new one whether it is wanted or held.
    """
    if known.episodes and not document.items:
        return failed(feed, FetchFailed("no_items"), now=now, jitter=jitter, rules=rules)
    unfamiliar = _unfamiliar(known, document)
    if unfamiliar and not _confirmed(feed, document, now, rules):
        return _suspect(feed, document, now, jitter, rules)
    match = matching.match(known, document, now=now)
    healthy = _healthy(
        _after_news(feed, match, now), now, [fetched.max_age, document.ttl], jitter, rules
    )
    moved_to = None if unfamiliar else fetched.moved_to
    after, moved = moving.after_answer(healthy, moved_to, now=now)
    after = replace(
        after,
        validators=fetched.validators,
        wire_digest=fetched.wire_digest,
        ttl=document.ttl,
        baseline_at=feed.baseline_at or now,
        last_full_at=now if fetched.complete else feed.last_full_at,
        last_new_at=now if match.new else feed.last_new_at,
    )
    new = holds.decide(feed, known, match, unfamiliar=unfamiliar, now=now, rules=rules)
    changed = tuple(telling.changes(known, match))
    return PollPlan(
        after,
        new=new,
        aliases=match.aliases,
        changed=changed,
        vanished=match.vanished,
        returned=match.returned,
        events=(*moved, *telling.events(feed.podcast, known, match.aliases, changed, new)),
    )


def _after_news(feed: Feed, match: matching.Match, now: datetime) -> Feed:
    """Return the feed with its rhythm counted anew from an episode that has just been found."""
    if not match.new or feed.cadence is None:
        return feed
    return replace(feed, cadence=feed.cadence.after(now))


def _healthy(
    feed: Feed, now: datetime, hints: list[timedelta | None], jitter: float, rules: PollRules
) -> Feed:
    polled = schedule.last_day(feed.polled, now)
    history = schedule.History(feed.cadence, polled)
    wanted = schedule.next_poll_at(now, history, hints, rules.poll, jitter, per_day=rules.per_day)
    return replace(
        feed,
        failures=0,
        reason=None,
        suspect=None,
        suspect_at=None,
        last_attempt_at=now,
        last_ok_at=now,
        **_again(wanted, polled, rules),
    )


def _again(
    wanted: schedule.NextPoll, polled: tuple[datetime, ...], rules: PollRules
) -> dict[str, Any]:
    """Return what a feed remembers of when it was polled, and is to be."""
    due = schedule.within_cap(wanted, polled, rules.per_day)
    return {"polled": polled, "next_poll_at": due.at, "next_poll_reason": due.reason}


# --- may this answer be believed? --------------------------------------------------------


def _unfamiliar(known: Known, document: Document) -> bool:
    """Return whether a document shares no guid with the last good answer."""
    present = {e.id for e in known.episodes.values() if e.present}
    if not present or (len(present) <= FEW and len(document.episodes) < FEW):
        return False
    return not any(known.aliases.get(("guid", o.guid)) in present for o in document.episodes)


def _digest(document: Document) -> str:
    return sha256("\0".join(sorted(o.guid for o in document.episodes)).encode()).hexdigest()


def _confirmed(feed: Feed, document: Document, now: datetime, rules: PollRules) -> bool:
    """Return whether the same unfamiliar guids came before, long enough ago."""
    return (
        feed.suspect == _digest(document)
        and feed.suspect_at is not None
        and now - feed.suspect_at >= rules.poll.min
    )


def _suspect(
    feed: Feed, document: Document, now: datetime, jitter: float, rules: PollRules
) -> PollPlan:
    """Remember the unfamiliar guids; the validators stay, so that the next GET brings a body."""
    digest = _digest(document)
    plan = failed(feed, FetchFailed("unfamiliar"), now=now, jitter=jitter, rules=rules)
    since = feed.suspect_at if feed.suspect == digest else now
    return replace(plan, feed=replace(plan.feed, suspect=digest, suspect_at=since))
