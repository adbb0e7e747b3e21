"""Requests that mean two things: smuggled behind others, split, or pointing elsewhere than they show."""

from pathlib import Path
from typing import Final

import pytest

from tests.attacks.house import PLACE, fetched, give, raw_get, remembering, statuses
from tests.flow.samples import PICTURE
from tests.matrix.fake_homeserver import cut, media
from tests.web.door import API, Door

HIDDEN: Final = raw_get(f"download/{PLACE}", "Connection: close")
"""What an attacker wants to be taken for the next request: a proxy would give its answer to others."""

POST: Final = f"POST {API}/scan_encrypted HTTP/1.1\r\nHost: x\r\n".encode()
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"

REFUSED: Final = {
    "a length and chunks": POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "chunks and a length": POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 99\r\n\r\n{}",
    "one length twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "a length with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "a negative length": POST + b"Content-Length: -2\r\n\r\n{}",
    "a hexadecimal length": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "a length of Python's": POST + b"Content-Length: 0_2\r\n\r\n{}",
    "a blank before the colon": POST + b"Content-Length : 2\r\n\r\n{}",
    "another coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked, but not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: identity\r\n" + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n",
    "a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": POST.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n",
    "a folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a folded header": b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "a blank before the first header": b"GET /health HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n",
    "a bare LF": b"GET /health HTTP/1.1\nHost: x\n\n",
    "a bare CR": b"GET /health HTTP/1.1\r\nHost: x\rX: y\r\n\r\n",
    "a NUL": b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    "a chunk's extension with a LF": POST + CHUNKED + b"\r\n2;\n{}\r\n0\r\n\r\n",
    "a chunk size that is none": POST + CHUNKED + b"\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk size beyond all": POST + CHUNKED + b"\r\n10000000000000002\r\n{}\r\n0\r\n\r\n",
    "a chunk without an end": POST + CHUNKED + b"\r\n2\r\n{}XX0\r\n\r\n",
    "chunks with bare LF": POST + CHUNKED + b"\r\n2\n{}\n0\n\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED.keys())
async def test_framing_that_two_servers_read_in_two_ways(door: Door, sent: bytes) -> None:
    """What another server might read to another end is refused, and nothing behind it is a request."""
    give(door.homeserver, media(PICTURE))
    got = await door.raw(sent + HIDDEN)
    assert statuses(got) == [400]
    assert door.homeserver.received == []


def _length(head: bytes) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN


BODIES: Final = {
    "a body that GET has no use for": _length(b"GET /health HTTP/1.1\r\nHost: x\r\n"),
    "chunks that GET has no use for": b"GET /health HTTP/1.1\r\nHost: x\r\n"
    + CHUNKED + b"\r\n%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n",
    "a preflight's body": _length(b"OPTIONS /health HTTP/1.1\r\nHost: x\r\n"),
    "the body of a refused request": _length(b"POST /nothing HTTP/1.1\r\nHost: x\r\n"),
    "the body of a tunnel": _length(b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n"),
    "a tunnel without a body": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
    "an upgrade's body": _length(POST + b"Connection: upgrade\r\nUpgrade: h2c\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("sent", BODIES.values(), ids=BODIES.keys())
async def test_a_body_never_becomes_a_request(tmp_path: Path, sent: bytes) -> None:
    """Whatever is answered without its body, the body is not the next request."""
    async with remembering(tmp_path, idle=0.3) as door:
        give(door.homeserver, media(PICTURE))
        assert len(statuses(await door.raw(sent))) == 1
        assert door.homeserver.received == []


TRAVERSALS: Final = (
    "..%2F..%2F_synapse%2Fadmin/x", "%2e%2e/%2e%2e", "../../x", "example.org/..%2fx", "example.org/%2e%2e",
    "example.org/%252e%252e%252fx", "example.org/..%c0%afx", "example.org/%e0%80%ae", "example.org/x%00y",
    "example.org/", "/x", "//example.org/x", "example.org//x", "example.org/x?/../../y",
    "example.org/x#y/../z",
    "example.org/x%3faccess_token=y", "example.org/x%0d%0aHost:%20evil", "example.org\\..\\x/y",
    "example.org%5c/x", "example.org@evil.example/x", "example.org%40evil/x", "http:%2f%2fevil.example/x",
    "example.org:99999/x", "example.org:80:80/x", "[::1/x", "[::g]/x", "999.1.1.1/x", "..:80/x", "./x", "-/.",
    "exa mple.org/x", "ex%C3%A4mple.org/x", "example.org/\u00e4", "x" * 256 + "/x",
    "example.org/" + "x" * 256,
    "example.org/" + "x" * 10_000, "%", "%zz/x", "example.org/x;y", "example.org/x:y", "example.org/~x",
)  # fmt: skip


HARMLESS: Final = {"example.org/x?/../../y", "example.org/x#y/../z"}


@pytest.mark.parametrize("route", ["download", "scan", "thumbnail"])
async def test_no_reference_leads_astray(door: Door, route: str) -> None:
    """What is no media reference is refused before any request leaves, in whatever encoding it comes."""
    for place in TRAVERSALS:
        got = await door.raw(raw_get(f"{route}/{place}", "Connection: close"))
        assert statuses(got) in ([404], [400]), place
        asked = {
            path.rpartition("/download/")[2].rpartition("/thumbnail/")[2] for path in door.homeserver.paths
        }
        assert asked <= ({"example.org/x"} if place in HARMLESS else set()), place
        door.homeserver.received.clear()


@pytest.mark.parametrize(
    "name",
    [
        "a%0d%0aSet-Cookie:%20x=1", "a%0aX-Injected:%201", "a%22;%20x=y", "%e2%80%a8X-Injected:%201",
        "a%00b", "%1b[31m", "a%5c%22%0d%0aX-Injected:1", "%c4%8d%c4%8aX-Injected:1",
    ],
)  # fmt: skip
async def test_a_file_name_splits_no_response(door: Door, name: str) -> None:
    """A name in the path becomes a part of one header, and never a header, or a body, of its own."""
    give(door.homeserver, media(b"x", "text/plain"))
    got = await door.raw(raw_get(f"download/{PLACE}/{name}", "Connection: close"))
    assert statuses(got) == [200]
    head, _, body = got.partition(b"\r\n\r\n")
    assert body == b"x"
    names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]
    assert not {b"Set-Cookie", b"X-Injected"} & set(names)
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert not any(byte < 32 or byte > 126 for byte in head.replace(b"\r\n", b""))


HEADERS: Final = {
    "a folded type": b"Content-Type: text/html\r\n X-Injected: 1\r\n",
    "a bare CR": b"Content-Disposition: inline; filename=a\rX-Injected: 1\r\n",
    "latin-1 line ends": b"Content-Disposition: inline; filename=a\x85X-Injected: 1\r\n",
    "encoded line ends": b"Content-Disposition: inline; filename*=UTF-8''a%0d%0aX-Injected:%201\r\n",
    "a quoted line end": b'Content-Disposition: inline; filename="a\\\r\\\nX-Injected: 1"\r\n',
    "cookies and more": b"Set-Cookie: a=b\r\nX-Injected: 1\r\nRefresh: 0;url=//evil\r\nLink: </x>\r\n",
    "another policy": b"Content-Security-Policy: default-src *\r\nAccess-Control-Allow-Credentials: true\r\n",
}  # fmt: skip


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
async def test_the_homeservers_headers_split_no_response(door: Door, header: bytes) -> None:
    """Of a homeserver's headers two are read and written anew; no other header comes from it."""
    give(door.homeserver, cut(b"HTTP/1.1 200 OK\r\n" + header + b"Content-Length: 1\r\n\r\nx"))
    got = await door.raw(raw_get(f"download/{PLACE}", "Connection: close"))
    assert statuses(got) in ([200], [502])
    lines = got.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    names = {line.partition(b":")[0].lower() for line in lines}
    assert not names & {b"set-cookie", b"x-injected", b"refresh", b"link"}
    assert sum(line.lower().startswith(b"content-security-policy:") for line in lines) == 1
    assert b"access-control-allow-credentials" not in names


@pytest.mark.parametrize("value", [b"a\x7fb", b"\xe9", b"a" * 5000, b"\xff\xfe"])
async def test_a_forwarded_header_is_plain_or_not_there(tmp_path: Path, value: bytes) -> None:
    """What a caller writes into a header that is passed on can't become more than its value."""
    async with remembering(tmp_path, headers_to_forward=["X-Forwarded-For"]) as door:
        give(door.homeserver, media(PICTURE))
        head = raw_get(f"download/{PLACE}", "Connection: close")[:-2]
        got = statuses(await door.raw(head + b"X-Forwarded-For: " + value + b"\r\n\r\n"))
        assert (got, fetched(door.homeserver)) in (([200], 1), ([400], 0))
        assert not any(request.header("x-forwarded-for") for request in door.homeserver.received)
