"""The addresses of a host, checked before it is reached.

Owns which addresses belong to the public network. Must not connect to them.
"""

from __future__ import annotations

import ipaddress
import socket

__all__ = ["Address", "host_addresses", "is_public"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def host_addresses(host: str, port: int | None) -> list[Address]:
    """Return the addresses of a host, each once, in the order of the resolver.

    Raises
    ------
    OSError, UnicodeError
        If there is no such host.
    """
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = (ipaddress.ip_address(_without_zone(answer[4][0])) for answer in answers)
    return list(dict.fromkeys(addresses))


def _without_zone(address: object) -> str:
    return str(address).partition("%")[0]  # the zone of a link-local address


def is_public(address: Address) -> bool:
    """Return whether an address belongs to the public network.

    Examples
    --------
    >>> is_public(ipaddress.ip_address("8.8.8.8")), is_public(ipaddress.ip_address("10.0.0.1"))
    (True, False)
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved
