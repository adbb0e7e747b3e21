"""Turns: so many at a time, a share for each caller, and nobody forgotten whoever goes away."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from ostiary.turns import SHARE, Turns


async def test_one_caller_leaves_turns_to_others() -> None:
    """A caller with all of its share waits, whatever is free; somebody else does not."""
    turns = Turns("fetches", 2 * SHARE)
    loop = asyncio.get_running_loop()
    release = asyncio.Event()

    async def fetch(caller: str) -> None:
        async with turns.turn(caller):
            await release.wait()

    greedy = [loop.create_task(fetch("mallory")) for _ in range(50)]
    await asyncio.sleep(0)
    assert (turns.used, turns.waiting) == (2, 48)
    honest = [loop.create_task(fetch(name)) for name in ("alice", "bob", "alice")]
    await asyncio.sleep(0)
    assert (turns.used, turns.waiting) == (5, 48)
    greedy[0].cancel()
    await asyncio.sleep(0.001)
    assert (turns.used, turns.waiting) == (5, 47)
    release.set()
    await asyncio.wait([*greedy, *honest])
    assert (turns.used, turns.waiting) == (0, 0)


async def test_a_single_turn_is_everybodys() -> None:
    """With fewer turns than shares each caller may have one."""
    turns = Turns("fetches", 1)
    async with turns.turn("alice"):
        waiting = asyncio.get_running_loop().create_task(_through(turns, "bob"))
        await asyncio.sleep(0)
        assert turns.waiting == 1
    await waiting
    assert (turns.used, turns.waiting) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40), st.integers(1, 9))
def test_nothing_is_lost(callers: list[tuple[int, bool]], total: int) -> None:
    """Whoever comes, goes away or fails: never too many, never more than a share, and all is given back."""

    async def body() -> None:
        turns = Turns("fetches", total)
        most = max(1, total // SHARE)
        held = dict.fromkeys(range(4), 0)

        async def fetch(caller: int) -> None:
            async with turns.turn(str(caller)):
                held[caller] += 1
                try:
                    assert held[caller] <= most
                    assert sum(held.values()) <= total
                    await asyncio.sleep(0)
                finally:
                    held[caller] -= 1

        tasks = []
        for number, (caller, leaves) in enumerate(callers):
            tasks.append(asyncio.get_running_loop().create_task(fetch(caller)))
            if number % 3 == 0:
                await asyncio.sleep(0)
            if leaves:
                tasks[number // 2].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [one for one in results if isinstance(one, Exception)]
        assert (turns.used, turns.waiting) == (0, 0)

    asyncio.run(body())


async def _through(turns: Turns, caller: str) -> None:
    async with turns.turn(caller):
        await asyncio.sleep(0)
