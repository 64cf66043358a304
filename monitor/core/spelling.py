"""Where the facts of a published episode stand, and under which names.

No field of Stenobird's JSON has ever been seen, so every name is a guess, and ``SPELLINGS`` is
the one place that guesses. The labels of the Markdown are known; they are spellings among the
others. ``docs/stenobird.md`` tells what is accepted and why.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeGuard

from monitor.core import values
from monitor.core.values import plain

MAX_LAYERS = 32
MAX_UNKNOWN = 50  # fields
MAX_UNKNOWN_LENGTH = 2_000  # characters of one unknown field's JSON

# Our field → its names, the likeliest first, compared as values.plain has them.
SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "state": (
        *("processing_state", "processing_status", "transcription_state", "transcription_status"),
        *("transcript_state", "transcript_status", "state", "status"),
    ),
    "title": ("title", "episode_title", "name"),
    "published_at": (
        *("published_at", "published", "published_date", "publish_date", "date_published"),
        *("publication_date", "pub_date", "released_at", "release_date"),
    ),
    # "url" is here and under page_url: a link that is none proves nothing (core.slug) and
    # does no harm, while one overlooked would leave an episode unproved for ever.
    "link": (
        *("episode_link", "episode_url", "link", "source_url", "original_url", "external_url"),
        *("canonical_url", "url"),
    ),
    "audio_url": (
        *("audio_url", "audio_file", "audio_file_url", "audio_link", "enclosure_url", "media_url"),
        *("audio", "enclosure"),
    ),
    "duration_s": (
        *("duration_seconds", "duration_s", "duration_sec", "duration_secs", "audio_duration_s"),
        *("audio_duration_seconds", "audio_duration", "length_seconds", "duration"),
    ),
    "summary": (
        *("summary", "resource_summary", "episode_summary", "resource", "abstract", "overview"),
        "description",
    ),
    "highlights": ("highlights", "key_points", "key_takeaways", "takeaways"),
    "topics": ("topics", "tags", "keywords", "categories"),
    "chapters": ("chapters", "chapter_markers"),
    "page_url": ("page_url", "page", "html_url", "html", "web_url", "public_url", "url"),
    "markdown_url": ("markdown_url", "markdown", "text_version", "text_version_url", "text_url"),
    "json_url": ("json_url", "json", "api_url", "resource_url", "self"),
    "request_url": (
        *("actions", "available_actions", "request_transcript", "request_transcript_url"),
        *("request_url", "transcription_request_url", "transcription_requests_url"),
    ),
}
_NAMES = {field: tuple(map(plain, names)) for field, names in SPELLINGS.items()}

# Names that mean the episode's own fact only in the episode's own object: an answer's
# {"status": "ok", "data": …} is no processing state.
_OWN = frozenset({"title", "name", "state", "status", "url", "description"})

# Objects whose members count under their own names, and as "<object>_<member>": in
# {"episode": {"link": …}}, "link" and "episode_link".
_ENVELOPES = frozenset(
    {"data", "episode", "item", "result", "response", "payload", "attributes", "resource"}
    | {"content", "links", "urls"}
)
# Objects whose members count only as "<object>_<member>": {"processing": {"duration": 9}} is
# not the episode's duration, {"audio": {"duration": 2928}} is.
_PARTS = frozenset({"processing", "transcription", "transcript", "audio", "enclosure", "media"})

_READERS: Mapping[str, Callable[[object], object | None]] = {
    "state": values.word,
    "title": values.line,
    "published_at": values.instant,
    "link": values.address,
    "audio_url": values.address,
    "duration_s": values.duration,
    "summary": values.text,
    "highlights": values.points,
    "topics": values.topics,
    "chapters": values.chapters,
    "page_url": values.address,
    "markdown_url": values.address,
    "json_url": values.address,
    "request_url": values.request_address,
}


def read(document: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, object]]:
    """Return the facts found in *document* under our names, and what nothing claimed.

    What nothing claimed is that of the episode's own object and below, by path from there,
    verbatim if it is short.
    """
    layers = _layers(document)
    found = {field: hit for field in SPELLINGS if (hit := _find(field, layers)) is not None}
    if "state" not in found and (path := _null_state(layers)):
        found["state"] = ("null", path)
    claimed = {path for _, path in found.values()}
    unknown = dict(islice(_unknown(layers, claimed), MAX_UNKNOWN))
    return {field: value for field, (value, _) in found.items()}, unknown


@dataclass(frozen=True, slots=True)
class _Layer:
    """An object in which facts of the episode may stand."""

    path: str  # from the document, such as "data.episode."; empty for the document
    members: Mapping[str, object]
    names: Mapping[str, str]  # plain name → name as it stands
    is_part: bool = False


def _layer(path: str, via: str, members: Mapping[str, object]) -> _Layer:
    names = {via + plain(name): name for name in members}
    if via not in _PARTS:
        names |= {plain(name): name for name in members}
    return _Layer(path, members, names, via in _PARTS)


def _layers(document: Mapping[str, object]) -> list[_Layer]:
    """Return the objects that may hold facts, the episode's own first, then the innermost."""
    layers = [_layer("", "", document)]
    for layer in layers:  # grows while it is read
        for name, value in layer.members.items():
            if _nests(value, name) and len(layers) < MAX_LAYERS:
                layers.append(_layer(f"{layer.path}{name}.", plain(name), value))
    layers.reverse()
    episode = max((layer for layer in layers if not layer.is_part), key=_likeness)
    return [episode, *(layer for layer in layers if layer is not episode)]


def _nests(value: object, name: str) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict) and plain(name) in _ENVELOPES | _PARTS


def _likeness(layer: _Layer) -> tuple[bool, int]:
    """Rank an object by how much it looks like an episode."""
    facts = ("title", "published_at", "link", "audio_url", "duration_s")
    found = [_find(field, [layer]) is not None for field in facts]
    return found[0], sum(found)


def _find(field: str, layers: Sequence[_Layer]) -> tuple[object, str] | None:
    """Return a field's value and the path of the member that gave it."""
    for name in _NAMES[field]:
        for layer in layers[:1] if name in _OWN else layers:
            member = layer.names.get(name)
            if member is None:
                continue
            value = _READERS[field](layer.members[member])
            if value is not None:
                return value, layer.path + member
    return None


def _null_state(layers: Sequence[_Layer]) -> str | None:
    """Return the path of a state that is there and null: an answer, and not a missing field.

    It may be how Stenobird says that nobody asked yet, and then it is ours to ask.
    """
    for name in _NAMES["state"]:
        for layer in () if name in _OWN else layers:
            member = layer.names.get(name)
            if member is not None and values.is_null(layer.members[member]):
                return layer.path + member
    return None


def _unknown(layers: Sequence[_Layer], claimed: set[str]) -> Iterator[tuple[str, object]]:
    start = layers[0].path
    for layer in layers:
        if not layer.path.startswith(start):
            continue
        for name, value in layer.members.items():
            path = layer.path + name
            if path not in claimed and not _nests(value, name):
                yield path.removeprefix(start)[: values.MAX_WORD], _kept(value)


def _kept(value: object) -> object:
    length = len(json.dumps(value))
    return value if length <= MAX_UNKNOWN_LENGTH else f"({length} characters left out)"
