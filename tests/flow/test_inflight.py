"""Single flight: shared by all who wait, and nobody is harmed by who else wanted it or went away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.flow.fakes import cancelled_at_every_turn, cancelled_everywhere, settled
from tests.flow.port import Caller, FaultError, Port, Run


async def over(*callers: Caller) -> None:
    """Let the callers leave, and see that nothing went wrong with them."""
    for caller in callers:
        caller.leave.set()
        await caller.task


async def test_callers_of_one_key_share_one_run() -> None:
    """One run, one result, and only who started it calls it its own; another key has its own."""
    async with Port() as port:
        callers = [port.call() for _ in range(3)]
        other = port.call("other")
        await settled()
        assert [run.started for run in port.runs] == [True, False, False, True]
        port.runs[0].land()
        port.runs[3].land()
        await settled()
        assert [caller.got for caller in callers] == [(0, True), (0, False), (0, False)]
        assert other.got == (3, True)
        await over(*callers, other)


async def test_a_result_is_open_until_the_last_has_left() -> None:
    """Whoever leaves, the leader too, closes nothing under the others; the last one sees it closed."""
    async with Port() as port:
        leader, follower, last = (port.call() for _ in range(3))
        await settled()
        port.runs[0].land()
        await settled()
        for caller in (leader, follower):
            await over(caller)
            await settled()
            assert port.runs[0].open
        await over(last)
        assert port.runs[0].ended


async def test_who_comes_after_the_result_has_its_own_run() -> None:
    """A slow reader keeps no old verdict alive: a run that has its result takes no new callers."""
    async with Port() as port:
        slow = port.call()
        await settled()
        port.runs[0].land()
        await settled()
        assert "key" not in port.flights
        late = port.call()
        await settled()
        assert port.runs[1].started
        port.runs[1].land()
        await settled()
        assert late.got == (1, True)
        await over(late, slow)


async def test_a_leader_that_fails_is_alone_with_it() -> None:
    """Its followers do their own work, and fail by that alone."""
    async with Port() as port:
        leader, good, bad = (port.call() for _ in range(3))
        await settled()
        port.runs[0].fail()
        await settled()
        assert port.runs[0].ended
        assert port.runs[1].started
        assert port.runs[2].started
        port.runs[1].land()
        port.runs[2].fail()
        await settled()
        for caller, number in ((leader, 0), (bad, 2)):
            with pytest.raises(FaultError, match=str(number)):
                await caller.task
        assert good.got == (1, True)
        await over(good)


async def test_a_leader_that_goes_leaves_its_run_to_the_others() -> None:
    """A cancelled leader is gone at once, and its run goes on for whoever is left."""
    async with Port() as port:
        leader, follower = port.call(), port.call()
        await settled()
        leader.task.cancel()
        await asyncio.wait([leader.task])
        assert not port.runs[0].ended
        late = port.call()
        await settled()
        port.runs[0].land()
        await settled()
        assert (follower.got, late.got) == ((0, False), (0, False))
        await over(follower, late)


async def test_the_last_to_go_ends_the_run() -> None:
    """A run that nobody wants any more is cancelled, and its end is waited for."""
    async with Port() as port:
        callers = [port.call() for _ in range(3)]
        await settled()
        for caller in callers:
            assert not port.runs[0].ended
            caller.task.cancel()
            await asyncio.wait([caller.task])
            assert caller.task.cancelled()
        assert port.runs[0].ended
        assert port.runs[0].gate.cancelled()


async def test_a_run_that_is_being_cancelled_takes_no_new_callers() -> None:
    """Who comes while a run dies starts one that lives."""
    async with Port() as port:
        dying = asyncio.Event()
        dead = asyncio.Event()

        @asynccontextmanager
        async def stubborn() -> AsyncIterator[int]:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                dying.set()
                await dead.wait()
            yield 0

        async def first() -> None:
            async with port.flights.join("key", stubborn):
                pass

        task = asyncio.get_running_loop().create_task(first())
        await settled()
        task.cancel()
        await dying.wait()
        late = port.call()
        await settled()
        port.runs[0].land()
        await settled()
        assert late.got == (0, True)
        task.cancel()  # a second time, while it waits for the end
        await settled()
        assert not task.done()
        dead.set()
        await asyncio.wait([task])
        assert task.cancelled()
        await over(late)


async def test_a_run_that_is_cancelled_from_inside() -> None:
    """A CancelledError that nobody asked for is an error of the run, and cancels no caller."""
    async with Port() as port:
        leader, follower = port.call(), port.call()
        await settled()
        port.runs[0].gate.cancel()
        await settled()
        with pytest.raises(RuntimeError, match="cancelled"):
            await leader.task
        port.runs[1].land()
        await settled()
        assert follower.got == (1, True)
        await over(follower)


async def test_a_failure_after_the_result_harms_nobody_and_is_heard() -> None:
    """What goes wrong when a shared result is closed is a bug: no caller's, but logged."""

    @asynccontextmanager
    async def leaking() -> AsyncIterator[int]:
        yield 0
        raise FaultError(0)

    with capture_logs() as lines:
        async with Port() as port, port.flights.join("key", leaking) as got:
            assert got == (0, True)
    assert [line["event"] for line in lines] == ["bug in the background"]


