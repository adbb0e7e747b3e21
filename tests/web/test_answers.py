"""Answers on their way out: at the client's pace but not for ever, whole or visibly not."""

import asyncio
import os
import re
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from ostiary.blob import Blob
from ostiary.engines.filetype.detector import FileType
from ostiary.model import Cause
from ostiary.policy import Rules
from ostiary.web.answers import Pace
from tests.descriptors import open_descriptors
from tests.flow.fakes import ScriptedEngine, hang, until
from tests.flow.samples import PICTURE
from tests.matrix.fake_homeserver import media, silent_after
from tests.web.door import API, V1, Door, opened

PLACE: Final = "example.org/AbC-_1"
BIG: Final = PICTURE + os.urandom(24 << 20)
"""More than the kernel keeps for both ends of a connection."""

HUGE: Final = 32 << 20


def get(route: str = "download", *more: str) -> bytes:
    """Return a request."""
    lines = [f"GET {API}/{route}/{PLACE} HTTP/1.1", "Host: x", "Authorization: Bearer tok", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_a_large_file_comes_whole(tmp_path: Path) -> None:
    """Every byte of a file far larger than any buffer, and nothing is held afterwards."""
    async with opened(tmp_path, max_size=HUGE) as door:
        door.homeserver.otherwise = media(BIG)
        got = await door.ask(f"download/{PLACE}")
        assert got.body == BIG
        await until(lambda: door.quiet)


async def test_a_client_that_takes_nothing(tmp_path: Path) -> None:
    """A client that asks and does not read is cut off after `limits.idle`: it holds a file of ours."""
    async with opened(tmp_path, idle=0.2, max_size=HUGE) as door:
        door.homeserver.otherwise = media(BIG)
        async with door.connection() as (reader, writer):
            writer.write(get())
            await until(lambda: door.house.held[1] >= len(BIG))
            await until(lambda: door.quiet)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(len(BIG))


async def test_a_client_that_takes_little_by_little(tmp_path: Path) -> None:
    """A slow client that gets on is served to the end, however long that takes."""
    async with opened(tmp_path, idle=0.5, max_size=HUGE) as door:
        door.homeserver.otherwise = media(BIG)
        async with door.connection() as (reader, writer):
            writer.write(get("download", "Connection: close"))
            size = 0
            while piece := await reader.read(1 << 20):
                size += len(piece)
                await asyncio.sleep(0.02)
        assert size > len(BIG)


async def test_a_client_that_leaves_while_it_is_sent(tmp_path: Path) -> None:
    """A client that has seen enough leaves nothing behind: no room held, no file open."""
    async with opened(tmp_path, max_size=HUGE) as door:
        door.homeserver.otherwise = media(BIG)
        await door.ask("public_key")
        before = len(open_descriptors())
        for _ in range(3):
            async with door.connection() as (reader, writer):
                writer.write(get())
                await reader.readexactly(1 << 20)
            await until(lambda: door.quiet)
        await until(lambda: len(open_descriptors()) <= before + 2)  # the homeserver's connection, both ends


async def test_a_client_that_leaves_while_its_file_is_scanned(tmp_path: Path) -> None:
    """The engine hears of it at once, and everything is given back."""
    engine = ScriptedEngine(hang)
    async with opened(tmp_path, [engine], max_size=HUGE) as door:
        door.homeserver.otherwise = media(BIG)
        async with door.connection() as (_, writer):
            writer.write(get("scan"))
            await engine.arrived.wait()
            assert door.house.held[1] == len(BIG)
        await until(lambda: door.quiet)
        assert engine.cancelled == 1
        assert (await door.ask("public_key")).status == 200


async def test_a_client_that_leaves_while_its_file_is_fetched(tmp_path: Path) -> None:
    """Nobody waits for the rest of a file that nobody wants: the homeserver's connection goes."""
    async with opened(tmp_path) as door:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
        door.homeserver.otherwise = silent_after(head + b"x")
        async with door.connection() as (_, writer):
            writer.write(get())
            await until(lambda: door.house.held != (0, 0))
        await until(lambda: door.quiet)
        await until(lambda: door.homeserver.connections == 0)


async def look_at_nothing(_: Blob) -> FileType:
    """Call anything a picture, without a look at its bytes."""
    return FileType("image/png", ())


@pytest.mark.parametrize("fault", [OSError(5, "Input/output error"), ValueError("s3cret")])
async def test_a_file_that_can_not_be_read_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """What fails in the middle of sending cuts the connection: no error message among a file's bytes."""
    read = Blob.read

    def broken(self: Blob, offset: int, size: int) -> bytes:
        if offset > 8 << 20:
            raise fault
        return read(self, offset, size)

    rules = Rules(serve=frozenset({Cause.TOO_LARGE}))
    async with opened(tmp_path, rules=rules, max_size=4 << 20) as door:
        door.homeserver.otherwise = media(BIG)
        monkeypatch.setattr(door.house.detector, "detect", look_at_nothing)
        monkeypatch.setattr(Blob, "read", broken)
        with capture_logs() as lines:
            got = await _until_cut(door)
        assert len(got) < len(BIG)
        assert got.count(b"HTTP/1.1") == 1
        assert b"M_UNKNOWN" not in got
        assert BIG.startswith(got.partition(b"\r\n\r\n")[2])
        assert ("internal" in str(lines)) == isinstance(fault, ValueError)
        monkeypatch.undo()
        assert (await door.ask(f"download/{PLACE}")).body == BIG


async def _until_cut(door: Door) -> bytes:
    got = bytearray()
    async with door.connection() as (reader, writer):
        writer.write(get())
        try:
            while piece := await reader.read(1 << 20):
                got += piece
        except ConnectionError:
            pass
    return bytes(got)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET /health HTTP/1.1\r\nHost: x\r\nX: "])
async def test_a_connection_on_which_nothing_comes(tmp_path: Path, sent: bytes) -> None:
    """Who connects and says nothing, or half a request, is cut off after `limits.idle`."""
    async with opened(tmp_path, idle=0.1) as door, door.connection() as (reader, writer):
        writer.write(sent)
        assert await asyncio.wait_for(reader.read(), 10) == b""


@pytest.mark.parametrize("more", [b"", b"GET /health HT"])
async def test_a_kept_connection_is_not_kept_for_ever(tmp_path: Path, more: bytes) -> None:
    """The same between two requests."""
    async with opened(tmp_path, idle=0.1) as door, door.connection() as (reader, writer):
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in await reader.readline()
        writer.write(more)
        assert (await asyncio.wait_for(reader.read(), 10)).endswith(b'{"status": "ok"}')


async def test_a_connection_is_kept_between_requests(door: Door) -> None:
    """Files and refusals leave the connection usable."""
    door.homeserver.otherwise = media(PICTURE)
    async with door.connection() as (reader, writer):
        for request in (get(), get("scan"), get("nothing"), get("download", "Connection: close")):
            writer.write(request)
        got = await reader.read()
    assert re.findall(rb"HTTP/1\.1 (\d+)", got) == [b"200", b"200", b"404", b"200"]
    assert got.count(PICTURE) == 2


@pytest.mark.parametrize(
    ("sent", "seconds", "pressed", "too_slow"),
    [
        (0, 9, True, False),
        (300_000, 11, True, True),
        (400_000, 11, True, False),
        (300_000, 11, False, False),
        (1 << 30, 40_000, True, True),
    ],
)
def test_who_dawdles_while_others_wait(sent: int, seconds: float, *, pressed: bool, too_slow: bool) -> None:
    """Less than 32 KiB a second after ten seconds is too slow, and only where somebody waits for room."""
    assert Pace(30, lambda: pressed).too_slow(sent, seconds) is too_slow


@pytest.mark.parametrize(
    "header",
    [
        "Range: bytes=0-9,20-29",
        "If-Modified-Since: Fri, 20 Nov 2026 09:00:00 GMT",
        "Accept-Encoding: gzip",
        "TE: gzip",
    ],
)
async def test_a_file_comes_whole_whatever_is_wished_for(door: Door, header: str) -> None:
    """No several ranges, no dates, no compression: the bytes that were scanned, all of them, as they are."""
    door.homeserver.otherwise = media(PICTURE)
    got = await door.raw(get("download", header, "Connection: close"))
    head, _, body = got.partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0]
    assert body == PICTURE


