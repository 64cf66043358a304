"""Every mistake in plain words: what pydantic found, and what podcasts must not share."""

import json
from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from monitor.config.addresses import parsed_url
from monitor.config.gathered import Gathered, KeyPath
from monitor.config.settings import keys
from monitor.config.values import kind, shown

_PATHS = [path for path, _ in keys()]
_MISSING = {
    "podcasts": "there is no podcast; add a [[podcasts]] table with name, feed and stenobird",
    "name": 'is missing; give the podcast a permanent name of your own, such as "latent-space"',
    "feed": 'is missing; write the address of its RSS, such as "https://example.com/feed.xml"',
    "stenobird": (
        "is missing and cannot be derived from the title; write the segment that follows"
        ' /podcast/ in Stenobird\'s address of the podcast, such as "latent-space-ai-engineer"'
    ),
}


def _closest(word: str, known: Iterable[str]) -> str:
    """Return the suggestion of the nearest of *known*, or of them all."""
    known = sorted(known)
    near = get_close_matches(word, known, n=1)
    return f'did you mean "{near[0]}"?' if near else f"possible are {', '.join(known)}"


def add_refused(found: Gathered, error: ValidationError) -> None:
    """Add to *found* all that the models refused."""
    for details in error.errors(include_url=False):
        path = tuple(part for part in details["loc"] if part != "[key]")
        in_file = found.origin(path) == str(found.file)
        found.mistake(path, _wording(path, details, as_json=not in_file))


def _wording(path: KeyPath, details: ErrorDetails, *, as_json: bool) -> str:
    """Return what is wrong. Only values of keys that never hold a secret are quoted."""
    value = details["input"]
    match details["type"]:
        case "value_error":
            return str(details["ctx"]["error"])
        case "missing":
            return _MISSING[str(path[-1])]
        case "extra_forbidden":
            return _unknown(path)
        case "literal_error":
            return _not_one_of(value, details["ctx"]["expected"])
        case "bool_type" | "bool_parsing":
            return f"{shown(value)} is neither true nor false; write one of them"
        case _:
            return _of_another_kind(path, details, as_json=as_json)


def _unknown(path: KeyPath) -> str:
    above = tuple(part for part in path[:-1] if isinstance(part, str))
    key = str(path[-1])
    beside = [p[-1] for p in _PATHS if p[:-1] == above]
    elsewhere = [p[:-1] for p in _PATHS if p[-1] == key and p[:-1]]
    if elsewhere and not get_close_matches(key, beside):
        return f"there is no such key here; it belongs in {' or '.join(map(_header, elsewhere))}"
    return f"there is no such key; {_closest(key, beside)}"


def _header(table: KeyPath) -> str:
    name = ".".join(map(str, table))
    return f"[[{name}]]" if table == ("podcasts",) else f"[{name}]"


def _not_one_of(value: object, expected: str) -> str:
    words = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
    near = get_close_matches(value.lower(), words, n=1) if isinstance(value, str) else []
    listed = ", ".join(map(shown, words))
    hint = f"did you mean {shown(near[0])}?" if near else f"write {listed.replace(', ', ' or ')}"
    return f"{shown(value)} is not one of {listed}; {hint}"


def _of_another_kind(path: KeyPath, details: ErrorDetails, *, as_json: bool) -> str:
    """Return the mistake of text where a table should be, and the like; quotes no value."""
    value = details["input"]
    match details["type"]:
        case "string_type":
            return f'is {kind(value)}, not text; write text in double quotes, such as "…"'
        case "tuple_type" if as_json and isinstance(value, str):
            return f'is {_json_fault(value)}; write […], with text in double quotes, such as ["…"]'
        case "tuple_type" if path == ("podcasts",) and not as_json:
            return f"is {kind(value)}; write [[podcasts]], in two brackets, above each podcast"
        case "tuple_type":
            return f'is {kind(value)}, not an array; write […], such as ["…"]'
        case _:
            return f"is {kind(value)}, not a table; write {{…}} with keys and values"


def _json_fault(value: str) -> str:
    """Return why a variable's text is no array."""
    try:
        json.loads(value)
    except json.JSONDecodeError as error:
        return f"not JSON ({error.msg} at line {error.lineno}, column {error.colno})"
    return "not an array"


def add_clashes(found: Gathered) -> None:
    """Add to *found* what two podcasts must not share, whatever else is wrong with them."""
    podcasts = found.data.get("podcasts")
    for key, told in (("name", _told), ("feed", _address), ("stenobird", _told)):
        seen: dict[object, int] = {}
        for index, podcast in enumerate(podcasts if isinstance(podcasts, list) else []):
            value = podcast.get(key) if isinstance(podcast, dict) else None
            same, told_as = told(value) if isinstance(value, str) and value else (None, "")
            if same is None:
                continue
            if (first := seen.setdefault(same, index)) != index:
                what = f"{told_as} is taken by podcasts[{first}]; each podcast needs its own"
                found.mistake(("podcasts", index, key), what)


def _told(value: str) -> tuple[object, str]:
    return value.casefold(), shown(value)


def _address(value: str) -> tuple[object, str]:
    """Return what makes two addresses one, and the part of it that holds no token."""
    url = parsed_url(value)
    if url is None:
        return None, ""
    return (url.host, url.port, url.raw_path), f"the address (at {url.host})"
