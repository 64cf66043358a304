"""The one connection layer: bounded, paced, guarded, without cookies, redirects re-checked.

Nothing raises but cancellation and the caller's own receiver: what goes wrong is a ``Failed`` with
a stable reason, and never names an address, which may carry a token.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType, TracebackType
from typing import Protocol, Self

import httpx

from monitor.adapters.address import addressed, is_http, origin, redirect_target
from monitor.adapters.body import Body
from monitor.adapters.engine import open_client, send
from monitor.adapters.failure import TROUBLE, Failed, UnsendableError, failure
from monitor.adapters.pacing import Pacing

MAX_HOPS = 5
MAX_FIELD_BYTES = (
    65_536  # of one header; aiohttp's own 8,190 refuses real Content-Security-Policies
)
KEPT_BYTES = 65_536  # of a body that only explains its status
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PERMANENT = frozenset({301, 308})
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Receiver(Protocol):
    """What is done with a 200's body as it comes."""

    def begin(self, coding: str) -> bytes | None:
        """Get ready for a body in a content coding, ``gzip`` or none.

        Returns the digest of the last body, if the same one is not wanted again.
        """

    def keep(self, chunk: bytes) -> None:
        """Take a chunk as it came on the wire."""

    def take(self, piece: bytes) -> bool:
        """Take a piece of the body itself; return False when it is enough."""

    def end(self) -> None:
        """Take note that the body is whole. Not called for the last body again."""


@dataclass(frozen=True, slots=True)
class Answer:
    http: int
    headers: Mapping[str, str]  # names in any case
    body: bytes = b""  # of a 200 without a receiver; of any other answer, as far as it came
    wire_bytes: int = 0  # of a 200 to a GET, like what follows
    body_bytes: int = 0  # after decompression
    complete: bool = True  # False: the receiver had enough
    moved_to: str | None = None  # where a chain of 301 and 308 only led
    wire_digest: bytes | None = None  # of a complete body, unless it is a long one
    repeated: bool = False  # it is the last body again, and the receiver took nothing


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What one GET, with all its hops, may take."""

    limit: asyncio.Timeout
    max_body_bytes: int
    receiver: Receiver | None


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
        patience: timedelta | None = None,
    ) -> None:
        """*patience* is how long a request waits for its origin's turn; None: for ever."""
        self._user_agent = user_agent
        self._deadline_s = deadline.total_seconds()
        self._allow_private = allow_private
        self._proxy = proxy
        patience_s = patience.total_seconds() if patience else None
        self._pacing = Pacing(per_host_interval.total_seconds(), patience_s)
        self._client: httpx.AsyncClient

    async def __aenter__(self) -> Self:
        self._client = open_client(
            connect_s=self._deadline_s / 2, allow_private=self._allow_private, proxy=self._proxy
        )
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
        receiver: Receiver | None = None,
        own_origin_only: bool = False,
    ) -> Answer | Failed:
        """GET *url*, following redirects; a 200's body goes to *receiver*, else it is returned.

        *secret_headers* are dropped with the first hop to another origin, for good. With
        *own_origin_only* such a hop is refused. What *receiver* raises is passed on.
        """
        if not is_http(url):
            return Failed("bad_url", sent=False)
        try:
            async with asyncio.timeout(None) as limit:
                bounds = _Bounds(limit, max_body_bytes, receiver)
                return await self._follow(
                    url, headers, secret_headers, bounds, own_origin_only=own_origin_only
                )
        except TROUBLE as error:
            return failure(error)

    @asynccontextmanager
    async def turn(self, url: str) -> AsyncIterator[None]:
        """Wait for the turn of *url*'s origin, and keep it until the end of the block.

        Raises:
            NoTurnError: it did not come within the client's patience.
        """
        async with self._pacing.turn(origin(url)):
            yield

    async def post(self, url: str, *, headers: Mapping[str, str]) -> Answer | Failed:
        """POST an empty body to *url*, in a ``turn``; a redirect is an answer like any other."""
        if not is_http(url):
            return Failed("bad_url", sent=False)
        try:
            async with asyncio.timeout(None) as limit:
                return await self._in_turn("POST", url, (headers,), _Bounds(limit, 0, None))
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
            async with self.turn(url):
                answer = await self._in_turn("GET", url, (headers, secret_headers), bounds)
            if answer.http not in REDIRECTS:
                return replace(answer, moved_to=url if permanent and len(seen) > 1 else None)
            target = redirect_target(url, answer.headers.get("location", ""))
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

    async def _in_turn(
        self, method: str, url: str, headers: tuple[Mapping[str, str], ...], bounds: _Bounds
    ) -> Answer:
        """Do one exchange; the deadline runs from the first turn on."""
        clock = asyncio.get_running_loop().time
        ends_at = bounds.limit.when()
        if ends_at is None:
            ends_at = clock() + self._deadline_s
            bounds.limit.reschedule(ends_at)
        response = await self._send(method, url, headers)
        try:
            if response.status_code == 200 and method == "GET":
                return await _received(response, bounds)
            if response.status_code == 304:  # it has no body: RFC 9110, section 15.4.5
                return Answer(304, response.headers)
            kept = await _kept(response, within_s=(ends_at - clock()) / 2)
            return Answer(response.status_code, response.headers, kept)
        finally:
            await response.aclose()

    async def _send(
        self, method: str, url: str, headers: tuple[Mapping[str, str], ...]
    ) -> httpx.Response:
        """Send a request that says *headers*, and of us: no cookies, no referrer, gzip only."""
        ours = {"User-Agent": self._user_agent, "Accept-Encoding": "gzip"}
        said: dict[
            str, tuple[str, str]
        ] = {}  # by lower-case name: of two layers the later one wins
        for layer in ({"Accept": "*/*"}, *headers, ours):
            said |= {name.lower(): (name, value) for name, value in layer.items()}
        try:
            address, auth = addressed(url)
            request = httpx.Request(method, address, headers=list(said.values()))
            return await send(self._client, request, auth)
        except ValueError as error:
            raise UnsendableError from error


