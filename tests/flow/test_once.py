"""Work of one key is done by one caller at a time, and shared by those who wait meanwhile."""

import asyncio

import pytest

from ostiary.inflight import Once
from tests.flow.fakes import cancelled_at_every_turn, cancelled_everywhere, settled
from tests.flow.port import FaultError


async def test_once_is_once() -> None:
    """Callers of one key at the same time share one piece of work, and say whose it was."""
    once: Once[str, int] = Once()
    done: list[int] = []

    async def work() -> int:
        await settled()
        done.append(1)
        return len(done)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(once.result(key, work)) for key in "aaab"]
    assert sorted(task.result() for task in tasks) == [(1, False), (1, False), (1, True), (2, True)]
    assert await once.result("a", work) == (3, True)
    assert once._running == {}


async def test_once_failed_is_not_failed_for_all() -> None:
    """Each follower of one that failed tries for itself; an error belongs to whose work it was."""
    once: Once[str, int] = Once()

    async def result(number: int) -> tuple[int, bool]:
        async def work() -> int:
            await asyncio.sleep(0)
            if number < 2:
                raise FaultError(number)
            return number

        return await once.result("key", work)

    tasks = [asyncio.get_running_loop().create_task(result(number)) for number in range(4)]
    await asyncio.wait(tasks)
    for number in (0, 1):
        error = tasks[number].exception()
        assert isinstance(error, FaultError)
        assert error.args == (number,)
    assert [task.result() for task in tasks[2:]] == [(2, True), (2, False)]
    assert once._running == {}


@pytest.mark.parametrize("result", [None, asyncio.CancelledError])
async def test_once_may_give_anything(result: object) -> None:
    """None is a result, and so is a CancelledError's class: only a missing result is none."""
    once: Once[str, object] = Once()

    async def work() -> object:
        await asyncio.sleep(0)
        return result

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(once.result("key", work)) for _ in range(2)]
    assert [task.result() for task in tasks] == [(result, True), (result, False)]


@pytest.mark.parametrize("who", ["leader", "follower"])
async def test_once_cancelled_at_every_await(who: str) -> None:
    """Whoever goes away, the others get a result, and no key stays taken."""
    once: Once[str, int] = Once()
    loop = asyncio.get_running_loop()
    others: list[asyncio.Task[tuple[int, bool]]] = []

    async def work() -> int:
        for _ in range(3):
            await asyncio.sleep(0)
        return 1

    async def leader() -> None:
        others.extend(loop.create_task(once.result("key", work)) for _ in range(2))
        assert await once.result("key", work) == (1, True)

    async def follower() -> None:
        others.append(loop.create_task(once.result("key", work)))
        await asyncio.sleep(0)
        assert await once.result("key", work) == (1, False)

    async def check() -> None:
        results = await asyncio.gather(*others)
        others.clear()
        assert {number for number, _ in results} == {1}
        assert once._running == {}

    caller = leader if who == "leader" else follower
    assert await cancelled_everywhere(caller, check) >= 2
    assert await cancelled_at_every_turn(caller, check) >= 3
