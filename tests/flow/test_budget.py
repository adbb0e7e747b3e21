"""Budgets: bounded, fair, and nothing lost when a waiting caller goes away."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.blob import MEMORY_LIMIT
from ostiary.budget import Budget, Spool
from ostiary.errors import OverloadedError


async def test_what_fits_is_given_at_once() -> None:
    """A share that fits does not wait, and comes back when the block ends."""
    budget = Budget("memory", 10, 0.01)
    async with budget.share(6), budget.share(4):
        assert budget.used == 10
    assert budget.used == 0


async def test_full_means_wait_and_then_a_clear_refusal() -> None:
    """A share that does not come free in time is refused, and says what is full and when to retry."""
    budget = Budget("memory", 10, 0.01)
    async with budget.share(10):
        with pytest.raises(OverloadedError, match="memory") as refused:
            await budget.acquire(1)
        assert refused.value.retry_after > 0
        assert budget.waiting == 0
    assert budget.used == 0


async def test_a_waiting_caller_gets_what_another_gives_back() -> None:
    """Whoever waits is let in as soon as there is room."""
    budget = Budget("memory", 10, 5)
    await budget.acquire(10)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(budget.acquire(7))
        await asyncio.sleep(0)
        assert not waiting.done()
        budget.release(10)
    assert budget.used == 7


async def test_first_come_first_served() -> None:
    """A small share does not overtake a large one that came before it."""
    budget = Budget("memory", 10, 0.05)
    await budget.acquire(5)
    async with asyncio.TaskGroup() as group:
        large = group.create_task(budget.acquire(8))
        await asyncio.sleep(0)
        small = group.create_task(budget.acquire(1))
        await asyncio.sleep(0)
        assert budget.waiting == 2
        budget.release(5)
        await asyncio.sleep(0)
    assert large.done()
    assert small.done()
    assert budget.used == 9


async def test_one_that_gives_up_lets_the_next_in() -> None:
    """When the first in the queue goes away, those behind it are looked at again."""
    budget = Budget("memory", 10, 5)
    await budget.acquire(5)
    async with asyncio.TaskGroup() as group:
        large = group.create_task(budget.acquire(8))
        await asyncio.sleep(0)
        small = group.create_task(budget.acquire(3))
        await asyncio.sleep(0)
        large.cancel()
        await small
    assert budget.used == 8


async def test_one_that_gives_up_in_the_moment_of_its_turn() -> None:
    """A caller cancelled just before its share comes free is cancelled, nothing else, and holds nothing."""
    budget = Budget("memory", 10, 5)
    await budget.acquire(10)
    waiting = asyncio.get_running_loop().create_task(budget.acquire(5))
    await asyncio.sleep(0)
    waiting.cancel()
    budget.release(10)
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert (budget.used, budget.waiting) == (0, 0)


async def test_one_that_gives_up_just_after_its_turn() -> None:
    """A caller cancelled when its share is granted but not yet taken gives it back."""
    budget = Budget("memory", 10, 5)
    await budget.acquire(10)
    waiting = asyncio.get_running_loop().create_task(budget.acquire(5))
    await asyncio.sleep(0)
    budget.release(10)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert (budget.used, budget.waiting) == (0, 0)


async def test_more_than_there_is_at_all_is_refused_at_once() -> None:
    """Nobody waits for what can never come."""
    with pytest.raises(OverloadedError):
        await Budget("disk", 10, 60).acquire(11)


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=30))
async def test_nothing_is_ever_lost_or_given_twice(callers: list[tuple[int, bool]]) -> None:
    """Whatever mixture of callers comes, waits, is cancelled or refused: all comes back."""
    budget = Budget("memory", 10, 0.001)
    most = 0

    async def call(amount: int) -> None:
        nonlocal most
        try:
            async with budget.share(amount):
                most = max(most, budget.used)
                await asyncio.sleep(0)
        except OverloadedError:
            pass

    async with asyncio.TaskGroup() as group:
        for amount, cancelled in callers:
            task = group.create_task(call(amount))
            await asyncio.sleep(0)
            if cancelled:
                task.cancel()
    assert budget.used == 0
    assert budget.waiting == 0
    assert most <= 10


async def test_a_small_media_takes_memory_a_large_one_disk() -> None:
    """Up to 1 MiB counts as memory (with its memfd), more as disk and a little memory."""
    spool = Spool(Path("/var/tmp"), Budget("memory", 1 << 30, 1), Budget("disk", 1 << 30, 1))  # noqa: S108
    async with spool.room(1000, copies=2):
        assert (spool.memory.used, spool.disk.used) == (3000, 0)
    async with spool.room(MEMORY_LIMIT + 1, copies=2):
        assert (spool.memory.used, spool.disk.used) == (2 * MEMORY_LIMIT, 2 * (MEMORY_LIMIT + 1))
    assert (spool.memory.used, spool.disk.used) == (0, 0)


async def test_room_that_is_refused_halfway_is_given_back() -> None:
    """Memory taken for a large media comes back when there is no disk for it."""
    spool = Spool(Path("/var/tmp"), Budget("memory", 1 << 30, 1), Budget("disk", 10, 0.01))  # noqa: S108
    with pytest.raises(OverloadedError, match="disk"):
        async with spool.room(MEMORY_LIMIT + 1):
            raise AssertionError("there was no room")
    assert spool.memory.used == 0
