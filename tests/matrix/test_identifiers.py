"""Server names, media IDs and mxc URIs: the specification's grammar, and nothing that means a path."""

import re
import string
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.errors import MalformedMediaError
from ostiary.matrix.identifiers import media_ref, parse_mxc
from ostiary.model import MediaRef

ALPHANUMERIC = string.ascii_letters + string.digits

labels = st.text(ALPHANUMERIC + "-", min_size=1, max_size=20)
dns_names = st.lists(labels, min_size=1, max_size=5).map(".".join)
ipv4 = st.ip_addresses(v=4).map(str)
ipv6 = st.ip_addresses(v=6).map(lambda address: f"[{address}]")
ports = st.just("") | st.integers(1, 65535).map(lambda port: f":{port}")
server_names = st.tuples(dns_names | ipv4 | ipv6, ports).map("".join)
media_ids = st.text(ALPHANUMERIC + "_-", min_size=1, max_size=60)


def accepted(server_name: str, media_id: str = "abc") -> bool:
    """Whether the two make a reference; if they do, it holds them as they were written."""
    try:
        ref = media_ref(server_name, media_id)
    except MalformedMediaError:
        return False
    assert ref == MediaRef(server_name, media_id)
    return True


@pytest.mark.parametrize(
    "server_name",
    [
        # The specification's examples (appendices, "Server Name").
        *("matrix.org", "matrix.org:8888", "1.2.3.4", "1.2.3.4:1234"),
        *("[1234:5678::abcd]", "[1234:5678::abcd]:5678"),
        *(
            "localhost",
            "MATRIX.org",
            "xn--bcher-kva.example",
            "a-.example",
            "-",
            "1",
            "1.2.3",
            "1.2.3.4.5",
            "127.0.0.1:1",
        ),
        *("[::]", "[::ffff:1.2.3.4]", "[fe80::1]:65535", "example.org:00443", "a" * 255, "a" * 251 + ":123"),
    ],
)
def test_server_names(server_name: str) -> None:
    """What the grammar allows is kept as written."""
    assert accepted(server_name)


@pytest.mark.parametrize(
    "server_name",
    [
        *("", ".", "..", "...", ".org", "org.", "a..b", "matrix.org.", "matrix.org.:80"),
        *(
            "matrix.org:",
            "matrix.org:0",
            "matrix.org:65536",
            "matrix.org:123456",
            "matrix.org:+1",
            "matrix.org:1:2",
        ),
        *("matrix.org:\u0663", "matrix.org: 80", ":80", "256.1.1.1", "1.2.3.999", "1.2.3.4.", "1.2.3.4:"),
        *(
            "[]",
            "[:]",
            "[:::]",
            "[1::2::3]",
            "[::1",
            "::1",
            "[::1]a",
            "[::g]",
            "[::1%eth0]",
            "[v1.a]",
            "[1.2.3.4]",
        ),
        *("[12345::]", "[::1.2.3.256]", "[::ffff:1.2.3.4.5]", "a" * 256, "a" * 252 + ":123"),
        *(
            "a/b",
            "a\\b",
            "a%2fb",
            "%2e%2e",
            "a?b",
            "a#b",
            "a@b",
            "user@host",
            "a b",
            " a",
            "a ",
            "a\n",
            "\na",
            "a\0",
        ),
        *(
            "a_b",
            "a~b",
            "bücher.example",
            "\uff41.example",
            "a\u202eb",
            "a\u2024b",
            "\u0661.\u0662.\u0663.\u0664",
            "a*",
            "a;b",
            "a&b",
            "a=b",
        ),
    ],
)
def test_what_is_no_server_name(server_name: str) -> None:
    """Empty labels, impossible addresses and every character outside the grammar are refused."""
    assert not accepted(server_name)


@pytest.mark.parametrize(
    "media_id", ["a", "-", "_", "GCmhgzMPRjqgpODLsNQzVuHZ", "2020-01-01_abcDEF", "0", "a" * 255]
)
def test_media_ids(media_id: str) -> None:
    """Letters, digits, `_` and `-`: the characters of base64url."""
    assert accepted("matrix.org", media_id)


