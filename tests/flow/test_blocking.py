"""Blocking work: a thread's caller leaves only after the thread, however often it is cancelled."""

import asyncio
import os
import threading

import pytest

from ostiary.blocking import run_blocking, to_its_end
from tests.descriptors import open_descriptors
from tests.flow.fakes import cancelled_everywhere, until


async def test_the_result_comes_back() -> None:
    """Arguments go in, the result comes out, and it ran in another thread."""

    def work(first: int, *, second: int) -> tuple[int, bool]:
        return first + second, threading.current_thread() is threading.main_thread()

    assert await run_blocking(work, 1, second=2) == (3, False)


async def test_an_error_comes_back() -> None:
    """What the function raises is raised where it was called for."""

    def work() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        await run_blocking(work)


async def test_a_cancelled_caller_waits_for_its_thread() -> None:
    """Cancelled once, twice, three times: the caller is still there until the thread has ended."""
    go, running, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        running.set()
        go.wait(10)
        ended.set()

    task = asyncio.get_running_loop().create_task(run_blocking(work))
    await until(running.is_set)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done()
    go.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert ended.is_set()


async def test_a_cancelled_caller_does_not_hear_of_an_error() -> None:
    """The thread fails after its caller was cancelled: the cancellation counts, nothing is left unheard."""
    go, running = threading.Event(), threading.Event()

    def work() -> None:
        running.set()
        go.wait(10)
        raise ValueError("too late")

    task = asyncio.get_running_loop().create_task(run_blocking(work))
    await until(running.is_set)
    task.cancel()
    await asyncio.sleep(0)
    go.set()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_deadline_is_a_deadline_though_late() -> None:
    """A timeout around blocking work is a TimeoutError, after the thread has ended."""
    go, ended = threading.Event(), threading.Event()

    def work() -> None:
        go.wait(10)
        ended.set()

    asyncio.get_running_loop().call_later(0.05, go.set)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await run_blocking(work)
    assert ended.is_set()


async def test_descriptors_are_never_pulled_from_under_a_thread() -> None:
    """A caller that closes its file when cancelled never closes it while the thread still reads."""
    before = open_descriptors()
    failed: list[OSError] = []

    def read(descriptor: int) -> None:
        for _ in range(50):
            try:
                os.pread(descriptor, 10, 0)
            except OSError as error:
                failed.append(error)

    async def run() -> None:
        descriptor = os.open("/dev/zero", os.O_RDONLY)
        try:
            await run_blocking(read, descriptor)
        finally:
            os.close(descriptor)

    async def check() -> None:
        assert open_descriptors() == before

    assert await cancelled_everywhere(run, check) == 1
    assert failed == []


async def test_a_task_is_not_left_halfway() -> None:
    """`to_its_end` does for a task what is done for threads: cancelled, it ends after the task."""
    steps: list[int] = []

    async def work() -> str:
        for step in range(5):
            await asyncio.sleep(0)
            steps.append(step)
        return "done"

    async def run() -> str:
        return await to_its_end(asyncio.get_running_loop().create_task(work()))

    async def check() -> None:
        assert steps == [0, 1, 2, 3, 4]
        steps.clear()

    assert await cancelled_everywhere(run, check) == 1


async def test_a_job_that_is_cancelled_itself_ends_the_wait() -> None:
    """Where the job, not the caller, was cancelled, the caller is told and does not hang."""
    job = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(job.cancel)
    with pytest.raises(asyncio.CancelledError):
        await to_its_end(job)
