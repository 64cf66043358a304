"""Which addresses may be dialled.

Checked where the socket is made, so that no name, no redirect and no second DNS answer gets
around it. Python 3.11's ``ipaddress.is_global`` has holes: NAT64, 6to4, multicast, site-local
and some assignments. So an IPv4 address inside an IPv6 one is taken out first, IPv6 must be
global unicast, and the rest is listed.
"""

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
GLOBAL_UNICAST = IPv6Network("2000::/3")  # RFC 4291: all that has been allocated
NOBODYS = (
    IPv4Network("192.0.0.0/24"),  # RFC 6890: protocol assignments
    IPv4Network("192.88.99.0/24"),  # RFC 7526: the former 6to4 relays
    IPv6Network("3fff::/20"),  # RFC 9637: documentation
)

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
        ip = _embedded(ip) or ip
    if isinstance(ip, IPv6Address) and ip not in GLOBAL_UNICAST:
        return False
    if ip.is_multicast or ip.is_reserved or any(ip in network for network in NOBODYS):
        return False
    return ip.is_global


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour
