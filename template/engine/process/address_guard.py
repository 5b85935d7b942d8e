"""Which network addresses are everybody's, and which lead inside."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

UNICAST = ip_network("2000::/3")
"""What IANA gives out of IPv6 for global unicast; the rest is local, multicast or unused."""

NAT64 = ip_network("64:ff9b::/96")
"""What a network without IPv4 calls an IPv4 address, in the last four bytes (RFC 6052)."""

NEVER = tuple(
    map(
        ip_network,
        (
            "168.63.129.16/32",  # the host of an Azure machine, public by its number only
            "192.0.0.0/24",  # Oracle's metadata service; Python before 3.11.10 calls it global
            "192.88.99.0/24",  # relays to 6to4
            "2001::/23",  # Teredo and others that carry an IPv4 address
            "2002::/16",  # 6to4, which carries one too and is given up (RFC 7526)
            "3fff::/20",  # documentation; Python before 3.13.1 calls it global
        ),
    )
)


def is_public(text: str) -> bool:
    """Return whether this is an IP address that anybody may be sent to.

    Private, loopback, link-local, shared (RFC 6598), multicast and reserved addresses are not, nor
    is an IPv6 address that carries such a one. What is no address in its usual form is not either.
    """
    try:
        address = _meant(ip_address(text))
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address not in UNICAST:
        return False
    never = any(address in network for network in NEVER)
    return address.is_global and not address.is_multicast and not never


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address where an IPv6 one only stands for it."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address