@pytest.mark.parametrize(
    "media_id",
    [
        *(
            "",
            ".",
            "..",
            "a.b",
            "a~b",
            "a/b",
            "/",
            "../etc",
            "..%2f",
            "%2e%2e",
            "a%00",
            "a\0",
            "a\\b",
            "a b",
            "a\n",
            "\ta",
        ),
        *("a?x=1", "a#b", "a;b", "a:b", "a+b", "a=", "a@b", "ä", "\uff41", "\u2025", "\ud800", "a" * 256),
    ],
)
def test_what_is_no_media_id(media_id: str) -> None:
    """Nothing but those characters passes, unreserved ones of URIs included."""
    assert not accepted("matrix.org", media_id)


@given(server_names, media_ids)
def test_references_round_trip_through_their_uri(server_name: str, media_id: str) -> None:
    """A reference's text is the mxc URI that is read as the same reference."""
    ref = media_ref(server_name, media_id)
    assert parse_mxc(str(ref)) == ref == MediaRef(server_name, media_id)


@given(st.text() | st.text(ALPHANUMERIC + ".:-_[]/%\\"), st.text() | st.text(ALPHANUMERIC + "._-/%~"))
@example("[::1]:8448", "a")
def test_whatever_passes_is_harmless_in_a_path(server_name: str, media_id: str) -> None:
    """What is accepted is ASCII from the grammar, and no segment of it means another place."""
    try:
        ref = media_ref(server_name, media_id)
    except MalformedMediaError:
        return
    assert re.fullmatch(r"[0-9A-Za-z_-]{1,255}", ref.media_id)
    assert re.fullmatch(r"[0-9A-Za-z.:\[\]-]{1,255}", ref.server_name)
    assert ".." not in ref.server_name
    assert ref.server_name.strip(".") == ref.server_name


@given(st.text("0123456789abcdefABCDEF:.", min_size=2, max_size=45))
@example("::ffff:1.2.3.4")
def test_ipv6_literals_are_addresses(text: str) -> None:
    """Between brackets stands a real IPv6 address, whatever else the characters would allow."""
    try:
        IPv6Address(text)
    except ValueError:
        assert not accepted(f"[{text}]")
    else:
        assert accepted(f"[{text}]")


@given(st.lists(st.integers(0, 999), min_size=4, max_size=4))
def test_four_numbers_are_an_ipv4_address(numbers: list[int]) -> None:
    """A dotted quad has numbers up to 255, though a DNS name would allow others."""
    text = ".".join(map(str, numbers))
    try:
        IPv4Address(text)
    except ValueError:
        assert not accepted(text)
    else:
        assert accepted(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "mxc://",
            "mxc:///",
            "mxc://a",
            "mxc://a/",
            "mxc:///b",
            "mxc:a/b",
            "MXC://a/b",
            "mxc//a/b",
            "http://a/b",
        ),
        *(
            " mxc://a/b",
            "mxc://a/b ",
            "mxc://a/b\n",
            "mxc://a/b/c",
            "mxc://a//b",
            "mxc://a/b?c",
            "mxc://a/b#c",
        ),
        *(
            "mxc://a@b/c",
            "mxc://a/..",
            "mxc://../b",
            "mxc://mxc://a/b",
            "mxc://a\\b",
            "mxc://a%2fb/c",
            "mxc://a/b%00",
        ),
        "mxc://127.0.0.1/../../../some_service/etc/passwd",  # the specification's own example
    ],
)
def test_what_is_no_mxc_uri(text: str) -> None:
    """Scheme, server name, one slash, media ID: nothing more, nothing less."""
    with pytest.raises(MalformedMediaError):
        parse_mxc(text)


@given(st.text() | st.text().map("mxc://".__add__))
def test_any_text_is_a_reference_or_our_error(text: str) -> None:
    """No text raises anything but MalformedMediaError, and what is accepted is that very text."""
    try:
        ref = parse_mxc(text)
    except MalformedMediaError:
        return
    assert str(ref) == text


def test_errors_quote_nothing() -> None:
    """The messages hold nothing of what was asked for: it goes into logs."""
    for arguments in (("evil\nhost", "a"), ("matrix.org", "evil\nid")):
        with pytest.raises(MalformedMediaError) as caught:
            media_ref(*arguments)
        assert "evil" not in str(caught.value)
