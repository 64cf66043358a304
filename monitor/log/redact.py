"""Keeping secrets out of text that others wrote: library messages, exceptions, tracebacks."""

import re
from typing import Final

HIDDEN: Final = "…"

# Whatever looks like a URL, up to white space or a quote: httpx and SQLAlchemy quote theirs.
_URL: Final = re.compile(r"\b([a-zA-Z][a-zA-Z0-9+.-]*://)([^\s\"'<>]*)")
_HOST: Final = re.compile(r"(?:[^/?#]*@)?([A-Za-z0-9._-]+(?::\d+)?|\[[0-9A-Fa-f:.]+\](?::\d+)?)")
# A parameter of a query that lost its URL: «GET /feed?token=…».
_PARAMETER: Final = re.compile(r"([?&][\w.~-]+=)[^\s&\"'<>]+")
# A header, however it was printed: «Authorization: Basic …», «('Cookie', 'a=b')».
_HEADER: Final = re.compile(
    r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key)"
    r"(b?[\"']?\s*[:=,]\s*(?:b?[\"'])?)(?:(?:basic|bearer|digest|token)\s+)?[^\s\"',;)\]}]+"
)
_BEARER: Final = re.compile(r"(?i)\b(bearer)\s+[^\s\"',;)\]}]+")


def redact(text: str) -> str:
    """Return *text* without credentials; of a URL only scheme, host and port stay.

    Private feeds carry their token in the path as often as in the query, so the path goes
    too. A URL without a host (``sqlite:///file``) keeps its path: the operator needs it.
    """
    text = _HEADER.sub(rf"\1\2{HIDDEN}", text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    text = _URL.sub(_origin, text)
    return _PARAMETER.sub(rf"\1{HIDDEN}", text)


def _origin(url: re.Match[str]) -> str:
    scheme, rest = url.groups()
    if rest.startswith("/"):
        return scheme + re.split(r"[?#]", rest, maxsplit=1)[0]
    host = _HOST.match(rest)
    after = rest[host.end() :] if host else rest
    if host and not after.strip("/.,:;)]"):  # the end of a sentence, or of a bracket
        return scheme + host[1] + after
    if host and after[0] in "/?#":
        return f"{scheme}{host[1]}/{HIDDEN}"
    return scheme + HIDDEN  # no host we can read: it may be a password with a slash in it
