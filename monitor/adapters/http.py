"""The one connection layer: bounded, paced, guarded, without cookies, redirects re-checked.

httpx on aiohttp's engine. Nothing raises but cancellation and the caller's own receiver: what goes
wrong is a ``Failed`` with a stable reason, and never names an address, which may carry a token.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from http.cookiejar import DefaultCookiePolicy
from types import MappingProxyType, TracebackType
from typing import Self

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from monitor.adapters.body import Body
from monitor.adapters.failure import TROUBLE, Failed, UnsendableError, failure
from monitor.adapters.guard import guarded_socket
from monitor.adapters.pacing import Pacing

MAX_HOPS = 5
MAX_FIELD_BYTES = 65_536  # of one header; aiohttp's own 8,190 refuses real Content-Security-Policies
KEPT_BYTES = 65_536  # of a body that only explains its status
KEPT_S = 5.0  # to wait for that body: the status is the answer
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PERMANENT = frozenset({301, 308})
DEFAULT_PORTS = {"http": 80, "https": 443}
NO_HEADERS: Mapping[str, str] = MappingProxyType({})

Receive = Callable[[bytes], bool]  # takes a piece of a 200's body; False: enough


@dataclass(frozen=True, slots=True)
class Answer:
    http: int
    headers: Mapping[str, str]  # names in any case
    body: bytes = b""  # of a 200 without a receiver; of any other answer, as far as it came
    wire_bytes: int = 0  # of a 200 to a GET, like what follows
    body_bytes: int = 0  # after decompression
    complete: bool = True  # False: the receiver had enough
    moved_to: str | None = None  # where a chain of 301 and 308 only led


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What one GET, with all its hops, may take."""

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
        tls = httpx.create_ssl_context(trust_env=False)
        # With a proxy nothing else is dialled, and whoever configured it may have it on loopback.
        unguarded = self._allow_private or self._proxy
        connector = aiohttp.TCPConnector(
            ssl=tls,
            limit=0,  # Pacing keeps one request an origin, and the jobs are bounded
            resolver=aiohttp.ThreadedResolver(),
            socket_factory=None if unguarded else guarded_socket,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            max_line_size=MAX_FIELD_BYTES,
            max_field_size=MAX_FIELD_BYTES,
        )
        proxy = httpx.Proxy(self._proxy) if self._proxy else None
        transport = AiohttpTransport(verify=tls, trust_env=False, client=session, proxy=proxy)
        # "pool" is what the transport makes of aiohttp's limit for all that comes before a
        # request, name and TLS included: past it, certainly nothing was sent. httpx has no
        # deadline for the whole of an exchange; ours is asyncio's.
        timeout = httpx.Timeout(None, pool=self._deadline_s / 2)
        self._client = httpx.AsyncClient(transport=transport, trust_env=False, timeout=timeout)
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
        secret_headers: Mapping[str, str] = NO_HEADERS,
        max_body_bytes: int,
        receive: Receive | None = None,
        own_origin_only: bool = False,
    ) -> Answer | Failed:
        """GET *url*, following redirects; a 200's body goes to *receive*, else it is returned.

        *secret_headers* are dropped with the first hop to another origin, for good. With
        *own_origin_only* such a hop is refused. What *receive* raises is passed on.
        """
        if not is_http(url):
            return Failed("bad_url", sent=False)
        try:
            async with asyncio.timeout(None) as limit:
                bounds = _Bounds(limit, max_body_bytes, receive)
                return await self._follow(
                    url, headers, secret_headers, bounds, own_origin_only=own_origin_only
                )
        except TROUBLE as error:
            return failure(error)

    async def post(self, url: str, *, headers: Mapping[str, str]) -> Answer | Failed:
        """POST an empty body to *url*; a redirect is an answer like any other."""
        if not is_http(url):
            return Failed("bad_url", sent=False)
        try:
            async with asyncio.timeout(None) as limit:
                return await self._exchange("POST", url, headers, _Bounds(limit, 0, None))
        except TROUBLE as error:
            return failure(error)

    async def _follow(
        self,
        url: str,
        headers: Mapping[str, str],
        secret_headers: Mapping[str, str],
        bounds: _Bounds,
        *,
        own_origin_only: bool,
    ) -> Answer | Failed:
        seen, permanent = {url}, True
        for _ in range(MAX_HOPS + 1):
            answer = await self._exchange("GET", url, {**headers, **secret_headers}, bounds)
            if answer.http not in REDIRECTS:
                return replace(answer, moved_to=url if permanent and len(seen) > 1 else None)
            target = _target(url, answer.headers.get("location", ""))
            if target is None:
                return Failed("bad_redirect")
            if target in seen:  # without cookies the same request gets the same answer
                break
            if origin(target) != origin(url):
                if own_origin_only:
                    return Failed("redirected_away")
                secret_headers = NO_HEADERS
            permanent = permanent and answer.http in PERMANENT
            url = target
            seen.add(url)
        return Failed("redirect_loop")

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], bounds: _Bounds
    ) -> Answer:
        """Do one exchange in its origin's turn; the deadline runs from the first turn on."""
        async with self._pacing.turn(origin(url)):
            if bounds.limit.when() is None:
                bounds.limit.reschedule(asyncio.get_running_loop().time() + self._deadline_s)
            response = await self._send(method, url, headers)
            try:
                if response.status_code == 200 and method == "GET":
                    return await _received(response, bounds)
                return Answer(response.status_code, response.headers, await _kept(response))
            finally:
                await response.aclose()

    async def _send(self, method: str, url: str, headers: Mapping[str, str]) -> httpx.Response:
        """Send a request: no cookies, no referrer, gzip and nothing else."""
        said = httpx.Headers({"Accept": "*/*"})
        said.update(headers)
        said.update({"User-Agent": self._user_agent, "Accept-Encoding": "gzip"})
        try:
            request = httpx.Request(method, url, headers=said)
            return await self._client.send(request, stream=True)
        except ValueError as error:
            raise UnsendableError from error


