"""httpx on aiohttp's engine, with every habit switched off that decides something for us."""

import ssl
from http.cookiejar import DefaultCookiePolicy

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from monitor.adapters.guard import guarded_socket

MAX_FIELD_BYTES = (
    65_536  # of one header; aiohttp's own 8,190 refuses real Content-Security-Policies
)


def open_client(*, connect_s: float, allow_private: bool, proxy: str) -> httpx.AsyncClient:
    """Return a client for the running event loop.

    *connect_s* bounds all that comes before a request, name and TLS included: past it, certainly
    nothing was sent. An exchange as a whole has no limit here: httpx knows none.
    """
    tls = httpx.create_ssl_context(trust_env=False)
    # With a proxy nothing else is dialled, and its operator may have it on loopback.
    connector = _connector(tls, guarded=not (allow_private or proxy))
    transport = AiohttpTransport(
        verify=tls,
        trust_env=False,
        proxy=httpx.Proxy(proxy) if proxy else None,
        client=_session(connector),
    )
    client = httpx.AsyncClient(
        transport=transport,
        trust_env=False,
        timeout=httpx.Timeout(None, pool=connect_s),  # what the transport calls aiohttp's connect
        event_hooks={"response": [_hide_location]},
    )
    # httpx keeps cookies of its own, whatever the session's jar does: it would only grow.
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return client


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        skip_auto_headers=["Content-Type"],  # of a POST without a body
        max_line_size=MAX_FIELD_BYTES,
        max_field_size=MAX_FIELD_BYTES,
    )
    # Else a GET whose connection is reset is sent again at once: two requests where a poll may
    # make one. There is no public switch; aiohttp's own TestClient sets this one.
    session._retry_connection = False  # noqa: SLF001 - as said
    return session


def _connector(tls: ssl.SSLContext, *, guarded: bool) -> aiohttp.TCPConnector:
    return aiohttp.TCPConnector(
        ssl=tls,
        limit=0,  # Pacing keeps one request an origin, and the jobs are bounded
        resolver=aiohttp.ThreadedResolver(),  # in the loop's own executor
        socket_factory=guarded_socket if guarded else None,
    )


async def send(
    client: httpx.AsyncClient, request: httpx.Request, auth: httpx.Auth | None
) -> httpx.Response:
    """Send *request*; the answer's body is still to be read, and to be closed."""
    response = await client.send(request, stream=True, auth=auth)
    response.headers.update(response.extensions.pop("hidden", {}))
    return response


async def _hide_location(response: httpx.Response) -> None:
    """Keep httpx from reading a Location, followed or not: one it cannot read raises.

    The answer would be lost with it, and a 303 to a POST is an answer. ``send`` puts it back.
    """
    if "location" in response.headers:
        # As bytes: from text, httpx takes ASCII only, and publishers send UTF-8.
        encoding = response.headers.encoding
        location = response.headers.pop("location").encode(encoding)
        response.extensions["hidden"] = {b"location": location}
