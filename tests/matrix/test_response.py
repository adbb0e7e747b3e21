"""Answers of a homeserver: whole and in their grammar, or a HomeserverError, and nothing else."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from typing import Final

import pytest

from ostiary.errors import HomeserverError, HomeserverRefusalError
from ostiary.matrix.content_encoding import PIECE
from ostiary.matrix.homeserver import Homeserver
from ostiary.model import MediaRef, MediaRequest
from ostiary.web.errors import refusal_of
from tests.matrix.fake_homeserver import (
    FakeHomeserver,
    Reply,
    answer,
    cut,
    endless,
    error,
    media,
    opened,
    pieces,
    silent_after,
)

WANTED: Final = MediaRequest(MediaRef("example.org", "id"), token="tok")
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
TEXT: Final = b"the whole file" * 1000
PACKED: Final = gzip.compress(TEXT)


@pytest.fixture
async def server() -> AsyncIterator[FakeHomeserver]:
    """A homeserver that answers as told."""
    async with FakeHomeserver() as fake:
        yield fake


@pytest.fixture
async def client(server: FakeHomeserver) -> AsyncIterator[Homeserver]:
    """Our client of that homeserver."""
    homeserver = Homeserver(server.url, timeout=10, max_concurrent=4)
    yield homeserver
    await homeserver.close()


async def fetch(client: Homeserver) -> bytes:
    """Return the media's bytes."""
    async with opened(client, WANTED) as download:
        return b"".join([chunk async for chunk in download.chunks()])


