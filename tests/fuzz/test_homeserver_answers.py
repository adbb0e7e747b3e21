"""Answers of a homeserver, byte by byte over a real socket, against another HTTP parser (h11).

Whatever comes: a HomeserverError, a HomeserverRefusalError, or the whole body that was framed, decoded.
Never a part of it, never more, and never what belongs to the next answer on that connection.
"""

import asyncio
import gzip
import json
import re
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Final

import h11
import pytest
from hypothesis import example, given, note
from hypothesis import strategies as st

from ostiary.errors import HomeserverError, HomeserverRefusalError
from ostiary.matrix.homeserver import Homeserver
from ostiary.model import Identity, MediaRef, MediaRequest
from ostiary.web.errors import refusal_of
from tests.fuzz.mutations import cut, fewer, mutated
from tests.matrix.fake_homeserver import FakeHomeserver, Reply, answer, media, opened

WANTED: Final = MediaRequest(MediaRef("example.org", "id"), token="a-token-of-a-user")
PLACE: Final = "/_matrix/client/v1/media/download/example.org/id"
OTHER: Final = MediaRequest(MediaRef("example.org", "other"), token="a-token-of-another")
FILE: Final = b"\0the whole file, every byte of it\r\n0\r\n\r\n" * 3
OWN: Final = b"what the other one asked for"
PATIENCE: Final = 20

