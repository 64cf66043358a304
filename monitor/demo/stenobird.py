"""A replica of Stenobird's public resource, in as many dialects as it may turn out to speak.

What is known of the real one is in ``docs/stenobird.md``. All that is not known is a field of
``dialect.Dialect``, so that one server can be every Stenobird that there might be.
"""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.demo import Answer, Clock, Exchange, Faults
from monitor.demo.dialect import FAILS, SUCCEEDS, Dialect, Page, document, dumped, markdown, spelled
from monitor.demo.publisher import Item, Publication, Publisher

__all__ = ["FAILS", "SUCCEEDS", "Dialect", "Effect", "Entry", "Replica"]

_JSON = {"Content-Type": "application/json; charset=utf-8"}
_HTML = {"Content-Type": "text/html; charset=utf-8"}
_MARKDOWN = {"Content-Type": "text/markdown; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Effect:
    """A transcription job that a POST began. What the ledger of these says is the truth."""

    at: datetime
    podcast: str  # Stenobird's slug
    slug: str
    guid: str
    post_id: str | None
    key: str | None  # the Idempotency-Key that came with it
    job: int  # 1, 2, 3… over all episodes


@dataclass(slots=True, kw_only=True)
class Entry:
    """How one episode is treated. A script may set everything at any time."""

    state: str | None  # until a job is begun
    listed_after: timedelta | None  # since it was published; None: never
    path: tuple[str, ...] = SUCCEEDS  # the states of a job, in order; the last one stays
    slug: str | None = None  # instead of the one made from a title
    job: Effect | None = None  # the newest
    steps: int = 0  # of the job's path, taken by advance()


class Replica:
    """Stenobird, for the episodes of *podcasts*: publishers, by Stenobird's slug of each.

    An episode is listed *listed_after* it was published (None: never). A job takes one step of
    its path every *step_every*, by the clock (None: by ``advance`` only).
    """

    def __init__(
        self,
        podcasts: Mapping[str, Publisher],
        *,
        clock: Clock,
        dialect: Dialect | None = None,
        listed_after: timedelta | None = timedelta(),
        step_every: timedelta | None = None,
    ) -> None:
        self.podcasts = podcasts
        self.clock = clock
        self.dialect = dialect or Dialect()
        self.listed_after = listed_after
        self.step_every = step_every
        self.get_faults, self.post_faults = Faults(), Faults()
        self.effects: list[Effect] = []
        self.exchanges: list[Exchange] = []  # every request, in order
        self._entries: dict[tuple[str, str], Entry] = {}
        self._memory: dict[Hashable, Effect] = {}
        self._broken_key: str | None = None

    @property
    def gets(self) -> list[Exchange]:
        return [exchange for exchange in self.exchanges if exchange.method == "GET"]

    @property
    def posts(self) -> list[Exchange]:
        return [exchange for exchange in self.exchanges if exchange.method == "POST"]

    def entry(self, guid: str, podcast: str | None = None) -> Entry:
        """Return the episode's entry, which may be set before it is published.

        *podcast* is needed only where there are several.
        """
        if podcast is None:
            (podcast,) = self.podcasts
        new = Entry(state=self.dialect.idle_state, listed_after=self.listed_after)
        return self._entries.setdefault((podcast, guid), new)

    def advance(self, steps: int = 1) -> None:
        """Move every job along its path."""
        for entry in tuple(self._entries.values()):
            if entry.job is not None:
                entry.steps += steps

    def state(self, guid: str, podcast: str | None = None) -> str | None:
        """Return the processing state as a GET would show it now."""
        return self._state(self.entry(guid, podcast))

    def _state(self, entry: Entry) -> str | None:
        if entry.job is None:
            return entry.state
        steps = entry.steps
        if self.step_every is not None:
            steps += max((self.clock() - entry.job.at) // self.step_every, 0)
        return entry.path[min(steps, len(entry.path) - 1)]

    # --- what it answers

    def resource(self, podcast: str, slug: str, *, origin: str) -> Answer:
        """Return the episode as JSON."""
        page = self._page(podcast, slug, origin)
        if page is None:
            return self.not_found()
        if self.dialect.shape == "page":
            return Answer(200, _HTML, b"<!DOCTYPE html><html><body>Stenobird</body></html>")
        return Answer(200, _JSON, dumped(document(page, self.dialect)))

    def markdown(self, podcast: str, slug: str, *, origin: str) -> Answer:
        """Return the episode as the Markdown page whose labels are known."""
        page = self._page(podcast, slug, origin)
        if page is None or self.dialect.markdown == "absent":
            return self.not_found()
        return Answer(200, _MARKDOWN, markdown(page, self.dialect).encode())

    def request(self, podcast: str, slug: str, *, key: str | None, origin: str) -> Answer:
        """Begin a job, unless one is remembered; both may be answered alike."""
        page = self._page(podcast, slug, origin)
        if page is None:
            return self.not_found()
        if self.dialect.replays_500:
            self._broken_key = self._broken_key or key
            if key == self._broken_key:
                return Answer(500, _JSON, dumped({"error": {"code": "internal"}}))
        remembered = self._remembered(page, key)
        effect = remembered or self._begin(page, key)
        code = self.dialect.post_status
        if remembered and self.dialect.repeat_status is not None:
            code = self.dialect.repeat_status
        return self._accepted(code, page, effect)

    def listing(self, podcast: str, *, origin: str) -> Answer:
        """Return the podcast's listed episodes, where there is such a list at all."""
        publisher = self.podcasts.get(podcast)
        if publisher is None or not self.dialect.lists_episodes:
            return self.not_found()
        slugs = [self._slug(p, self.entry(p.item.guid, podcast)) for p in publisher.publications]
        pages = [page for slug in slugs if (page := self._page(podcast, slug, origin))]
        episodes = [document(page, self.dialect) for page in pages]
        return Answer(200, _JSON, dumped({"episodes": episodes, "next_page": None}))

    def not_found(self) -> Answer:
        match self.dialect.not_found:
            case "json":
                return Answer(404, _JSON, dumped({"error": {"code": "not_found"}}))
            case "html":
                return Answer(404, _HTML, b"<!DOCTYPE html><html><body>Not found</body></html>")
            case "empty":
                return Answer(404)

    def _accepted(self, code: int, page: Page, effect: Effect) -> Answer:
        headers = {"Location": page.json_url} if code == 303 else {}
        if code == 204 or not self.dialect.post_body:
            return Answer(code, headers)
        told = {
            "id": f"job_{effect.job}",
            "status": self._entry(page).path[0],
            "poll_url": page.json_url,
        }
        return Answer(code, headers | _JSON, dumped(spelled(told, self.dialect)))

    # --- what it knows

    def _page(self, podcast: str, slug: str, origin: str) -> Page | None:
        publisher = self.podcasts.get(podcast)
        for publication in publisher.publications if publisher else ():
            item = publication.item
            entry = self.entry(item.guid, podcast)
            if self._slug(publication, entry) == slug and self._is_listed(publication, entry):
                return Page(podcast, slug, item, self._state(entry), origin)
        return None

    def _entry(self, page: Page) -> Entry:
        return self.entry(page.item.guid, page.podcast)

    def _slug(self, publication: Publication, entry: Entry) -> str:
        """Return the slug by the one rule that explains the one slug ever seen."""
        follows = self.dialect.slug_of == "title"
        title = publication.item.title if follows else publication.first_title
        return entry.slug or re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")

    def _is_listed(self, publication: Publication, entry: Entry) -> bool:
        if entry.listed_after is None or publication.item.audio_url is None:
            return False
        return self.clock() >= publication.appeared_at + entry.listed_after

    def _remembered(self, page: Page, key: str | None) -> Effect | None:
        known = self._memory.get(self._memory_of(page, key))
        if known is None or self.dialect.memory is None:
            return known
        return known if self.clock() - known.at < self.dialect.memory else None

    def _memory_of(self, page: Page, key: str | None) -> Hashable:
        """Return what a repetition is known by; None is never remembered."""
        match self.dialect.remembers:
            case "key":  # whatever the episode: two that share a key are one request
                return key
            case "episode":
                return page.podcast, page.item.guid
            case "nothing":
                return None

    def _begin(self, page: Page, key: str | None) -> Effect:
        job = len(self.effects) + 1
        guid = page.item.guid
        effect = Effect(self.clock(), page.podcast, page.slug, guid, _post_id(page.item), key, job)
        self.effects.append(effect)
        entry = self._entry(page)
        entry.job, entry.steps = effect, 0
        if (memory := self._memory_of(page, key)) is not None:
            self._memory[memory] = effect
        return effect


def _post_id(item: Item) -> str | None:
    found = re.search(r"/podcast/(\d+)/", item.audio_url or "")
    return found[1] if found else None