def with_length(body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    """Return a 200 whose Content-Length may be a lie."""
    size = len(body) if length is None else length
    return OK + b"".join(h + b"\r\n" for h in headers) + b"Content-Length: %d\r\n\r\n" % size + body


CHUNKED: Final = OK + b"Transfer-Encoding: chunked\r\n\r\n"

BROKEN: Final[dict[str, Reply]] = {
    "nothing": cut(b""),
    "garbage": cut(b"\x00\x01\x02 garbage\r\n\r\n"),
    "no status line": cut(b"hello, this is no HTTP"),
    "TLS": cut(b"\x15\x03\x01\x00\x02\x02\x0a"),
    "cut in the headers": cut(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "shorter than announced": cut(with_length(b"abc", length=30)),
    "an end that only the connection's end shows": cut(OK + b"\r\n" + TEXT),
    "the same in HTTP/1.0": cut(b"HTTP/1.0 200 OK\r\n\r\n" + TEXT),
    "chunked without an end": cut(CHUNKED + b"3\r\nabc\r\n"),
    "chunked, cut in a chunk": cut(CHUNKED + b"3\r\nab"),
    "a chunk longer than it says": cut(CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n"),
    "a chunk size that is none": cut(CHUNKED + b"ZZ\r\nabc\r\n"),
    "a negative length": with_length(b"abc", length=-3),
    "a length with a sign": cut(OK + b"Content-Length: +3\r\n\r\nabc"),
    "a length beyond all": with_length(b"abc", length=10**30),
    "two lengths": cut(OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    "a length and chunks": cut(OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "another transfer encoding": cut(OK + b"Transfer-Encoding: gzip\r\n\r\n" + PACKED),
    "gzip inside chunks": cut(
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n%x\r\n" % len(PACKED) + PACKED + b"\r\n0\r\n\r\n"
    ),
    "chunks, and another encoding": cut(
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    ),
    "chunks, and another encoding in disguise": cut(
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding : gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    ),
    "chunks, said twice": cut(
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    ),
    "a header too long": cut(OK + b"X: " + b"a" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n"),
    "too many headers": cut(OK + b"X: y\r\n" * 5000 + b"Content-Length: 0\r\n\r\n"),
    "endless headers": endless(OK, b"X: " + b"a" * 1000 + b"\r\n"),
    "a header without a name": cut(OK + b": y\r\nContent-Length: 0\r\n\r\n"),
    "a NUL in a header": cut(OK + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n"),
    "not gzip at all": with_length(b"abc", b"Content-Encoding: gzip"),
    "gzip that is cut": with_length(PACKED[:-20], b"Content-Encoding: gzip"),
    "gzip without its checksum": with_length(PACKED[:-4], b"Content-Encoding: gzip"),
    "gzip with more behind it": with_length(PACKED + b"more", b"Content-Encoding: gzip"),
    "gzip twice": with_length(gzip.compress(PACKED), b"Content-Encoding: gzip, gzip"),
    "gzip twice, in two headers": with_length(
        gzip.compress(PACKED), b"Content-Encoding: gzip", b"Content-Encoding: gzip"
    ),
    "brotli": with_length(b"abc", b"Content-Encoding: br"),
    "zstandard": with_length(b"abc", b"Content-Encoding: zstd"),
    "an encoding of its own": with_length(b"abc", b"Content-Encoding: rot13"),
    "101": cut(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc"),
    "201": answer(201, b"abc"),
    "204": cut(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "206": answer(206, b"abc", {"Content-Range": "bytes 0-2/10"}),
    "300": answer(300),
    "304": cut(b"HTTP/1.1 304 Not Modified\r\nETag: 1\r\n\r\n"),
    "000": cut(b"HTTP/1.1 000 What\r\nContent-Length: 0\r\n\r\n"),
    "1000": cut(b"HTTP/1.1 1000 What\r\nContent-Length: 0\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_answer_is_a_homeserver_error(
    server: FakeHomeserver, client: Homeserver, reply: Reply
) -> None:
    """Whatever is wrong with an answer, it is the homeserver's failure, and never a shorter file."""
    server.otherwise = reply
    with pytest.raises(HomeserverError):
        await fetch(client)
    with pytest.raises(HomeserverError):
        await client.whoami("tok")
    server.otherwise = media(TEXT)
    assert await fetch(client) == TEXT


async def test_a_chunk_that_goes_wrong_later(server: FakeHomeserver) -> None:
    """Broken framing in the middle of a body is an error: at the deadline, as aiohttp does not tell of it."""
    server.otherwise = pieces(CHUNKED + b"3\r\nabc\r\n", b"-1\r\nabc\r\n0\r\n\r\n")
    client = Homeserver(server.url, timeout=0.2, max_concurrent=1)
    with pytest.raises(HomeserverError):
        await fetch(client)
    with pytest.raises(HomeserverError):
        await client.whoami("tok")
    await client.close()


@pytest.mark.parametrize(
    ("reply", "size"),
    [
        (with_length(TEXT), len(TEXT)),
        (cut(CHUNKED + b"%x\r\n" % len(TEXT) + TEXT + b"\r\n0\r\n\r\n"), None),
        (pieces(CHUNKED, b"%x;ext=1\r\n" % len(TEXT), TEXT, b"\r\n0\r\nTrailer: x\r\n\r\n"), None),
        (with_length(PACKED, b"Content-Encoding: gzip"), None),
        (with_length(zlib.compress(TEXT), b"Content-Encoding: Deflate"), None),
        (with_length(TEXT, b"Content-Encoding: identity"), len(TEXT)),
        (cut(b"HTTP/1.1 100 Continue\r\n\r\n" + with_length(TEXT)), len(TEXT)),
        (cut(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + with_length(TEXT)), len(TEXT)),
    ],
)
async def test_a_whole_answer_is_the_file(
    server: FakeHomeserver, client: Homeserver, reply: Reply, size: int | None
) -> None:
    """Every framing and encoding that HTTP knows gives the same bytes; the size only where it is known."""
    server.otherwise = reply
    async with opened(client, WANTED) as download:
        assert download.size == size
        assert b"".join([chunk async for chunk in download.chunks()]) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_bomb_is_no_more_than_its_first_bytes(
    server: FakeHomeserver, client: Homeserver, coding: str
) -> None:
    """An answer that unpacks for ever is read as far as we want it, 64 KiB at a time."""
    packer = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    head = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    more = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    server.otherwise = endless(OK + f"Content-Encoding: {coding}\r\n\r\n".encode() + head, more)
    taken = 0
    async with opened(client, WANTED) as download:
        async for chunk in download.chunks():
            assert len(chunk) <= PIECE
            taken += len(chunk)
            if taken > 32 << 20:
                break
    with pytest.raises(HomeserverError, match="too long"):
        await client.whoami("tok")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"image/png", "image/png"),
        (b"text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        (b'Image/SVG+xml ;a="b;c"', 'Image/SVG+xml ;a="b;c"'),
        (b"", None),
        (b"png", None),
        (b"image/", None),
        (b"image/png, text/html", None),
        (b"image/png\xc3\xa9", None),
        (b"image/p\xffng", None),
        (b"text/html; charset=\xc3\xa9", None),
        (b"image/png; x=" + b"a" * 7900, None),
        (b"a" * 8000, None),
        (b"image/png\r\n ;folded=1", "image/png  ;folded=1"),
    ],
)  # fmt: skip
async def test_content_types(
    server: FakeHomeserver, client: Homeserver, value: bytes, expected: str | None
) -> None:
    """Only what is in the grammar passes: the header will be one of ours."""
    server.otherwise = cut(b"HTTP/1.1 200 OK\r\nContent-Type: " + value + b"\r\nContent-Length: 0\r\n\r\n")
    async with opened(client, WANTED) as download:
        got = download.content_type
    assert (got and " ".join(got.split())) == (expected and " ".join(expected.split()))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"inline; filename=a.png", "inline; filename=a.png"),
        ("inline; filename=é.png".encode(), "inline; filename=é.png"),
        (b"inline; filename=\xff.png", None),
        ("inline; filename=\u202egnp.exe".encode(), None),
        (b"inline;\tfilename=a.png", "inline; filename=a.png"),
        (b"inline;" + b";" * 8000, None),
    ],
)
async def test_content_dispositions(
    server: FakeHomeserver, client: Homeserver, value: bytes, expected: str | None
) -> None:
    """A disposition is text of a sane length, or none."""
    server.otherwise = cut(
        b"HTTP/1.1 200 OK\r\nContent-Disposition: " + value + b"\r\nContent-Length: 0\r\n\r\n"
    )
    async with opened(client, WANTED) as download:
        assert download.content_disposition == expected


async def test_headers_that_come_twice(server: FakeHomeserver, client: Homeserver) -> None:
    """The first one counts, for what is judged and what is sent alike."""
    server.otherwise = with_length(b"", b"Content-Type: text/html")
    async with opened(client, WANTED) as download:
        assert download.content_type == "image/png"


@pytest.mark.parametrize(
    "cookie", [b"\x01=\x02", b";;;=;a=b; Domain=\xff", b"a=b; Max-Age=" + b"9" * 5000, b"a" * 8000]
)
async def test_cookies_can_not_hurt(server: FakeHomeserver, client: Homeserver, cookie: bytes) -> None:
    """A cookie that nobody can parse is as uninteresting as any other."""
    server.otherwise = with_length(TEXT, b"Set-Cookie: " + cookie)
    try:
        assert await fetch(client) == TEXT
    except HomeserverError:
        assert b"\x01" in cookie  # no header value of HTTP's


async def refusal(client: Homeserver) -> HomeserverRefusalError:
    """Return how the homeserver refuses."""
    with pytest.raises(HomeserverRefusalError) as refused:
        await fetch(client)
    return refused.value


async def test_a_refusal_in_matrix_words(server: FakeHomeserver, client: Homeserver) -> None:
    """Code, text, soft_logout and both ways to say when to come back are read."""
    body = {"errcode": "M_LIMIT_EXCEEDED", "error": "Zu viel!", "soft_logout": False, "retry_after_ms": 2500}
    server.otherwise = answer(429, json.dumps(body).encode(), {"Retry-After": "3"})
    got = await refusal(client)
    assert (got.status, got.errcode, got.error) == (429, "M_LIMIT_EXCEEDED", "Zu viel!")
    assert (got.soft_logout, got.retry_after_ms, got.retry_after) == (False, 2500, "3")


@pytest.mark.parametrize(
    "reply",
    [
        answer(404),
        answer(404, b"<html>nginx</html>", {"Content-Type": "text/html"}),
        answer(404, b"null"),
        answer(404, b'"M_NOT_FOUND"'),
        answer(404, b"[" * 60_000),
        answer(404, b"{" + b'"a":' * 10_000),
        answer(404, b'{"errcode":' + b"9" * 50_000 + b"}"),
        answer(404, json.dumps({"errcode": "M_NOT_FOUND", "error": "x" * 100_000}).encode()),
        answer(404, b"\xff\xfe\x00\xd8"),
        answer(404, PACKED, {"Content-Encoding": "gzip"}),
        answer(404, b"abc", {"Content-Encoding": "gzip"}),
        answer(404, b"abc", {"Content-Encoding": "br"}),
        cut(b'HTTP/1.1 404 No\r\nContent-Length: 500\r\n\r\n{"errcode":"M_'),
        cut(b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"),
        endless(b"HTTP/1.1 404 No\r\n\r\n", b" " * 10_000),
        answer(404, json.dumps({"errcode": 7, "error": ["x"], "soft_logout": "yes"}).encode()),
        answer(404, json.dumps({"errcode": None, "error": None, "retry_after_ms": "5"}).encode()),
        answer(404, json.dumps({"errcode": "", "error": {}}).encode()),
        error(404, "not a code at all"),
        error(404, "M_" + "X" * 1000),
        error(404, "M_\ud800"),
        error(404, "M_NOT_FOUND\r\nSet-Cookie: a=b"),
        error(404, "M_\u202eDNUOF"),
    ],
)
async def test_a_refusal_in_other_words(server: FakeHomeserver, client: Homeserver, reply: Reply) -> None:
    """Whatever stands in an error's body, the status counts and the rest is M_UNKNOWN."""
    server.otherwise = reply
    got = await refusal(client)
    assert (got.status, got.errcode, got.soft_logout, got.retry_after_ms) == (404, "M_UNKNOWN", None, None)
    with pytest.raises(HomeserverRefusalError):
        await client.whoami("tok")


async def test_a_refusal_that_never_ends_its_words(server: FakeHomeserver) -> None:
    """A status whose body does not come in time is a refusal all the same, and the wait ends."""
    server.otherwise = silent_after(b"HTTP/1.1 403 No\r\nContent-Length: 50\r\n\r\n{")
    client = Homeserver(server.url, timeout=0.05, max_concurrent=1)
    assert (await refusal(client)).status == 403
    await client.close()


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31mred", "\ud800", "\u202eabc", "\x00", "x" * 5000, "é✓"])
async def test_its_words_can_not_break_ours(server: FakeHomeserver, client: Homeserver, text: str) -> None:
    """Control characters, lone surrogates and novels do not get into our answers and log lines."""
    server.otherwise = error(403, "M_FORBIDDEN", text)
    got = await refusal(client)
    assert got.error.isprintable()
    assert len(got.error) <= 500
    body = json.dumps(refusal_of(got).body(), ensure_ascii=False).encode()
    assert json.loads(body)["error"] == got.error
    assert str(got).isprintable()


@pytest.mark.parametrize(
    ("header", "milliseconds", "expected"),
    [
        ("0", 0, ("0", 0)),
        ("86400", 10**9, ("86400", 10**9)),
        ("-1", -1, (None, None)),
        ("1.5", 1.5, (None, None)),
        ("Fri, 20 Nov 2026 07:00:00 GMT", "7", (None, None)),
        ("9" * 5000, 10**9 + 1, (None, None)),
        ("\u0663".encode().decode("latin-1"), True, (None, None)),
        ("soon", None, (None, None)),
        ("", [], (None, None)),
    ],
)
async def test_when_to_come_back(
    server: FakeHomeserver,
    client: Homeserver,
    header: str,
    milliseconds: object,
    expected: tuple[str | None, int | None],
) -> None:
    """Only a number that makes sense is passed on."""
    body = json.dumps({"errcode": "M_LIMIT_EXCEEDED", "error": "", "retry_after_ms": milliseconds}).encode()
    server.otherwise = answer(429, body, {"Retry-After": header})
    got = await refusal(client)
    assert (got.retry_after, got.retry_after_ms) == expected


async def test_an_error_of_the_client_names_no_address(client: Homeserver, server: FakeHomeserver) -> None:
    """What users read of a failed fetch holds neither the homeserver's address nor what it sent."""
    server.otherwise = cut(b"HTTP/1.1 200 OK\r\nSecret-Header\r\n\r\n")
    with pytest.raises(HomeserverError) as failed:
        await fetch(client)
    assert "Secret" not in str(failed.value)
    assert str(server.port) not in str(failed.value)


async def test_many_at_once(server: FakeHomeserver, client: Homeserver) -> None:
    """Broken answers beside whole ones do not touch them."""
    server.otherwise = media(TEXT)
    server.replies["/_matrix/client/v3/account/whoami"] = cut(with_length(b"{", length=90))

    async def whoami() -> None:
        with pytest.raises(HomeserverError):
            await client.whoami("tok")

    async with asyncio.TaskGroup() as group:
        fetches = [group.create_task(fetch(client)) for _ in range(20)]
        for _ in range(20):
            group.create_task(whoami())
    assert {task.result() for task in fetches} == {TEXT}