async def test_a_callers_error_is_its_own() -> None:
    """What a caller's own block raises comes out of it, and the others keep their result."""
    async with Port() as port:
        run = Run(0)
        run.land()

        async def failing() -> None:
            async with port.flights.join("key", run):
                await asyncio.sleep(0)
                raise FaultError(77)

        async def fine() -> None:
            async with port.flights.join("key", run) as (_, ours):
                assert not ours
                await settled()
                assert run.open

        tasks = [asyncio.get_running_loop().create_task(work()) for work in (failing, fine)]
        with pytest.raises(FaultError, match="77"):
            await tasks[0]
        await tasks[1]
        assert run.ended


async def test_the_end_of_the_background_ends_all_runs() -> None:
    """Who still waits when the gateway goes down hears of it."""
    async with Port() as port:
        async with port.background:
            leader, follower = port.call(), port.call()
            await settled()
        assert port.runs[0].ended
        with pytest.raises(RuntimeError, match="cancelled"):
            await leader.task
        await settled()
        follower.task.cancel()  # it does its own by now
        await asyncio.wait([follower.task])
        assert port.runs[1].ended


@pytest.mark.parametrize("followers", [0, 1, 2])
@pytest.mark.parametrize("fails", [None, 0, 1, 2])
async def test_a_leader_cancelled_at_every_await(followers: int, fails: int | None) -> None:
    """Whenever the leader goes or fails, each follower has a whole result: its own or the shared one."""
    async with Port() as port:
        loop = asyncio.get_running_loop()
        open_runs = 0
        waiting: list[asyncio.Task[bool]] = []

        def run(*, fail: int | None) -> Callable[[], Any]:
            @asynccontextmanager
            async def steps() -> AsyncIterator[list[bool]]:
                nonlocal open_runs
                result = [True]
                open_runs += 1
                try:
                    for step in range(3):
                        await asyncio.sleep(0)
                        if step == fail:
                            raise FaultError(step)
                    yield result
                    await asyncio.sleep(0)
                finally:
                    result.clear()
                    open_runs -= 1

            return steps

        async def follower() -> bool:
            async with port.flights.join("key", run(fail=None)) as (result, _):
                whole = bool(result)
                await asyncio.sleep(0)
                return whole and bool(result)

        async def leader() -> None:
            waiting.extend(loop.create_task(follower()) for _ in range(followers))
            with suppress(FaultError):
                async with port.flights.join("key", run(fail=fails)) as (result, ours):
                    assert ours
                    await asyncio.sleep(0)
                    assert result

        async def check() -> None:
            assert await asyncio.gather(*waiting) == [True] * len(waiting)
            waiting.clear()
            assert open_runs == 0
            assert not port.flights._flights
            assert not port.background._tasks

        assert await cancelled_everywhere(leader, check) >= 1
        assert await cancelled_at_every_turn(leader, check) >= 3


@pytest.mark.parametrize("fails", [None, 1])
async def test_a_follower_cancelled_at_every_await(fails: int | None) -> None:
    """A follower that goes, also while it does its own after the leader failed, harms nobody."""
    async with Port() as port:
        ended = 0

        @asynccontextmanager
        async def steps() -> AsyncIterator[int]:
            nonlocal ended
            try:
                for step in range(3):
                    await asyncio.sleep(0)
                    if step == fails:
                        raise FaultError(step)
                yield 1
            finally:
                ended += 1

        @asynccontextmanager
        async def own() -> AsyncIterator[int]:
            await asyncio.sleep(0)
            yield 2
            await asyncio.sleep(0)

        async def leader() -> bool:
            with suppress(FaultError):
                async with port.flights.join("key", steps):
                    await settled()
                    return True
            return False

        tasks: list[asyncio.Task[bool]] = []

        async def follower() -> None:
            tasks.append(asyncio.get_running_loop().create_task(leader()))
            await asyncio.sleep(0)
            async with port.flights.join("key", own) as got:
                assert got == ((1, False) if fails is None else (2, True))
                await asyncio.sleep(0)

        async def check() -> None:
            for task in tasks:
                assert await task == (fails is None)
            tasks.clear()
            assert not port.flights._flights
            assert not port.background._tasks

        assert await cancelled_everywhere(follower, check) >= 3
        assert await cancelled_at_every_turn(follower, check) >= 3
        assert ended > 6
