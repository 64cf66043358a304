"""The one connection layer: bounded, paced, guarded, without cookies, redirects re-checked.

httpx on aiohttp's engine. Nothing raises but cancellation: what goes wrong is a ``Failed`` with a
stable reason, and never names an address, which may carry a token.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from monitor.adapters.body import Body, BodyError
from monitor.adapters.guard import PrivateAddressError, guarded_socket
from monitor.adapters.pacing import Pacing

MAX_HOPS = 5
KEPT_BYTES = 65_536  # of the body of an answer that is no 200
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PERMANENT = frozenset({301, 308})
DEFAULT_PORTS = {"http": 80, "https": 443}

Receive = Callable[[bytes], bool]  # takes a piece of a 200's body; False: enough


@dataclass(frozen=True, slots=True)
class Answer:
    http: int
    headers: Mapping[str, str]  # names in any case
    url: str  # that gave it, after redirects
    body: bytes = b""  # of what was not received elsewhere
    wire_bytes: int = 0
    body_bytes: int = 0
    complete: bool = True  # False: the receiver had enough
    moved_to: str | None = None  # where a chain of 301 and 308 only led


@dataclass(frozen=True, slots=True)
class Failed:
    """No usable answer. *sent* is False only if certainly no byte of the request left."""

    reason: str
    sent: bool = True


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What one exchange, with all its hops, may take."""

    limit: asyncio.Timeout
    max_body_bytes: int
    receive: Receive | None


