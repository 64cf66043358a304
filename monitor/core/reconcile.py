"""What a poll leads to: known and observed episodes in, one PollPlan out.

The rules of identity and of an answer fit to act on stand in ``docs/feeds.md``. A poll ends
in exactly one of three plans: ``unchanged`` (a 304), ``failed``, or what ``reconcile`` makes
of a complete document.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from monitor.core import matching, schedule
from monitor.core.baseline import Backfill, wanted
from monitor.core.lifecycle import Status
from monitor.core.matching import Match
from monitor.core.model import (
    Alias,
    Document,
    EpisodeChange,
    Feed,
    Fetched,
    FetchFailed,
    Known,
    KnownEpisode,
    LogEvent,
    NewEpisode,
    NotModified,
    ObservedEpisode,
    PollPlan,
    Scalar,
    Validators,
    iso,
)
from monitor.core.schedule import Bounds

HTTP_GONE = 410
FEW = 3  # a feed of at most this many items may replace them all at once
USUAL = timedelta(days=90)  # what a feed published in them is what it usually publishes
WEEK = timedelta(weeks=1)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator configured for one podcast."""

    poll: Bounds
    per_day: int
    backfill: Backfill
    bulk_over: int
    backdated_over: timedelta
    shadow: bool = False


def to_send(feed: Feed, *, now: datetime) -> Validators:
    """Return the validators of the next GET: none once a day, against a 304 that is stuck."""
    fresh = feed.last_full_at is not None and now - feed.last_full_at < schedule.DAY
    return feed.validators if fresh else Validators()


def unchanged(
    feed: Feed, answer: NotModified, *, now: datetime, jitter: float, rules: Rules
) -> PollPlan:
    """Return the plan after a 304: the document we know is the current one."""
    sent = answer.validators
    validators = replace(
        feed.validators,
        etag=sent.etag or feed.validators.etag,
        last_modified=sent.last_modified or feed.validators.last_modified,
    )
    healthy = _healthy(feed, now, [answer.max_age], jitter, rules)
    return PollPlan(replace(healthy, validators=validators))


def failed(
    feed: Feed, failure: FetchFailed, *, now: datetime, jitter: float, rules: Rules
) -> PollPlan:
    """Return the plan after a poll that brought nothing usable. Everything known stays."""
    failures = feed.failures + 1
    next_poll_at = schedule.next_poll_after_failure(
        now,
        rules.poll,
        failures=failures,
        retry_after=failure.retry_after,
        gone=failure.http == HTTP_GONE,
        jitter=jitter,
    )
    after = replace(
        feed,
        failures=failures,
        reason=failure.reason,
        last_attempt_at=now,
        next_poll_at=next_poll_at,
    )
    return PollPlan(after)


