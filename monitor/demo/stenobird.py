"""A replica of Stenobird's public resource, in as many dialects as it may turn out to speak.

What is known of the real one is in ``docs/stenobird.md``. All that is not known is a field of
``Dialect``, so that one server can be every Stenobird that there might be.
"""

import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from monitor.demo import Answer, Clock, Exchange, Faults
from monitor.demo.publisher import Item, Publication, Publisher, filler

SUCCEEDS = ("queued", "transcribing", "processed")
FAILS = ("queued", "transcribing", "failed")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How this Stenobird speaks, and what it remembers. The defaults are the likeliest."""

    # JSON and Markdown
    shape: Literal["flat", "nested", "camel", "page"] = "flat"  # page: no JSON at its address
    state_as: Literal["text", "object", "missing"] = "text"  # missing: only Markdown has it
    state_name: str = "processing_state"
    idle_state: str | None = None  # before any request
    action: Literal["absolute", "rooted", "elsewhere", "absent"] = "absolute"
    markdown: Literal["lines", "one_line", "absent"] = "lines"
    not_found: Literal["json", "html", "empty"] = "json"
    # Answers to a POST
    post_status: int = 202
    repeat_status: int | None = None  # where nothing new was begun; None: as the first time
    post_body: bool = True
    # What makes a second POST have no effect: its key, its episode, or nothing at all
    remembers: Literal["key", "episode", "nothing"] = "key"
    memory: timedelta | None = None  # how long; None: for ever
    slug_of: Literal["first_title", "title"] = "first_title"


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


@dataclass(frozen=True, slots=True)
class _Page:
    """One listed episode, as it is to be shown now."""

    podcast: str
    slug: str
    item: Item
    entry: Entry
    state: str | None
    origin: str

    @property
    def json_url(self) -> str:
        return f"{self.origin}/v1/public/podcasts/{self.podcast}/episodes/{self.slug}"

    @property
    def page_url(self) -> str:
        return f"{self.origin}/podcast/{self.podcast}/{self.slug}"


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
        dialect: Dialect = Dialect(),
        listed_after: timedelta | None = timedelta(),
        step_every: timedelta | None = None,
    ) -> None:
        self.podcasts = podcasts
        self.clock = clock
        self.dialect = dialect
        self.listed_after = listed_after
        self.step_every = step_every
        self.get_faults, self.post_faults = Faults(), Faults()
        self.effects: list[Effect] = []
        self.exchanges: list[Exchange] = []  # every request, in order
        self._entries: dict[tuple[str, str], Entry] = {}
        self._memory: dict[Hashable, Effect] = {}

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
        return Answer(200, _JSON, _dumped(_document(page, self.dialect)))

    def markdown(self, podcast: str, slug: str, *, origin: str) -> Answer:
        """Return the episode as the Markdown page whose labels are known."""
        page = self._page(podcast, slug, origin)
        if page is None or self.dialect.markdown == "absent":
            return self.not_found()
        text = _markdown(page)
        if self.dialect.markdown == "one_line":
            text = " ".join(text.split())
        return Answer(200, {"Content-Type": "text/markdown; charset=utf-8"}, text.encode())

    def request(self, podcast: str, slug: str, *, key: str | None, origin: str) -> Answer:
        """Begin a job, unless one is remembered; both may be answered alike."""
        page = self._page(podcast, slug, origin)
        if page is None:
            return self.not_found()
        remembered = self._remembered(page, key)
        effect = remembered or self._begin(page, key)
        code = self.dialect.post_status
        if remembered and self.dialect.repeat_status is not None:
            code = self.dialect.repeat_status
        return self._accepted(code, page, effect)

    def not_found(self) -> Answer:
        match self.dialect.not_found:
            case "json":
                return Answer(404, _JSON, _dumped({"error": {"code": "not_found"}}))
            case "html":
                return Answer(404, _HTML, b"<!DOCTYPE html><html><body>Not found</body></html>")
            case "empty":
                return Answer(404)

    def _accepted(self, code: int, page: _Page, effect: Effect) -> Answer:
        headers = {"Location": page.json_url} if code == 303 else {}
        if code == 204 or not self.dialect.post_body:
            return Answer(code, headers)
        told = {"id": f"job_{effect.job}", "status": page.entry.path[0], "poll_url": page.json_url}
        return Answer(code, headers | _JSON, _dumped(_spelled(told, self.dialect)))

    # --- what it knows

    def _page(self, podcast: str, slug: str, origin: str) -> _Page | None:
        publisher = self.podcasts.get(podcast)
        for publication in publisher.publications if publisher else ():
            item = publication.item
            entry = self.entry(item.guid, podcast)
            if self._slug(publication, entry) == slug and self._is_listed(publication, entry):
                return _Page(podcast, slug, item, entry, self._state(entry), origin)
        return None

    def _slug(self, publication: Publication, entry: Entry) -> str:
        """Return the slug by the one rule that explains the one slug ever seen."""
        follows = self.dialect.slug_of == "title"
        title = publication.item.title if follows else publication.first_title
        return entry.slug or re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")

    def _is_listed(self, publication: Publication, entry: Entry) -> bool:
        if entry.listed_after is None or publication.item.audio_url is None:
            return False
        return self.clock() >= publication.appeared_at + entry.listed_after

    def _remembered(self, page: _Page, key: str | None) -> Effect | None:
        known = self._memory.get(self._memory_of(page, key))
        if known is None or self.dialect.memory is None:
            return known
        return known if self.clock() - known.at < self.dialect.memory else None

    def _memory_of(self, page: _Page, key: str | None) -> Hashable:
        """Return what a repetition is known by; None is never remembered."""
        match self.dialect.remembers:
            case "key":  # whatever the episode: two that share a key are one request
                return key
            case "episode":
                return page.podcast, page.item.guid
            case "nothing":
                return None

    def _begin(self, page: _Page, key: str | None) -> Effect:
        job = len(self.effects) + 1
        guid = page.item.guid
        effect = Effect(self.clock(), page.podcast, page.slug, guid, _post_id(page.item), key, job)
        self.effects.append(effect)
        page.entry.job, page.entry.steps = effect, 0
        if (memory := self._memory_of(page, key)) is not None:
            self._memory[memory] = effect
        return effect


def _post_id(item: Item) -> str | None:
    found = re.search(r"/podcast/(\d+)/", item.audio_url or "")
    return found[1] if found else None


# --- how it says it ------------------------------------------------------------------------

_JSON = {"Content-Type": "application/json; charset=utf-8"}
_HTML = {"Content-Type": "text/html; charset=utf-8"}
_ELSEWHERE = "https://stenobird.example"  # an origin that must never be followed

Json = dict[str, Any]


def _dumped(document: Json) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def _document(page: _Page, dialect: Dialect) -> Json:
    episode = _facts(page) | _links(page)
    state: Json = {}
    if dialect.state_as != "missing":
        wrapped = {"value": page.state, "label": (page.state or "none").title()}
        state = {dialect.state_name: wrapped if dialect.state_as == "object" else page.state}
    actions = {"actions": _actions(page, dialect)}
    if dialect.shape == "nested":
        document = {"episode": _facts(page) | state, "links": _links(page)} | actions
        return {"data": document, "meta": {"version": 1}}
    return _spelled(episode | state | actions, dialect)


def _spelled(document: Json, dialect: Dialect) -> Json:
    """Return *document* with its own names, not those in lists, in the dialect's spelling."""
    if dialect.shape != "camel":
        return document
    return {re.sub(r"_(\w)", lambda m: m[1].upper(), k): v for k, v in document.items()}


