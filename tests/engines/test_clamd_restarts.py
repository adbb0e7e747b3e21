"""A real clamd that is killed, restarted, stopped: an error while it lasts, and right again by itself."""

import asyncio
import os
import signal
from collections.abc import Callable

import pytest

from ostiary.blob import Blob
from ostiary.errors import EngineError
from ostiary.model import Clean, Infected
from peers.clamd import EICAR, EICAR_NAME, Clamd
from tests.engines.asking import descriptors, engine_at, inspect, judge, until
from tests.engines.conftest import LoopRunner

pytestmark = pytest.mark.peer("clamd")

SLOW = 90_000_000  # bytes that keep clamd busy for some tenths of a second
UNCACHED = {"DisableCache": "yes"}  # else it knows bytes that it saw before


def test_killed_and_restarted(run: LoopRunner, address_of: Callable[[Clamd], str]) -> None:
    """While clamd is gone every scan is an error that helps; when it is back all is right by itself."""

    async def body(clamd: Clamd) -> None:
        async with engine_at(address_of(clamd)) as engine:
            for _ in range(2):
                async with asyncio.TaskGroup() as group:
                    for _ in range(8):
                        group.create_task(judge(engine, b"x"))
                await asyncio.to_thread(clamd.kill)
                for _ in range(10):
                    with pytest.raises(EngineError, match="is clamd running") as caught:
                        await judge(engine, EICAR)
                    assert address_of(clamd) in str(caught.value)
                with pytest.raises(EngineError):
                    await engine.version()
                await asyncio.to_thread(clamd.start)
                assert await judge(engine, EICAR) == Infected(EICAR_NAME)
                assert await judge(engine, b"x") == Clean()

    with Clamd() as clamd:
        run(body(clamd))


def test_restarted_behind_our_back(run: LoopRunner, address_of: Callable[[Clamd], str]) -> None:
    """A restart between two scans is not noticed: dead sessions in the pool cost nobody an error."""

    async def body(clamd: Clamd) -> None:
        async with engine_at(address_of(clamd)) as engine:
            async with asyncio.TaskGroup() as group:
                for _ in range(8):
                    group.create_task(judge(engine, b"x"))
            clamd.kill()  # blocks: the loop learns of it only after clamd is back
            clamd.start()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(judge(engine, EICAR)) for _ in range(20)]
            assert {task.result() for task in tasks} == {Infected(EICAR_NAME)}

    with Clamd() as clamd:
        run(body(clamd))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_ended_in_a_scan(run: LoopRunner, address_of: Callable[[Clamd], str], number: signal.Signals) -> None:
    """When clamd ends while it scans, that scan is an error, never clean."""

    async def body(clamd: Clamd) -> None:
        async with engine_at(address_of(clamd)) as engine:
            assert await judge(engine, b"x") == Clean()  # so that it happens in a reused session
            loop = asyncio.get_running_loop()
            with Blob.of(os.urandom(SLOW)) as blob:
                scan = loop.create_task(inspect(engine, blob))
                while not {"FILDES", "INSTREAM"} & set((await asyncio.to_thread(clamd.ask, "STATS")).split()):
                    assert not scan.done()
                clamd.child.send_signal(number)
                with pytest.raises(EngineError):
                    await scan
            await asyncio.to_thread(clamd.kill)
            await asyncio.to_thread(clamd.start)
            assert await judge(engine, EICAR) == Infected(EICAR_NAME)

    with Clamd(options=UNCACHED) as clamd:
        run(body(clamd))


def test_hanging(run: LoopRunner, address_of: Callable[[Clamd], str]) -> None:
    """A clamd that hangs costs a deadline and no more: its session is closed, the next scan is right."""

    async def body(clamd: Clamd) -> None:
        before = descriptors()
        async with engine_at(address_of(clamd)) as engine:
            assert await judge(engine, b"x") == Clean()
            clamd.child.send_signal(signal.SIGSTOP)
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await judge(engine, EICAR)
            clamd.child.send_signal(signal.SIGCONT)
            assert await judge(engine, b"x") == Clean()
            assert await judge(engine, EICAR) == Infected(EICAR_NAME)
        await until(lambda: descriptors() <= before)

    with Clamd() as clamd:
        run(body(clamd))
