"""Which observed episode is which known one.

An episode is known by any of its keys, kept for ever: guid, the enclosure's post id, link.
Audio URL, title, date and position are never keys: reruns share audio, titles are edited,
dates are moved. They help only where a feed changes all its guids at once, to match what
appeared with what vanished in the same complete document, one to one.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.core.likeness import (
    OF_WHAT_IS_GONE,
    OF_WHAT_VANISHED,
    Trait,
    address_and_title,
    address_title_and_day,
    alike,
    bare,
    title_and_file,
)
from monitor.core.model import (
    Alias,
    AliasKind,
    Document,
    Known,
    KnownEpisode,
    ObservedEpisode,
)

Keys = tuple[tuple[AliasKind, str], ...]
MIGRATION = 3  # this many guids replaced in one document is a host moving, not one edit


@dataclass(frozen=True, slots=True)
class Match:
    known: Mapping[int, ObservedEpisode]  # episode id → as observed now
    new: tuple[tuple[ObservedEpisode, Keys], ...]  # with the keys each will be known by
    aliases: tuple[Alias, ...]  # keys learned of known episodes
    vanished: tuple[int, ...]  # were in the last complete document, and are not in this one
    returned: tuple[int, ...]
    migration: bool  # the feed replaced guids wholesale


def match(known: Known, document: Document, *, now: datetime) -> Match:
    """Match a complete document's episodes with the known ones.

    Two guids that are present together are two episodes. Only where an episode's guid is absent
    from the document may a new one be its own: see ``_renamed``.
    """
    keys = _keys(document)
    matched: dict[int, ObservedEpisode] = {}
    appeared: list[ObservedEpisode] = []
    for observed in document.episodes:
        episode_id = known.aliases.get(("guid", observed.guid))
        if episode_id is None:
            appeared.append(observed)
        else:  # where a document carries two guids of one episode, the first is it
            matched.setdefault(episode_id, observed)
    renamed = _renamed(known, document, appeared, keys, taken=matched.keys(), now=now)
    matched |= renamed
    known_now = {o.guid for o in matched.values()}
    new = tuple((o, _free(known, keys[o.guid])) for o in appeared if o.guid not in known_now)
    return Match(
        matched,
        new,
        aliases=tuple(_learned(known, matched, keys)),
        vanished=tuple(e.id for e in known.episodes.values() if e.present and e.id not in matched),
        returned=tuple(i for i in matched if not known.episodes[i].present),
        migration=len(renamed) >= MIGRATION,
    )


def kin(known: Known, document: Document, appeared: Iterable[ObservedEpisode]) -> frozenset[str]:
    """Return the guids of those that have a key, the audio or the title of a known episode."""
    audio = {bare(e.audio_url) for e in known.episodes.values()}
    titles = {e.title for e in known.episodes.values()}
    keys = _keys(document)
    return frozenset(
        o.guid
        for o in appeared
        if any(key in known.aliases for key in keys[o.guid])
        or bare(o.audio_url) in audio
        or o.title in titles
    )


def _keys(document: Document) -> dict[str, Keys]:
    """Return the keys of each observed episode, by guid.

    A link or post id that occurs twice in the document, or is the channel's own link, names no
    episode: 10 of 214 captured feeds share links between different guids.
    """
    post_ids = Counter(o.post_id for o in document.episodes)
    links = Counter(o.link for o in document.episodes)
    front_page = _page(document.link or "")

    def keys(observed: ObservedEpisode) -> Iterable[tuple[AliasKind, str]]:
        yield "guid", observed.guid
        if observed.post_id and post_ids[observed.post_id] == 1:
            yield "post_id", observed.post_id
        if observed.link and links[observed.link] == 1 and _page(observed.link) != front_page:
            yield "link", observed.link

    return {o.guid: tuple(keys(o)) for o in document.episodes}


def _page(link: str) -> str:
    """Return what of a link tells pages apart: not its scheme, a ``www.`` or a last slash."""
    return re.sub(r"^https?://(www\.)?", "", link, flags=re.IGNORECASE).rstrip("/")


def _news(known: Known, appeared: Iterable[ObservedEpisode], now: datetime) -> frozenset[str]:
    """Return the guids of those published after every known episode that is not future-dated."""
    dates = [e.published_at for e in known.episodes.values() if e.published_at]
    latest = max((d for d in dates if d <= now), default=None)
    return frozenset(
        o.guid for o in appeared if latest and o.published_at and o.published_at > latest
    )


def _free(known: Known, keys: Keys) -> Keys:
    """Return the keys that belong to no recorded episode."""
    return tuple(key for key in keys if key not in known.aliases)


def _renamed(
    known: Known,
    document: Document,
    appeared: Sequence[ObservedEpisode],
    keys: Mapping[str, Keys],
    *,
    taken: Collection[int],
    now: datetime,
) -> dict[int, ObservedEpisode]:
    """Return the known episodes that have a new guid, each as observed now.

    1. By post id.
    2. By link, where title, audio or date agree.
    3. What appeared and what vanished in this document, by what the two have in common; where
       there are several, by title and file name too: a host that moves may date nothing.
    4. By link alone, if its owner vanished only now. Some shows give a link to a whole season,
       and then it came to belong to that season's first episode.
    5. What was gone for longer, by its day with address, or with title and file name.
    6. What vanished in this document and is dated anew, by address, a title that tells, and day;
       where the feed replaced guids wholesale, by address and title alone.

    What is dated after every known episode is news, and only a post id, an agreeing link or the
    last rule can make it an old one: a bulletin may have the title, the length and even the
    address of yesterday's.
    """
    news = _news(known, appeared, now)
    renamed: dict[int, ObservedEpisode] = {}

    def left() -> list[ObservedEpisode]:
        found = {o.guid for o in renamed.values()}
        return [o for o in appeared if o.guid not in found]

    def by_key(kind: AliasKind, believed: Callable[[KnownEpisode, ObservedEpisode], bool]) -> None:
        for observed in left():
            owner = _owner(known, kind, keys[observed.guid])
            if owner is None or owner in {*taken, *renamed}:
                continue
            if believed(known.episodes[owner], observed):
                renamed[owner] = observed

    def by_likeness(
        before: Collection[KnownEpisode], *traits: Trait, but: Collection[str] = news
    ) -> None:
        waiting = {o.guid for o in left()}.difference(but)
        gone = {*taken, *renamed}
        renamed.update(alike(before, document.episodes, traits, waiting=waiting, taken=gone))

    episodes = known.episodes.values()
    last = [e for e in episodes if e.present]
    titles = _telling_titles(known)
    untold = {o.guid for o in appeared if o.title not in titles}
    by_key("post_id", lambda _, __: True)
    by_key("link", lambda before, o: _agree(before, o, titles))
    by_likeness(last, *OF_WHAT_VANISHED)
    if len(last) >= MIGRATION:
        by_likeness(last, title_and_file)
    by_key("link", lambda before, o: before.present and o.guid not in news)
    by_likeness(episodes, *OF_WHAT_IS_GONE)
    by_likeness(last, address_title_and_day, but=untold)
    if len(renamed) >= MIGRATION:
        by_likeness(last, address_and_title, but=())
    return renamed


def _owner(known: Known, kind: AliasKind, keys: Keys) -> int | None:
    """Return whose the key of *kind* is. Keys that lead to two episodes lead to none."""
    owners = {key[0]: known.aliases[key] for key in keys if key in known.aliases}
    return owners.get(kind) if len(set(owners.values())) == 1 else None


def _agree(before: KnownEpisode, observed: ObservedEpisode, titles: Collection[str]) -> bool:
    """Return whether anything but the link says that these are one episode."""
    same_date = observed.published_at is not None and observed.published_at == before.published_at
    same_audio = bare(observed.audio_url) == bare(before.audio_url)
    return same_date or same_audio or (observed.title == before.title and before.title in titles)


def _telling_titles(known: Known) -> Collection[str]:
    """Return the titles that tell one episode from the others; none where there are no others."""
    titles = Counter(e.title for e in known.episodes.values())
    return {t for t, count in titles.items() if t and count == 1} if len(titles) > 1 else ()


def _learned(
    known: Known, matched: Mapping[int, ObservedEpisode], keys: Mapping[str, Keys]
) -> Iterable[Alias]:
    for episode_id, observed in matched.items():
        for kind, value in _free(known, keys[observed.guid]):
            yield Alias(episode_id, kind, value)
