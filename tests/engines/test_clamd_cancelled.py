"""A scan that is cancelled, wherever it is: nothing stays behind, and nobody else's answer changes.

While clamd works on it, it lingers in its slot: the tests with the fake say when clamd is done.
"""

import asyncio
import itertools
import os
import random
import threading
import types
from collections.abc import Coroutine, Generator
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from ostiary.engines.clamd.engine import ClamdEngine
from ostiary.model import Clean, Finding, Infected
from peers.clamd import EICAR, EICAR_NAME
from tests.engines.asking import archive, descriptors, engine_at, inspect, judge, spooled, until
from tests.engines.conftest import LoopRunner
from tests.engines.fake_clamd import PATIENCE, Connection, FakeClamd, well_behaved
from tests.flow.fakes import cancelled_at_every_turn, cancelled_everywhere, settled

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


@pytest.mark.peer("clamd")
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


@pytest.mark.peer("clamd")
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


FOUND: Final = b"fd[9]: Slow.Bomb FOUND"
BOMB: Final = Infected("Slow.Bomb")


class SlowScan:
    """A clamd's behaviour: takes one scan, says so, and answers when it is let go; b"" hangs up."""

    def __init__(self, reply: bytes = FOUND) -> None:
        self.reply = reply
        self.taken = threading.Event()
        self.go = threading.Event()

    def __call__(self, connection: Connection) -> None:
        """Behave so."""
        connection.scan_command()
        self.taken.set()
        self.go.wait(PATIENCE)
        if self.reply:
            connection.send(b"1: " + self.reply + b"\0")
            connection.silence()


class Silence(SlowScan):
    """It never answers, and tells when the client has gone."""

    def __init__(self) -> None:
        super().__init__()
        self.left = threading.Event()

    def __call__(self, connection: Connection) -> None:
        """Behave so."""
        connection.scan_command()
        self.taken.set()
        connection.silence()
        self.left.set()


async def given_up(engine: ClamdEngine, slow: SlowScan, data: bytes = b"slow") -> None:
    """Have the engine scan, and go away when clamd has all of it."""
    scan = asyncio.get_running_loop().create_task(judge(engine, data))
    assert await asyncio.to_thread(slow.taken.wait, PATIENCE)
    scan.cancel()
    await asyncio.wait([scan])
    assert scan.cancelled()


def all_free(engine: ClamdEngine, slots: int) -> bool:
    """Whether each slot is free, and none of them twice; nothing lingers, and no task is left but ours."""
    free = engine._slots._free == slots and not engine._lingering._sessions
    return free and len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("reply", [FOUND, b"fd[9]: OK", b"garbage", b""])
def test_a_slot_is_taken_until_clamd_is_done(run: LoopRunner, reply: bytes) -> None:
    """A scan that was given up keeps its slot until clamd ends it, in whatever way; then others go on."""

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address, concurrency=1) as engine:
            await given_up(engine, slow)
            other = asyncio.get_running_loop().create_task(judge(engine, b"other"))
            await settled(50)
            assert fake.connections == 1
            assert not other.done()
            slow.go.set()
            assert await asyncio.wait_for(other, PATIENCE) == Clean()
            assert fake.connections == 2  # the session that lingered is nobody's
            assert all_free(engine, 1)

    slow = SlowScan(reply)
    with FakeClamd(slow, well_behaved) as fake:
        run(body(fake))


def test_a_stream_that_was_sent_lingers_too(run: LoopRunner) -> None:
    """Over TCP the scan begins when the stream has ended: given up then, it keeps its slot."""

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address, concurrency=1) as engine:
            await given_up(engine, slow)
            assert engine._slots._free == 0
            slow.go.set()
            await until(lambda: all_free(engine, 1))

    slow = SlowScan(b"stream: OK")
    with FakeClamd(slow, tcp=True) as fake:
        run(body(fake))


def test_a_stream_that_was_not_sent_ends_at_once(run: LoopRunner) -> None:
    """Given up before its last byte, a scan has not begun: its connection is closed, its slot free."""

    def half(connection: Connection) -> None:
        while connection.command() != b"zINSTREAM":
            pass
        connection.exactly(1 << 16)
        begun.set()
        connection.stall()

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address, concurrency=1) as engine:
            scan = asyncio.get_running_loop().create_task(judge(engine, bytes(30_000_000)))
            assert await asyncio.to_thread(begun.wait, PATIENCE)
            scan.cancel()
            await asyncio.wait([scan])
            assert scan.cancelled()
            assert all_free(engine, 1)

    begun = threading.Event()
    with FakeClamd(half, tcp=True) as fake:
        run(body(fake))


def test_a_clamd_that_never_answers_holds_no_slot_for_ever(run: LoopRunner) -> None:
    """After `linger_seconds` the connection is closed, and the slot another's."""

    async def body(fake: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [fake.address], concurrency=1, linger_seconds=0.05)
        await given_up(engine, slow)
        assert await asyncio.wait_for(judge(engine, b"other"), PATIENCE) == Clean()
        assert await asyncio.to_thread(slow.left.wait, PATIENCE)
        assert all_free(engine, 1)
        await engine.close()

    slow = Silence()
    with FakeClamd(slow, well_behaved) as fake:
        run(body(fake))


