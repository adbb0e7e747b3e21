"""Flooding: what may be made to stay in memory by whoever asks for much, often, or without reading."""

import asyncio
import gc
import gzip
import socket
import tracemalloc
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from aiohttp import web

from ostiary.errors import OverloadedError
from ostiary.model import MediaRef, MediaRequest
from tests.attacks.house import PLACE, UNKNOWN, fetched, give, raw_get, remembering
from tests.flow.fakes import House, ScriptedEngine, StubHomeserver, serving, taken, until
from tests.flow.samples import PICTURE
from tests.matrix.fake_homeserver import endless, error, media, silent_after
from tests.web.door import API, HOST, WHOAMI, Door

MIB = 1 << 20


def named(number: int) -> MediaRequest:
    """Return a request for the n-th media, by somebody with no token."""
    return MediaRequest(MediaRef("example.org", f"m{number}"))


async def test_slow_readers_of_stored_copies_are_bounded(tmp_path: Path) -> None:
    """Copies that the library let go of while they are sent count against `limits.memory`."""
    homeserver = serving(bytes(2 * MIB), etag="1")
    with _house(tmp_path, homeserver) as house:
        async with AsyncExitStack() as readers:
            read = 0
            with suppress(OverloadedError):
                for number in range(20):
                    await _read(house, number)
                    outcome = await readers.enter_async_context(house.gateway.media(named(number)))
                    assert outcome.known
                    read += 1
            assert 5 <= read <= 8
            assert 12 * MIB <= house.spool.memory.used <= 16 * MIB
        assert house.held == (0, 0)


async def test_many_readers_of_one_copy_count_once(tmp_path: Path) -> None:
    """A media that everybody wants takes its room once, however many read it, and whoever stops first."""
    homeserver = serving(bytes(2 * MIB), etag="1")
    with _house(tmp_path, homeserver) as house:
        await house.ask(named(1))
        async with AsyncExitStack() as readers:
            for _ in range(100):
                await readers.enter_async_context(house.gateway.media(named(1)))
            async with house.gateway.media(named(1)):
                pass
            assert house.spool.memory.used == 2 * MIB
        assert house.held == (0, 0)


def _house(directory: Path, homeserver: StubHomeserver) -> House:
    """Return one whose library holds a few files, in front of a memory that holds some more."""
    return House(
        directory,
        homeserver,
        [ScriptedEngine()],
        library=5 * MIB,
        verdicts=100,
        memory=16 * MIB,
        max_size=4 * MIB,
        wait=0.01,
    )


async def _read(house: House, number: int) -> None:
    async with house.gateway.media(named(number)) as outcome:
        await taken(outcome)


async def announced(door: Door, held: AsyncExitStack) -> asyncio.StreamWriter:
    """Open a connection and announce a large JSON body on it."""
    _, writer = await held.enter_async_context(door.connection())
    head = f"POST {API}/scan_encrypted HTTP/1.1\r\nHost: x\r\nContent-Length: {MIB}\r\n\r\n"
    writer.write(head.encode())
    return writer


async def test_bodies_that_are_announced_take_no_room(tmp_path: Path) -> None:
    """Lengths that nobody fills, without a token, leave `limits.memory` to those who ask for media."""
    async with remembering(tmp_path, wait=0.1) as door, AsyncExitStack() as others:
        give(door.homeserver, media(PICTURE))
        for _ in range(40):
            await announced(door, others)
        await until(lambda: door.requests.used == 40)
        assert door.house.held == (0, 0)
        assert (await door.ask(f"download/{PLACE}")).body == PICTURE


