"""Media references in targets: what is accepted is one place at the homeserver, read however you like.

The paths that we build from a target are put through every sensible and senseless reading: decoded once
and twice, normalised as POSIX, yarl, WHATWG's URL parser and lax servers do. All must agree.
"""

import posixpath
import re
from typing import Final
from urllib.parse import quote, unquote, unquote_to_bytes, urljoin, urlsplit

from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.urls import uri_to_iri
from yarl import URL

from ostiary.errors import OstiaryError
from ostiary.matrix.media_routes import path_of, route_prefixes
from ostiary.model import MediaRef, MediaRequest, Thumbnail
from ostiary.web.routes import PREFIX, Call, Route, match
from tests.fuzz.mutations import mutated

SERVERS: Final = (
    "example.org",
    "example.org:8448",
    "1.2.3.4:1",
    "[::1]",
    "[2001:DB8::1]:65535",
    "a-b",
    "x" * 255,
)
IDS: Final = ("AbC-_1", "-", "_", "a" * 255, "0")
_CLOSED: Final = re.compile(r"[0-9A-Za-z_.:\[\]-]+")

# --- as an attacker writes ---

_SEGMENTS: Final = st.one_of(
    st.sampled_from([*SERVERS, *IDS, "", ".", "..", "...", "~", "*", "_matrix", "client", "a.b", "name.png"]),
    st.sampled_from(
        ["[::1", "::1]", "[::1]]", "[::ffff:1.2.3.4]", "[fe80::1%25eth0]", "[:::]", "[1]", "256.1.1.1"]
    ),
    st.sampled_from(
        ["a:0", "a:65536", "a:", "a:080", "a:1:2", "a@b", "a b", "a,b", "a;b", "a|b", "a.", ".a", "a..b"]
    ),
    st.sampled_from(
        ["\u0430.org", "\u3002\u3002", "\uff0e\uff0e", "\u2024\u2024", "\uff0f", "\u2215", "\xad", "\u212a"]
    ),
    st.text(max_size=5),
)
_DISGUISES: Final = (
    lambda c: c,
    lambda c: "%" + c.encode().hex("%"),
    lambda c: "%" + c.encode().hex("%").upper(),
    lambda c: "%25" + c.encode().hex("%").replace("%", "%25"),
    lambda c: "%25" + "25" + c.encode().hex(),
    lambda c: f"%u{ord(c):04x}",
    lambda c: f"\\u{ord(c):04x}",
    lambda c: f"&#{ord(c)};",
    lambda c: f"%{0xC0 | ord(c) >> 6:02x}%{0x80 | ord(c) & 0x3F:02x}" if c.isascii() else c,  # overlong
    lambda c: f"%e0%80%{0x80 | ord(c) & 0x3F:02x}" if c.isascii() else c,
    lambda c: c + "%00",
    lambda c: c + "%0d%0a",
)
_GLUE: Final = st.sampled_from(
    ["/", "/", "/", "/", "/", "//", "/./", "/../", "\\", "%2f", "%2F", "%5c", "%252f", ";/", "/%2e/"]
)


@st.composite
def disguised(draw: st.DrawFn, text: str) -> str:
    """Write some characters of the text in another way."""
    chance = draw(st.integers(0, 3))
    written = []
    for character in text if len(text) < 60 else text[:0] or [text]:
        plain = chance == 0 or len(character) > 1 or draw(st.integers(0, 3)) > 0
        written.append(character if plain else draw(st.sampled_from(_DISGUISES))(character))
    return "".join(written)


@st.composite
def targets(draw: st.DrawFn) -> str:
    """Write a target: our prefix, a route, segments, a query, all of it perhaps not quite so."""
    prefix = draw(
        st.sampled_from([PREFIX] * 8 + ["/", "//", PREFIX + "../unstable/", "http://x" + PREFIX, PREFIX[1:]])
    )
    route = draw(
        st.sampled_from(["download", "download", "scan", "thumbnail", "public_key", "DOWNLOAD", "%64ownload"])
    )
    text = prefix + route
    if draw(st.booleans()):  # one of the two is real, and nothing else is odd
        real = st.sampled_from(SERVERS), st.sampled_from(IDS)
        odd = draw(st.integers(0, 2))
        text += "".join("/" + draw(disguised(draw(_SEGMENTS if odd == n else real[n]))) for n in (0, 1))
    else:
        for _ in range(draw(st.sampled_from([2, 2, 2, 2, 1, 3, 4]))):
            text += draw(_GLUE) + draw(disguised(draw(_SEGMENTS)))
    text += draw(st.sampled_from(["", "", "", "/", "//", "#x", "#/../x", "%23", "/..", "/%2e%2e/", "%00"]))
    return text + draw(
        st.sampled_from(
            [
                "",
                "?",
                "?width=1&height=2",
                "?width=9&height=9&method=scale&animated=true&width=../x",
                "?/../x",
            ]
        )
        | st.text(max_size=20).map(lambda query: "?width=1&height=2&" + query)
    )


_BASES: Final = st.sampled_from(
    [f"{PREFIX}download/{server}/{media}" for server in SERVERS for media in IDS]
).map(str.encode)
_WORDS: Final = (
    b"%2e",
    b"%2E%2e",
    b"..",
    b"%2f",
    b"\\",
    b"%5c",
    b"%00",
    b"%25",
    b"%c0%ae",
    b"@",
    b"?",
    b"#",
    b"[",
    b"]",
    b":",
)

# --- as servers read ---