@pytest.mark.parametrize(
    "content_type", ["", "nonsense", "text/html\x01", "x" * 8000, "text/html; charset=é"]
)
async def test_content_types_that_are_none(door: Door, content_type: str) -> None:
    """A file whose type is no type is sent as bytes, to be saved and not shown."""
    door.homeserver.otherwise = media(PICTURE, content_type)
    got = await door.ask(f"download/{PLACE}")
    assert (got.status, got.body) == (200, PICTURE)
    assert got.headers["Content-Type"] == "application/octet-stream"
    assert got.headers["Content-Disposition"] == "attachment"


@pytest.mark.parametrize(
    "name",
    ["a%0d%0aX-Injected:%201.png", "%22quoted%22.png", "..%2f..%2fetc%2fpasswd", "%E2%80%AEgnp.exe", "é"],
)
async def test_names_that_would_be_more(door: Door, name: str) -> None:
    """The file name in the path becomes one header of printable ASCII, whatever it holds."""
    door.homeserver.otherwise = media(PICTURE)
    got = await door.ask(f"download/{PLACE}/{name}")
    assert got.status == 200
    disposition = got.headers["Content-Disposition"]
    assert disposition.isascii()
    assert disposition.isprintable()
    assert "X-Injected" not in got.headers
    assert not set("/\\\u202e") & set(disposition)
    assert door.homeserver.paths == [f"{V1}/download/{PLACE}"]
