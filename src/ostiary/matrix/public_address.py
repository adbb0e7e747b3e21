"""Which IP addresses belong to the public internet. Pure: text in, yes or no out.

Direct mode connects to servers that strangers name, so this list is the wall around our own network.
It is written out from IANA's special-purpose address registries, and does not lean on Python's
`is_global`, whose answers differ between releases and which calls multicast addresses global. What IANA
marks as "globally reachable" but gives to anycast services is refused too: no homeserver is there.
"""

import ipaddress
from typing import Final

_SPECIAL_IPV4: Final = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # "this network" (RFC 791); Linux takes 0.0.0.0 for itself
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # carrier-grade NAT (RFC 6598); some clouds' metadata
        "127.0.0.0/8",  # loopback (RFC 1122)
        "168.63.129.16/32",  # Azure's platform services, the same in every virtual network: no IANA entry
        "169.254.0.0/16",  # link-local (RFC 3927), most clouds' metadata
        "172.16.0.0/12",  # private (RFC 1918)
        "192.0.0.0/24",  # IETF protocol assignments (RFC 6890), a cloud's metadata
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.31.196.0/24",  # AS112 (RFC 7535)
        "192.52.193.0/24",  # AMT (RFC 7450)
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "192.168.0.0/16",  # private (RFC 1918)
        "192.175.48.0/24",  # AS112 (RFC 7534)
        "198.18.0.0/15",  # benchmarking (RFC 2544)
        "198.51.100.0/24",  # documentation (RFC 5737)
        "203.0.113.0/24",  # documentation (RFC 5737)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved (RFC 1112), and the broadcast address
    )
)

_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""All that IANA gives out (RFC 3513, 4).

Outside lie the unspecified address and loopback, IPv4 in its mapped, compatible and translated forms,
NAT64 (64:ff9b::/96, 64:ff9b:1::/48), discard-only (100::/64), segment routing (5f00::/16), unique local
(fc00::/7), link-local, site-local (fec0::/10) and multicast.
"""

_SPECIAL_IPV6: Final = tuple(
    ipaddress.IPv6Network(block)
    for block in (
        "2001::/23",  # IETF protocol assignments: Teredo (an IPv4 address inside), benchmarking, ORCHID ...
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4 (RFC 3056): an IPv4 address inside
        "2620:4f:8000::/48",  # AS112 (RFC 7534)
        "3ffe::/16",  # 6bone (RFC 3701), given back
        "3fff::/20",  # documentation (RFC 9637)
    )
)


def is_public(address: str) -> bool:
    """Say whether this IP address may be connected to; False for what is none, and for one with a zone."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv4Address):
        return not any(parsed in block for block in _SPECIAL_IPV4)
    if parsed.scope_id is not None or parsed not in _GLOBAL_UNICAST:
        return False
    return not any(parsed in block for block in _SPECIAL_IPV6)
