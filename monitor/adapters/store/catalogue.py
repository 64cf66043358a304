"""The recorded episodes of a podcast: known by their keys, discovered, changed, gone, back again."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.adapters.store import schema
from monitor.core.lifecycle import Status
from monitor.core.model import Alias, EpisodeChange, Known, KnownEpisode, NewEpisode

EP = schema.episodes.c
A = schema.aliases.c
AT_ONCE = 500  # ids in one statement
PROOFS = (EP.post_id, EP.link, EP.audio_url)


def known(conn: Connection, podcast_id: int) -> Known:
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
    rows = conn.execute(sa.select(*columns).where(EP.podcast_id == podcast_id))
    keys = conn.execute(sa.select(A.kind, A.value, A.episode_id).where(A.podcast_id == podcast_id))
    return Known(
        {row.id: KnownEpisode(*row) for row in rows},
        {(row.kind, row.value): row.episode_id for row in keys},
    )


def proofs(conn: Connection, episode_id: int) -> tuple[tuple[str, str], ...]:
    """Return what tells an episode from all others of its podcast, as (column, value).

    Every post id and link that it has or had, and its audio's address; but not what another one
    has as well: some shows give one link to a season, and a new item may begin as an old one's copy.
    """
    query = sa.select(EP.podcast_id, *PROOFS).where(EP.id == episode_id)
    podcast_id, *own = conn.execute(query).one()
    keys = sa.select(A.kind, A.value).where(A.podcast_id == podcast_id, A.kind != "guid")
    mine = {(kind, value) for kind, value in conn.execute(keys.where(A.episode_id == episode_id))}
    mine |= {(column.name, value) for column, value in zip(PROOFS, own, strict=True) if value}
    values = {value for _, value in mine}
    rows = sa.select(*PROOFS).where(EP.podcast_id == podcast_id, EP.id != episode_id)
    alike = conn.execute(rows.where(sa.or_(*(column.in_(values) for column in PROOFS))))
    others = {(column.name, v) for row in alike for column, v in zip(PROOFS, row, strict=True)}
    theirs = keys.where(A.episode_id != episode_id, A.value.in_(values))
    others |= {(kind, value) for kind, value in conn.execute(theirs)}
    return tuple(sorted(mine - others))


def insert(
    conn: Connection, podcast_id: int, episodes: Sequence[NewEpisode], now: datetime
) -> None:
    """Write episodes, their keys and first requests: discovered and wanted, or neither."""
    if not episodes:
        return
    conn.execute(
        sa.insert(schema.episodes), [_row(podcast_id, episode, now) for episode in episodes]
    )
    by_guid = _ids(conn, podcast_id, [episode.observed.guid for episode in episodes])
    ids = [by_guid[episode.observed.guid] for episode in episodes]
    keys = [
        Alias(episode_id, kind, value)
        for episode_id, episode in zip(ids, episodes, strict=True)
        for kind, value in episode.aliases
    ]
    add_aliases(conn, podcast_id, keys, now)
    wanted = [
        {
            "episode_id": episode_id,
            "generation": 1,
            "newest": True,
            "epoch": 0,
            "status": Status(episode.status).value,
            "reason": episode.reason,
            "attempts": 0,
            "next_attempt_at": now,
            "created_at": now,
            "outcome_unknown": False,
            "reasks": 0,
            "same_count": 0,
        }
        for episode_id, episode in zip(ids, episodes, strict=True)
    ]
    conn.execute(sa.insert(schema.requests), wanted)


def _ids(conn: Connection, podcast_id: int, guids: Sequence[str]) -> dict[str, int]:
    """Return the ids of episodes by guid: SQLite returns those of many rows in no certain order."""
    found: dict[str, int] = {}
    for at in range(0, len(guids), AT_ONCE):
        some = EP.guid.in_(guids[at : at + AT_ONCE])
        query = sa.select(EP.guid, EP.id).where(EP.podcast_id == podcast_id, some)
        found.update((guid, episode_id) for guid, episode_id in conn.execute(query))
    return found


def _row(podcast_id: int, episode: NewEpisode, now: datetime) -> dict[str, object]:
    seen = episode.observed
    return {
        "podcast_id": podcast_id,
        "guid": seen.guid,
        "post_id": seen.post_id,
        "link": seen.link,
        "title": seen.title,
        "former_titles": [],
        "audio_url": seen.audio_url,
        "audio_bytes": seen.audio_bytes,
        "duration_s": seen.duration_s,
        "published_at": seen.published_at,
        "published_raw": seen.published_raw,
        "first_seen_at": now,
        "delay_s": episode.delay_s,
        "fixed_delay_s": episode.fixed_delay_s,
        "present": True,
        "next_track_at": episode.next_track_at,
    }


def add_aliases(conn: Connection, podcast_id: int, aliases: Sequence[Alias], now: datetime) -> None:
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


def change(conn: Connection, change: EpisodeChange) -> None:
    values = {name: getattr(change.observed, name) for name in change.fields}
    if "published_at" in values:
        values["published_raw"] = change.observed.published_raw
    if "title" in values:  # the slug may follow the old title or the new one: keep both
        query = sa.select(EP.title, EP.former_titles).where(EP.id == change.episode_id)
        before = conn.execute(query).one()
        others = (title for title in before.former_titles if title != before.title)
        values["former_titles"] = [*others, before.title]  # each once: some hosts try out two
    conn.execute(sa.update(schema.episodes).where(EP.id == change.episode_id).values(values))


def set_present(conn: Connection, ids: Sequence[int], *, present: bool) -> None:
    for at in range(0, len(ids), AT_ONCE):
        some = ids[at : at + AT_ONCE]
        conn.execute(sa.update(schema.episodes).where(EP.id.in_(some)).values(present=present))
