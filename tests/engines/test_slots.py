"""Turns in an engine: first scans go first, rescans are not starved, and no slot is ever lost."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from ostiary.engines.slots import Slots
from tests.flow.fakes import settled


async def test_first_scans_go_before_rescans() -> None:
    """Whoever scans again waits behind all who scan for the first time, but for every fourth turn."""
    slots, order = Slots(1), []

    async def one(name: str, *, again: bool) -> None:
        await slots.acquire(again=again)
        order.append(name)

    await slots.acquire()
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(one(f"again{number}", again=True))
        for number in range(5):
            group.create_task(one(f"first{number}", again=False))
        await settled()
        for _ in range(8):
            slots.release()
            await settled()
    expected = ["first0", "first1", "first2", "again0", "first3", "first4", "again1", "again2"]
    assert order == expected


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 3), st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.booleans()), max_size=12))
def test_no_slot_is_lost(total: int, callers: list[tuple[bool, int, bool]]) -> None:
    """Never more than `total` at a time, and all are free in the end, whoever is cancelled and when."""

    async def body() -> None:
        slots, inside = Slots(total), 0

        async def use(turns: int, *, again: bool) -> None:
            nonlocal inside
            await slots.acquire(again=again)
            try:
                inside += 1
                assert inside <= total
                for _ in range(turns):
                    await asyncio.sleep(0)
            finally:
                inside -= 1
                slots.release()

        loop = asyncio.get_running_loop()
        tasks = []
        for again, turns, cancelled in callers:
            task = loop.create_task(use(turns, again=again))
            tasks.append(task)
            await asyncio.sleep(0)
            if cancelled:
                tasks[turns % len(tasks)].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [one for one in results if isinstance(one, AssertionError)]
        for _ in range(total):
            async with asyncio.timeout(1):
                await slots.acquire()

    asyncio.run(body())
