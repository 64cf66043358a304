"""From the far ends' ledgers to a History's plain data.

``history_of(database, publishers, replica, slugs, fates, …)`` is all that a campaign needs: it has
publishers and a replica anyway, and keeps one ``Fates`` of what must become of the episodes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitor import demo
from monitor.demo.publisher import Publisher
from monitor.demo.stenobird import Replica
from tests.campaigns.history import Effect, Exchange, History, Podcast

SETTLED = frozenset({"processed", "failed"})


@dataclass
class Fates:
    """What must become of the episodes, by guid. Of one in neither set nothing is demanded."""

    wanted: set[str] = field(default_factory=set)  # each ends settled
    unwanted: set[str] = field(default_factory=set)  # never asked for
    generations: dict[str, int] = field(default_factory=dict)  # effects, where it is not one

    def want(self, guid: str) -> None:
        self.unwanted.discard(guid)
        self.wanted.add(guid)

    def leave(self, guid: str) -> None:
        """Demand nothing of it any more."""
        self.unwanted.discard(guid)
        self.wanted.discard(guid)


def history_of(
    database: str,
    publishers: Mapping[str, Publisher],  # by the podcast's name
    replica: Replica,
    slugs: Mapping[str, str],  # the podcast's name, by Stenobird's slug
    fates: Fates,
    *,
    min_gap_s: float,
    **rest: Any,
) -> History:
    """Return what is left behind. *rest* is History's own: log, quiet, per_minute, and so on."""
    return History(
        database=database,
        podcasts=[podcast_of(name, each, fates, min_gap_s) for name, each in publishers.items()],
        effects=[Effect(e.at, slugs[e.podcast], e.guid, e.key) for e in replica.effects],
        stenobird=[exchange_of(each) for each in replica.exchanges],
        remembers=replica.dialect.remembers != "nothing" and replica.dialect.memory is None,
        generations=fates.generations,
        ends={
            (name, guid): state
            for slug, name in slugs.items()
            for guid in fates.wanted
            if (state := replica.state(guid, slug)) in SETTLED
        },
        **rest,
    )


def podcast_of(name: str, publisher: Publisher, fates: Fates, min_gap_s: float) -> Podcast:
    ever = {each.item.guid for each in publisher.publications if each.item.audio_url is not None}
    return Podcast(
        name=name,
        listed=frozenset(item.guid for item in publisher.items if item.audio_url is not None),
        ever=frozenset(ever),
        wanted=frozenset(ever & fates.wanted),
        unwanted=frozenset(ever & fates.unwanted),
        polls=[exchange_of(each) for each in publisher.exchanges],
        min_gap_s=min_gap_s,
    )


def exchange_of(each: demo.Exchange) -> Exchange:
    key = each.headers.get("idempotency-key")
    return Exchange(each.at, each.method, each.path, key, each.status, each.body_sha256)
