"""What the libraries' exceptions mean: a stable reason, and whether a request may have left.

Never an exception's own text: it may name an address, and addresses may carry tokens.
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp
import httpx
from aiohttp.http_exceptions import LineTooLong

from monitor.adapters.body import BodyError
from monitor.adapters.guard import PrivateAddressError
from monitor.adapters.pacing import NoTurnError


@dataclass(frozen=True, slots=True)
class Failed:
    """No usable answer. *sent* is False only if certainly no byte of the request left."""

    reason: str
    sent: bool = True
    detail: str = ""  # for people; never holds a URL


class UnsendableError(Exception):
    """What the libraries refuse to write, such as a line break in a header."""


TROUBLE = (BodyError, NoTurnError, UnsendableError, httpx.HTTPError, aiohttp.ClientError, OSError)

NO_TURN = "no_turn"  # nothing was asked of anybody

# In this order: the first that fits an exception, or what caused it, names the reason.
REASONS: tuple[tuple[type[BaseException], str, bool], ...] = (
    (NoTurnError, NO_TURN, False),
    (PrivateAddressError, "private_address", False),
    (aiohttp.ClientConnectorDNSError, "dns", False),
    (aiohttp.ClientSSLError, "tls", False),
    (aiohttp.ClientProxyConnectionError, "proxy", False),
    (aiohttp.ClientHttpProxyError, "proxy", False),
    (ConnectionRefusedError, "refused", False),
    (aiohttp.ClientConnectorError, "unreachable", False),
    (aiohttp.ConnectionTimeoutError, "connect_timeout", False),
    (aiohttp.InvalidURL, "bad_url", False),
    (TimeoutError, "timeout", True),
    (aiohttp.ClientPayloadError, "truncated", True),
    (LineTooLong, "headers_too_large", True),
    (aiohttp.ClientResponseError, "protocol", True),
    (aiohttp.ClientConnectionError, "connection_lost", True),
    (OSError, "connection_lost", True),
)


def failure(error: BaseException) -> Failed:
    """Return what one of ``TROUBLE`` means."""
    if isinstance(error, BodyError):
        return Failed(error.reason)
    chain = tuple(_chain(error))
    for kind, reason, sent in REASONS:
        if any(isinstance(link, kind) for link in chain):
            return Failed(reason, sent, _detail(chain))
    return Failed("protocol")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = getattr(error, "os_error", None) or error.__cause__


def _detail(chain: tuple[BaseException, ...]) -> str:
    """Return what is wrong with a certificate or a handshake; it names a host at most."""
    for link in chain:
        match link:
            case ssl.SSLCertVerificationError(verify_message=str(message)):
                return message
            case ssl.SSLError(reason=str(reason)):
                return reason
    return ""
