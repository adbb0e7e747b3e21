"""What strangers write about where to ask: names, well-known files, redirects, ages."""

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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

HERE = "https://example.org/.well-known/matrix/client"


@pytest.mark.parametrize(
    ("name", "where", "base"),
    [
        ("example.org", False, "https://example.org:8448"),
        ("example.org:443", True, "https://example.org:443"),
        ("example.org:8449", True, "https://example.org:8449"),
        ("192.0.2.1", True, "https://192.0.2.1:8448"),
        ("192.0.2.1:443", True, "https://192.0.2.1:443"),
        ("[2001:db8::1]", True, "https://[2001:db8::1]:8448"),
        ("[2001:db8::1]:443", True, "https://[2001:db8::1]:443"),
    ],
)
def test_a_server_name(name: str, where: bool, base: str) -> None:  # noqa: FBT001  (a column of the table)
    """A port or an IP literal says where; without a port it is 8448; Host is the name as written."""
    assert says_where(name) is where
    assert federation_endpoint(name) == Endpoint(base, name)


@pytest.mark.parametrize("port", [22, 25, 110, 143, 587, 993, 6667, 10080])
def test_ports_of_other_protocols_are_refused(port: int) -> None:
    """Nobody makes us talk to a mail server: in names, in both files, in redirects."""
    with pytest.raises(HomeserverError, match="another protocol"):
        federation_endpoint(f"example.org:{port}")
    assert client_endpoint({"m.homeserver": {"base_url": f"https://example.org:{port}"}}) is None
    assert server_endpoint({"m.server": f"example.org:{port}"}) is None
    with pytest.raises(HomeserverError):
        redirected(HERE, f"https://example.org:{port}/")


@pytest.mark.parametrize(
    ("base_url", "base"),
    [
        ("https://matrix.example.org", "https://matrix.example.org"),
        ("https://matrix.example.org/", "https://matrix.example.org"),
        ("https://matrix.example.org:8448//", "https://matrix.example.org:8448"),
        ("HTTPS://Matrix.example.org/a.b/~c/", "https://Matrix.example.org/a.b/~c"),
        ("https://192.0.2.1", "https://192.0.2.1"),
        ("https://[2001:db8::1]:443", "https://[2001:db8::1]:443"),
    ],
)
def test_a_base_url(base_url: str, base: str) -> None:
    """It loses its slashes at the end, and the Host header is its own."""
    assert client_endpoint({"m.homeserver": {"base_url": base_url}}) == Endpoint(base)


@pytest.mark.parametrize(
    "base_url",
    [
        None, 1, True, [], {}, "", "https://", "matrix.example.org", "//matrix.example.org",
        "http://matrix.example.org", "ftp://matrix.example.org", "file:///etc/passwd", "https:/example.org",
        "https:example.org", "https:///example.org", "https://user@example.org", "https://u:p@example.org",
        "https://@example.org", "https://example.org?", "https://example.org/?a=b", "https://example.org#",
        "https://example.org/#x", "https://example.org/..", "https://example.org/a/../b",
        "https://example.org/.", "https://example.org/%2e%2e/", "https://example.org/a%2fb",
        "https://example.org/a//b", "https://example.org/a\\b", "https://example.org\\@inside",
        "https://example.org:0", "https://example.org:65536", "https://example.org:",
        "https://example.org:x", "https://example.org:443:443", "https://[::1", "https://::1", "https://[]",
        "https://[fe80::1%25eth0]", "https://exam ple.org", "https://example.org\n", " https://example.org",
        "https://example.org/\r\nA: b",
        "https://ex\u00e4mple.org", "https://example.org/\u00e4", "https://%65xample.org", "https://a..b",
        "https://.example.org", "https://example.org.", "https://exa_mple.org", "https://256.1.1.1",
        "https://example.org\0", "https://example.org/" + "a" * 500, "https://" + "a" * 256,
    ],
)  # fmt: skip
def test_an_unusable_base_url(base_url: object) -> None:
    """Another scheme, a user name, a query, a traversal, an odd host or port: as if there were none."""
    assert client_endpoint({"m.homeserver": {"base_url": base_url}}) is None


@pytest.mark.parametrize("section", [None, "https://example.org", [], {}, 1])
def test_a_client_file_without_a_homeserver(section: object) -> None:
    """Its section is missing or no object."""
    assert client_endpoint({"m.homeserver": section}) is None
    assert client_endpoint({}) is None