def _facts(page: _Page) -> Json:
    item = page.item
    facts: Json = {
        "title": item.title,
        "podcast": page.podcast,
        "published_at": item.published_at.isoformat(),
        "episode_url": item.link,
        "audio_url": item.audio_url,
        "duration_seconds": item.duration_s,
    }
    if page.state != SUCCEEDS[-1]:
        return facts
    chapters = [
        {"start_seconds": start, "title": title, "text": text} for start, title, text in _chapters()
    ]
    told = {"summary": _prose("summary", 160), "highlights": _HIGHLIGHTS, "topics": _TOPICS}
    return facts | told | {"chapters": chapters}


def _links(page: _Page) -> Json:
    markdown_url = f"{page.page_url}.md"
    return {"page_url": page.page_url, "markdown_url": markdown_url, "json_url": page.json_url}


def _actions(page: _Page, dialect: Dialect) -> list[Json]:
    read = {"name": "read_markdown", "method": "GET", "href": f"{page.page_url}.md"}
    path = page.json_url.removeprefix(page.origin) + "/transcription-requests"
    origins = {"absolute": page.origin, "rooted": "", "elsewhere": _ELSEWHERE}
    if dialect.action == "absent":
        return [read]
    href = origins[dialect.action] + path
    return [{"name": "request_transcript", "method": "POST", "href": href}, read]


def _prose(seed: str, chars: int) -> str:
    return filler(seed, chars + 7)[3:-4].capitalize()


_HIGHLIGHTS = [f"Main idea: {_prose('first', 60)}", f"Practical takeaway: {_prose('second', 60)}"]
_TOPICS = ["Machine Learning Architecture", "Text-to-Speech", "Open Weights"]


def _chapters() -> list[tuple[int, str, str]]:
    return [(start, _prose(str(start), 20), _prose(str(-start), 80)) for start in (60, 275, 510)]


def _markdown(page: _Page) -> str:
    item = page.item
    lines = [
        f"# {item.title}",
        "",
        f"Page: {page.page_url}",
        f"Text version: {page.page_url}.md",
        f"Podcast: [{page.podcast}]({page.origin}/podcast/{page.podcast})",
        f"Published: {item.published_at.isoformat()}",
        f"Episode link: {item.link}",
        f"Audio file: {item.audio_url}",
        f"Processing state: {page.state or 'none'}",
        f"JSON: {page.json_url}",
        f"Duration seconds: {item.duration_s}",
    ]
    if page.state == SUCCEEDS[-1]:
        lines += ["", "## Resource", "", _prose("summary", 160), "", "## Highlights", ""]
        lines += [f"- {highlight}" for highlight in _HIGHLIGHTS]
        lines += ["", "## Topics", "", ", ".join(_TOPICS), "", "## Chapters", ""]
        lines += [f"- {s // 60}:{s % 60:02} — {name}: {text}" for s, name, text in _chapters()]
    lines += ["", "## Actions", "", f"- request_transcript: `POST {page.json_url}"]
    lines[-1] += (
        "/transcription-requests` — Idempotently request low-priority transcript generation."
    )
    return "\n".join(lines) + "\n"
