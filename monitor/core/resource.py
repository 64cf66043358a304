"""What Stenobird publishes of an episode: its JSON or Markdown → Resource, and back to JSON.

Names are the business of ``spelling``, single values that of ``values``.
"""

import codecs
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

from monitor.core import markdown, spelling, values
from monitor.core.model import Chapter, ParseError, Resource

MAX_DEPTH = 64  # of nesting; anything below is somebody's attack or somebody's mistake


def read_json(body: bytes) -> Resource:
    """Return the episode that *body* tells of; its ``state`` is None where none was found.

    Raises:
        ParseError: empty_body, html_page, not_json, not_an_object, too_deep, not_an_episode.
    """
    _refuse_page(body)
    try:
        document = json.loads(body, parse_int=_integer, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise ParseError("too_deep") from None
    except ValueError as error:  # UnicodeDecodeError is one too
        raise ParseError("not_json", str(error)[:100]) from None
    if not isinstance(document, dict):
        raise ParseError("not_an_object", type(document).__name__)
    if _is_deep(document):
        raise ParseError("too_deep")
    return _resource(values.storable(document), "json")


def read_markdown(body: bytes) -> Resource:
    """Return the episode that a Markdown page tells of, with its line breaks or without.

    Raises:
        ParseError: empty_body, html_page, not_an_episode.
    """
    _refuse_page(body)
    page = values.storable(body.decode("utf-8-sig", "replace"))
    return _resource(markdown.facts(page), "markdown")


def _refuse_page(body: bytes) -> None:
    start = body.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if not start:
        raise ParseError("empty_body")
    if start == b"<":
        raise ParseError("html_page")


def _integer(digits: str) -> int | str:
    """Return a number, or its digits where no database has a place for it.

    Python refuses more than 4,300 digits, and that would cost the whole answer.
    """
    return int(digits) if len(digits) <= 19 else digits


def _finite(number: str) -> float | None:
    """Return None for NaN and Infinity, which Python's servers write and no database takes."""
    value = float(number)
    return value if math.isfinite(value) else None


def _is_deep(document: object) -> bool:
    level: list[object] = [document]
    for _ in range(MAX_DEPTH):
        level = [member for value in level for member in _members(value)]
        if not level:
            return False
    return True


def _members(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _resource(document: Mapping[str, object], form: Literal["json", "markdown"]) -> Resource:
    facts, unknown = spelling.read(document)
    # With neither state nor address there is nothing to track and nothing to prove.
    if "state" not in facts and not ("title" in facts and {"audio_url", "link"} & facts.keys()):
        raise ParseError("not_an_episode", ", ".join(facts) or "no field of a known name")
    return Resource(facts.pop("state", None), **facts, unknown=unknown, form=form)


def published(resource: Resource) -> dict[str, Any]:
    """Return everything but the processing state as JSON, to be kept in the database."""
    facts = asdict(resource)
    del facts["state"]
    at = resource.published_at
    return facts | {"published_at": at.isoformat() if at else None}


def from_published(facts: Mapping[str, Any], *, state: str | None) -> Resource:
    """Return the resource of which ``published`` made *facts*; fields it lacks keep defaults."""
    names = {field.name for field in fields(Resource)} - {"state"}
    known = {name: value for name, value in facts.items() if name in names and value is not None}
    lists = {name: tuple(known.get(name, ())) for name in ("highlights", "topics")}
    chapters = tuple(Chapter(**chapter) for chapter in known.get("chapters", ()))
    at = known.get("published_at")
    known |= {"published_at": datetime.fromisoformat(at) if at else None}
    return Resource(state, **(known | lists | {"chapters": chapters}))


def digest(resource: Resource) -> str:
    """Return a hash of the published facts, to see that they changed.

    Of fields of no known name only the names count: a value such as a count of views would
    change it at every look.
    """
    facts = published(resource)
    del facts["form"]
    facts["unknown"] = sorted(resource.unknown)
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
