"""What the tests of the core are told with: items, documents, works, and a podcast's memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.core import reconcile
from monitor.core.baseline import Latest
from monitor.core.lifecycle import Status
from monitor.core.model import (
    AliasKind,
    Document,
    Episode,
    Feed,
    Fetched,
    Found,
    Known,
    KnownEpisode,
    NewEpisode,
    ObservedEpisode,
    PollPlan,
    ProcessingRequest,
    Resource,
    Validators,
    Work,
)
from monitor.core.rules import PollRules, RequestRules
from monitor.core.schedule import Bounds

NOW = datetime(2026, 10, 10, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY, WEEK = (timedelta(seconds=s) for s in (1, 60, 3600, 86_400, 604_800))

POLLING = PollRules(
    poll=Bounds(5 * MINUTE, 6 * HOUR),
    per_day=48,
    backfill=Latest(0),
    bulk_over=10,
    backdated_over=30 * DAY,
)
DELIVERY = RequestRules(
    base_url="https://stenobird.com",
    retry=Bounds(MINUTE, 6 * HOUR),
    not_listed=Bounds(10 * MINUTE, DAY),
    track=Bounds(5 * MINUTE, DAY),
    stalled_after=3 * DAY,
    processed_states=frozenset({"processed"}),
    failed_states=frozenset({"failed", "canceled"}),
)


# --- a feed ------------------------------------------------------------------------------


def item(name: str, **facts: Any) -> ObservedEpisode:
    """Return an item of which every fact is its own, but for those given."""
    own = {
        "guid": name,
        "title": f"About {name}",
        "audio_url": f"https://cdn.example/{name}.mp3",
        "link": f"https://show.example/{name}",
        "published_at": NOW - DAY,
    }
    return ObservedEpisode(**{**own, **facts})


def show(count: int, **facts: Any) -> list[ObservedEpisode]:
    """Return a weekly show, newest first, each with its own length."""
    return [
        item(f"e{n}", published_at=NOW - (count - n + 1) * WEEK, duration_s=3000 + n, **facts)
        for n in range(count, 0, -1)
    ]


def document(*episodes: ObservedEpisode, link: str | None = None, others: int = 0) -> Document:
    """Return a whole document; *others* are its items without audio."""
    return Document(tuple(episodes), items=len(episodes) + others, link=link)


def fetched(**facts: Any) -> Fetched:
    own = {"validators": Validators('"1"'), "body_bytes": 1, "wire_bytes": 1, "complete": True}
    return Fetched(**{**own, **facts})


@dataclass
class Podcast:
    """A podcast's rows, in memory: plans are folded into it as the store writes them."""

    feed: Feed = field(
        default_factory=lambda: Feed(1, "show", "https://show.example/rss", next_poll_at=NOW)
    )
    episodes: dict[int, KnownEpisode] = field(default_factory=dict)
    aliases: dict[tuple[AliasKind, str], int] = field(default_factory=dict)
    first: dict[int, NewEpisode] = field(default_factory=dict)  # as discovered
    rules: PollRules = POLLING

    @property
    def known(self) -> Known:
        return Known(dict(self.episodes), dict(self.aliases))

    def poll(self, *observed: ObservedEpisode, at: datetime = NOW, **facts: Any) -> PollPlan:
        plan = reconcile.reconcile(
            self.feed,
            self.known,
            document(*observed, **facts),
            fetched(),
            now=at,
            jitter=0,
            rules=self.rules,
        )
        return self.fold(plan)

    def fold(self, plan: PollPlan) -> PollPlan:
        self.feed = plan.feed
        for new in plan.new:
            episode_id = len(self.episodes) + 1
            self.first[episode_id] = new
            self.episodes[episode_id] = _recorded(episode_id, new.observed)
            for kind, value in new.aliases:
                self._add(kind, value, episode_id)
        for alias in plan.aliases:
            self._add(alias.kind, alias.value, alias.episode_id)
        for change in plan.changed:
            facts = {name: getattr(change.observed, name) for name in change.fields}
            self.episodes[change.episode_id] = replace(self.episodes[change.episode_id], **facts)
        for ids, present in ((plan.vanished, False), (plan.returned, True)):
            for episode_id in ids:
                assert self.episodes[episode_id].present is not present
                self.episodes[episode_id] = replace(self.episodes[episode_id], present=present)
        return plan

    def _add(self, kind: AliasKind, value: str, episode_id: int) -> None:
        assert (kind, value) not in self.aliases, "the alias table is unique per podcast"
        self.aliases[kind, value] = episode_id

    def of(self, guid: str) -> KnownEpisode:
        return self.episodes[self.aliases["guid", guid]]


def _recorded(episode_id: int, seen: ObservedEpisode) -> KnownEpisode:
    names = ("guid", "title", "audio_url", "duration_s", "published_at", "audio_bytes")
    return KnownEpisode(episode_id, present=True, **{n: getattr(seen, n) for n in names})


def podcast(*observed: ObservedEpisode, at: datetime = NOW - HOUR, **rules: Any) -> Podcast:
    """Return a podcast whose baseline was *observed*, an hour ago."""
    made = Podcast(rules=replace(POLLING, **rules))
    made.poll(*observed, at=at)
    return made


def decided(plan: PollPlan) -> dict[str, str]:
    """Return what a plan decides of each new episode: pending, or why it is held."""
    return {n.observed.guid: n.reason or n.status.value for n in plan.new}


# --- a request ---------------------------------------------------------------------------


def work(
    status: Status = Status.PENDING, *, episode: Mapping[str, Any] | None = None, **facts: Any
) -> Work:
    """Return an episode with its request, both an hour old, but for the facts given."""
    request = {"id": 7, "generation": 1, "epoch": 0, "reason": None, "attempts": 0}
    request |= {"next_attempt_at": NOW, "created_at": NOW - HOUR}
    return Work(_episode(**(episode or {})), ProcessingRequest(status=status, **request | facts))


def _episode(**facts: Any) -> Episode:
    own = {
        "id": 3,
        "podcast": "latent-space",
        "podcast_slug": "latent-space-ai-engineer",
        "guid": "substack:post:192356063",
        "title": "Voxtral",
        "former_titles": (),
        "post_id": "192356063",
        "link": "https://www.latent.space/p/voxtral",
        "duration_s": 2928,
        "published_at": NOW - DAY,
        "first_seen_at": NOW - HOUR,
        "slug": None,
        "processing_state": None,
        "state_changed_at": None,
        "resource_digest": None,
    }
    return Episode(**{**own, **facts})


def found(state: str | None = "new", **facts: Any) -> Found:
    return Found(Resource(state, **facts), "voxtral")
