"""Slow-loris and its family: clients that hold what others need, for as long as they are let."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from ostiary.engines.interface import Sample
from ostiary.model import Clean
from tests.attacks.house import PLACE, give, raw_get, remembering
from tests.flow.fakes import ScriptedEngine, until
from tests.flow.samples import PICTURE
from tests.matrix.fake_homeserver import media, silent_after
from tests.web.clients import FORM
from tests.web.door import API, HOST, Door

TYPE: Final = f"Content-Type: {FORM}\r\n"


async def dribble(door: Door, sent: bytes, drop: bytes) -> None:
    """Send something, and then a drop now and then, until the other side closes."""
    async with door.connection() as (reader, writer), asyncio.timeout(20):
        writer.write(sent)
        with suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(drop)
                await writer.drain()
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1 << 16), 0.02)


@pytest.mark.parametrize(
    ("sent", "drop"),
    [
        (b"GET /health HTTP/1.1\r\nX: ", b"a"),
        (b"GET /", b"a"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nX: ", b"a"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n"),
        (b"", b"\r\n"),
    ],
)
async def test_a_head_that_dribbles_in(tmp_path: Path, sent: bytes, drop: bytes) -> None:
    """A byte now and then buys no time: a head must be here whole within `limits.idle`."""
    async with remembering(tmp_path, idle=0.3) as door:
        await dribble(door, sent, drop)


@pytest.mark.parametrize(
    "head",
    [
        f"POST {API}/scan_encrypted HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n",
        f"POST {API}/scan_encrypted HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n",
        f"POST {API}/scan_file?access_token=tok HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n{TYPE}",
    ],
)
async def test_bodies_that_dribble_in_give_their_places_back(tmp_path: Path, head: str) -> None:
    """Slow bodies in every place there is: each is refused, and what it held is there for others."""
    async with remembering(tmp_path, idle=0.3, requests=3, wait=20) as door:
        drop = b"1\r\na\r\n" if "chunked" in head else b"a"
        async with asyncio.TaskGroup() as group:
            sent = f"{head}\r\n".encode()
            slow = [group.create_task(dribble(door, sent, drop)) for _ in range(3)]
            await until(lambda: door.requests.used == 3)
            give(door.homeserver, media(PICTURE))
            assert (await door.ask(f"download/{PLACE}")).body == PICTURE
            await until(lambda: door.quiet)
            for one in slow:
                one.cancel()  # refused bodies are heard out for ten seconds, and hold a connection only


async def test_a_json_body_that_gets_on_too_slowly(tmp_path: Path) -> None:
    """64 KiB now and then are progress for a file; a body of JSON has `limits.idle` in all."""
    async with remembering(tmp_path, idle=0.5) as door:
        head = f"POST {API}/scan_encrypted HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
        async with door.connection() as (reader, writer):
            writer.write(head.encode())
            answered = asyncio.get_running_loop().create_task(reader.readline())
            for _ in range(14):  # of the 15 that are announced
                writer.write(b" " * (1 << 16))
                await asyncio.wait([answered], timeout=0.3)
            assert answered.done()
            assert b" 400 " in answered.result()
        await until(lambda: door.quiet)


async def test_readers_that_take_nothing_give_their_places_back(tmp_path: Path) -> None:
    """Clients that never read what they asked for, in every place there is: others still get theirs."""
    async with remembering(tmp_path, idle=0.3, requests=3, wait=20, library=0) as door:
        give(door.homeserver, media(PICTURE + bytes(6 << 20)))
        silent = []
        for _ in range(3):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, (HOST, door.port))
            await asyncio.get_running_loop().sock_sendall(client, raw_get(f"download/{PLACE}"))
            silent.append(client)
        await until(lambda: door.requests.used == 3)
        assert len((await door.ask(f"download/{PLACE}")).body) > 6 << 20
        for client in silent:
            client.close()
        await until(lambda: door.quiet)


async def test_requests_that_nobody_waits_for_do_not_pile_up(tmp_path: Path) -> None:
    """Who sends requests without end behind one that takes long is not read any further."""
    ends = asyncio.Event()

    async def slow(_: Sample) -> Clean:
        await ends.wait()
        return Clean()

    async with remembering(tmp_path, ScriptedEngine(slow)) as door:
        give(door.homeserver, media(PICTURE))
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, (HOST, door.port))
            await loop.sock_sendall(client, raw_get(f"download/{PLACE}"))
            await until(lambda: door.requests.used == 1)
            sent, flood = 0, raw_get("public_key") * 1000
            with suppress(TimeoutError):
                while sent < 1 << 28:
                    async with asyncio.timeout(1):
                        await loop.sock_sendall(client, flood)
                    sent += len(flood)
            assert sent < 1 << 28
        ends.set()  # what is not read from is not heard closing: its place comes back with the answer
        await until(lambda: door.quiet)


@pytest.mark.parametrize("answered", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1"])
async def test_a_homeserver_that_falls_silent_is_left_with_its_client(
    tmp_path: Path, answered: bytes
) -> None:
    """A slow media holds its own caller up; when that one goes, its place and its connection are free."""
    async with remembering(tmp_path, requests=2) as door:
        give(door.homeserver, silent_after(answered))
        give(door.homeserver, media(PICTURE), "example.org/other")
        async with door.connection() as (_, writer):
            writer.write(raw_get(f"download/{PLACE}", "Authorization: Bearer tok"))
            await until(lambda: door.homeserver.connections == 1)
            assert (await door.ask("download/example.org/other")).body == PICTURE
        await until(lambda: door.quiet)
        await until(lambda: door.homeserver.connections <= 1)