def is_http(url: str) -> bool:
    """Return whether *url* is an address of http or https with a host."""
    try:
        origin(url)
    except ValueError:
        return False
    return True


def origin(url: str) -> str:
    """Return scheme, host and port of an address (RFC 6454), to compare and to pace by.

    Read by httpx, which also sends: two readers of one crafted address could disagree on its host.

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
    return f"{parts.scheme}://{parts.host}:{port}"


def _target(url: str, location: str) -> str | None:
    """Return where a redirect leads; None where that is nowhere we go."""
    try:
        target = str(httpx.URL(url).join(location))
    except (httpx.InvalidURL, ValueError):
        return None
    return target if location and is_http(target) else None


async def _received(response: httpx.Response, bounds: _Bounds) -> Answer:
    """Read a body within its bounds: into the receiver, or whole into the answer."""
    kept = bytearray()

    def keep(piece: bytes) -> bool:
        kept.extend(piece)
        return True

    body = Body(response.headers.get("content-encoding", ""), max_bytes=bounds.max_body_bytes)
    complete = await _read(response, body, bounds.receive or keep)
    return Answer(
        200, response.headers, bytes(kept), body.wire_bytes, body.body_bytes, complete=complete
    )


async def _kept(response: httpx.Response) -> bytes:
    """Return the start of a body that explains a status.

    The status has been heard and stands, whatever becomes of the body: a 202 to a POST must not
    turn into a lost answer, nor a 503 lose its Retry-After, because of an unreadable page.
    """
    kept = bytearray()

    def keep(piece: bytes) -> bool:
        kept.extend(piece)
        return len(kept) < KEPT_BYTES

    encoding = response.headers.get("content-encoding", "")
    with suppress(*TROUBLE):
        async with asyncio.timeout(KEPT_S):
            await _read(response, Body(encoding, max_bytes=2 * KEPT_BYTES), keep)
    return bytes(kept[:KEPT_BYTES])


async def _read(response: httpx.Response, body: Body, take: Receive) -> bool:
    """Give a body's pieces to *take*; return whether it wanted them all."""
    async for chunk in response.aiter_raw():
        for piece in body.feed(chunk):
            if not take(piece):
                return False
    body.finish()
    return True
