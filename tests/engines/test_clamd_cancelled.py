"""A scan that is cancelled, wherever it is: nothing stays behind, and nobody else's answer changes."""

import asyncio
import itertools
import os
import types
from collections.abc import Coroutine, Generator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ostiary.engines.clamd import ClamdEngine
from ostiary.model import Clean, Finding, Infected
from peers.clamd import EICAR, EICAR_NAME
from tests.engines.asking import archive, descriptors, engine_at, inspect, judge, spooled, until
from tests.engines.conftest import LoopRunner

pytestmark = pytest.mark.peer("clamd")

T = TypeVar("T")


@types.coroutine
def cancelled_at(step: int, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Await the coroutine, and cancel the running task when it suspends for the n-th time."""
    thrown: BaseException | None = None
    for count in itertools.count(1):
        try:
            future = coroutine.send(None) if thrown is None else coroutine.throw(thrown)
        except StopIteration as stop:
            result: T = stop.value
            return result
        task = asyncio.current_task()
        if count == step and task is not None:
            task.cancel()
        thrown = None
        try:
            yield future
        except BaseException as error:  # noqa: BLE001  (handed on to the coroutine)
            thrown = error
    raise AssertionError


async def completes_despite(step: int, coroutine: Coroutine[Any, Any, Finding]) -> bool:
    """Whether the coroutine has fewer awaits than that; else it was cancelled there."""
    loop = asyncio.get_running_loop()

    async def wrapped() -> Finding:
        return await cancelled_at(step, coroutine)

    task = loop.create_task(wrapped())
    await asyncio.wait([task])
    if task.cancelled():
        return False
    assert task.result() == Infected(EICAR_NAME)
    return True


@pytest.mark.parametrize("size", [1000, 2_000_000])  # in memory, and a file of several chunks
@pytest.mark.parametrize("pooled", [False, True])
def test_cancelled_at_every_await(
    run: LoopRunner, address: str, tmp_path: Path, size: int, *, pooled: bool
) -> None:
    """Cancelled wherever it waits, a scan leaves no descriptor behind and no wrong answer for the next."""
    bad = os.urandom(size) + archive(EICAR)

    async def body() -> None:
        async with engine_at(address) as engine:
            assert await judge(engine, b"x") == Clean()
            with await spooled(bad, tmp_path) as blob:
                assert await inspect(engine, blob) == Infected(EICAR_NAME)
                await engine.close()
                before = descriptors()
                for step in itertools.count(1):
                    engine = ClamdEngine("clamd", [address])  # noqa: PLW2901  (a fresh pool each time)
                    if pooled:
                        assert await judge(engine, b"x") == Clean()
                    done = await completes_despite(step, inspect(engine, blob))
                    assert await judge(engine, b"x") == Clean()
                    assert await inspect(engine, blob) == Infected(EICAR_NAME)
                    await engine.close()
                    await until(lambda: descriptors() <= before)
                    if done:
                        break
                assert step > 1

    run(body())


def test_cancelled_at_any_time(run: LoopRunner, address: str) -> None:
    """Cancelled after any number of turns of the loop, also when the answer is already there."""

    async def body() -> None:
        loop = asyncio.get_running_loop()
        async with engine_at(address, concurrency=2) as engine:
            assert await judge(engine, b"x") == Clean()
            before = descriptors()
            for turns in range(150):
                scans = [loop.create_task(judge(engine, b"x")), loop.create_task(judge(engine, EICAR))]
                for _ in range(turns):
                    await asyncio.sleep(0)
                scans[turns % 2].cancel()
                await asyncio.wait(scans)
                right = [task.cancelled() or task.result() for task in scans]
                assert right[0] in {True, Clean()}
                assert right[1] in {True, Infected(EICAR_NAME)}
            assert await judge(engine, EICAR) == Infected(EICAR_NAME)
            await until(lambda: descriptors() <= before + 1)

    run(body())