STATUS_LINES: Final = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK",) * 12,
        *(b"HTTP/1.0 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 \xff", b"HTTP/1.1 206 x"),
        b"HTTP/1.1 304 x",
        *(b"HTTP/1.1 404 x", b"HTTP/1.1 401 x", b"HTTP/1.1 500 x", b"HTTP/1.1 204 x", b"HTTP/1.1 100 x"),
        b"HTTP/1.1 101 x",
        *(b"HTTP/1.1 302 x", b"HTTP/2 200", b"HTTP/1.1 2OO OK", b"HTTP/1.1 0200 OK", b"HTTP/1.1 -200 OK"),
        b"HTTP/9.9 200 OK",
        *(b"http/1.1 200 OK", b"ICY 200 OK", b"HTTP/1.1  200 OK", b" HTTP/1.1 200 OK", b"HTTP/1.1 999 x"),
        b"HTTP/1.1\t200 x",
    ]
)  # fmt: skip
HEADERS: Final = st.lists(
    st.sampled_from(
        [
            *(b"Content-Type: image/png", b"Content-Type: text/html", b"Content-Type: \xff"),
            b"Content-Type: a/b\r\n\tfolded",
            *(b"Content-Disposition: inline; filename*=utf-8''%ff", b"ETag: 1", b"ETag: \xff"),
            b"Connection: close",
            *(b"Connection: keep-alive", b"Keep-Alive: timeout=5", b"Set-Cookie: a=b", b"Location: /x"),
            b"X: a\r\n b",
            *(b"Content-Encoding: identity", b"Content-Encoding: gzip", b"Content-Encoding: br"),
            b"Content-Encoding: \xff",
            *(b"Content-Length: 3", b"Content-Length: 0", b"Content-Length: +3", b"Content-Length: 3, 3"),
            b"Content-Length:",
            *(b"Content-Length: 0x10", b"Content-Length: \xb3", b"content-length : 3"),
            b"Content-Length: " + b"9" * 25,
            *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: CHUNKED ", b"Transfer-Encoding: identity"),
            *(b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, chunked"),
            b"Transfer-Encoding: chunked;q=1",
            *(b"Transfer-Encoding : gzip", b"Transfer-Encoding: gzip"),
            *(b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding : chunked"),
            *(b"Transfer-Encoding:\r\n chunked", b"Trailer: X"),
            *(b"Content-Range: bytes 0-2/10", b"Upgrade: h2c", b"Connection: upgrade", b"X: " + b"y" * 5000),
            *(b"X\0: y", b": y"),
            *(b"Retry-After: 99", b"Link: <", b"Date: x", b"Age: -1", b"X" * 9000, b"noheader"),
        ]
    ),
    max_size=3,
)  # fmt: skip
WORDS: Final = (
    *(
        b"HTTP/1.1 200 OK\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"0\r\n\r\n",
        b"\r\n\r\n",
        b"\n\n",
    ),
    *(
        b"5;x\r\n",
        b"-1\r\n",
        b"+5\r\n",
        b"0x5\r\n",
        b"5 \r\n",
        b"0005\r\n",
        b"f" * 17,
        b"\r\n0\r\nX: y\r\n\r\n",
        b"\n",
        b"\r",
    ),
)
CODINGS: Final[dict[bytes, Callable[[bytes], bytes]]] = {
    b"": lambda data: data,
    b"gzip": gzip.compress,
    b"x-gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"Deflate": lambda data: zlib.compress(data)[2:-4],
}


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Write an answer that means something: status, headers, a framing, an encoding, and what follows."""
    coding = draw(st.sampled_from(sorted(CODINGS)))
    body = CODINGS[coding](draw(st.sampled_from([FILE, b"", b"x", bytes(5000)])))
    if draw(st.integers(0, 3)) == 0:
        body = draw(mutated(st.just(body), (body,), most=2))
    lines = [draw(STATUS_LINES), *draw(HEADERS)]
    lines += [b"Content-Encoding: " + coding] if coding else []
    framing = draw(st.sampled_from(["length", "length", "chunks", "chunks", "lie", "none", "both"]))
    if framing in {"chunks", "both"}:
        lines.append(b"Transfer-Encoding: chunked")
        pieces = cut(body, draw)
        end = draw(
            st.sampled_from(
                [b"0\r\n\r\n"] * 4 + [b"0\r\nX: y\r\n\r\n", b"0;x=y\r\n\r\n", b"000\r\n\r\n", b"0\r\n", b""]
            )
        )
        form = draw(
            st.sampled_from(
                [b"%x\r\n%b\r\n"] * 4 + [b"%X;a=b\r\n%b\r\n", b"0%x\r\n%b\r\n", b"%x\n%b\n", b"%x \r\n%b\r\n"]
            )
        )
        framed = b"".join(form % (len(piece), piece) for piece in pieces) + end
    else:
        framed = body
    if framing in {"length", "lie", "both"}:
        lines.append(
            b"Content-Length: %d" % max(0, len(body) + (draw(st.integers(-9, 9)) if framing == "lie" else 0))
        )
    before = draw(
        st.sampled_from(
            [b""] * 9 + [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 x\r\nLink: y\r\n\r\n", b"\r\n"]
        )
    )
    behind = draw(st.sampled_from([b""] * 9 + [b"x", b"\r\n", b"\0", media(b"of the next")]))
    end_of_line = draw(st.sampled_from([b"\r\n"] * 9 + [b"\n"]))
    return before + end_of_line.join(lines) + end_of_line * 2 + framed + behind


SPOILT: Final = answers() | mutated(answers(), WORDS, most=3)


_REASON: Final = re.compile(rb"\A(HTTP/1\.[01] [0-9]{3}) [^\r\n]*")


def by_h11(data: bytes) -> bytes | None:
    """Return the decoded body that another parser finds in a 200; None for none, or a broken one."""
    peer = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    peer.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    peer.send(h11.EndOfMessage())
    body, codings, status = b"", [], 0
    try:
        # Ours overlooks blank lines before a status line, and what the reason phrase is, which nobody reads.
        peer.receive_data(_REASON.sub(rb"\1 OK", data.lstrip(b"\r\n")))
        while not isinstance(event := peer.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                peer.receive_data(b"")
            elif isinstance(event, h11.Response):
                status = event.status_code
                codings = [value for name, value in event.headers if name == b"content-encoding"]
            elif isinstance(event, h11.Data):
                body += event.data
            elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return None
    except h11.RemoteProtocolError:
        return None
    words = [word.strip().lower() for word in b",".join(codings).split(b",")]
    coding = b", ".join(word for word in words if word not in {b"", b"identity"})
    return None if status != 200 else undone(body, coding)


def undone(body: bytes, coding: bytes) -> bytes | None:
    """Undo a Content-Encoding by other means than ours; None where the body is not exactly one stream."""
    if not coding or not body:
        return body
    ways = {b"gzip": (31,), b"x-gzip": (31,), b"deflate": (15, -15)}.get(coding, ())
    for bits in ways:
        stream = zlib.decompressobj(bits)
        try:
            data = stream.decompress(body) + stream.flush()
        except zlib.error:
            continue
        if stream.eof and not stream.unused_data:
            return data
    return None


def said(data: bytes, draw: st.DataObject | None) -> Reply:
    """Return a reply that sends the bytes in pieces, and then closes."""
    pieces = [data] if draw is None else cut(data, draw.draw)

    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces[:200]:
            writer.write(piece)
            await writer.drain()  # ends this when nobody listens any more
            await asyncio.sleep(0)
        writer.write(b"".join(pieces[200:]))
        await writer.drain()

    return reply


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[FakeHomeserver]:
    """A homeserver that answers as told."""
    async with FakeHomeserver() as fake:
        fake.otherwise = media(OWN)
        yield fake


@pytest.fixture(scope="module")
async def client(server: FakeHomeserver) -> AsyncIterator[Homeserver]:
    """Our client, with little patience: some of these answers never end."""
    homeserver = Homeserver(server.url, timeout=0.3, max_concurrent=4)
    yield homeserver
    await homeserver.close()


@pytest.fixture(scope="module")
async def patient(server: FakeHomeserver) -> AsyncIterator[Homeserver]:
    """Our client where answers are whole, however slow this machine may be."""
    homeserver = Homeserver(server.url, timeout=PATIENCE, max_concurrent=4)
    yield homeserver
    await homeserver.close()


async def fetched(client: Homeserver, request: MediaRequest) -> bytes | None:
    """Return the media's bytes; None for our two errors. Anything else, or no end, fails the test."""
    try:
        async with asyncio.timeout(PATIENCE), opened(client, request) as download:
            body = b"".join([chunk async for chunk in download.chunks()])
            assert download.size in {None, len(body)}
            for header in (download.content_type, download.content_disposition, download.etag):
                assert header is None or (header.isprintable() and len(header) <= 2048)
            return body
    except HomeserverRefusalError as refusal:
        check(refusal)
    except HomeserverError as error:
        note(f"{error}: {error.__cause__!r}")
        assert str(error).isprintable()
    return None


def check(refusal: HomeserverRefusalError) -> None:
    """Check that a refusal can be passed on: bounded words, and a response that is JSON."""
    assert 400 <= refusal.status <= 999
    assert refusal.error.isprintable()
    assert len(refusal.error) <= 500
    assert refusal.errcode.isascii()
    passed = refusal_of(refusal)
    body = json.loads(json.dumps(passed.body(), ensure_ascii=False).encode())
    assert body["reason"]
    assert 400 <= passed.status < 600
    assert passed.retry_after is None or passed.retry_after.isdigit()


TWICE: Final = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding%b\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
)


@fewer(2)
@given(SPOILT, st.none() | st.data())
@example(TWICE % b": gzip", None)
@example(TWICE % b" : gzip", None)
@example(TWICE % b": chunked", None)
async def test_any_answer_is_whole_or_an_error(
    server: FakeHomeserver, client: Homeserver, data: bytes, draw: st.DataObject | None
) -> None:
    """What we take for a file is the body that h11 finds in the same bytes, to the byte."""
    server.replies[PLACE] = said(data, draw)
    got = await fetched(client, WANTED)
    note(repr(data))
    if got is not None:
        assert got == by_h11(data)


@fewer(4)
@given(answers(), st.data())
async def test_no_answer_is_taken_for_another(
    server: FakeHomeserver, client: Homeserver, data: bytes, draw: st.DataObject
) -> None:
    """On a connection that stays open, what follows an answer never becomes the next caller's file."""
    server.replies[PLACE] = data + draw.draw(
        st.sampled_from([b"", b"x", media(b"poison"), b"\r\n" + media(b"poison")])
    )
    await fetched(client, WANTED)
    got = await fetched(client, OTHER)
    assert got in {OWN, None}  # a slow machine may cost one answer its little time
    assert got or await fetched(client, OTHER) == OWN


ERRORS: Final = (
    {"errcode": "M_LIMIT_EXCEEDED", "error": "slow down", "retry_after_ms": 2500, "soft_logout": False},
    {"errcode": "M_NOT_FOUND", "error": "\u00e9\U0001f600"},
    {"errcode": "M_UNKNOWN_TOKEN", "error": "no", "soft_logout": True},
)
JSON_WORDS: Final = (
    *(
        b"\\ud800",
        b"\\u0000",
        b"\\u202e",
        b"\\r\\n",
        b"NaN",
        b"1e999",
        b"-1",
        b"9" * 5000,
        b"[" * 3000,
        b'{"a":' * 3000,
    ),
    *(
        b'"errcode":1',
        b'"retry_after_ms":true',
        b'"error":null',
        b"null",
        b"\x1b[2J",
        b"\xef\xbb\xbf",
        b"a-token-of-a-user",
    ),
)


@fewer(2)
@given(
    st.sampled_from([400, 401, 403, 404, 405, 413, 418, 429, 499, 500, 502, 503, 504, 599]),
    mutated(st.sampled_from([json.dumps(error).encode() for error in ERRORS]), JSON_WORDS),
    st.sampled_from(["", "3", "-3", "3.5", "\u0663", "9" * 400, "Fri, 20 Nov 2026 07:00:00 GMT", "3\t"]),
)
async def test_any_error_body_is_a_refusal(
    server: FakeHomeserver, patient: Homeserver, status: int, body: bytes, wait: str
) -> None:
    """Whatever a homeserver says with a status of 4xx or 5xx, the client of ours gets a sane refusal."""
    server.replies[PLACE] = answer(status, body, {"Retry-After": wait.encode().decode("latin-1")})
    with pytest.raises(HomeserverRefusalError) as refused:
        async with opened(patient, WANTED):
            raise AssertionError("an error was taken for a file")
    assert refused.value.status == status
    check(refused.value)
    assert str(WANTED.token) not in str(refused.value)


@fewer(2)
@given(
    mutated(
        st.sampled_from(
            [b'{"user_id": "@alice:example.org", "is_guest": false}', b'{"user_id": "@a:b"}', b"{}"]
        ),
        (b"@", b'"is_guest":1', b"\\ud800", b"\\n", b"null", b"@" * 300, b"[" * 3000),
    )
)
async def test_any_whoami_is_a_user_or_an_error(
    server: FakeHomeserver, client: Homeserver, body: bytes
) -> None:
    """Who a token belongs to is a word that can be logged, as Python reads it too, or an error."""
    server.replies["/_matrix/client/v3/account/whoami"] = answer(200, body)
    try:
        identity = await client.whoami("tok")
    except HomeserverError:
        return
    assert isinstance(identity, Identity)
    assert identity.user.startswith("@")
    assert identity.user.isprintable()
    assert json.loads(body)["user_id"] == identity.user


@fewer(2)
@given(SPOILT, st.sampled_from(['"abc"', "1", 'W/"x"']), st.data())
async def test_unchanged_only_if_it_says_so(
    server: FakeHomeserver, client: Homeserver, data: bytes, etag: str, draw: st.DataObject
) -> None:
    """With a copy in hand, None comes of a 304 alone; every other answer is a file or an error as before."""
    server.replies[PLACE] = said(data, draw)
    try:
        async with asyncio.timeout(PATIENCE), client.media(WANTED, etag) as download:
            if download is None:
                assert b" 304" in data
                return
            body = b"".join([chunk async for chunk in download.chunks()])
    except (HomeserverError, HomeserverRefusalError):
        return
    assert body == by_h11(data)