async def test_bodies_that_came_take_no_room_from_media(tmp_path: Path) -> None:
    """Large JSON bodies that never end keep out other large ones, and nobody else."""
    async with remembering(tmp_path, wait=0.1) as door, AsyncExitStack() as others:
        give(door.homeserver, media(PICTURE))
        for _ in range(40):
            writer = await announced(door, others)
            writer.write(bytes(MIB // 2))
            await writer.drain()
        await until(lambda: door.requests.used <= 16)  # the others had to wait, and were sent away
        assert door.house.held == (0, 0)
        assert (await door.ask(f"download/{PLACE}")).body == PICTURE


@pytest.mark.parametrize(
    ("piece", "most"),
    [
        (b"x" * 50_000, 300_000),
        (b"GET /health HTTP/9.9\r\n\r\n" * 2000, 300_000),
        (
            b"GET /health HTTP/1.1\r\nHost: x\r\nA: "
            + b"x" * 30_000
            + b"\r\nB: "
            + b"x" * 30_000
            + b"\r\n\r\n",
            1_500_000,
        ),
        (b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + bytes(60_000), 1_500_000),
    ],
    ids=["garbage", "versions", "heads", "bodies"],
)
async def test_what_comes_behind_a_request_that_waits(tmp_path: Path, piece: bytes, most: int) -> None:
    """Garbage, heads and bodies behind a request that waits: a few are held, or none, with no help of gc."""
    async with remembering(tmp_path) as door, AsyncExitStack() as stack:
        give(door.homeserver, silent_after(b""))
        client = stack.enter_context(socket.create_connection((HOST, door.port)))
        client.setblocking(False)
        client.send(raw_get(f"download/{PLACE}"))
        await until(lambda: door.requests.used == 1)
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        gc.disable()
        stack.callback(gc.enable)
        left = piece
        for _ in range(200):
            with suppress(BlockingIOError, ConnectionError):
                left = left[client.send(left) :] or piece
            await asyncio.sleep(0.002)
        assert tracemalloc.get_traced_memory()[0] < most


async def test_refused_tokens_leave_nothing_behind(tmp_path: Path) -> None:
    """A thousand bad tokens are a thousand short answers in the cache, and no request of theirs stays."""
    async with remembering(tmp_path) as door:
        door.homeserver.replies[WHOAMI] = UNKNOWN
        for number in range(200):
            got = await door.ask("scan_file", "POST", token=f"bad{number}", headers={"X": "x" * 8000})
            assert got.status == 401
        gc.collect()
        assert sum(isinstance(one, web.BaseRequest) for one in gc.get_objects()) <= 5


async def test_junk_washes_out_nothing_hot(tmp_path: Path) -> None:
    """Hundreds of files that are asked for once leave in the library what is asked for again."""
    async with remembering(tmp_path, library=100_000, verdicts=50) as door:
        give(door.homeserver, media(PICTURE), "example.org/hot")
        for _ in range(3):
            assert (await door.ask("download/example.org/hot")).status == 200
        for number in range(300):
            give(door.homeserver, media(b"%d" % number * 500), f"example.org/junk{number}")
            assert (await door.ask(f"download/example.org/junk{number}")).status == 200
        assert door.house.library.used <= 100_000
        assert len(door.house.verdicts) <= 50
        asked = fetched(door.homeserver)
        assert (await door.ask("download/example.org/hot")).body == PICTURE
        assert fetched(door.homeserver) == asked


async def test_a_bomb_takes_no_more_than_its_room(tmp_path: Path) -> None:
    """Megabytes of zeros in a few kilobytes, and bodies without an end, are files that are too large."""
    bomb = gzip.compress(bytes(64 * MIB), 9)
    async with remembering(tmp_path, max_size=2 * MIB, memory=16 * MIB) as door:
        give(door.homeserver, media(bomb, content_encoding="gzip"), "example.org/bomb")
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        give(door.homeserver, endless(head, b"10000\r\n" + bytes(1 << 16) + b"\r\n"), "example.org/endless")
        words = error(404, "M_NOT_FOUND", "x" * (4 * MIB))
        give(door.homeserver, words, "example.org/words")
        for name, status in (("bomb", 403), ("endless", 403), ("words", 404)):
            assert (await door.ask(f"download/example.org/{name}")).status == status
        await until(lambda: door.quiet)


async def test_nothing_that_a_client_chooses_becomes_a_series(tmp_path: Path) -> None:
    """The metrics have as many series after every kind of name, token, type and method as before."""
    async with remembering(tmp_path) as door:
        before = len(door.house.metrics.exposition().splitlines())
        for number in range(30):
            give(door.homeserver, media(b"%d" % number, f"type/{number}"), f"example.org/m{number}")
            await door.ask(f"download/example.org/m{number}/name{number}", token=f"token{number}")
            await door.ask(f"route{number}/x", method="GET")
            await door.ask(f"download/server{number}/x")
            give(door.homeserver, error(400 + number, f"M_CODE_{number}"), f"example.org/e{number}")
            await door.ask(f"download/example.org/e{number}")
        assert len(door.house.metrics.exposition().splitlines()) == before
