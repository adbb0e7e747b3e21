"""How the ICAP engine's tests ask it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ostiary.blob import Blob
from ostiary.engines.icap.engine import IcapEngine, IcapWays
from ostiary.engines.interface import Sample, Statement
from ostiary.errors import EngineError
from ostiary.model import Finding


@asynccontextmanager
async def engine_at(
    url: str, ways: IcapWays | None = None, *, concurrency: int = 8, rest: float = 2.0
) -> AsyncIterator[IcapEngine]:
    """Give an engine, closed on the way out; by default with the preset for c-icap."""
    engine = IcapEngine("icap", url, ways or IcapWays(preset="c-icap"), concurrency=concurrency, rest=rest)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def state(
    engine: IcapEngine, data: bytes = b"x", *, upload: bool = False, again: bool = False
) -> Statement:
    """Return the engine's statement on these bytes."""
    with Blob.of(data) as blob:
        return await engine.inspect(Sample(blob, "application/octet-stream", upload=upload, again=again))


async def judge(engine: IcapEngine, data: bytes = b"x", *, upload: bool = False) -> Finding:
    """Return what the engine finds in these bytes."""
    return (await state(engine, data, upload=upload)).finding


async def judge_at(url: str, data: bytes = b"x", ways: IcapWays | None = None) -> Finding:
    """Return what an engine of its own finds in these bytes."""
    async with engine_at(url, ways) as engine:
        return await judge(engine, data)


async def error_at(url: str, data: bytes = b"x", ways: IcapWays | None = None) -> str:
    """Return the text of the error that comes instead of a finding."""
    with pytest.raises(EngineError) as raised:
        await judge_at(url, data, ways)
    assert str(raised.value).isprintable()
    return str(raised.value)
