"""What publishers, Stenobird and a person do in a simulated fortnight, by one seed."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from monitor.adapters.store import reading, verbs
from monitor.adapters.store.database import Database
from monitor.core.lifecycle import IllegalTransition
from monitor.demo import Fault, Faults, html_page, lost_answer, reset, slow, status, truncated
from monitor.demo.publisher import Item, Publisher, new_item
from monitor.demo.stenobird import FAILS, SUCCEEDS, Dialect, Replica
from tests.campaigns.virtual import HANGS, NO_NAME, REFUSED, STALE, Clock
from tests.campaigns.world import Fates

FEEDS = ("north", "east", "south", "west")
DAY_S = 86_400.0
DAYS = 14
KNOWN_AFTER = timedelta(days=3)  # what is so old was seen, whatever went wrong
LONG_AGO = timedelta(days=90)
DIALECTS = (
    Dialect(),
    Dialect(remembers="episode", post_status=200, repeat_status=409),
    Dialect(remembers="nothing", post_status=201, idle_state="not_requested"),
    Dialect(shape="nested", state_as="object", post_status=303, action="rooted", slug_of="title"),
    Dialect(shape="camel", post_status=204, not_found="html", action="absent"),
    Dialect(state_as="missing", markdown="one_line", not_found="empty", post_body=False),
)
OF_A_FEED: Sequence[Callable[[], Fault]] = (
    lambda: REFUSED,
    lambda: NO_NAME,
    lambda: HANGS,
    lambda: STALE,
    reset,
    truncated,
    html_page,
    lambda: slow(15),
    lambda: status(500),
    lambda: status(429, retry_after=1_800),
    lambda: status(503, retry_after="nonsense"),
)
OF_A_GET: Sequence[Callable[[], Fault]] = (
    lambda: REFUSED,
    lambda: NO_NAME,
    lambda: HANGS,
    lambda: STALE,
    reset,
    truncated,
    html_page,
    lambda: status(500),
    lambda: status(429, retry_after=600),
    lambda: status(403),
)
OF_A_POST: Sequence[Callable[[], Fault]] = (
    lambda: REFUSED,
    lambda: NO_NAME,
    lambda: HANGS,
    reset,
    lost_answer,
    lambda: slow(15),
    lambda: status(500),
    lambda: status(502, after_effect=True),
    lambda: status(429, retry_after=600),
    lambda: status(401),
    lambda: status(404),
)


class BadLuck(Faults):
    """Something goes wrong with a share of the requests, until there is peace."""

    def __init__(
        self, chance: Random, kinds: Sequence[Callable[[], Fault]], share: float, met: Counter[str]
    ) -> None:
        super().__init__()
        self.share = share
        self._chance = chance
        self._kinds = kinds
        self._met = met

    def take(self) -> Fault | None:
        if self._chance.random() >= self.share:
            return None
        fault = self._chance.choice(self._kinds)()
        self._met[fault.name] += 1
        return fault


class Fortnight:
    """Four publishers and Stenobird, and what they do when."""

    def __init__(self, seed: int, clock: Clock) -> None:
        self.chance = Random(seed)
        self.clock = clock
        self.fates = Fates()
        self.met: Counter[str] = Counter()  # faults, by name
        self._number = 1_000
        self._reissued: set[str] = set()  # guids
        self.publishers = {name: self._publisher(name) for name in FEEDS}
        self.slugs = {f"{name}-at-stenobird": name for name in FEEDS}
        self.replica = Replica(
            {slug: self.publishers[name] for slug, name in self.slugs.items()},
            clock=clock.true,
            dialect=DIALECTS[seed % len(DIALECTS)],
            step_every=timedelta(minutes=40),
        )
        self.replica.get_faults = BadLuck(self.chance, OF_A_GET, 0.06, self.met)
        self.replica.post_faults = BadLuck(self.chance, OF_A_POST, 0.35, self.met)
        self.script = self._script()

    @property
    def keyed(self) -> bool:
        """Whether a second generation is a second transcription for Stenobird."""
        return self.replica.dialect.remembers != "episode"

    def make_peace(self) -> None:
        for faults in (
            self.replica.get_faults,
            self.replica.post_faults,
            *(publisher.faults for publisher in self.publishers.values()),
        ):
            assert isinstance(faults, BadLuck)
            faults.share = 0.0

    def _publisher(self, name: str) -> Publisher:
        old = [self._item(name, self.clock.true() - LONG_AGO * n) for n in range(1, 4)]
        self.fates.unwanted |= {item.guid for item in old}
        publisher = Publisher(
            name, old, clock=self.clock.true, validators=self.chance.random() < 0.7
        )
        publisher.faults = BadLuck(self.chance, OF_A_FEED, 0.05, self.met)
        return publisher

    def _item(self, name: str, at: datetime) -> Item:
        self._number += 1
        title = f"Episode {self._number} of {name}"
        minutes = 700 if self.chance.random() < 0.03 else self.chance.choice((20, 45, 60, 90, 120))
        return new_item(self._number, title, at, duration_s=minutes * 60, notes_chars=100)

    # --- what happens when

    def _script(self) -> list[tuple[float, Callable[[Database], object]]]:
        """Return what is done, each with its true time in seconds, in order."""
        chance, script = self.chance, []
        for name in FEEDS:
            at = chance.uniform(0.1, 0.5) * DAY_S
            while at < DAYS * DAY_S:
                script.append((at, self._to(self._publish, name)))
                at += chance.expovariate(1 / (1.2 * DAY_S))
        turns = (self._edit, self._replace_audio, self._remove_or_restore, self._redate)
        turns += (self._backdate, self._reissue, self._write_text, self._person)
        for turn in (*turns, *turns, *turns, self._person, self._person):
            name = chance.choice(FEEDS)
            script.append((chance.uniform(1.0, DAYS) * DAY_S, self._to(turn, name)))
        return sorted(script, key=lambda each: each[0])

    @staticmethod
    def _to(turn: Callable[[str, Database], object], name: str) -> Callable[[Database], object]:
        return lambda database: turn(name, database)

    def _publish(self, name: str, _database: Database) -> None:
        for _ in range(self.chance.choice((1, 1, 1, 1, 3))):
            item = self._item(name, self.clock.true())
            self.fates.want(item.guid)
            self._treat(name, item)
            self.publishers[name].publish(item)

    def _treat(self, name: str, item: Item) -> None:
        entry = self.replica.entry(item.guid, f"{name}-at-stenobird")
        hours = self.chance.choice((0, 0, 0.3, 6, 48))
        entry.listed_after = timedelta(hours=hours)
        entry.path = self.chance.choice((SUCCEEDS, SUCCEEDS, SUCCEEDS, FAILS, SUCCEEDS[2:]))

    def _backdate(self, name: str, _database: Database) -> None:
        item = self._item(name, self.clock.true() - timedelta(days=200))
        self.fates.unwanted.add(item.guid)
        self.publishers[name].publish(item)

    def _write_text(self, name: str, _database: Database) -> None:
        """A post without audio is no episode."""
        item = self._item(name, self.clock.true())
        self.publishers[name].publish(replace(item, audio_url=None))

    def _known(self, name: str) -> Sequence[Item]:
        """Return what is in a feed for so long that everybody has seen it."""
        since = self.clock.true() - KNOWN_AFTER
        return [
            each.item
            for each in self.publishers[name].publications
            if each.appeared_at < since and not each.is_removed and each.item.audio_url
        ]

    def _any_known(self, name: str) -> Item:
        return self.chance.choice(self._known(name))

    def _edit(self, name: str, _database: Database) -> None:
        item = self._any_known(name)
        self.publishers[name].edit_title(item.guid, f"{item.title}, corrected")

    def _replace_audio(self, name: str, _database: Database) -> None:
        item = self._any_known(name)
        self.publishers[name].replace_audio(item.guid, f"{item.audio_url}".replace(".mp3", "b.mp3"))

    def _redate(self, name: str, _database: Database) -> None:
        item = self._any_known(name)
        self.publishers[name].redate(item.guid, item.published_at - timedelta(hours=5))

    def _remove_or_restore(self, name: str, _database: Database) -> None:
        publisher = self.publishers[name]
        gone = (each.item.guid for each in publisher.publications if each.is_removed)
        removed = [guid for guid in gone if guid not in self._reissued]  # else it is there twice
        if removed and self.chance.random() < 0.5:
            publisher.restore(self.chance.choice(removed))
        else:
            publisher.remove(self._any_known(name).guid)

    def _reissue(self, name: str, _database: Database) -> None:
        """Put the same episode out under another guid: it is known by its Substack id."""
        item = self._any_known(name)
        self._number += 1
        self._reissued.add(item.guid)
        self.publishers[name].remove(item.guid)
        anew = replace(item, guid=f"again:{self._number}", title=f"{item.title}, again")
        self.replica.entry(anew.guid, f"{name}-at-stenobird").listed_after = None
        self.publishers[name].publish(anew)

    # --- a person

    def _person(self, name: str, database: Database) -> None:
        """Use a verb on any episode that is known."""
        guid = self._any_known(name).guid
        if not (rows := database.read(reading.matching, guid)):
            return
        (row,) = rows
        verb = self.chance.choice((verbs.request, verbs.skip, verbs.release, verbs.requeue))
        if verb is verbs.requeue and row.request not in {"processed", "failed"}:
            return
        try:
            moved = database.write(verb, row.id, "a person", self.clock.wall())
        except IllegalTransition:  # accepted: what was asked cannot be unasked
            return
        if moved:
            self._decided(row.guid, verb)

    def _decided(self, guid: str, verb: Callable[..., bool]) -> None:
        """A person decided, and what must become of an episode is another."""
        if verb in (verbs.request, verbs.release):
            self.fates.want(guid)
        elif verb is verbs.skip and guid in self.fates.wanted:
            self.fates.leave(guid)
        elif verb is verbs.requeue and self.keyed:
            self.fates.generations[guid] = self.fates.generations.get(guid, 1) + 1
