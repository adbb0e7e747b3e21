"""The wall around our own network: which addresses count as the public internet's."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.matrix.public_address import is_public

# IANA's IPv4 and IPv6 special-purpose address registries, and what lies outside them and is not public.
BLOCKS_4 = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
    "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "168.63.129.16/32",
]  # fmt: skip
BLOCKS_6 = [
    "::/128", "::1/128", "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48",
    "100::/64", "100:0:0:1::/64", "200::/7", "2001::/23", "2001::/32", "2001:2::/48", "2001:3::/32",
    "2001:4:112::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16",
    "2620:4f:8000::/48", "3ffe::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10",
    "ff00::/8",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
    "128.0.0.0", "168.63.129.15", "168.63.129.17", "169.253.255.255", "172.15.255.255", "172.32.0.0",
    "192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
    "223.255.255.255", "2000::", "2001:200::", "2001:db7:ffff::1", "2001:db9::", "2003::1",
    "2606:4700:4700::1111", "2620:4f:7fff::1", "2620:4f:8001::", "2a00:1450::1", "3ffd:ffff::1",
]  # fmt: skip


@pytest.mark.parametrize("block", BLOCKS_4 + BLOCKS_6)
def test_both_ends_of_a_special_block_are_refused(block: str) -> None:
    """From its first address to its last."""
    network = ipaddress.ip_network(block)
    assert not is_public(str(network[0]))
    assert not is_public(str(network[-1]))


@pytest.mark.parametrize("address", PUBLIC)
def test_the_addresses_beside_them_are_public(address: str) -> None:
    """The blocks end where they should."""
    assert is_public(address)


@pytest.mark.parametrize(
    "text",
    [
        "", "localhost", "example.org", "127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "08.8.8.8",
        "8.8.8", "8.8.8.8 ", " 8.8.8.8", "8.8.8.8/32", "[2606:4700::1]", "2606:4700::1%eth0", "fe80::1%1",
        "1.1.1.1\n", "1.1.1.1\0", "1.1.1.1:443", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::8.8.8.8",
        "2002:808:808::1", "\u0661.1.1.1",
    ],
)  # fmt: skip
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    """Names, other spellings of numbers, zones, and IPv4 addresses in the clothes of IPv6."""
    assert not is_public(text)


@given(st.sampled_from(BLOCKS_4 + BLOCKS_6), st.data())
def test_no_address_inside_a_special_block_is_public(block: str, data: st.DataObject) -> None:
    """Wherever in the block it lies."""
    assert not is_public(str(data.draw(st.ip_addresses(network=block))))


@given(st.ip_addresses())
def test_nothing_is_public_that_python_calls_private(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Ours is the stricter list: what this Python knows to be special is refused."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert not is_public(str(address))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_an_ipv6_one_never_passes(address: ipaddress.IPv4Address) -> None:
    """Mapped, compatible, translated, NAT64, 6to4, Teredo: none is connected to, whatever it embeds."""
    number = int(address)
    for base in ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::"):
        assert not is_public(str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(base)) | number)))
    assert not is_public(str(ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 1)))
    assert not is_public(str(ipaddress.IPv6Address((0x20010000 << 96) | (number ^ 0xFFFFFFFF))))


@given(st.text(max_size=60))
def test_any_text_gets_an_answer(text: str) -> None:
    """It never raises."""
    assert is_public(text) in {True, False}
