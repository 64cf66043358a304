"""The far ends for real processes: by the real clock, in fractions of a second, with bad luck.

Publishers and Stenobird are served from a thread of the campaign's own process, so their ledgers
are at hand. New episodes come all the time.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from monitor import demo
from monitor.demo import Fault, Faults, lost_answer, reset, slow, status, truncated
from monitor.demo.publisher import Publisher, new_item
from monitor.demo.server import World
from monitor.demo.stenobird import Dialect, Replica
from tests.campaigns.history import Effect, Exchange, History, Podcast

PODCASTS = ("show", "other")
POLL_MIN_S = 0.2
# A poll may be late on its way, and then the next one seems early: this is for two busy machines.
LATE_S = 0.15
PER_MINUTE = 600
MINUTES_PER_DAY = 1_000_000
LONG_AGO = timedelta(days=90)
DIALECTS = (
    Dialect(),
    Dialect(remembers="episode", post_status=200, repeat_status=409),
    Dialect(remembers="nothing", post_status=201, idle_state="not_requested"),
    Dialect(shape="nested", state_as="object", post_status=303, action="rooted"),
    Dialect(shape="camel", post_status=204, not_found="html", action="absent"),
)
OF_A_FEED: Sequence[Callable[[], Fault]] = (
    reset,
    truncated,
    lambda: status(503),
    lambda: status(429, retry_after=1),
    lambda: slow(0.2),
)
OF_A_GET: Sequence[Callable[[], Fault]] = (reset, truncated, lambda: status(500))
OF_A_POST: Sequence[Callable[[], Fault]] = (
    reset,
    lost_answer,
    lambda: status(500, after_effect=True),
    lambda: status(429, retry_after=1),
    lambda: slow(0.3),
)
SECRETS = frozenset({"token-of-stenobird", "token-in-an-address", "token-in-a-header", ".rss"})
MOST_IN_A_ROW = 2  # so that no backoff grows beyond a campaign's patience
CONFIG = """
database = "{database}"
[log]
format = "json"
[network]
contact = "{contact}"
deadline = "{deadline}"
per_host_interval = "1ms"
allow_private = true
[stenobird]
base_url = "{url}"
token = "token-of-stenobird"
[requests]
per_minute = {per_minute}
audio_minutes_per_day = {minutes_per_day}
retry = {{ min = "200ms", max = "1s" }}
not_listed = {{ min = "200ms", max = "1s" }}
bulk_over = 1000
"""
PODCAST = """
[[podcasts]]
name = "{name}"
feed = "{url}/feed/{name}.rss?token=token-in-an-address"
headers = {{ Authorization = "Bearer token-in-a-header" }}
stenobird = "{name}-at-stenobird"
poll = {{ min = "200ms", max = "2s", per_day = 400000 }}
track = {{ min = "200ms", max = "1s" }}
"""


def now() -> datetime:
    return datetime.now(UTC)


class BadLuck(Faults):
    """Something goes wrong with some of the requests, by chance, until there is peace."""

    def __init__(
        self, chance: Random, kinds: Sequence[Callable[[], Fault]], share: float, met: Counter[str]
    ) -> None:
        super().__init__()
        self.share = share
        self._chance = chance
        self._kinds = kinds
        self._met = met
        self._in_a_row = 0

    def take(self) -> Fault | None:
        fault = super().take()
        if fault is None and self._in_a_row < MOST_IN_A_ROW and self._chance.random() < self.share:
            fault = self._chance.choice(self._kinds)()
        self._in_a_row = self._in_a_row + 1 if fault else 0
        if fault:
            self._met[fault.name] += 1
        return fault


@dataclass(frozen=True, slots=True)
class Rules:
    """What is configured for every daemon in the same way."""

    per_minute: int = PER_MINUTE
    minutes_per_day: int = MINUTES_PER_DAY
    deadline: str = "2s"


class Outside:
    """Two podcasts, each with an old episode, and Stenobird."""

    def __init__(
        self,
        seed: int,
        *,
        share: float = 0.25,
        dialect: Dialect | None = None,
        rules: Rules = Rules(),
    ) -> None:
        self.chance = Random(seed)
        self.rules = rules
        self.met: Counter[str] = Counter()  # faults, by name
        self.wanted: dict[str, set[str]] = {name: set() for name in PODCASTS}
        self._next = 200
        self.publishers = {name: self._publisher(name, n, share) for n, name in enumerate(PODCASTS)}
        self.replica = Replica(
            {f"{name}-at-stenobird": each for name, each in self.publishers.items()},
            clock=now,
            dialect=dialect or DIALECTS[seed % len(DIALECTS)],
            step_every=timedelta(milliseconds=100),
        )
        self.replica.get_faults = BadLuck(self.chance, OF_A_GET, share / 2, self.met)
        self.replica.post_faults = BadLuck(self.chance, OF_A_POST, share, self.met)
        self.world = World(*self.publishers.values(), replica=self.replica)

    def _publisher(self, name: str, number: int, share: float) -> Publisher:
        old = new_item(100 + number, f"An old episode of {name}", now() - LONG_AGO, notes_chars=100)
        publisher = Publisher(name, [old], clock=now)
        publisher.faults = BadLuck(self.chance, OF_A_FEED, share, self.met)
        return publisher

    def configure(
        self,
        directory: Path,
        database: str,
        url: str,
        *,
        name: str = "daemon",
        podcasts: Sequence[str] = PODCASTS,
    ) -> Path:
        """Write a daemon's configuration; its *name* stands in the User-Agent."""
        path = directory / f"{name}.toml"
        rules = self.rules
        text = CONFIG.format(
            database=database,
            url=url,
            contact=name,
            per_minute=rules.per_minute,
            minutes_per_day=rules.minutes_per_day,
            deadline=rules.deadline,
        )
        text += "".join(PODCAST.format(name=each, url=url) for each in podcasts)
        path.write_text(text, encoding="utf-8")
        return path

    def publish(self, podcast: str | None = None) -> str:
        """Publish an episode, of any podcast if none is named; one in ten has an old date."""
        name = podcast or self.chance.choice(PODCASTS)
        number, self._next = self._next, self._next + 1
        is_old = podcast is None and self.chance.random() < 0.1
        at = now() - (LONG_AGO if is_old else timedelta())
        item = new_item(number, f"Episode {number}", at, duration_s=1_800, notes_chars=100)
        if not is_old:
            self.wanted[name].add(item.guid)
        self.publishers[name].publish(item)
        return item.guid

    def make_peace(self) -> None:
        """Let nothing go wrong any more."""
        for faults in (
            self.replica.get_faults,
            self.replica.post_faults,
            *(publisher.faults for publisher in self.publishers.values()),
        ):
            assert isinstance(faults, BadLuck)
            faults.clear()
            faults.share = 0.0

    def history(
        self, database: str, logs: Sequence[Sequence[Mapping[str, Any]]], *, quiet: bool = True
    ) -> History:
        """Return what is left behind, for the checker."""
        podcast_of = {f"{name}-at-stenobird": name for name in PODCASTS}
        return History(
            database=database,
            log=logs,
            podcasts=[self._podcast(name) for name in PODCASTS],
            effects=[
                Effect(e.at, podcast_of[e.podcast], e.guid, e.key) for e in self.replica.effects
            ],
            stenobird=[_exchange(each) for each in self.replica.exchanges],
            remembers=self.replica.dialect.remembers != "nothing",
            per_minute=self.rules.per_minute,
            audio_minutes_per_day=self.rules.minutes_per_day,
            quiet=quiet,
            secrets=SECRETS,
        )

    def _podcast(self, name: str) -> Podcast:
        publisher, wanted = self.publishers[name], frozenset(self.wanted[name])
        ever = frozenset(each.item.guid for each in publisher.publications)
        return Podcast(
            name=name,
            listed=frozenset(item.guid for item in publisher.items),
            ever=ever,
            wanted=wanted,
            unwanted=ever - wanted,
            polls=[_exchange(each) for each in publisher.exchanges],
            min_gap_s=POLL_MIN_S - LATE_S,
        )


def _exchange(each: demo.Exchange) -> Exchange:
    key = each.headers.get("idempotency-key")
    return Exchange(each.at, each.method, each.path, key, each.status, each.body_sha256)