class Http:
    """The client that everything shares; an async context manager."""

    def __init__(
        self,
        *,
        user_agent: str,
        deadline: timedelta,
        per_host_interval: timedelta,
        allow_private: bool,
        proxy: str = "",
    ) -> None:
        self._user_agent = user_agent
        self._deadline_s = deadline.total_seconds()
        self._allow_private = allow_private
        self._proxy = proxy
        self._pacing = Pacing(per_host_interval.total_seconds())
        self._client: httpx.AsyncClient

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            ssl=httpx.create_ssl_context(trust_env=False),
            limit=0,  # Pacing keeps one request an origin, and the jobs are bounded
            socket_factory=None if self._allow_private else guarded_socket,
        )
        session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )
        transport = AiohttpTransport(
            client=session, proxy=httpx.Proxy(self._proxy) if self._proxy else None
        )
        # httpx has no deadline for the whole of an exchange; ours is asyncio's.
        self._client = httpx.AsyncClient(transport=transport, trust_env=False, timeout=None)  # noqa: S113
        # httpx keeps cookies of its own, whatever the session's jar does.
        self._client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        max_body_bytes: int,
        receive: Receive | None = None,
        own_origin_only: bool = False,
    ) -> Answer | Failed:
        """GET *url*, following redirects; a 200's body goes to *receive*, else it is returned.

        *headers* are the caller's and may hold secrets: they are dropped with the first hop to
        another origin. With *own_origin_only* such a hop is refused.
        """
        try:
            async with asyncio.timeout(None) as limit:
                bounds = _Bounds(limit, max_body_bytes, receive)
                return await self._follow(url, headers, bounds, own_origin_only=own_origin_only)
        except TROUBLE as error:
            return failure(error)

    async def post(
        self, url: str, *, headers: Mapping[str, str], max_body_bytes: int
    ) -> Answer | Failed:
        """POST an empty body to *url*; a redirect is an answer like any other."""
        try:
            async with asyncio.timeout(None) as limit:
                bounds = _Bounds(limit, max_body_bytes, None)
                return await self._exchange("POST", url, headers, bounds)
        except TROUBLE as error:
            return failure(error)

    async def _follow(
        self, url: str, headers: Mapping[str, str], bounds: _Bounds, *, own_origin_only: bool
    ) -> Answer | Failed:
        moved_to, permanent = None, True
        for _ in range(MAX_HOPS + 1):
            answer = await self._exchange("GET", url, headers, bounds)
            if answer.http not in REDIRECTS:
                return replace(answer, moved_to=moved_to)
            target = _target(url, answer.headers.get("location"))
            if target is None:
                return Failed("bad_redirect")
            if origin(target) != origin(url):
                if own_origin_only:
                    return Failed("redirected_away")
                headers = {}
            permanent = permanent and answer.http in PERMANENT
            url, moved_to = target, target if permanent else None
        return Failed("redirect_loop")

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], bounds: _Bounds
    ) -> Answer:
        """Do one exchange in its origin's turn; the deadline runs from the first turn on."""
        async with self._pacing.turn(origin(url)):
            if bounds.limit.when() is None:
                bounds.limit.reschedule(asyncio.get_running_loop().time() + self._deadline_s)
            request = httpx.Request(method, url, headers=self._headers(headers))
            response = await self._client.send(request, stream=True)
            try:
                return await _received(response, url, bounds)
            finally:
                await response.aclose()

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return what every request says: no cookies, no referrer, gzip and nothing else."""
        ours = {"User-Agent": self._user_agent, "Accept-Encoding": "gzip"}
        return {"Accept": "*/*", **headers, **ours}


def origin(url: str) -> str:
    """Return scheme, host and port of an address (RFC 6454), to compare and to pace by.

    Raises:
        ValueError: the address is not one of http or https with a host.
    """
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError("not an http address")
    return f"{parts.scheme}://{parts.hostname}:{parts.port or DEFAULT_PORTS[parts.scheme]}"


def _target(url: str, location: str | None) -> str | None:
    """Return where a redirect leads; None where that is nowhere we go."""
    if not location:
        return None
    try:
        target = urljoin(url, location)
        origin(target)
    except ValueError:
        return None
    return target


async def _received(response: httpx.Response, url: str, bounds: _Bounds) -> Answer:
    """Read a body within its bounds: a 200's into the receiver, any other's start into the answer."""
    kept = bytearray()
    whole = response.status_code == 200

    def keep(piece: bytes) -> bool:
        kept.extend(piece)
        return whole or len(kept) < KEPT_BYTES

    take = bounds.receive if whole and bounds.receive else keep
    encoding = response.headers.get("content-encoding", "")
    body = Body(encoding, max_bytes=bounds.max_body_bytes)
    complete = True
    async for chunk in response.aiter_raw():
        complete = all(take(piece) for piece in body.feed(chunk))
        if not complete:
            break
    else:
        body.finish()
    return Answer(
        response.status_code,
        response.headers,
        url,
        bytes(kept),
        body.wire_bytes,
        body.body_bytes,
        complete,
    )


# --- what went wrong ----------------------------------------------------------------------

TROUBLE = (BodyError, TimeoutError, httpx.HTTPError, aiohttp.ClientError, OSError, ValueError)

# In this order: the first that fits an exception, or what caused it, names the reason.
REASONS: tuple[tuple[type[BaseException], str, bool], ...] = (
    (PrivateAddressError, "private_address", False),
    (aiohttp.ClientConnectorDNSError, "dns", False),
    (aiohttp.ClientConnectorCertificateError, "tls", False),
    (aiohttp.ClientSSLError, "tls", False),
    (aiohttp.ClientProxyConnectionError, "proxy", False),
    (aiohttp.ClientHttpProxyError, "proxy", False),
    (ConnectionRefusedError, "refused", False),
    (aiohttp.ClientConnectorError, "unreachable", False),
    (aiohttp.ConnectionTimeoutError, "connect_timeout", False),
    (aiohttp.InvalidURL, "bad_url", False),
    (TimeoutError, "timeout", True),
    (aiohttp.ClientPayloadError, "truncated", True),
    (aiohttp.ClientResponseError, "protocol", True),
    (aiohttp.ClientConnectionError, "connection_lost", True),
    (OSError, "connection_lost", True),
    (ValueError, "bad_url", False),
)


def failure(error: BaseException) -> Failed:
    """Return what an exception of the libraries means. Never their text: it may name an address."""
    if isinstance(error, BodyError):
        return Failed(error.reason)
    chain = tuple(_chain(error))
    for kind, reason, sent in REASONS:
        if any(isinstance(link, kind) for link in chain):
            return Failed(reason, sent)
    return Failed("protocol")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = getattr(error, "os_error", None) or error.__cause__
