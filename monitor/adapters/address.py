"""Which addresses are asked, and which of them share an origin.

Read by httpx, which also sends: two readers of one crafted address could disagree on its host.
"""

import httpx

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_PORT = 65_535


def origin(url: str) -> str:
    """Return scheme, host and port of an address (RFC 6454), to compare and to pace by.

    Raises:
        ValueError: the address is not one of http or https with a host.
    """
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        raise ValueError("not an address") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.host:
        raise ValueError("not an http address")
    port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    if port > MAX_PORT:
        raise ValueError("not a port")
    return f"{parts.scheme}://{parts.host}:{port}"


def is_http(url: str) -> bool:
    """Return whether *url* is an address of http or https with a host."""
    try:
        origin(url)
    except ValueError:
        return False
    return True


def redirect_target(url: str, location: str) -> str | None:
    """Return where a redirect of *url* leads; None where that is nowhere we go."""
    try:
        target = str(httpx.URL(url).join(location))
    except (httpx.InvalidURL, ValueError):
        return None
    return target if location and is_http(target) else None