class _Keeping:
    """Receives a body whole."""

    def __init__(self, most: int | None = None) -> None:
        self.body = bytearray()
        self._most = most

    def begin(self, coding: str) -> None:  # noqa: ARG002 - a Receiver's
        return None

    def keep(self, chunk: bytes) -> None: ...

    def take(self, piece: bytes) -> bool:
        self.body.extend(piece)
        return self._most is None or len(self.body) < self._most

    def end(self) -> None: ...


async def _received(response: httpx.Response, bounds: _Bounds) -> Answer:
    """Read a body within its bounds: into the receiver, or whole into the answer."""
    whole = _Keeping()
    receiver = bounds.receiver or whole
    body = Body(response.headers.get("content-encoding", ""), max_bytes=bounds.max_body_bytes)
    body.expect(receiver.begin(body.coding))
    complete = await _read(response, body, receiver)
    return Answer(
        200,
        response.headers,
        bytes(whole.body),
        body.wire_bytes,
        body.body_bytes,
        complete=complete,
        wire_digest=body.wire_digest if complete else None,
        repeated=complete and body.repeated,
    )


async def _kept(response: httpx.Response, *, within_s: float) -> bytes:
    """Return the start of a body that explains a status.

    The status has been heard and stands, whatever becomes of the body: a 202 to a POST must not
    turn into a lost answer, nor a 503 lose its Retry-After, because of an unreadable page or one
    that never ends.
    """
    kept = _Keeping(KEPT_BYTES)
    encoding = response.headers.get("content-encoding", "")
    with suppress(*TROUBLE):
        async with asyncio.timeout(within_s):
            # Twice, so that the receiver stops it first: where it is cut is then always the same.
            await _read(response, Body(encoding, max_bytes=2 * KEPT_BYTES), kept)
    return bytes(kept.body[:KEPT_BYTES])


async def _read(response: httpx.Response, body: Body, receiver: Receiver) -> bool:
    """Give a body to *receiver*; return whether it wanted all of it."""
    async for chunk in response.aiter_raw():
        receiver.keep(chunk)
        if not all(map(receiver.take, body.feed(chunk))):
            return False
    if not all(map(receiver.take, body.finish())):
        return False
    if not body.repeated:
        receiver.end()
    return True
