"""Feeds: configured, leased, and one poll's plan committed whole."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.adapters.store import events, schema
from monitor.adapters.store.leases import clock, lease_expired
from monitor.core.lifecycle import Status
from monitor.core.model import (
    Alias,
    EpisodeChange,
    Feed,
    Known,
    KnownEpisode,
    NewEpisode,
    PollPlan,
    Validators,
)
from monitor.core.problems import ProblemUpdate, recover

P = schema.podcasts.c
EP = schema.episodes.c
A = schema.aliases.c


def configure(conn: Connection, podcasts: Sequence[tuple[str, str, str]], now: datetime) -> None:
    """Make the podcasts of the configuration (name, feed URL, Stenobird slug) the polled ones.

    A podcast that is gone from it keeps its rows. A changed address keeps the identity of its
    episodes and drops the validators, which belong to the address that gave them.
    """
    known = {row.name: row for row in conn.execute(sa.select(schema.podcasts))}
    names = [name for name, _, _ in podcasts]
    conn.execute(sa.update(schema.podcasts).where(P.name.not_in(names)).values(configured=False))
    gone = [p for p in events.problems(conn) if p.podcast is not None and p.podcast not in names]
    events.write_problems(conn, [recover(problem, now=now) for problem in gone], now)
    for name, url, slug in podcasts:
        row = known.get(name)
        if row is None:
            fresh = {"name": name, "url": url, "slug": slug, "configured": True}
            conn.execute(sa.insert(schema.podcasts).values(**fresh, next_poll_at=now))
        elif (row.url, row.slug, row.configured) != (url, slug, True):
            changed = {"url": url, "slug": slug, "configured": True}
            if row.url != url:
                changed |= {"etag": None, "last_modified": None, "next_poll_at": now}
                changed |= {"lease": None, "leased_until": None}  # what it answers comes too late
            conn.execute(sa.update(schema.podcasts).where(P.id == row.id).values(changed))


def lease_feeds(
    conn: Connection,
    *,
    least: Mapping[str, timedelta],
    now: datetime,
    due_by: datetime,
    token: str,
    lease_for: timedelta,
    limit: int,
) -> list[Feed]:
    """Claim feeds that are due, longest overdue first.

    *least* is each podcast's least interval: the next poll is put off by it here, before the
    first byte is sent, so that a crash costs one poll and a crash loop is no storm.
    """
    at = clock(conn, now)
    query = (
        sa.select(schema.podcasts)
        .where(P.configured, P.name.in_(least), P.next_poll_at <= due_by)
        .where(lease_expired(P.leased_until, at))
        .order_by(P.next_poll_at)
        .limit(limit)
    )
    feeds = [_feed(row, token) for row in conn.execute(query)]
    for feed in feeds:
        conn.execute(
            sa.update(schema.podcasts)
            .where(P.id == feed.id)
            .values(
                lease=token,
                leased_until=at + lease_for,
                next_poll_at=now + least[feed.podcast],
            )
        )
    return feeds


def _feed(row: sa.Row[tuple[object, ...]], token: str) -> Feed:
    return Feed(
        id=row.id,
        podcast=row.name,
        url=row.url,
        next_poll_at=row.next_poll_at,
        validators=Validators(row.etag, row.last_modified),
        failures=row.failures,
        reason=row.reason,
        last_attempt_at=row.last_attempt_at,
        last_ok_at=row.last_ok_at,
        last_new_at=row.last_new_at,
        last_full_at=row.last_full_at,
        baseline_at=row.baseline_at,
        suspect=row.suspect,
        suspect_at=row.suspect_at,
        lease=token,
    )


def known(conn: Connection, feed: Feed) -> Known:
    """Return a podcast's recorded episodes with every key of each."""
    columns = (
        EP.id,
        EP.guid,
        EP.title,
        EP.audio_url,
        EP.duration_s,
        EP.published_at,
        EP.present,
        EP.audio_bytes,
    )
    rows = conn.execute(sa.select(*columns).where(EP.podcast_id == feed.id))
    keys = conn.execute(sa.select(A.kind, A.value, A.episode_id).where(A.podcast_id == feed.id))
    return Known(
        {row.id: KnownEpisode(*row) for row in rows},
        {(row.kind, row.value): row.episode_id for row in keys},
    )


