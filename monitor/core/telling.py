"""What changed in a feed, and how it is told."""

from collections.abc import Iterable
from dataclasses import replace

from monitor.core.likeness import bare
from monitor.core.matching import Match
from monitor.core.model import (
    Alias,
    EpisodeChange,
    Known,
    KnownEpisode,
    LogEvent,
    NewEpisode,
    ObservedEpisode,
    Scalar,
    iso,
)


def changes(known: Known, match: Match) -> Iterable[EpisodeChange]:
    """Yield the new facts of recorded episodes."""
    for episode_id, observed in match.known.items():
        fields = tuple(_changed_fields(known.episodes[episode_id], observed))
        if fields:
            yield EpisodeChange(episode_id, observed, fields)


def _changed_fields(before: KnownEpisode, now: ObservedEpisode) -> Iterable[str]:
    """Yield the names of the facts that changed. A fact that is missing now did not change."""
    if now.title and now.title != before.title:
        yield "title"
    if bare(now.audio_url) != bare(before.audio_url):
        yield "audio_url"  # some hosts sign the query anew in every answer: that is no change
    for name in ("audio_bytes", "duration_s", "published_at"):
        if getattr(now, name) is not None and getattr(now, name) != getattr(before, name):
            yield name


def events(
    podcast: str,
    known: Known,
    aliases: Iterable[Alias],
    changed: Iterable[EpisodeChange],
    new: Iterable[NewEpisode],
) -> Iterable[LogEvent]:
    """Yield the lines of a poll, the discovered ones oldest first."""
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
        delay_s=episode.delay_s,
        fixed_delay_s=episode.fixed_delay_s,
    )
    if reason is None:
        yield _event("request.enqueued", podcast, seen.guid, generation=1)
    elif reason != "baseline":  # of a back catalogue, one line an episode is enough
        held = _event("request.held", podcast, seen.guid, generation=1, reason=reason)
        yield held if reason == "shadow" else replace(held, level="warning")


def _event(name: str, podcast: str, guid: str, **fields: Scalar) -> LogEvent:
    return LogEvent(name, podcast, guid, fields=fields)
