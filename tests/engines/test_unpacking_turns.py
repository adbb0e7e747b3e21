"""Long walks and short ones share what threads there are; who goes away is not waited for."""

import asyncio
import threading

import pytest

from ostiary.blob import Blob
from ostiary.engines.unpacking.account import Bounds
from ostiary.engines.unpacking.examiner import WALKS, Examiner
from ostiary.engines.unpacking.turns import Turns
from tests.engines.clamd_cases import zipped
from tests.engines.conftest import LoopRunner
from tests.engines.test_clamd_limits import BOMB, WIDE

ENDLESS = Bounds(1 << 40, 1 << 50, 100_000, 17)
LONG = zipped(*[b"%d" % index + bytes(40 << 20) for index in range(6)])


class _Gone(Exception):  # noqa: N818  (what a test raises)
    pass


def nothing() -> None:
    """Go on."""


def test_turns_come_in_order() -> None:
    """Who waits longest is next, and who went away has none."""
    turns = Turns(1)
    turns.take(nothing)
    order: list[str] = []

    def work(name: str) -> None:
        turns.take(nothing)
        order.append(name)
        turns.give()

    def leave() -> None:
        raise _Gone

    threads = []
    for name in ("first", "second"):
        threads.append(threading.Thread(target=work, args=(name,)))
        threads[-1].start()
        while not turns.wanted() or len(turns._waiting) < len(threads):
            pass
    with pytest.raises(_Gone):
        turns.take(leave)
    turns.give()
    for thread in threads:
        thread.join()
    assert order == ["first", "second"]
    assert not turns.wanted()
    turns.take(nothing)


def test_short_walks_are_done_between_long_ones(run: LoopRunner) -> None:
    """With one turn only, a short walk ends while a long one that began before is still at it."""

    async def body() -> None:
        examiner = Examiner(1)
        with Blob.of(LONG) as long, Blob.of(zipped(b"x")) as short:
            async with asyncio.TaskGroup() as group:
                first = group.create_task(examiner.unseen(long, ENDLESS))
                await asyncio.sleep(0.01)
                assert await examiner.unseen(short, WIDE) is None
                assert not first.done()
            assert first.result() is None
        examiner.close()

    run(body())


def test_a_walk_that_has_not_begun_is_cancelled_at_once(run: LoopRunner) -> None:
    """Nobody waits for threads that others have."""

    async def body() -> None:
        examiner = Examiner(1)
        with Blob.of(BOMB) as blob:
            async with asyncio.TaskGroup() as group:
                others = [group.create_task(examiner.unseen(blob, ENDLESS)) for _ in range(2 * WALKS)]
                await asyncio.sleep(0.05)
                for other in others:
                    other.cancel()
        assert all(other.cancelled() for other in others)
        with Blob.of(zipped(b"x")) as blob:
            assert await examiner.unseen(blob, WIDE) is None
        examiner.close()

    run(body())
