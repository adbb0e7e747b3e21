"""What strangers say about where a server is: well-known documents, redirects, names and addresses.

Whatever is accepted, two other URL parsers must see the very host and port that we checked: the one that
aiohttp connects with (yarl), and Python's own.
"""

import ipaddress
import json
from typing import Any, Final
from urllib.parse import urlsplit

from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from ostiary.errors import HomeserverError
from ostiary.matrix.delegation import (
    Endpoint,
    client_endpoint,
    federation_endpoint,
    max_age,
    redirected,
    says_where,
    server_endpoint,
)
from ostiary.matrix.identifiers import is_server_name
from ostiary.matrix.public_address import is_public
from tests.fuzz.mutations import mutated, paths, replaced

HERE: Final = "https://example.org:8448/_matrix/federation/v1/media/download/a?x=y"
BASES: Final = st.sampled_from(
    [
        *(
            "https://matrix.example.org",
            "https://example.org:8448/base/",
            "https://1.2.3.4:443/a",
            "https://[2001:db8::1]/",
        ),
        *(
            "HTTPS://EXAMPLE.ORG//",
            "http://example.org",
            "https://a.b/%2e%2e",
            "https://user:pass@example.org/",
        ),
    ]
).map(str.encode)
WORDS: Final = (
    *(
        b"https://",
        b"http:",
        b"//",
        b"@",
        b"\\",
        b"#",
        b"?",
        b"..",
        b"/../",
        b"/./",
        b"%2e%2e",
        b"%40",
        b"%00",
        b":0",
        b":22",
    ),
    *(
        b":65536",
        b":080",
        b":",
        b"[",
        b"]",
        b"[::1]",
        b"127.0.0.1",
        b"0x7f.1",
        b"localhost",
        b"\xe3\x80\x82",
        b"\xc2\xad",
        b"\t",
    ),
    *(
        "\u0430".encode(),
        "\uff0f".encode(),
        b"xn--",
        b"@127.0.0.1",
        b";",
        b"&",
        b"169.254.169.254",
        b"%5b",
        b"\x7f",
        b" ",
    ),
)
TEXTS: Final = mutated(BASES, WORDS).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
CLIENT: Final = {
    "m.homeserver": {"base_url": "https://matrix.example.org"},
    "m.identity_server": {"base_url": "x"},
}
SERVER: Final = {"m.server": "matrix.example.org:8448"}


def by_hand(authority: str) -> tuple[str, int | None]:
    """Split a host from its port, which is whatever stands behind the last colon outside of brackets."""
    host, colon, port = authority.rpartition(":")
    return (host, int(port)) if colon and "]" not in port else (authority, None)


def check(url: str) -> None:
    """Check that nobody sees another host, port or user in a URL, and that its host is a server name."""
    authority = url.partition("://")[2].partition("/")[0].partition("?")[0]
    assert is_server_name(authority), url
    assert url.isascii()
    assert not set(url) & set("\\ \t\r\n\0#"), url
    host, port = by_hand(authority)
    split, yarl = urlsplit(url), URL(url)
    assert (split.port or 443) == yarl.port == (port or 443), url
    for seen in (split.hostname, yarl.raw_host):
        if host.startswith("["):
            assert ipaddress.ip_address(str(seen)) == ipaddress.ip_address(host[1:-1])
        else:
            assert str(seen).lower() == host.lower(), url
    assert (split.scheme.lower(), split.username, split.password, split.fragment) == ("https", None, None, "")
    assert (yarl.scheme, yarl.user, yarl.password, yarl.fragment) == ("https", None, None, "")


def check_endpoint(endpoint: Endpoint) -> None:
    """Check an endpoint with a route of ours behind its base."""
    url = endpoint.base + "/_matrix/media/v3/download/a/b"
    check(url)
    assert URL(url).raw_path == "/" + url.removeprefix("https://").partition("/")[2]
    assert endpoint.host is None or is_server_name(endpoint.host)


