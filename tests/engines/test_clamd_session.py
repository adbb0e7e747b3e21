"""One session over a pair of sockets: what it does with what comes at an awkward moment."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf

import pytest

from ostiary.blob import Blob
from ostiary.engines.clamd.session import ClamdSession, Stamp
from ostiary.engines.unpacking.account import Bounds
from ostiary.errors import EngineError
from ostiary.model import Clean
from tests.engines.asking import until
from tests.engines.conftest import LoopRunner

CLEAN = b"1: fd[9]: OK\0"
STAMP = Stamp("ClamAV 1.4.6", inf, Bounds(1 << 30, 1 << 30, 10_000, 17))


async def unversioned(_: ClamdSession) -> Stamp:
    """Ask for no version: these tests are about scans."""
    return STAMP


class CountingSession(ClamdSession):
    """Counts how often the loop calls it."""

    calls = 0

    def _readable(self) -> None:
        self.calls += 1
        super()._readable()

    def _wake(self) -> None:
        self.calls += 1
        super()._wake()


@asynccontextmanager
async def session_with() -> AsyncIterator[tuple[CountingSession, socket.socket]]:
    """Give a session, and the socket of who answers in it."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(5)
    session = CountingSession(ours)
    with theirs:
        try:
            yield session, theirs
        finally:
            session.close()


async def turns(count: int = 20) -> None:
    """Let the loop turn so many times, and look at its sockets each time."""
    for _ in range(count):
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("farewell", [b"", b"COMMAND READ TIMED OUT\n", b"garbage"])
def test_an_end_while_idle_is_heard_once(run: LoopRunner, farewell: bytes) -> None:
    """A session that clamd ended while it lay idle is not reusable, and keeps the loop no longer busy."""

    async def body() -> None:
        async with session_with() as (session, theirs):
            theirs.send(farewell)
            theirs.close()
            await until(lambda: not session.reusable)
            await turns()
            assert 0 < session.calls <= 2  # read, and woken

    run(body())


def test_what_comes_behind_an_answer_makes_it_doubtful(run: LoopRunner) -> None:
    """Also if it comes in the very turn of the loop in which the answer came."""

    async def body() -> None:
        async with session_with() as (session, theirs):
            with Blob.of(b"x") as blob:
                scan = asyncio.get_running_loop().create_task(
                    session.scan(blob, unversioned, by_descriptor=True)
                )
                await turns(1)
                theirs.send(CLEAN)
                session._readable()
                theirs.send(b"1")
                session._readable()
                with pytest.raises(EngineError, match="without being asked"):
                    await scan

    run(body())


def test_an_end_behind_an_answer_does_not(run: LoopRunner) -> None:
    """clamd may answer and stop: the answer counts, the session does not."""

    async def body() -> None:
        async with session_with() as (session, theirs):
            with Blob.of(b"x") as blob:
                scan = asyncio.get_running_loop().create_task(
                    session.scan(blob, unversioned, by_descriptor=True)
                )
                await turns(1)
                theirs.send(CLEAN)
                theirs.close()
                assert (await scan).finding == Clean()
            await until(lambda: not session.reusable)

    run(body())


def test_a_stream_arrives_whole(run: LoopRunner) -> None:
    """However slowly it is read, a stream arrives in order; afterwards nobody watches for room to write."""
    data = os.urandom(3_000_000)
    received = bytearray()

    def read_all(theirs: socket.socket, size: int) -> None:
        while len(received) < size:
            received.extend(theirs.recv(10_000))
        theirs.send(b"1: stream: OK\0")

    async def body() -> None:
        expected = b"zIDSESSION\0zINSTREAM\0" + len(data).to_bytes(4, "big") + data + b"\0\0\0\0"
        async with session_with() as (session, theirs):
            reader = threading.Thread(target=read_all, args=(theirs, len(expected)))
            reader.start()
            with Blob.of(data) as blob:
                assert (await session.scan(blob, unversioned, by_descriptor=False)).finding == Clean()
            reader.join()
            assert received == expected
            session.calls = 0
            await turns()
            assert session.calls == 0
            assert session.reusable

    run(body())


def test_a_session_closes_once(run: LoopRunner) -> None:
    """Closed twice, a session closes nothing of somebody else's; in good order it says so."""

    async def body() -> None:
        ours, theirs = socket.socketpair()
        number = ours.fileno()
        with theirs:
            ours.setblocking(False)
            session = ClamdSession(ours)
            session._readable()  # nothing to read is no end
            assert session.reusable
            session.close()
            other, end = socket.socketpair()
            with other, end:
                assert other.fileno() == number
                heard = asyncio.Event()
                asyncio.get_running_loop().add_reader(number, heard.set)
                session.close()
                end.send(b"x")
                await asyncio.wait_for(heard.wait(), 5)
                asyncio.get_running_loop().remove_reader(number)
            assert theirs.recv(100) == b"zEND\0"

    run(body())
