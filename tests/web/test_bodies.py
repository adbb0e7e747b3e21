"""Request bodies over real HTTP: bounded in bytes and seconds, invited only when they are wanted."""

import asyncio
import gzip
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest

from ostiary.model import Infected
from ostiary.web.bodies import JSON_LIMIT
from peers.samples import png
from tests.descriptors import open_descriptors
from tests.flow.fakes import ScriptedEngine, finding, hang, until
from tests.flow.samples import LARGE, PICTURE, encrypted
from tests.matrix.fake_homeserver import cut, error, media
from tests.web.clients import END, FORM, file_of, part
from tests.web.door import API, V1, WHOAMI, Door, opened

CIPHERTEXT: Final = encrypted(PICTURE)
BODY: Final = json.dumps(file_of(CIPHERTEXT)).encode()
FILE: Final = part("file", PICTURE, '; filename="cat.png"\r\nContent-Type: image/png')
FORM_TYPE: Final = {"Content-Type": FORM}
SCAN: Final = "scan_encrypted"


def post(route: str, length: int | None, *more: str, version: str = "1.1", token: bool = True) -> bytes:
    """Return the head of a request; without a length its body comes in chunks."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = [f"POST {API}/{route} HTTP/{version}", "Host: x", framing, *more]
    lines += ["Authorization: Bearer tok"] if token else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    """Yield the pieces: a body that aiohttp sends in chunks."""
    for piece in data:
        await asyncio.sleep(0)
        yield piece


def padded(size: int) -> bytes:
    """Return the body with as many blanks as make it that long."""
    return BODY + b" " * (size - len(BODY))


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("size", [len(BODY), 1 << 16, (1 << 16) + 1, JSON_LIMIT])
async def test_json_up_to_its_limit(door: Door, size: int, *, chunked: bool) -> None:
    """A body of up to 1 MiB is read, with its length announced or in chunks."""
    door.homeserver.otherwise = media(CIPHERTEXT)
    data = padded(size)
    got = await door.ask(SCAN, "POST", body=pieces(data[:1000], data[1000:]) if chunked else data)
    assert got.json == {"clean": True, "info": "clean"}


@pytest.mark.parametrize("chunked", [True, False])
async def test_json_beyond_its_limit(door: Door, *, chunked: bool) -> None:
    """One byte more is 413, announced or not, and nothing is fetched."""
    data = padded(JSON_LIMIT + 1)
    got = await door.ask(SCAN, "POST", body=pieces(data) if chunked else data)
    assert got.code == (413, "M_UNKNOWN")
    assert got.json["errcode"] == "M_TOO_LARGE"
    assert door.homeserver.received == []


async def test_what_is_announced_too_large_is_not_read(door: Door) -> None:
    """A length beyond the limit is refused before a byte of it came."""
    async with door.connection() as (reader, writer):
        writer.write(post(SCAN, 1 << 40))
        assert b" 413 " in await reader.readline()


@pytest.mark.parametrize("length", [JSON_LIMIT, None])
async def test_large_json_takes_room_once_it_is_here(door: Door, length: int | None) -> None:
    """Bodies over 64 KiB share a room of their own: announced ones take none, 16 that came fill it."""
    door.homeserver.otherwise = media(CIPHERTEXT)
    large = padded(1 << 17)
    async with AsyncExitStack() as others:
        senders = [(await others.enter_async_context(door.connection()))[1] for _ in range(16)]
        for writer in senders:
            writer.write(post(SCAN, length))
        await until(lambda: door.requests.used == 16)
        assert (await door.ask(SCAN, "POST", body=large)).status == 200
        for writer in senders:
            writer.write(large if length else b"20000\r\n" + large + b"\r\n")
        while (got := await door.ask(SCAN, "POST", body=large)).status == 200:
            pass  # until all of them arrived
        assert got.code == (503, "M_UNKNOWN")
        assert (await door.ask(SCAN, "POST", body=padded(1 << 16))).status == 200
    await until(lambda: door.quiet)
    assert (await door.ask(SCAN, "POST", body=large)).status == 200


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"{", b"{}", b"\xff\xfe", b'{"file":{}}', b'{"encrypted_body":7}', b"[" * 100_000],
)
async def test_json_that_is_nothing(door: Door, data: bytes) -> None:
    """What is not the object that the API asks for is 400, whatever it is."""
    for route in (SCAN, "download_encrypted"):
        got = await door.ask(route, "POST", body=data)
        assert got.code == (400, "MCS_MALFORMED_JSON")
    assert door.homeserver.received == []


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "x"])
async def test_a_compressed_body_is_refused(door: Door, coding: str) -> None:
    """Nobody sends those, and what they would become could not be bounded by their length."""
    data = gzip.compress(BODY)
    for route, headers in ((SCAN, {}), ("scan_file", FORM_TYPE)):
        got = await door.ask(route, "POST", headers={**headers, "Content-Encoding": coding}, body=data)
        assert got.code == (400, "MCS_MALFORMED_JSON")
        assert "compressed" in got.json["info"]
    door.homeserver.otherwise = media(CIPHERTEXT)
    got = await door.ask(SCAN, "POST", headers={"Content-Encoding": "identity"}, body=BODY)
    assert got.status == 200


@pytest.mark.parametrize("route", [SCAN, "scan_file"])
@pytest.mark.parametrize("start", [b"", b"{"])
async def test_a_body_that_does_not_come(tmp_path: Path, route: str, start: bytes) -> None:
    """A client that sends nothing for `limits.idle` is told so, and holds nothing any more."""
    async with opened(tmp_path, idle=0.05) as door:
        async with door.connection() as (reader, writer):
            writer.write(post(route, 1000, f"Content-Type: {FORM}") + start)
            assert b" 400 " in await reader.readline()
        await until(lambda: door.quiet)


@pytest.mark.parametrize("route", [SCAN, "scan_file"])
async def test_a_body_that_comes_drop_by_drop(tmp_path: Path, route: str) -> None:
    """One byte now and then is no progress: a place is not held for ever by who never quite stops."""
    async with opened(tmp_path, idle=0.2) as door:
        async with door.connection() as (reader, writer):
            writer.write(post(route, 1000, f"Content-Type: {FORM}"))
            answered = asyncio.get_running_loop().create_task(reader.readline())
            for _ in range(1000):
                if answered.done():
                    break
                writer.write(b" ")
                await asyncio.sleep(0.01)
            assert b" 400 " in answered.result()
        await until(lambda: door.quiet)


async def test_a_slow_body_that_keeps_coming(tmp_path: Path) -> None:
    """A large upload may take many times `limits.idle`, as long as it gets on."""
    engine = ScriptedEngine()
    async with opened(tmp_path, [engine], idle=0.5) as door:

        async def slowly() -> AsyncIterator[bytes]:
            data = part("file", LARGE) + END
            for at in range(0, len(data), 1 << 17):
                yield data[at : at + (1 << 17)]
                await asyncio.sleep(0.03)

        got = await door.ask("scan_file", "POST", headers=FORM_TYPE, body=slowly())
        assert got.json["clean"] is True
    assert engine.seen[0][0] == LARGE


@pytest.mark.parametrize("route", [SCAN, "scan_file"])
async def test_a_client_that_stops_in_the_middle(tmp_path: Path, route: str) -> None:
    """A client that goes away while it sends leaves no place taken, no room held and no file open."""
    async with opened(tmp_path) as door:
        await door.ask("public_key")
        before = open_descriptors()
        for _ in range(5):
            async with door.connection() as (_, writer):
                data = part("file", LARGE) if route == "scan_file" else padded(JSON_LIMIT)
                writer.write(
                    post(route, 1 << 30 if route == "scan_file" else JSON_LIMIT, f"Content-Type: {FORM}")
                )
                writer.write(data[:-100])
                await writer.drain()
                await until(lambda: door.requests.used == 1)
            await until(lambda: door.quiet)
        kept = len(door.homeserver.paths[:1]) * 2  # both ends of the connection to the homeserver
        await until(lambda: len(open_descriptors()) <= len(before) + kept)


@pytest.mark.parametrize(
    "body", [b"3\r\nabc\r\nZZ\r\n", b"3\r\nabcdef\r\n", b"-1\r\n", b"fffffffffffffffff\r\n"]
)
async def test_chunks_that_are_none(tmp_path: Path, body: bytes) -> None:
    """Broken chunks are 400, in JSON; after `limits.idle`, as aiohttp does not tell of them."""
    async with opened(tmp_path, idle=0.1) as door, door.connection() as (reader, writer):
        writer.write(post(SCAN, None))
        await writer.drain()
        await until(lambda: door.requests.used == 1)
        writer.write(body)
        assert b" 400 " in await reader.readline()


EXPECT: Final = "Expect: 100-continue"


@pytest.mark.parametrize("expect", [EXPECT, "expect: 100-Continue"])
async def test_a_body_is_invited(door: Door, expect: str) -> None:
    """`Expect: 100-continue` is answered when the body is wanted, and then the real answer comes."""
    body = FILE + END
    async with door.connection() as (reader, writer):
        writer.write(post("scan_file", len(body), f"Content-Type: {FORM}", expect))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert door.homeserver.paths == [WHOAMI]
        writer.write(body)
        assert b" 200 " in await reader.readline()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (post("scan_file", 1000, f"Content-Type: {FORM}", EXPECT, token=False), b"401"),
        (post("scan_file", 1000, "Content-Type: text/plain", EXPECT), b"400"),
        (post(SCAN, JSON_LIMIT + 1, EXPECT), b"413"),
        (post(SCAN, 1000, EXPECT, "Content-Encoding: gzip"), b"400"),
        (post(f"download/{'a' * 300}/x", 1000, EXPECT), b"405"),
        (post(SCAN, 1000, EXPECT, "Via: 1.1 ostiary"), b"502"),
    ],
)
async def test_a_body_that_is_not_wanted_is_not_invited(door: Door, head: bytes, status: bytes) -> None:
    """What is refused without its body gets its answer and no 100."""
    async with door.connection() as (reader, writer):
        writer.write(head)
        assert (await reader.readline()).split()[1] == status


async def test_a_body_is_not_invited_by_http_1_0(door: Door) -> None:
    """A client of HTTP/1.0 would take a 100 for the answer (RFC 9110, 10.1.1)."""
    door.homeserver.otherwise = media(CIPHERTEXT)
    got = await door.raw(post(SCAN, len(BODY), EXPECT, version="1.0") + BODY)
    assert got.splitlines()[0].split()[1] == b"200"


@pytest.mark.parametrize("length", [100_000_000, None])
async def test_without_a_token_the_body_is_never_read(door: Door, length: int | None) -> None:
    """scan_file asks for the token first: without one not a byte of the body is awaited."""
    async with door.connection() as (reader, writer):
        writer.write(post("scan_file", length, f"Content-Type: {FORM}", token=False))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 401 " in head.splitlines()[0]
        assert b'"M_MISSING_TOKEN"' in await reader.readuntil(b"}")
    assert door.homeserver.received == []


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (error(401, "M_UNKNOWN_TOKEN", soft_logout=True), (401, "M_UNKNOWN_TOKEN")),
        (error(403, "M_FORBIDDEN"), (403, "MCS_MEDIA_REQUEST_FAILED")),
        (error(429, "M_LIMIT_EXCEEDED"), (429, "MCS_MEDIA_REQUEST_FAILED")),
        (error(500, "M_UNKNOWN"), (502, "MCS_MEDIA_REQUEST_FAILED")),
        (cut(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"), (502, "MCS_MEDIA_REQUEST_FAILED")),
        (cut(b""), (502, "MCS_MEDIA_REQUEST_FAILED")),
    ],
)
async def test_a_token_that_the_homeserver_does_not_confirm(
    door: Door, reply: bytes, code: tuple[int, str]
) -> None:
    """Whatever the homeserver says of the token, nothing is scanned without its yes."""
    door.homeserver.replies[WHOAMI] = reply
    got = await door.ask("scan_file", "POST", headers=FORM_TYPE, body=FILE + END)
    assert got.code == code
    assert door.metric("scan_duration_seconds_count") == 0


KEY_PART: Final = part("body", BODY)
FORMS: Final = {
    "the file alone": FILE + END,
    "with a preamble": b"hello\r\n" + FILE + END,
    "with an epilogue": FILE + END + b"goodbye",
    "with other parts": part("x", b"1") + FILE + part("y", b"2", '; filename="z"') + END,
}
ENCRYPTED_FILE: Final = part("file", CIPHERTEXT, '; filename="x"')
SEALED_FORMS: Final = {
    "the file first": ENCRYPTED_FILE + KEY_PART + END,
    "the key first": KEY_PART + ENCRYPTED_FILE + END,
    "others between": part("a", b"") + KEY_PART + part("b", b"") + ENCRYPTED_FILE + part("c", b"") + END,
}


@pytest.mark.parametrize("body", [*FORMS.values(), *SEALED_FORMS.values()], ids=[*FORMS, *SEALED_FORMS])
@pytest.mark.parametrize("chunked", [True, False])
async def test_forms_in_any_order(tmp_path: Path, body: bytes, *, chunked: bool) -> None:
    """File and key are found wherever they stand; the engine sees the file in the clear and its type."""
    engine = ScriptedEngine()
    async with opened(tmp_path, [engine]) as door:
        got = await door.ask("scan_file", "POST", headers=FORM_TYPE, body=pieces(body) if chunked else body)
        assert got.json == {"clean": True, "info": "clean"}
        assert door.quiet
    assert engine.seen == [(PICTURE, "image/png")]


async def test_a_form_with_a_bad_file(tmp_path: Path) -> None:
    """An infected file is judged, not refused: the answer names what was found."""
    async with opened(tmp_path, [ScriptedEngine(finding(Infected("Eicar")), "av")]) as door:
        got = await door.ask("scan_file", "POST", headers=FORM_TYPE, body=FILE + END)
    assert (got.status, got.json["clean"]) == (200, False)
    assert "Eicar" in got.json["info"]


async def test_what_a_sender_declares(door: Door) -> None:
    """A program that its sender calls a picture is not clean."""
    program = Path("/bin/true").read_bytes()
    for more in ('; filename="cat.png"', '; filename="x"\r\nContent-Type: image/png'):
        got = await door.ask("scan_file", "POST", headers=FORM_TYPE, body=part("file", program, more) + END)
        assert got.json["clean"] is False


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_file_over_the_limit(tmp_path: Path, *, chunked: bool) -> None:
    """A file over `max_size` is not clean, and what follows it is not waited for."""
    engine = ScriptedEngine()
    async with opened(tmp_path, [engine], max_size=1 << 20) as door:
        body = part("file", bytes((1 << 20) + 1)) + END
        got = await door.ask("scan_file", "POST", headers=FORM_TYPE, body=pieces(body) if chunked else body)
        assert (got.status, got.json["clean"]) == (200, False)
        assert "larger" in got.json["info"]
        exact = part("file", png(64, 48) + bytes((1 << 20) - len(png(64, 48)))) + END
        got = await door.ask("scan_file", "POST", headers=FORM_TYPE, body=exact)
        assert got.json["clean"] is True
        assert door.quiet
    assert len(engine.seen) == 1


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, FILE + END),
        ({"Content-Type": "application/json"}, FILE + END),
        ({"Content-Type": "multipart/form-data"}, FILE + END),
        ({"Content-Type": "multipart/mixed; boundary=form-edge"}, FILE + END),
        ({"Content-Type": "multipart/form-data; boundary=other"}, FILE + END),
        (FORM_TYPE, b""),
        (FORM_TYPE, END),
        (FORM_TYPE, FILE),
        (FORM_TYPE, KEY_PART + END),
        (FORM_TYPE, FILE + FILE + END),
        (FORM_TYPE, FILE + KEY_PART + KEY_PART + END),
        (FORM_TYPE, FILE + part("body", b"{") + END),
        (FORM_TYPE, FILE + part("body", b"{}") + END),
        (FORM_TYPE, FILE[:-20]),
        (FORM_TYPE, gzip.compress(FILE + END)),
        (FORM_TYPE, os.urandom(5000)),
    ],
)
async def test_forms_that_are_none(door: Door, headers: Mapping[str, str], body: bytes) -> None:
    """What is no whole form with one file is 400, and never judged."""
    got = await door.ask("scan_file", "POST", headers=headers, body=body)
    assert got.code == (400, "MCS_MALFORMED_JSON")
    assert door.metric("scan_duration_seconds_count") == 0


async def test_a_form_whose_key_is_for_another_file(door: Door) -> None:
    """A hash that does not match is said as such, before anything is decrypted or scanned."""
    body = part("file", CIPHERTEXT + b"x") + KEY_PART + END
    got = await door.ask("scan_file", "POST", headers=FORM_TYPE, body=body)
    assert got.code == (400, "MCS_MEDIA_FAILED_TO_DECRYPT")
    assert door.metric("scan_duration_seconds_count") == 0


async def test_an_uploader_that_goes_away_mid_scan(tmp_path: Path) -> None:
    """A client that leaves while its file is scanned stops the scan, and all is given back."""
    engine = ScriptedEngine(hang)
    async with opened(tmp_path, [engine]) as door:
        body = part("file", LARGE) + END
        async with door.connection() as (_, writer):
            writer.write(post("scan_file", len(body), f"Content-Type: {FORM}") + body)
            await engine.arrived.wait()
            assert door.house.held[1] > 0
        await until(lambda: door.quiet)
    assert engine.cancelled == 1


async def test_json_names_the_media(door: Door) -> None:
    """The media that is fetched is the one that the body names, with the caller's token."""
    door.homeserver.otherwise = media(CIPHERTEXT)
    body = file_of(CIPHERTEXT, "mxc://[2001:db8::1]:8448/xyz")
    assert (await door.ask(SCAN, "POST", body=body)).status == 200
    assert door.homeserver.paths == [f"{V1}/download/%5B2001:db8::1%5D:8448/xyz"]
    assert door.homeserver.received[0].header("authorization") == ["Bearer tok"]
