"""How the clamd engine's tests ask it, what they ask about, and what they count."""

import asyncio
import io
import os
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from ostiary.blob import Blob, BlobWriter
from ostiary.engines.clamd.engine import ClamdEngine
from ostiary.engines.interface import Sample
from ostiary.model import Finding


@asynccontextmanager
async def engine_at(*addresses: str, concurrency: int = 8) -> AsyncIterator[ClamdEngine]:
    """Give an engine, closed on the way out."""
    engine = ClamdEngine("clamd", addresses, concurrency=concurrency)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def inspect(engine: ClamdEngine, blob: Blob) -> Finding:
    """Have the engine inspect the blob, which stays open."""
    return (await engine.inspect(Sample(blob, "application/octet-stream"))).finding


async def judge(engine: ClamdEngine, data: bytes = b"x") -> Finding:
    """Have the engine inspect these bytes."""
    with Blob.of(data) as blob:
        return await inspect(engine, blob)


async def judge_at(*addresses: str, data: bytes = b"x") -> Finding:
    """Have an engine of its own inspect these bytes."""
    async with engine_at(*addresses) as engine:
        return await judge(engine, data)


async def spooled(data: bytes, folder: Path) -> Blob:
    """Return the bytes as a blob made the usual way: a file if there are many."""
    with BlobWriter(folder) as writer:
        await writer.add(data)
        return await writer.finish()


def archive(data: bytes, *, encrypted: bool = False) -> bytes:
    """Return a zip with one file; `encrypted` only says that it is."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("file", data)
    zipped = bytearray(buffer.getvalue())
    if encrypted:
        for header, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            zipped[zipped.index(header) + offset] |= 1  # general purpose bit 0 (APPNOTE 4.4.4)
    return bytes(zipped)


def descriptors() -> int:
    """Return how many descriptors are open in this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  (names are enough)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; TimeoutError after some seconds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  (nobody tells us)
            await asyncio.sleep(0.005)
