"""Which addresses are asked, and which of them share an origin.

Read by httpx, which also sends: two readers of one crafted address could disagree on its host.
"""

from functools import lru_cache

import httpx

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_PORT = 65_535
MAX_LABEL_BYTES = 63  # RFC 1035, section 2.3.4; Python raises where the resolver would say no


REMEMBERED = 1024  # addresses; to read one costs as much as a tenth of a request


@lru_cache(REMEMBERED)
def origin(url: str) -> str:
    """Return scheme, host and port of an address (RFC 6454), to compare and to pace by.

    Raises:
        ValueError: the address is not one of http or https with a host.
    """
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        raise ValueError("not an address") from None
    if parts.scheme not in DEFAULT_PORTS or not _is_host(parts.raw_host):
        raise ValueError("not an http address")
    port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    if port > MAX_PORT:
        raise ValueError("not a port")
    return f"{parts.scheme}://{parts.host}:{port}"


def _is_host(host: bytes) -> bool:
    labels = host.removesuffix(b".").split(b".")
    return all(0 < len(label) <= MAX_LABEL_BYTES for label in labels)


@lru_cache(REMEMBERED)
def addressed(url: str) -> tuple[httpx.URL, httpx.BasicAuth | None]:
    """Return an address without what stands before an @, and that as the header it means.

    httpx and aiohttp would each write it, and aiohttp then refuses.

    Raises:
        ValueError: the address cannot be sent.
    """
    address = httpx.URL(url)
    if not address.userinfo:
        return address, None
    auth = httpx.BasicAuth(address.username, address.password)
    return address.copy_with(userinfo=b""), auth


def is_http(url: str) -> bool:
    """Return whether *url* is an address of http or https with a host."""
    try:
        origin(url)
    except ValueError:
        return False
    return True


def redirect_target(url: str, location: str) -> str | None:
    """Return where a redirect of *url* leads; None where that is nowhere we go.

    Within its origin the user and password in *url* stay, as curl and browsers have it.
    """
    asked = httpx.URL(url)
    try:
        target = asked.join(location)
        at_home = origin(str(target)) == origin(url)
    except (httpx.InvalidURL, ValueError):
        return None
    if at_home and not target.userinfo:
        target = target.copy_with(userinfo=asked.userinfo)
    return str(target) if location else None
