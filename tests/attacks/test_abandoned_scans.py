"""Asking for what takes long to scan, and leaving: clamd scans on, and must not be buried in it."""

import asyncio
import io
import zipfile
from collections.abc import Iterator

import pytest

from ostiary.blob import Blob
from ostiary.engines.clamd.engine import ClamdEngine
from ostiary.engines.interface import Sample
from ostiary.model import Clean, Infected
from peers.clamd import EICAR, EICAR_NAME, Clamd

SLOTS = 3

OPTIONS = {
    "MaxThreads": "40",  # STATS needs one, too: were all busy, it would tell of them afterwards
    "MaxQueue": "100",
    "DisableCache": "yes",
    "AlertExceedsMax": "no",
    "MaxScanSize": "4000M",
    "MaxFiles": "0",
}


@pytest.fixture
def slow_clamd() -> Iterator[Clamd]:
    """Start a clamd that looks through all of a big archive, with room for more than we may ask."""
    with Clamd(options=OPTIONS) as daemon:
        yield daemon


def slow_zip() -> bytes:
    """Return a small archive that keeps clamd busy for half a second or so."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for i in range(250):
            file.writestr(f"{i}.html", f"<html><script>var a{i}=1;</script>" + "<p>x</p>" * 12000)
    return buffer.getvalue()


async def judge(engine: ClamdEngine, data: bytes) -> object:
    """Have the engine inspect these bytes."""
    with Blob.of(data) as blob:
        return (await engine.inspect(Sample(blob, "application/zip"))).finding


async def scans_in(clamd: Clamd) -> int:
    """Return how many scans clamd has, running and queued, by its own words.

    One that it has just answered may still be among them.
    """
    return (await asyncio.to_thread(clamd.ask, "STATS")).split().count("FILDES")


@pytest.mark.peer("clamd")
async def test_asking_and_leaving_piles_up_nothing(slow_clamd: Clamd) -> None:
    """Thirty slow scans, each given up: clamd has as many as we have slots, and honest ones come through."""
    loop, slow = asyncio.get_running_loop(), slow_zip()
    engine = ClamdEngine("clamd", [slow_clamd.unix_address], concurrency=SLOTS)
    seen = []
    for visit in range(30):
        scan = loop.create_task(judge(engine, b"%d" % visit + slow))
        await asyncio.wait([scan], timeout=0.02)
        scan.cancel()
        await asyncio.wait([scan])
        seen.append(await scans_in(slow_clamd))
    assert SLOTS <= max(seen) <= SLOTS + 1
    async with asyncio.timeout(60):
        assert await judge(engine, b"honest") == Clean()
        assert await judge(engine, EICAR) == Infected(EICAR_NAME)
    assert await scans_in(slow_clamd) <= SLOTS + 1
    await engine.close()


@pytest.mark.peer("clamd")
async def test_asking_for_the_same_and_leaving_takes_one_slot(slow_clamd: Clamd) -> None:
    """Whoever asks for the bytes of a scan that was given up starts no other; the rest is free for others."""
    loop, slow = asyncio.get_running_loop(), slow_zip() * 4
    engine = ClamdEngine("clamd", [slow_clamd.unix_address], concurrency=SLOTS)
    seen = []
    for _ in range(8):
        scan = loop.create_task(judge(engine, slow))
        await asyncio.wait([scan], timeout=0.02)
        scan.cancel()
        await asyncio.wait([scan])
        seen.append(await scans_in(slow_clamd))
    assert 1 <= max(seen) <= 2
    async with asyncio.timeout(60):
        assert await judge(engine, b"honest") == Clean()
    await engine.close()