def reconcile(
    feed: Feed,
    known: Known,
    document: Document,
    fetched: Fetched,
    *,
    now: datetime,
    jitter: float,
    rules: Rules,
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
    after = replace(
        _healthy(feed, now, [fetched.max_age, document.ttl], jitter, rules),
        validators=fetched.validators,
        baseline_at=feed.baseline_at or now,
        last_full_at=now,
        last_new_at=now if match.new else feed.last_new_at,
    )
    new = _decide(feed, known, match, unfamiliar=unfamiliar, now=now, rules=rules)
    changed = tuple(_changes(known, match))
    return PollPlan(
        after,
        new=new,
        aliases=match.aliases,
        changed=changed,
        vanished=match.vanished,
        returned=match.returned,
        events=tuple(_events(feed.podcast, known, match.aliases, changed, new)),
    )


def _healthy(
    feed: Feed, now: datetime, floors: list[timedelta | None], jitter: float, rules: Rules
) -> Feed:
    return replace(
        feed,
        failures=0,
        reason=None,
        suspect=None,
        suspect_at=None,
        last_attempt_at=now,
        last_ok_at=now,
        next_poll_at=schedule.next_poll_at(
            now, rules.poll, per_day=rules.per_day, floors=floors, jitter=jitter
        ),
    )


# --- may this answer be believed? --------------------------------------------------------


def _unfamiliar(known: Known, document: Document) -> bool:
    """Return whether a document shares no guid with the last good answer."""
    present = {e.id for e in known.episodes.values() if e.present}
    if not present or (len(present) <= FEW and len(document.episodes) < FEW):
        return False
    return not any(known.aliases.get(("guid", o.guid)) in present for o in document.episodes)


def _digest(document: Document) -> str:
    return sha256("\0".join(sorted(o.guid for o in document.episodes)).encode()).hexdigest()


def _confirmed(feed: Feed, document: Document, now: datetime, rules: Rules) -> bool:
    """Return whether the same unfamiliar guids came before, long enough ago."""
    return (
        feed.suspect == _digest(document)
        and feed.suspect_at is not None
        and now - feed.suspect_at >= rules.poll.min
    )


def _suspect(
    feed: Feed, document: Document, now: datetime, jitter: float, rules: Rules
) -> PollPlan:
    """Remember the unfamiliar guids; the validators stay, so that the next GET brings a body."""
    digest = _digest(document)
    plan = failed(feed, FetchFailed("unfamiliar"), now=now, jitter=jitter, rules=rules)
    since = feed.suspect_at if feed.suspect == digest else now
    return replace(plan, feed=replace(plan.feed, suspect=digest, suspect_at=since))


# --- wanted or held? ---------------------------------------------------------------------


def _decide(
    feed: Feed, known: Known, match: Match, *, unfamiliar: bool, now: datetime, rules: Rules
) -> tuple[NewEpisode, ...]:
    new = tuple(observed for observed, _ in match.new)
    if feed.baseline_at is None:
        reasons = {o.guid: None if w else "baseline" for o, w in wanted(new, rules.backfill, now)}
    elif unfamiliar or match.migration or len(new) > rules.bulk_over + _usual(feed, known, now):
        reasons = dict.fromkeys((o.guid for o in new), "bulk")
    else:
        reasons = {o.guid: _backdated(feed, o, now, rules) for o in new}
    return tuple(
        _new_episode(observed, keys, reasons[observed.guid], rank, now=now, rules=rules)
        for rank, (observed, keys) in enumerate(match.new)
    )


def _usual(feed: Feed, known: Known, now: datetime) -> float:
    """Return how many items the feed usually publishes in the time since its last good answer.

    From what it published in the 90 days before that answer. At least a week is looked at: an
    import of 20 items dated a second apart is no habit.
    """
    looked_at = min(feed.last_ok_at or now, now)
    dates = [e.published_at for e in known.episodes.values() if e.published_at]
    recent = [d for d in dates if timedelta() <= looked_at - d <= USUAL]
    if not recent:
        return 0
    return len(recent) * ((now - looked_at) / max(looked_at - min(recent), WEEK))


def _backdated(feed: Feed, observed: ObservedEpisode, now: datetime, rules: Rules) -> str | None:
    """Return the hold of an item dated long before we last looked.

    Measured from the last good answer, not from now: what was published while we were away
    for two months is new, not backdated.
    """
    looked_at = min(feed.last_ok_at or now, now)
    published_at = observed.published_at
    if published_at is not None and looked_at - published_at > rules.backdated_over:
        return "backdated"
    return None


def _new_episode(
    observed: ObservedEpisode,
    keys: matching.Keys,
    hold: str | None,
    rank: int,
    *,
    now: datetime,
    rules: Rules,
) -> NewEpisode:
    reason = hold or ("shadow" if rules.shadow else None)
    return NewEpisode(
        observed,
        keys,
        Status.HELD if reason else Status.PENDING,
        reason,
        # A back catalogue is looked at a minute apart; delivery looks at what is wanted.
        next_track_at=now + (rank + 1) * schedule.MINUTE if reason else now + rules.poll.min,
    )


# --- what changed, and how it is told ----------------------------------------------------


def _changes(known: Known, match: Match) -> Iterable[EpisodeChange]:
    for episode_id, observed in match.known.items():
        fields = tuple(_changed_fields(known.episodes[episode_id], observed))
        if fields:
            yield EpisodeChange(episode_id, observed, fields)


def _changed_fields(before: KnownEpisode, now: ObservedEpisode) -> Iterable[str]:
    """Yield the names of the facts that changed. A fact that is missing now did not change."""
    if now.title and now.title != before.title:
        yield "title"
    if matching.bare(now.audio_url) != matching.bare(before.audio_url):
        yield "audio_url"  # some hosts sign the query anew in every answer: that is no change
    for name in ("audio_bytes", "duration_s", "published_at"):
        if getattr(now, name) is not None and getattr(now, name) != getattr(before, name):
            yield name


def _events(
    podcast: str,
    known: Known,
    aliases: Iterable[Alias],
    changed: Iterable[EpisodeChange],
    new: Iterable[NewEpisode],
) -> Iterable[LogEvent]:
    for alias in aliases:
        guid = known.episodes[alias.episode_id].guid
        yield _event("episode.aliased", podcast, guid, kind=alias.kind, value=alias.value)
    for change in changed:
        guid = known.episodes[change.episode_id].guid
        names = ",".join(change.fields)
        yield _event("episode.changed", podcast, guid, fields=names, title=change.observed.title)
    for episode in sorted(new, key=_published):
        yield from _discovered(podcast, episode)


def _published(episode: NewEpisode) -> tuple[bool, str]:
    """Sort key: oldest first, undated last, so that the log reads as the show went."""
    at = episode.observed.published_at
    return at is None, iso(at) if at else ""


def _discovered(podcast: str, episode: NewEpisode) -> Iterable[LogEvent]:
    seen, reason = episode.observed, episode.reason
    yield _event(
        "episode.discovered",
        podcast,
        seen.guid,
        title=seen.title,
        published_at=iso(seen.published_at) if seen.published_at else None,
        duration_s=seen.duration_s,
        request=episode.status.value,
        reason=reason,
    )
    if reason is None:
        yield _event("request.enqueued", podcast, seen.guid, generation=1)
    elif reason != "baseline":  # of a back catalogue, one line an episode is enough
        held = _event("request.held", podcast, seen.guid, generation=1, reason=reason)
        yield held if reason == "shadow" else replace(held, level="warning")


def _event(name: str, podcast: str, guid: str, **fields: Scalar) -> LogEvent:
    return LogEvent(name, podcast, guid, fields=fields)
