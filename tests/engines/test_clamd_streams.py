"""Faults while a stream is being sent: clamd may refuse it early, and may do nothing else."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ostiary.blob import Blob, BlobWriter
from ostiary.errors import EngineError
from ostiary.model import Cause, Unscannable
from tests.engines.asking import engine_at, inspect
from tests.engines.conftest import LoopRunner
from tests.engines.fake_clamd import PATIENCE, Behaviour, Connection, FakeClamd

TOO_LONG = b"1: INSTREAM size limit exceeded. ERROR\0"


async def big_sample(folder: Path) -> Blob:
    """Return more bytes than the buffers of a connection hold."""
    with BlobWriter(folder) as writer:
        for _ in range(40):
            await writer.add(os.urandom(1 << 20))
        return await writer.finish()


EARLY = {
    "clean": (b"1: stream: OK\0", "does not have"),
    "found": (b"1: stream: Eicar FOUND\0", "does not have"),
    "an error": (b"1: Error writing to temporary file ERROR\0", "Error writing to temporary file ERROR"),
    "garbage": (b"garbage", "is it a clamd"),
}


def _early(reply: bytes, after: str) -> Behaviour:
    def behave(connection: Connection) -> None:
        connection.command()
        connection.command()
        connection.exactly(4)
        if after == "silence":
            time.sleep(0.2)  # until the buffers are full and the client waits to send
        connection.send(reply)
        if after == "silence":
            connection.stall()
        if after == "reset":
            connection.exactly(1 << 20)
            connection.reset()

    return behave


@pytest.mark.parametrize("reply", EARLY)
@pytest.mark.parametrize("after", ["silence", "end", "reset"])
def test_early_answers_to_a_stream(run: LoopRunner, tmp_path: Path, reply: str, after: str) -> None:
    """Before the stream's end nothing can be clean or found, whether clamd then reads on, stops or goes."""
    data, words = EARLY[reply]

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address) as engine:
            with await big_sample(tmp_path) as blob, pytest.raises(EngineError, match=words):
                async with asyncio.timeout(PATIENCE / 2):  # before the fake gives up
                    await inspect(engine, blob)

    with FakeClamd(_early(data, after), tcp=True) as fake:
        run(body(fake))


@pytest.mark.parametrize("after", ["silence", "end"])
def test_early_size_limit(run: LoopRunner, tmp_path: Path, after: str) -> None:
    """clamd's refusal is heard also when it stops reading and does not close."""

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address) as engine:
            with await big_sample(tmp_path) as blob:
                async with asyncio.timeout(PATIENCE / 2):
                    finding = await inspect(engine, blob)
        assert isinstance(finding, Unscannable)
        assert finding.cause is Cause.LIMIT

    with FakeClamd(_early(TOO_LONG, after), tcp=True) as fake:
        run(body(fake))


class HesitantBlob(Blob):
    """A blob of which the reader learns late that it has ended."""

    async def chunks(self, size: int = 1, **_: object) -> AsyncIterator[bytes]:
        """Yield all bytes, and take some time to see that they were all."""
        for offset in range(0, self.size, size):
            yield self.read(offset, size)
        await asyncio.sleep(0.5)  # clamd refuses within this time


def test_refused_behind_the_last_byte(run: LoopRunner) -> None:
    """A refusal that comes between the last byte and the stream's end is heard like any other."""

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address) as engine:
            with HesitantBlob.of(b"xyz") as blob:
                async with asyncio.timeout(PATIENCE / 2):
                    finding = await inspect(engine, blob)
        assert isinstance(finding, Unscannable)
        assert finding.cause is Cause.LIMIT

    with FakeClamd(_early(TOO_LONG, "silence"), tcp=True) as fake:
        run(body(fake))


def test_cut_in_a_stream(run: LoopRunner, tmp_path: Path) -> None:
    """A connection that breaks while we send is an error."""

    def cut(connection: Connection) -> None:
        assert (connection.command(), connection.command()) == (b"zIDSESSION", b"zINSTREAM")
        connection.exactly(1 << 20)

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address) as engine:
            with await big_sample(tmp_path) as blob, pytest.raises(EngineError, match="closed"):
                await inspect(engine, blob)

    with FakeClamd(cut, tcp=True) as fake:
        run(body(fake))
