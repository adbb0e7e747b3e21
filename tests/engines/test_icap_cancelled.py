"""A scan by ICAP that is cancelled, wherever it is: nothing stays behind, and the next answer is its own."""

import asyncio
import os
from pathlib import Path

import pytest

from ostiary.engines.icap.engine import IcapEngine, IcapWays
from ostiary.engines.interface import Sample
from ostiary.model import Clean, Infected
from peers.c_icap import CIcap
from peers.clamd import EICAR, EICAR_NAME
from tests.engines.asking import archive, descriptors, spooled, until
from tests.engines.asking_icap import engine_at, judge
from tests.engines.conftest import LoopRunner
from tests.flow.fakes import cancelled_everywhere

C_ICAP = IcapWays(preset="c-icap")


@pytest.mark.parametrize("size", [1000, 2_000_000])  # in memory, and a file of several chunks
@pytest.mark.parametrize("pooled", [False, True])
def test_cancelled_at_every_await(
    run: LoopRunner, c_icap: CIcap, tmp_path: Path, size: int, *, pooled: bool
) -> None:
    """No descriptor is left, no slot is lost, and no answer reaches somebody else."""
    bad = os.urandom(size) + archive(EICAR)

    async def body() -> None:
        async with engine_at(c_icap.url, C_ICAP) as warm:
            assert await judge(warm) == Clean()
        before = descriptors()
        with await spooled(bad, tmp_path) as blob:
            sample = Sample(blob, "application/octet-stream")
            engine = IcapEngine("icap", c_icap.url, C_ICAP, concurrency=1)

            async def scan() -> None:
                nonlocal engine
                if not pooled:  # a new engine has no connection
                    await engine.close()
                    engine = IcapEngine("icap", c_icap.url, C_ICAP, concurrency=1)
                assert (await engine.inspect(sample)).finding == Infected(EICAR_NAME)

            async def check() -> None:
                assert await judge(engine, b"x") == Clean()
                assert (await engine.inspect(sample)).finding == Infected(EICAR_NAME)

            assert await cancelled_everywhere(scan, check) > 1
            await engine.close()
            await until(lambda: descriptors() <= before + 1)

    run(body())


def test_cancelled_at_any_time(run: LoopRunner, c_icap: CIcap) -> None:
    """Cancelled after any number of turns of the loop, also when the answer is already there."""

    async def body() -> None:
        loop = asyncio.get_running_loop()
        async with engine_at(c_icap.url, C_ICAP, concurrency=2) as engine:
            assert await judge(engine, b"x") == Clean()
            before = descriptors()
            for turns in range(100):
                scans = [loop.create_task(judge(engine, b"x")), loop.create_task(judge(engine, EICAR))]
                for _ in range(turns):
                    await asyncio.sleep(0)
                scans[turns % 2].cancel()
                await asyncio.wait(scans)
                right = [task.cancelled() or task.result() for task in scans]
                assert right[0] in {True, Clean()}
                assert right[1] in {True, Infected(EICAR_NAME)}
            assert await judge(engine, EICAR) == Infected(EICAR_NAME)
            await until(lambda: descriptors() <= before + 2)

    run(body())


def test_closed_in_the_midst(run: LoopRunner, c_icap: CIcap) -> None:
    """An engine that is closed while it scans leaves nothing open; the scan ends by itself."""

    async def body() -> None:
        async with engine_at(c_icap.url, C_ICAP) as warm:
            assert await judge(warm) == Clean()
        before = descriptors()
        loop = asyncio.get_running_loop()
        engine = IcapEngine("icap", c_icap.url, C_ICAP)
        scans = [loop.create_task(judge(engine, os.urandom(300_000))) for _ in range(5)]
        await asyncio.sleep(0.005)
        await engine.close()
        await engine.close()
        await asyncio.gather(*scans, return_exceptions=True)
        await until(lambda: descriptors() <= before)

    run(body())