def test_closing_the_engine_ends_what_lingers(run: LoopRunner) -> None:
    """At once; and whatever is given up afterwards does not linger."""

    async def body(fake: FakeClamd) -> None:
        before = descriptors()
        engine = ClamdEngine("clamd", [fake.address], concurrency=1)
        for slow in slows:
            await given_up(engine, slow)
            assert (engine._slots._free == 0) == (slow is slows[0])
            await engine.close()
            assert all_free(engine, 1)
            assert await asyncio.to_thread(slow.left.wait, PATIENCE)
        await until(lambda: descriptors() <= before)

    run(asyncio.to_thread(int))  # the first loop of a kind opens descriptors for good
    slows = [Silence(), Silence()]
    with FakeClamd(*slows) as fake:
        run(body(fake))


def test_the_same_bytes_are_not_scanned_twice(run: LoopRunner) -> None:
    """Whoever asks for the bytes of a scan that lingers gets its answer; going away again changes nothing."""

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address, concurrency=1) as engine:
            loop = asyncio.get_running_loop()
            await given_up(engine, slow)
            scans = [loop.create_task(judge(engine, b"slow")) for _ in range(3)]
            await settled()
            scans[0].cancel()
            await asyncio.wait(scans[:1])
            assert scans[0].cancelled()
            assert fake.connections == 1
            slow.go.set()
            assert await asyncio.wait_for(asyncio.gather(*scans[1:]), PATIENCE) == [BOMB, BOMB]
            assert await judge(engine, b"slow") == Clean()  # the fake's next word: nothing is remembered
            assert all_free(engine, 1)

    slow = SlowScan()
    with FakeClamd(slow, well_behaved) as fake:
        run(body(fake))


@pytest.mark.parametrize("reply", [b"garbage", b""])
def test_the_same_bytes_are_scanned_if_nothing_came_of_it(run: LoopRunner, reply: bytes) -> None:
    """A scan that lingered and gave no answer is nobody's error and no verdict."""

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address, concurrency=1) as engine:
            await given_up(engine, slow)
            again = asyncio.get_running_loop().create_task(judge(engine, b"slow"))
            await settled()
            slow.go.set()
            assert await asyncio.wait_for(again, PATIENCE) == Clean()
            assert fake.connections == 2
            assert all_free(engine, 1)

    slow = SlowScan(reply)
    with FakeClamd(slow, well_behaved) as fake:
        run(body(fake))


def test_the_answer_of_old_signatures_is_no_answer(run: LoopRunner) -> None:
    """What a scan that lingered found counts only if its version still decides: else it is scanned anew."""

    def old(connection: Connection) -> None:
        connection.tells_version = False
        connection.scan_command()
        connection.send(b"1: ClamAV 1.4.6/1/then\0")
        connection.scan_command()
        slow.taken.set()
        slow.go.wait(PATIENCE)
        connection.send(b"2: fd[9]: OK\0")

    def new(connection: Connection) -> None:
        connection.tells_version = False
        number = 0
        while command := connection.scan_command():
            number += 1
            said = b"ClamAV 1.4.6/2/now" if command == b"zVERSION" else FOUND
            connection.send(b"%d: %s\0" % (number, said))

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address, concurrency=1) as engine:
            await given_up(engine, slow)
            again = asyncio.get_running_loop().create_task(judge(engine, b"slow"))
            await settled()
            slow.go.set()
            assert await asyncio.wait_for(again, PATIENCE) == BOMB

    slow = SlowScan()
    with FakeClamd(old, new) as fake:
        run(body(fake))


@pytest.mark.peer("clamd")
def test_no_slot_is_lost(run: LoopRunner, address: str, tmp_path: Path) -> None:
    """Cancelled at any await, or any time later, a scan gives its one slot back once, and leaves no task."""

    async def body() -> None:
        async with engine_at(address, concurrency=1) as engine:
            with await spooled(os.urandom(700_000) + archive(EICAR), tmp_path) as blob:

                async def scan() -> None:
                    assert await inspect(engine, blob) == Infected(EICAR_NAME)

                async def check() -> None:
                    await until(lambda: engine._slots._free == 1 and not engine._lingering._sessions)
                    assert await judge(engine, b"x") == Clean()

                assert await cancelled_everywhere(scan, check) > 0
                assert await cancelled_at_every_turn(scan, check) > 1
            await until(lambda: all_free(engine, 1))

    run(body())


@pytest.mark.peer("clamd")
def test_no_slot_is_lost_in_a_crowd(run: LoopRunner, address: str) -> None:
    """Nor when many scan the same and other bytes, most of them go away, and the engine is closed midway."""

    async def body() -> None:
        loop, chance = asyncio.get_running_loop(), random.Random(1)  # noqa: S311  (no secret)
        bad = archive(EICAR)
        for closes in (False, True):
            engine = ClamdEngine("clamd", [address], concurrency=3)
            for _ in range(20):
                samples = [(bad if i % 2 else b"") + b"%d" % (i % 5) for i in range(20)]
                scans = [loop.create_task(judge(engine, data)) for data in samples]
                for scan in chance.sample(scans, 15):
                    await settled(chance.randrange(6))
                    scan.cancel()
                if closes:
                    await engine.close()
                await asyncio.wait(scans)
                for i, scan in enumerate(scans):
                    right = Infected(EICAR_NAME) if i % 2 else Clean()
                    assert scan.cancelled() or scan.result() == right
            await until(lambda: all_free(engine, 3))  # noqa: B023
            await engine.close()

    run(body())