@given(TEXTS)
@example("https://a@b")
@example("https://a.b\\@c")
def test_any_base_url_is_the_host_it_shows(text: str) -> None:
    """A base URL of `/.well-known/matrix/client` is unusable, or the same place to every parser."""
    endpoint = client_endpoint({"m.homeserver": {"base_url": text}})
    if endpoint is not None:
        check_endpoint(endpoint)


@given(
    TEXTS | st.sampled_from(["/x", "//b/x", "?x", "x", "../../..", "/\\b", "https:b", "https:///b", "///b"])
)
def test_any_redirect_leads_where_it_shows(text: str) -> None:
    """A Location is refused, or leads to the same https place for every parser."""
    try:
        target = redirected(HERE, text)
    except HomeserverError:
        return
    check(target)


@given(mutated(st.sampled_from([b"example.org", b"a:8448", b"[::1]:1", b"1.2.3.4"]), WORDS))
def test_any_server_name_is_refused_or_the_place_it_names(raw: bytes) -> None:
    """`m.server` of any text: unusable, an error for a bad port, or where the name itself points."""
    name = raw.decode("utf-8", "surrogateescape")
    try:
        endpoint = server_endpoint({"m.server": name})
    except HomeserverError:
        raise AssertionError("a well-known file that makes no sense counts as none") from None
    assert is_server_name(name) or endpoint is None
    if endpoint is None:
        return
    assert endpoint == federation_endpoint(name)
    check_endpoint(endpoint)
    assert endpoint.host == name
    host, port = by_hand(name)
    literal = host.startswith("[") or not host.strip("0123456789.")
    assert says_where(name) == (port is not None or literal)


_ANY: Final[st.SearchStrategy[Any]] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=9)
    | st.just([])
    | st.just({})
    | st.just(["x"])
)


@given(st.sampled_from([CLIENT, SERVER]), st.data())
def test_any_document_names_a_place_or_none(document: Any, data: st.DataObject) -> None:  # noqa: ANN401  (JSON)
    """Whatever stands in a well-known file, whole JSON or spoilt: an endpoint or None, and no exception."""
    for _ in range(data.draw(st.integers(0, 2))):
        path = data.draw(st.sampled_from(paths(document)[:-1] or [("m.server",)]))
        document = replaced(document, path, data.draw(_ANY | TEXTS | st.just(...)))
    try:
        document = json.loads(data.draw(mutated(st.just(json.dumps(document).encode()), WORDS, most=1)))
    except ValueError:
        return
    if isinstance(document, dict):
        for endpoint in (client_endpoint(document), server_endpoint(document)):
            if endpoint is not None:
                check_endpoint(endpoint)


@given(
    mutated(
        st.sampled_from([b"max-age=3600", b"public, max-age=0", b"no-store", b'private, max-age="60"']),
        (b"max-age=", b"9" * 400),
    )
)
def test_any_cache_control_is_a_sane_age(raw: bytes) -> None:
    """A number of seconds that can be added to a time, or nothing."""
    seconds = max_age(raw.decode("utf-8", "surrogateescape"))
    assert seconds is None or 0 <= seconds < 10**9


@given(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16))
@example(b"\0" * 10 + b"\xff\xff\x7f\0\0\1")
@example(b"\0\x64\xff\x9b" + b"\0" * 8 + b"\x7f\0\0\1")
def test_no_address_of_ours_is_public(packed: bytes) -> None:
    """Whatever Python calls private, reserved, or an IPv4 address in disguise is not connected to."""
    address = ipaddress.ip_address(packed)
    public = is_public(str(address))
    if public:
        assert address.is_global
        assert not any((address.is_private, address.is_loopback, address.is_link_local, address.is_multicast))
        assert not any((address.is_reserved, address.is_unspecified))
        if isinstance(address, ipaddress.IPv6Address):
            assert address.ipv4_mapped is None
            assert address.sixtofour is None
            assert address.teredo is None
            assert not is_public(f"{address}%eth0")
