"""Any history at all, step by step, beside a small model: publisher, Stenobird, clock, person, power.

hypothesis draws the steps and shrinks what fails. The jobs, the parser and the SQLite file are real;
network and time are virtual. After every step nothing may be broken that needs no waiting; in the
end, in peace, the checker and the model must agree with the database.
"""

import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from monitor.adapters.store import reading, verbs
from monitor.core.lifecycle import IllegalTransition
from monitor.demo import Faults, html_page, lost_answer, reset, status, truncated
from monitor.demo.publisher import Publisher, new_item
from monitor.demo.stenobird import FAILS, SUCCEEDS, Dialect, Replica
from tests.campaigns.figures import Figures, Violation
from tests.campaigns.model import Model
from tests.campaigns.simulation import Simulated
from tests.campaigns.virtual import NO_NAME, REFUSED, STALE, Clock
from tests.campaigns.world import Fates

PODCASTS = ("north", "south")
LONG_AGO = timedelta(days=90)
STEPS = 25
MOST = 9  # more at once would be held as bulk
MINUTE_S, HOUR_S = 60.0, 3_600.0
OF_A_FEED = (REFUSED, NO_NAME, STALE, reset(), truncated(), html_page(), status(500))
OF_A_GET = (REFUSED, reset(), truncated(), html_page(), status(500), status(403), status(404))
OF_A_POST = (
    *(REFUSED, reset(), lost_answer(), status(500), status(502, after_effect=True)),
    *(status(429, retry_after=600), status(401), status(404)),
)
DIALECTS = (Dialect(), Dialect(remembers="nothing", post_status=201), Dialect(shape="nested"))
met: Counter[str] = Counter()  # what went wrong, in all histories of this process
NEWEST = """
    SELECT p.name, e.guid, r.status, r.generation FROM requests r
    JOIN episodes e ON e.id = r.episode_id JOIN podcasts p ON p.id = e.podcast_id WHERE r.newest
"""


class Stage:
    """Two publishers and Stenobird, which do nothing by themselves."""

    def __init__(self, seed: int, clock: Clock) -> None:
        self.fates = Fates()
        self.met: Counter[str] = Counter()
        self.script: tuple[Any, ...] = ()
        self.publishers = {
            name: Publisher(
                name, [new_item(n, f"Old {name}", clock.true() - LONG_AGO)], clock=clock.true
            )
            for n, name in enumerate(PODCASTS, 100)
        }
        self.fates.unwanted |= {"substack:post:100", "substack:post:101"}
        self.slugs = {f"{name}-at-stenobird": name for name in PODCASTS}
        self.replica = Replica(
            {slug: self.publishers[name] for slug, name in self.slugs.items()},
            clock=clock.true,
            dialect=DIALECTS[seed],
            step_every=timedelta(minutes=40),
        )

    def make_peace(self) -> None:
        for each in (*self.publishers.values(), self.replica):
            for faults in vars(each).values():
                if isinstance(faults, Faults):
                    faults.clear()


class Played(Simulated):
    """Nothing happens but what a rule does."""

    def _plan(self) -> list[Any]:
        return []