def commit_poll(
    conn: Connection, plan: PollPlan, problem: ProblemUpdate | None, *, now: datetime
) -> bool:
    """Write a whole plan. False, and nothing written: the lease is no longer ours."""
    feed = plan.feed
    written = conn.execute(
        sa.update(schema.podcasts)
        .where(P.id == feed.id, P.lease == feed.lease)
        .values(
            etag=feed.validators.etag,
            last_modified=feed.validators.last_modified,
            failures=feed.failures,
            reason=feed.reason,
            last_attempt_at=feed.last_attempt_at,
            last_ok_at=feed.last_ok_at,
            last_new_at=feed.last_new_at,
            last_full_at=feed.last_full_at,
            baseline_at=feed.baseline_at,
            suspect=feed.suspect,
            suspect_at=feed.suspect_at,
            next_poll_at=feed.next_poll_at,
            leased_until=None,
            lease=None,
        )
    )
    if written.rowcount != 1:
        return False
    for episode in plan.new:
        _insert(conn, feed.id, episode, now)
    _add_aliases(conn, feed.id, plan.aliases, now)
    for change in plan.changed:
        _change(conn, change)
    _set_present(conn, plan.vanished, present=False)
    _set_present(conn, plan.returned, present=True)
    events.append(conn, plan.events, now)
    events.write_problems(conn, [problem], now)
    return True


def _insert(conn: Connection, podcast_id: int, episode: NewEpisode, now: datetime) -> None:
    """Write an episode, its keys and its first request: discovered and wanted, or neither."""
    seen = episode.observed
    inserted = conn.execute(
        sa.insert(schema.episodes)
        .values(
            podcast_id=podcast_id,
            guid=seen.guid,
            post_id=seen.post_id,
            link=seen.link,
            title=seen.title,
            former_titles=[],
            audio_url=seen.audio_url,
            audio_bytes=seen.audio_bytes,
            duration_s=seen.duration_s,
            published_at=seen.published_at,
            published_raw=seen.published_raw,
            first_seen_at=now,
            present=True,
            next_track_at=episode.next_track_at,
        )
        .returning(EP.id)
    )
    episode_id: int = inserted.scalar_one()
    keys = [Alias(episode_id, kind, value) for kind, value in episode.aliases]
    _add_aliases(conn, podcast_id, keys, now)
    conn.execute(
        sa.insert(schema.requests).values(
            episode_id=episode_id,
            generation=1,
            newest=True,
            epoch=0,
            status=Status(episode.status).value,
            reason=episode.reason,
            attempts=0,
            next_attempt_at=now,
            created_at=now,
            outcome_unknown=False,
            reasks=0,
            same_count=0,
        )
    )


def _add_aliases(
    conn: Connection, podcast_id: int, aliases: Sequence[Alias], now: datetime
) -> None:
    rows = [
        {
            "podcast_id": podcast_id,
            "kind": alias.kind,
            "value": alias.value,
            "episode_id": alias.episode_id,
            "added_at": now,
        }
        for alias in aliases
    ]
    if rows:
        conn.execute(sa.insert(schema.aliases), rows)


def _change(conn: Connection, change: EpisodeChange) -> None:
    values = {name: getattr(change.observed, name) for name in change.fields}
    if "published_at" in values:
        values["published_raw"] = change.observed.published_raw
    if "title" in values:  # the slug may follow the old title or the new one: keep both
        query = sa.select(EP.title, EP.former_titles).where(EP.id == change.episode_id)
        before = conn.execute(query).one()
        values["former_titles"] = [*before.former_titles, before.title]
    conn.execute(sa.update(schema.episodes).where(EP.id == change.episode_id).values(values))


def _set_present(conn: Connection, ids: Sequence[int], *, present: bool) -> None:
    for episode_id in ids:
        conn.execute(sa.update(schema.episodes).where(EP.id == episode_id).values(present=present))


def mark_due(conn: Connection, names: Sequence[str], now: datetime) -> None:
    """Make podcasts due at once; the daemon polls them at its next tick."""
    conn.execute(sa.update(schema.podcasts).where(P.name.in_(names)).values(next_poll_at=now))
