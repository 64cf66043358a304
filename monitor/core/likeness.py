"""What two sightings of one episode have in common when its guid changed.

None of these traits is a key: reruns share audio, titles are edited, dates are moved. They tell
only whether what appeared in a document is what vanished from it, one to one.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from typing import TypeVar

from monitor.core.model import KnownEpisode, ObservedEpisode

E = TypeVar("E", KnownEpisode, ObservedEpisode)
Trait = Callable[[KnownEpisode | ObservedEpisode], Hashable]  # None: it has none


def bare(url: str) -> str:
    """Return an address without its query and fragment, which some hosts change in every answer."""
    return url.partition("#")[0].partition("?")[0]


def address(episode: KnownEpisode | ObservedEpisode) -> Hashable:
    return bare(episode.audio_url) or None


def address_and_day(episode: KnownEpisode | ObservedEpisode) -> Hashable:
    at = episode.published_at
    return (address(episode), at.date()) if at and address(episode) else None


def address_and_title(episode: KnownEpisode | ObservedEpisode) -> Hashable:
    return (address(episode), episode.title) if episode.title and address(episode) else None


def address_title_and_day(episode: KnownEpisode | ObservedEpisode) -> Hashable:
    day = title_and_day(episode)
    return (address(episode), day) if day and address(episode) else None


def title_and_instant(episode: KnownEpisode | ObservedEpisode) -> Hashable:
    return (episode.title, episode.published_at) if episode.title and episode.published_at else None


def title_and_duration(episode: KnownEpisode | ObservedEpisode) -> Hashable:
    return (episode.title, episode.duration_s) if episode.title and episode.duration_s else None


def title_and_day(episode: KnownEpisode | ObservedEpisode) -> Hashable:
    at = episode.published_at
    return (episode.title, at.date()) if episode.title and at else None


def title_and_file(episode: KnownEpisode | ObservedEpisode) -> Hashable:
    """Return what stays of an undated episode when its feed moves to another host."""
    file = bare(episode.audio_url).rpartition("/")[2]
    return (episode.title, file) if episode.title and file else None


def title_file_and_day(episode: KnownEpisode | ObservedEpisode) -> Hashable:
    day, file = title_and_day(episode), title_and_file(episode)
    return (day, file) if day and file else None


# From the one that tells most to the one that tells least.
OF_WHAT_VANISHED: tuple[Trait, ...] = (
    address,
    title_and_instant,
    title_and_duration,
    title_and_day,
)
OF_WHAT_IS_GONE: tuple[Trait, ...] = (address_and_day, title_file_and_day)


def alike(
    before: Collection[KnownEpisode],
    observed: Collection[ObservedEpisode],
    traits: Iterable[Trait],
    *,
    waiting: Collection[str],
    taken: Collection[int],
) -> Iterator[tuple[int, ObservedEpisode]]:
    """Yield which of *before* the guids in *waiting* are, one to one, by the first trait that tells.

    A trait must be one episode's only, of all *observed* and of all *before*: the title of every
    bulletin tells nothing of the one that is left over. Ids that are *taken* are nobody else's.
    """
    left, gone = {*waiting}, {*taken}
    for trait in traits:
        if not left:
            return
        owners = _unique(before, trait)
        for value, episode in _unique(observed, trait).items():
            owner = owners.get(value)
            if owner and owner.id not in gone and episode.guid in left:
                left.remove(episode.guid)
                gone.add(owner.id)
                yield owner.id, episode


def _unique(episodes: Iterable[E], trait: Trait) -> dict[Hashable, E]:
    """Return the episodes by *trait*, without those that share theirs or have none."""
    groups: dict[Hashable, list[E]] = defaultdict(list)
    for episode in episodes:
        groups[trait(episode)].append(episode)
    return {t: group[0] for t, group in groups.items() if t is not None and len(group) == 1}