def whatwg(path: str) -> list[str]:
    """Return the segments that a browser's URL parser leaves (WHATWG URL, "path state")."""
    segments: list[str] = []
    parts = path.replace("\\", "/").split("/")[1:]
    for number, part in enumerate(parts):
        dots = part.lower().replace("%2e", ".")
        last = number == len(parts) - 1
        if dots == "..":
            segments = segments[:-1] + ([""] if last else [])
        elif dots == ".":
            segments += [""] if last else []
        else:
            segments.append(part)
    return segments


def lax(path: str) -> list[str]:
    """Return the segments that a careless server finds: all decoded first, parameters dropped."""
    decoded = unquote(unquote(path)).replace("\\", "/").partition("#")[0]
    normal = posixpath.normpath(decoded.replace("\0", ""))
    return [segment.partition(";")[0] for segment in normal.split("/")[1:]]


READINGS: Final = (
    lambda path: path.split("/")[1:],
    whatwg,
    lax,
    lambda path: posixpath.normpath(path).split("/")[1:],
    lambda path: URL("http://h" + path, encoded=True).raw_path.split("/")[1:],
    lambda path: URL("http://h" + path).raw_path.split("/")[1:],
    lambda path: urlsplit("http://h" + path).path.split("/")[1:],
    lambda path: urljoin("http://h/a/b/c", path).removeprefix("http://h").split("/")[1:],
    lambda path: urlsplit(uri_to_iri("http://h" + path)).path.split("/")[1:],
    lambda path: unquote_to_bytes(path).decode("latin-1").split("/")[1:],
)


def check(call: Call) -> None:
    """Check that the paths that come of an accepted call are what they say, to every reader."""
    ref = call.ref
    assert ref is not None
    assert _CLOSED.fullmatch(ref.server_name)
    assert _CLOSED.fullmatch(ref.media_id)
    assert ref.server_name.startswith("[") or all(ref.server_name.partition(":")[0].split("."))
    for route in route_prefixes(authenticated=True):
        path, _, query = path_of(route, MediaRequest(ref, call.thumbnail)).partition("?")
        kind = "download" if call.thumbnail is None else "thumbnail"
        expected = [*route.split("/")[1:], kind, ref.server_name, ref.media_id]
        assert re.fullmatch(r"[A-Za-z0-9._~:/%-]*", path), path  # no brackets: RFC 3986, 3.3
        for reading in READINGS:
            segments = reading(path)
            assert [unquote(one) for one in segments] == expected, (path, segments)
            assert [unquote(unquote(one)) for one in segments] == expected
        assert re.fullmatch(r"[a-z0-9_=&]*", query)


def accepted(target: str) -> Call | None:
    """Return the call of a media that the target is; None for anything else that is allowed to happen."""
    try:
        call = match("GET", target)
    except OstiaryError:
        return None
    if call.route not in {Route.DOWNLOAD, Route.SCAN, Route.THUMBNAIL}:
        return None
    return call


def by_hand(target: str) -> tuple[str, str]:
    """Read the two segments out of a target without any of our code."""
    path = target.partition("?")[0]
    segments = path[len(PREFIX) :].split("/")
    return unquote(segments[1]), unquote(segments[2])


@given(targets() | mutated(_BASES, _WORDS).map(lambda raw: raw.decode("utf-8", "surrogateescape")))
@example(PREFIX + "download/%2e%2e/%2e%2e")
@example(PREFIX + "download/a/b%2f..%2fc")
@example(PREFIX + "download/[::1]/a")
@example(PREFIX + "download/a..b/c")
@example(PREFIX + "download/example.org/%2561")
@example(PREFIX + "download/%2565xample.org/a")
@example(PREFIX + "download/a%2e/b")
@example(PREFIX + "scan/\udcff/b")
def test_what_is_accepted_is_one_place_to_every_reader(target: str) -> None:
    """Any target is a call whose path survives every normalisation, or one of our errors."""
    call = accepted(target)
    if call is not None:
        check(call)
        assert call.ref is not None
        assert (call.ref.server_name, call.ref.media_id) == by_hand(target)


@given(st.binary(max_size=60), st.sampled_from(["", PREFIX, PREFIX + "download/", PREFIX + "scan/a/"]))
def test_any_bytes_are_a_call_or_our_error(raw: bytes, before: str) -> None:
    """The bytes 0x21 to 0xff, as the HTTP parser hands them on, and the rest as well."""
    call = accepted(before + raw.decode("utf-8", "surrogateescape"))
    if call is not None:
        check(call)


@given(st.data())
def test_real_references_are_accepted_however_they_are_encoded(data: st.DataObject) -> None:
    """Encoding any characters once, in either case, changes nothing."""
    server, media = data.draw(st.sampled_from(SERVERS)), data.draw(st.sampled_from(IDS))
    hidden = data.draw(st.sets(st.characters(codec="ascii"), max_size=8)) | data.draw(
        st.sampled_from([set(), set(server)])
    )

    def written(text: str) -> str:
        return "".join(f"%{ord(c):02{data.draw(st.sampled_from('xX'))}}" if c in hidden else c for c in text)

    call = match("GET", f"{PREFIX}thumbnail/{written(server)}/{written(media)}?width=1&height=16384")
    assert call == Call(Route.THUMBNAIL, MediaRef(server, media), thumbnail=Thumbnail(1, 16384))
    check(call)


@given(st.text(max_size=40), st.sampled_from(["access_token", "width", "height", "method", "animated", "x"]))
def test_any_query_is_parameters_or_our_error(text: str, name: str) -> None:
    """Whatever a parameter holds, once or encoded, it never gets into the path."""
    for value in (text, quote(text, safe=""), quote(quote(text, safe=""), safe="")):
        call = accepted(f"{PREFIX}thumbnail/a/b?{name}={value}&width=1&height=1")
        if call is not None:
            check(call)
