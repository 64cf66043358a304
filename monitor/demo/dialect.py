"""How a Stenobird may spell an episode: every JSON and Markdown that it may turn out to speak.

What is known of the real one is in ``docs/stenobird.md``; all that is not is a field of
``Dialect``.
"""

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from monitor.demo.publisher import Item, filler

SUCCEEDS = ("queued", "transcribing", "processed")
FAILS = ("queued", "transcribing", "failed")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How this Stenobird speaks, and what it remembers. The defaults are the likeliest."""

    # JSON and Markdown
    shape: Literal["flat", "nested", "camel", "page"] = "flat"  # page: no JSON at its address
    # object: {"value": …}; part: {"processing": {"state": …}}; missing: only Markdown has it
    state_as: Literal["text", "object", "part", "missing"] = "text"
    state_name: str = "processing_state"
    idle_state: str | None = None  # before any request
    names: Literal["both", "link", "audio", "neither"] = "both"  # what could prove an episode
    dated: bool = True
    action: Literal["absolute", "rooted", "elsewhere", "absent"] = "absolute"
    elsewhere: str = "https://stenobird.example"  # an origin that must never be followed
    markdown: Literal["lines", "one_line", "absent"] = "lines"
    not_found: Literal["json", "html", "empty"] = "json"
    lists_episodes: bool = False  # whether there is a list of a podcast's episodes
    padding_bytes: int = 0  # of a JSON field that says nothing
    # Answers to a POST
    post_status: int = 202
    repeat_status: int | None = None  # where nothing new was begun; None: as the first time
    post_body: bool = True
    replays_500: bool = False  # the first key was answered 500, and so is whenever it comes again
    # What makes a second POST have no effect: its key, its episode, or nothing at all
    remembers: Literal["key", "episode", "nothing"] = "key"
    memory: timedelta | None = None  # how long; None: for ever
    slug_of: Literal["first_title", "title"] = "first_title"


@dataclass(frozen=True, slots=True)
class Page:
    """One listed episode, as it is to be shown now."""

    podcast: str
    slug: str
    item: Item
    state: str | None
    origin: str

    @property
    def json_url(self) -> str:
        return f"{self.origin}/v1/public/podcasts/{self.podcast}/episodes/{self.slug}"

    @property
    def page_url(self) -> str:
        return f"{self.origin}/podcast/{self.podcast}/{self.slug}"


Json = dict[str, Any]


def document(page: Page, dialect: Dialect) -> Json:
    """Return the episode as JSON has it."""
    facts = _facts(page, dialect) | _padding(dialect)
    state, actions = _state(page, dialect), {"actions": _actions(page, dialect)}
    if dialect.shape == "nested":
        nested = {"episode": facts | state, "links": _links(page)} | actions
        return {"data": nested, "meta": {"version": 1}}
    return spelled(facts | _links(page) | state | actions, dialect)


def spelled(document: Json, dialect: Dialect) -> Json:
    """Return *document* with its own names, not those in lists, in the dialect's spelling."""
    if dialect.shape != "camel":
        return document
    return {re.sub(r"_(\w)", lambda m: m[1].upper(), k): v for k, v in document.items()}


def dumped(document: Json) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def _state(page: Page, dialect: Dialect) -> Json:
    match dialect.state_as:
        case "text":
            return {dialect.state_name: page.state}
        case "object":
            told = {"value": page.state, "label": (page.state or "none").title()}
            return {dialect.state_name: told}
        case "part":
            return {"processing": {"state": page.state}}
        case "missing":
            return {}


def _facts(page: Page, dialect: Dialect) -> Json:
    item = page.item
    facts: Json = {
        "title": item.title,
        "podcast": page.podcast,
        "published_at": item.published_at.isoformat() if dialect.dated else None,
        "episode_url": item.link if dialect.names in {"both", "link"} else None,
        "audio_url": item.audio_url if dialect.names in {"both", "audio"} else None,
        "duration_seconds": item.duration_s,
    }
    facts = {name: value for name, value in facts.items() if value is not None}
    if page.state != SUCCEEDS[-1]:
        return facts
    chapters = [
        {"start_seconds": start, "title": title, "text": text} for start, title, text in _chapters()
    ]
    told = {"summary": _prose("summary", 160), "highlights": _HIGHLIGHTS, "topics": _TOPICS}
    return facts | told | {"chapters": chapters}


def _padding(dialect: Dialect) -> Json:
    return {"padding": "x" * dialect.padding_bytes} if dialect.padding_bytes else {}


def _links(page: Page) -> Json:
    markdown_url = f"{page.page_url}.md"
    return {"page_url": page.page_url, "markdown_url": markdown_url, "json_url": page.json_url}


def _actions(page: Page, dialect: Dialect) -> list[Json]:
    read = {"name": "read_markdown", "method": "GET", "href": f"{page.page_url}.md"}
    path = page.json_url.removeprefix(page.origin) + "/transcription-requests"
    origins = {"absolute": page.origin, "rooted": "", "elsewhere": dialect.elsewhere}
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


def markdown(page: Page, dialect: Dialect) -> str:
    """Return the episode as the page whose labels are known."""
    lines = [f"# {page.item.title}", "", *_labels(page, dialect)]
    if page.state == SUCCEEDS[-1]:
        lines += ["", "## Resource", "", _prose("summary", 160), "", "## Highlights", ""]
        lines += [f"- {highlight}" for highlight in _HIGHLIGHTS]
        lines += ["", "## Topics", "", ", ".join(_TOPICS), "", "## Chapters", ""]
        lines += [f"- {s // 60}:{s % 60:02} — {name}: {text}" for s, name, text in _chapters()]
    lines += ["", "## Actions", "", f"- request_transcript: `POST {page.json_url}"]
    lines[-1] += (
        "/transcription-requests` — Idempotently request low-priority transcript generation."
    )
    text = "\n".join(lines) + "\n"
    return " ".join(text.split()) if dialect.markdown == "one_line" else text


def _labels(page: Page, dialect: Dialect) -> list[str]:
    item = page.item
    told = {
        "Page": page.page_url,
        "Text version": f"{page.page_url}.md",
        "Podcast": f"[{page.podcast}]({page.origin}/podcast/{page.podcast})",
        "Published": item.published_at.isoformat() if dialect.dated else None,
        "Episode link": item.link if dialect.names in {"both", "link"} else None,
        "Audio file": item.audio_url if dialect.names in {"both", "audio"} else None,
        "Processing state": page.state or "none",
        "JSON": page.json_url,
        "Duration seconds": item.duration_s,
    }
    return [f"{label}: {value}" for label, value in told.items() if value is not None]
