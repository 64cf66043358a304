"""Which addresses may be dialled.

Checked where the socket is made, so that no name, no redirect and no second DNS answer gets
around it. Python 3.11's ``ipaddress.is_global`` lets NAT64, 6to4 and multicast pass, so an IPv4
address inside an IPv6 one is taken out first.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
SHARED = "100.64.0.0/10"  # RFC 6598: is_global knows it

AddrInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]


class PrivateAddressError(OSError):
    """An address that no publisher can be at."""


def guarded_socket(addr_info: AddrInfo) -> socket.socket:
    """Return a socket to dial *addr_info* with; aiohttp's ``socket_factory``.

    Raises:
        PrivateAddressError: the address is not public.
    """
    family, kind, protocol, _, address = addr_info
    if not is_public(str(address[0])):
        raise PrivateAddressError("private address")
    return socket.socket(family, kind, protocol)


def is_public(address: str) -> bool:
    """Return whether an address, as the resolver gave it, belongs to the public internet."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        if ip.teredo is not None:
            return False
        ip = _embedded(ip) or ip
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour
