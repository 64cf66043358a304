"""Time that leaps to the next instant at which anything happens, and a network without sockets.

Everything above them is the daemon's own: asyncio's timers and timeouts, the HTTP layer down to
httpx's transport. As nothing waits for the real world, the same seed gives the same history.
"""

import asyncio
import selectors
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, MutableSequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Self

import aiohttp
import httpx

from monitor.adapters.http import Http
from monitor.demo import Answer, Exchange, Fault, Faults
from monitor.demo.publisher import Publisher
from monitor.demo.stenobird import Replica
from tests.living import Switch

STENOBIRD = "http://stenobird.example"
HANGS_S = 86_400.0
REFUSED = Fault("refused", carried_out=False, part=0.0, ending="reset")
NO_NAME = Fault("dns", carried_out=False, part=0.0, ending="reset")
STALE = Fault("stale", carried_out=False)
HANGS = Fault("hangs", pause_s=HANGS_S)


# --- time ----------------------------------------------------------------------------------


@dataclass
class Clock:
    """The true time, by which the far ends go, and the daemon's own, which may be wrong."""

    start: datetime
    passed_s: float = 0.0
    ahead: timedelta = timedelta()  # of the daemon's clock; negative: it is slow

    def true(self) -> datetime:
        return self.start + timedelta(seconds=self.passed_s)

    def wall(self) -> datetime:
        return self.true() + self.ahead


class _Leaping(selectors.SelectSelector):
    """Waits for nothing: the clock is turned by as long as it would have waited."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("nothing will ever happen any more")
        if not ready:
            self._clock.passed_s += timeout or 0.0
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time; what it is to do in a thread, it does at once."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(_Leaping(clock))
        self._virtual = clock
        self.set_exception_handler(
            lambda _loop, _context: None
        )  # of tasks that died in a power cut

    def time(self) -> float:
        return self._virtual.passed_s

    def run_in_executor(self, _executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except BaseException as error:  # noqa: BLE001 - a power cut in a thread is one of its waiter
            done.set_exception(error)
        return done


# --- the network ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _End:
    """A far end, as one request finds it."""

    faults: Faults
    ledger: MutableSequence[Exchange]
    answer: Callable[[], Answer]


class Network(httpx.AsyncBaseTransport):
    """Carries requests to publishers (each at a host of its own) and Stenobird, faults included."""

    def __init__(
        self, publishers: Mapping[str, Publisher], replica: Replica, clock: Clock, switch: Switch
    ) -> None:
        self._publishers = publishers
        self._replica = replica
        self._clock = clock
        self._switch = switch
        self._told: dict[str, list[Answer]] = defaultdict(list)  # answers that may be stale later

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._switch.act(request.method)
        end = self._end(request)
        fault = end.faults.take() or Fault("")
        if fault == REFUSED:
            raise httpx.ConnectError("refused") from ConnectionRefusedError()
        if fault == NO_NAME:
            no_key: Any = None
            unknown = aiohttp.ClientConnectorDNSError(no_key, OSError("no such name"))
            raise httpx.ConnectError("dns") from unknown
        sent = self._carry_out(request, end, fault)
        await asyncio.sleep(fault.pause_s)
        if sent is None:
            raise httpx.ReadError("reset") from ConnectionResetError()
        self._switch.act(f"answer to {request.method}")
        body = _Bytes(sent.body[: int(len(sent.body) * fault.part)], fault)
        return httpx.Response(sent.status, headers=dict(sent.headers), stream=body)

    def _end(self, request: httpx.Request) -> _End:
        headers = {name.lower(): value for name, value in request.headers.items()}
        host, path = request.url.host.partition(".")[0], request.url.path
        if host in self._publishers:
            feed = self._publishers[host]
            return _End(feed.faults, feed.exchanges, lambda: feed.answer(headers))
        replica = self._replica
        faults = replica.post_faults if request.method == "POST" else replica.get_faults
        return _End(faults, replica.exchanges, lambda: self._of_stenobird(path, headers))

    def _of_stenobird(self, path: str, headers: Mapping[str, str]) -> Answer:
        match path.strip("/").split("/"):
            case ["v1", "public", "podcasts", podcast, "episodes", slug]:
                return self._replica.resource(podcast, slug, origin=STENOBIRD)
            case ["v1", "public", "podcasts", podcast, "episodes", slug, "transcription-requests"]:
                key = headers.get("idempotency-key")
                return self._replica.request(podcast, slug, key=key, origin=STENOBIRD)
            case ["podcast", podcast, page]:
                slug = page.removesuffix(".md")
                return self._replica.markdown(podcast, slug, origin=STENOBIRD)
        return self._replica.not_found()

    def _carry_out(self, request: httpx.Request, end: _End, fault: Fault) -> Answer | None:
        """Do what is asked as far as the fault lets it, write it down, return what is sent."""
        told = self._told[str(request.url)]
        stale = fault == STALE and request.method == "GET"
        true = end.answer() if fault.carried_out or fault == STALE else None
        sent = fault.answer or (told[0] if stale and told else true)
        if true is not None and true.status == 200 and request.method == "GET":
            told.append(true)
            del told[:-2]  # the one before the last is stale enough
        if fault.part == 0 and fault.ending != "regular":
            sent = None
        end.ledger.append(
            Exchange(
                at=self._clock.true(),
                method=request.method,
                path=request.url.raw_path.decode(),
                headers={name.lower(): value for name, value in request.headers.items()},
                body_sha256=sha256(request.content).hexdigest(),
                status=sent.status if sent else None,
                fault=fault.name or None,
            )
        )
        return sent


class _Bytes(httpx.AsyncByteStream):
    """A body that may end too soon."""

    def __init__(self, body: bytes, fault: Fault) -> None:
        self._body = body
        self._fault = fault

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body
        if self._fault.ending != "regular":
            raise httpx.ReadError("cut off") from aiohttp.ClientPayloadError()


class VirtualHttp(Http):
    """The real connection layer on such a network."""

    def __init__(self, network: Network, deadline: timedelta) -> None:
        super().__init__(
            user_agent="simulation",
            deadline=deadline,
            per_host_interval=timedelta(),
            allow_private=True,
        )
        self._network = network

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._client._transport.aclose()
        self._client._transport = self._network
        return self