@pytest.mark.parametrize(
    ("name", "endpoint"),
    [
        ("matrix.example.org:443", Endpoint("https://matrix.example.org:443", "matrix.example.org:443")),
        ("matrix.example.org", Endpoint("https://matrix.example.org:8448", "matrix.example.org")),
        ("192.0.2.1", Endpoint("https://192.0.2.1:8448", "192.0.2.1")),
    ],
)
def test_a_server_file(name: str, endpoint: Endpoint) -> None:
    """`m.server` is a server name; it may delegate, but its target may not delegate again."""
    assert server_endpoint({"m.server": name}) == endpoint


@pytest.mark.parametrize(
    "name", [None, 1, [], "", "https://example.org", "example.org/", "a b", "u@example.org", "example.org:0",
             "[::1", "example.org:443#", "..", "ex\u00e4mple.org", "x" * 256],
)  # fmt: skip
def test_an_unusable_server_file(name: object) -> None:
    """What is no server name delegates to nobody."""
    assert server_endpoint({"m.server": name}) is None


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/x", "https://example.org/x"),
        ("x?y=%20&z", "https://example.org/.well-known/matrix/x?y=%20&z"),
        ("//cdn.example.net/a", "https://cdn.example.net/a"),
        ("https://cdn.example.net:8443/a#part", "https://cdn.example.net:8443/a"),
        ("https://cdn.example.net", "https://cdn.example.net"),
        ("https://cdn.example.net?sig=a/b+c==", "https://cdn.example.net?sig=a/b+c=="),
    ],
)
def test_a_redirect(location: str, target: str) -> None:
    """Relative and absolute ones, without their fragment."""
    assert redirected(HERE, location) == target


@pytest.mark.parametrize(
    "location",
    [
        None, "", "http://example.org/", "ftp://example.org/", "data:text/plain,x", "javascript:x",
        "mailto:a@b",
        "https://user@example.org/", "https://example.org\\@inside/", "https://example.org:0/", "https://[::1/",
        "\\\\inside\\x", "/a b", "https://exa\u00e4mple.org/", "https://[fe80::1%25eth0]/",
        "https://example.org/" + "a" * 2048, "//[", "https://example.org/<>",
    ],
)  # fmt: skip
def test_a_redirect_that_is_not_followed(location: str | None) -> None:
    """Other schemes, user names, odd hosts, characters that belong in no URL, and no place at all."""
    with pytest.raises(HomeserverError, match="redirects"):
        redirected(HERE, location)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None), ("", None), ("public", None), ("max-age=60", 60), ("public, MAX-AGE = 60", 60),
        ('max-age="60"', 60), ("max-age=-1", None), ("max-age=x", None), ("no-store", 0),
        ("no-cache, max-age=60", 0), ("s-maxage=60", None), ("max-age=" + "9" * 400, 999_999_999),
    ],
)  # fmt: skip
def test_ages(header: str | None, seconds: float | None) -> None:
    """Seconds, as Cache-Control gives them; nonsense says nothing."""
    assert max_age(header) == seconds


@given(st.text() | st.text("htps:/@.#?%\\[]0123456789ab-_").map("https://{}".format))
@example("https://a@b")
def test_a_base_url_that_passes_has_the_host_it_shows(text: str) -> None:
    """Another parser sees the same: https, no user name, no query, no fragment, a port in range."""
    endpoint = client_endpoint({"m.homeserver": {"base_url": text}})
    if endpoint is None:
        return
    parts = urlsplit(endpoint.base)
    assert (parts.scheme, parts.username, parts.query, parts.fragment) == ("https", None, "", "")
    assert parts.hostname
    assert parts.port != 0
    assert ".." not in parts.path.split("/")


@given(st.text() | st.text("htps:/@.#?%\\[]0123456789ab-_").map("https://{}".format))
def test_a_redirect_that_passes_is_plain_https(text: str) -> None:
    """Whatever it was before."""
    try:
        target = redirected(HERE, text)
    except HomeserverError:
        return
    parts = urlsplit(target)
    assert (parts.scheme, parts.username, parts.fragment) == ("https", None, "")
    assert parts.hostname
    assert parts.port != 0


@given(st.text())
def test_any_cache_control_is_an_age_or_nothing(text: str) -> None:
    """It never raises, and no age is endless."""
    seconds = max_age(text)
    assert seconds is None or 0 <= seconds < 10**9
