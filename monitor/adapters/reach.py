"""Whether anybody takes a connection somewhere. Nothing is sent."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx

from monitor.adapters.guard import guarded_socket

PORTS = {"http": 80, "https": 443}
WITHIN_S = 5.0
EACH_WITHIN_S = 2.0  # of the addresses of one name
_RESOLVERS = ThreadPoolExecutor(4, "reach")  # of their own: the polls' may all hang


async def reaches(url: str, *, allow_private: bool) -> bool:
    """Return whether the host of *url* takes a connection, within seconds."""
    address = httpx.URL(url)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(WITHIN_S):
            port = address.port or PORTS[address.scheme]
            ask = partial(socket.getaddrinfo, address.host, port, type=socket.SOCK_STREAM)
            found = await loop.run_in_executor(_RESOLVERS, ask)
            for info in found:
                if await _connects(info, allow_private=allow_private):
                    return True
    except (OSError, UnicodeError):  # TimeoutError is one of the former; no name, no network…
        pass
    return False


async def _connects(info: Any, *, allow_private: bool) -> bool:
    try:
        with socket.socket(*info[:3]) if allow_private else guarded_socket(info) as dialled:
            dialled.settimeout(0)
            async with asyncio.timeout(EACH_WITHIN_S):
                await asyncio.get_running_loop().sock_connect(dialled, info[4])
    except OSError:
        return False
    return True
