"""From a title to Stenobird's addresses, and the proof that an address is the right one.

How Stenobird makes a slug is not known, so a slug is a guess until what is published under it
names the episode's own post id or link. Nothing is requested under an unproved slug.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urljoin, urlsplit

from slugify import slugify

from monitor.core.model import Resource
from monitor.core.substack import post_id_of

Proof = Literal["post_id", "link"]

_DEFAULT_PORTS = {"http": 80, "https": 443}


def candidates(titles: Sequence[str]) -> tuple[str, ...]:
    """Return the slugs that *titles* (newest first) may have been given, the likeliest first.

    Three rules give the one slug that is known; of 92 real titles they disagree on 5.
    """
    rules = (_dashed, _ascii_dashed, slugify)
    slugs = (rule(title) for title in titles for rule in rules)
    return tuple(dict.fromkeys(slug for slug in slugs if slug))


def _dashed(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _ascii_dashed(title: str) -> str:
    return _dashed(unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode())


def proves(
    resource: Resource, *, post_id: str | None = None, link: str | None = None
) -> Proof | None:
    """Return what shows that *resource* is the episode with *post_id* and *link*, else None.

    A different post id is no disproof: a show that moved to another host and back has new ids
    for its old episodes.
    """
    if post_id and post_id_of(resource.audio_url) == post_id:
        return "post_id"
    if link and resource.link:
        place = _place(link)
        if place is not None and place == _place(resource.link):
            return "link"
    return None


def _place(link: str) -> tuple[str, str, str] | None:
    """Return what of a link says where it leads; None for a front page, which is no episode's."""
    try:
        parts = urlsplit(link.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if port not in (None, *_DEFAULT_PORTS.values()):
        host = f"{host}:{port}"
    query = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if not name.lower().startswith("utm_")
    ]
    path = parts.path.rstrip("/")
    if not host or not (path or query):
        return None
    return host.removeprefix("www."), path, urlencode(query)


def resource_url(*, base_url: str, podcast: str, slug: str) -> str:
    """Return the address of the JSON; *podcast* and *slug* are Stenobird's."""
    path = f"/v1/public/podcasts/{quote(podcast, safe='')}/episodes/{quote(slug, safe='')}"
    return base_url.rstrip("/") + path


def markdown_url(*, base_url: str, podcast: str, slug: str) -> str:
    """Return the address of the Markdown page; without its ``.md`` it is the page for people."""
    path = f"/podcast/{quote(podcast, safe='')}/{quote(slug, safe='')}.md"
    return base_url.rstrip("/") + path


def request_url(resource: Resource, *, base_url: str, podcast: str, slug: str) -> str:
    """Return where to POST: where *resource* says, if that is on *base_url*'s origin.

    An address elsewhere is never used: with it an answer could send our POST, and a token, to
    anybody.
    """
    if resource.request_url and is_near(resource.request_url, base_url):
        return urljoin(base_url, resource.request_url)
    return resource_url(base_url=base_url, podcast=podcast, slug=slug) + "/transcription-requests"


def is_near(url: str, base_url: str) -> bool:
    """Return whether *url*, absolute or rooted, has the origin of *base_url* (RFC 6454)."""
    try:
        parts, base = urlsplit(urljoin(base_url, url)), urlsplit(base_url)
        same_port = _port(parts) == _port(base)
    except ValueError:
        return False
    same_host = (parts.scheme, parts.hostname) == (base.scheme, base.hostname)
    return same_host and same_port and "@" not in parts.netloc


def _port(parts: SplitResult) -> int | None:
    return _DEFAULT_PORTS.get(parts.scheme) if parts.port is None else parts.port