class AnyHistory(RuleBasedStateMachine):
    """What may happen. Each life is a process of its own on the one database."""

    player: type[Simulated] = Played

    def __init__(self) -> None:
        super().__init__()
        self.place = TemporaryDirectory()
        self.played: Simulated | None = None
        self.model = Model()
        self.number = 200

    def teardown(self) -> None:
        try:
            if self.played is not None:
                self._end(self.played)
        finally:
            self.place.cleanup()

    def _end(self, played: Simulated) -> None:
        self._stage.make_peace()
        self.run(8 * 60)  # a feed that failed is polled after six hours at the latest
        wrong = played.come_to_an_end()
        assert not wrong, "\n".join(wrong)
        found = {(podcast, guid): (now, n) for podcast, guid, now, n in self._rows(NEWEST)}
        for key, expected in self.model.episodes.items():
            now, generation = found[key]
            assert now in self.model.may_be(key), f"{key} is {now}: expected {expected}"
            assert generation == expected.generation, f"{key} is of generation {generation}"

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        assert self.played is not None
        with closing(sqlite3.connect(self.played.url.removeprefix("sqlite:///"))) as conn:
            return conn.execute(query).fetchall()

    def _known(self, podcast: str) -> list[str]:
        """Return what is in the feed, and was seen there."""
        publisher = self._stage.publishers[podcast]
        seen = {guid for name, guid, *_ in self._rows(NEWEST) if name == podcast}
        return [item.guid for item in publisher.items if item.guid in seen]

    @property
    def _stage(self) -> Any:
        assert self.played is not None
        return self.played.days

    # --- the far ends

    @rule(dialect=st.sampled_from(range(len(DIALECTS))))
    @precondition(lambda self: self.played is None)
    def begin(self, dialect: int) -> None:
        self.played = self.player(dialect, Path(self.place.name), Stage)
        self.played._cuts.clear()
        self.run(30)

    @rule(
        names=st.sampled_from([("north",), ("south",), PODCASTS]),
        old=st.booleans(),
        listed_after_h=st.sampled_from([0.0, 0.3, 6.0]),
        path=st.sampled_from([SUCCEEDS, FAILS, SUCCEEDS[2:]]),
    )
    @precondition(lambda self: self.played is not None and self.number < 200 + MOST)
    def publish(
        self, names: tuple[str, ...], old: bool, listed_after_h: float, path: tuple[str, ...]
    ) -> None:
        """The same guid in two podcasts is two episodes."""
        assert self.played is not None
        self.number += 1
        at = self.played.clock.true() - (LONG_AGO if old else timedelta())
        item = new_item(self.number, f"Episode {self.number}", at, notes_chars=50)
        for name in names:
            entry = self._stage.replica.entry(item.guid, f"{name}-at-stenobird")
            entry.listed_after, entry.path = timedelta(hours=listed_after_h), path
            self._stage.publishers[name].publish(item)
            self.model.publish((name, item.guid), old=old)
        (self._stage.fates.unwanted if old else self._stage.fates.wanted).add(item.guid)

    @rule(podcast=st.sampled_from(PODCASTS), which=st.integers(0, 9), how=st.integers(0, 3))
    @precondition(lambda self: self.played is not None)
    def edit(self, podcast: str, which: int, how: int) -> None:
        """Edit, replace, withdraw, or put out under another guid what everybody has seen."""
        publisher = self._stage.publishers[podcast]
        known = self._known(podcast)
        if len(known) < 2:  # a feed without an item is a failure, for ever
            return
        guid = known[which % len(known)]
        item = next(each for each in publisher.items if each.guid == guid)
        match how:
            case 0:
                publisher.edit_title(guid, f"{item.title}, corrected")
            case 1:
                publisher.replace_audio(guid, f"{item.audio_url}?updated=1")
            case 2:
                publisher.remove(guid)
            case 3:
                publisher.remove(guid)
                anew = replace(item, guid=f"again:{guid}:{len(publisher.publications)}")
                entry = self._stage.replica.entry(anew.guid, f"{podcast}-at-stenobird")
                entry.listed_after = None
                publisher.publish(anew)

    @rule(podcast=st.sampled_from(PODCASTS))
    @precondition(lambda self: self.played is not None)
    def restore(self, podcast: str) -> None:
        publisher = self._stage.publishers[podcast]
        again = {item.guid.split(":", 1)[1].rpartition(":")[0] for item in publisher.items}
        for each in publisher.publications:
            if each.is_removed and each.item.guid not in again:
                publisher.restore(each.item.guid)

    # --- what goes wrong

    @rule(
        podcast=st.sampled_from(PODCASTS), faults=st.lists(st.sampled_from(OF_A_FEED), max_size=3)
    )
    @precondition(lambda self: self.played is not None)
    def feed_fails(self, podcast: str, faults: list[Any]) -> None:
        met.update(fault.name for fault in faults)
        self._stage.publishers[podcast].faults.next(*faults)

    @rule(
        gets=st.lists(st.sampled_from(OF_A_GET), max_size=3),
        posts=st.lists(st.sampled_from(OF_A_POST), max_size=3),
    )
    @precondition(lambda self: self.played is not None)
    def stenobird_fails(self, gets: list[Any], posts: list[Any]) -> None:
        met.update(fault.name for fault in (*gets, *posts))
        self._stage.replica.get_faults.next(*gets)
        self._stage.replica.post_faults.next(*posts)

    @rule(minutes=st.sampled_from([5, 30, 90, 600]))
    @precondition(lambda self: self.played is not None)
    def run(self, minutes: int) -> None:
        """Start a process, let it work for so long, and stop it."""
        assert self.played is not None
        self.played.go_on(self.played.clock.passed_s + minutes * MINUTE_S)

    @rule(after=st.integers(1, 120))
    @precondition(lambda self: self.played is not None)
    def crash(self, after: int) -> None:
        """The power goes before one of the next outside actions, if there are so many."""
        assert self.played is not None
        until_s = self.played.clock.passed_s + 2 * HOUR_S
        met["power_cut"] += not self.played.go_on(until_s, cut_before=after)

    @rule(hours=st.sampled_from([0.2, 3.0, 20.0]))
    @precondition(lambda self: self.played is not None)
    def be_off(self, hours: float) -> None:
        assert self.played is not None
        self.played.clock.passed_s += hours * HOUR_S

    @rule(hours=st.sampled_from([-3, -1, 2]))
    @precondition(lambda self: self.played is not None)
    def set_clock(self, hours: int) -> None:
        assert self.played is not None
        met["clock_forward" if hours > 0 else "clock_back"] += 1
        self.played.clock.ahead += timedelta(hours=hours)
        self.played.jumps.append(self.played.clock.true())

    # --- a person

    @rule(
        podcast=st.sampled_from(PODCASTS),
        which=st.integers(0, 9),
        verb=st.sampled_from([verbs.request, verbs.release, verbs.skip, verbs.requeue]),
    )
    @precondition(lambda self: self.played is not None)
    def decide(self, podcast: str, which: int, verb: Any) -> None:
        """Use a verb on an episode whose guid is in one podcast only."""
        keys = [key for key in self.model.episodes if key[0] == podcast]
        if not keys:
            return
        guid = keys[which % len(keys)][1]
        alone = sum(1 for _, other in self.model.episodes if other == guid) == 1
        with self.played.opened() as database:
            rows = database.read(reading.matching, guid) if alone else []
            if not rows or (
                verb is verbs.requeue and rows[0].request not in {"processed", "failed"}
            ):
                return
            try:
                moved = database.write(verb, rows[0].id, "a person", self.played.clock.wall())
            except IllegalTransition:
                return
        if moved:
            self._decided(podcast, guid, verb.__name__)

    def _decided(self, podcast: str, guid: str, verb: str) -> None:
        self.model.decide((podcast, guid), verb)
        fates = self._stage.fates
        if verb == "skip":
            fates.leave(guid)
        elif verb == "requeue":
            fates.generations[guid] = fates.generations.get(guid, 1) + 1
        else:
            fates.want(guid)

    # --- what needs no waiting

    @invariant()
    def nothing_is_broken_now(self) -> None:
        if self.played is None:
            return
        seqs = [seq for (seq,) in self._rows("SELECT seq FROM events ORDER BY seq")]
        assert seqs == list(range(1, len(seqs) + 1))
        known = Counter((podcast, guid) for podcast, guid, *_ in self._rows(NEWEST))
        assert all(count == 1 for count in known.values())
        of = self._stage.slugs
        effects = self._stage.replica.effects
        if self._stage.replica.dialect.remembers == "key":
            keys = Counter((of[e.podcast], e.guid, e.key) for e in effects)
            assert all(count == 1 for count in keys.values())
        for effect in effects:
            key = of[effect.podcast], effect.guid
            assert self.model.episodes.get(key), f"nobody wanted {key}"
            assert self.model.episodes[key].status != "held", f"{key} is held, and was sent"


def live(
    count: int,
    *,
    steps: int = STEPS,
    seed: int | None = None,
    machine: type[RuleBasedStateMachine] = AnyHistory,
) -> None:
    """Live so many histories: by a seed, or, without one, the same at every time.

    Raises:
        AssertionError: a promise was broken.
    """
    case: Any = machine.TestCase
    case.settings = settings(
        max_examples=count,
        stateful_step_count=steps,
        deadline=None,
        derandomize=seed is None,
        database=None,
        phases=[Phase.generate],  # to shrink a history takes minutes
        suppress_health_check=list(HealthCheck),  # an example is a service's life: it takes seconds
    )
    if seed is not None:
        case.runTest = with_seed(seed)(case.runTest)
    case().runTest()


def run(count: int, seed: int) -> Figures:
    """Live so many histories."""
    began = time.monotonic()
    met.clear()
    violations = []
    try:
        live(count, seed=seed)
    except AssertionError as error:
        notes = "\n".join(getattr(error, "__notes__", ()))
        violations.append(Violation("stateful", seed, f"{error}\n{notes}"))
    return Figures("stateful", count, "histories", dict(met), violations, time.monotonic() - began)
