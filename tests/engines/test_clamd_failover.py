"""Several clamds: one that dies, falls silent or can't be reached costs little, and comes back by itself."""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from ostiary.blob import Blob
from ostiary.engines import addresses
from ostiary.engines.clamd import patience as clamd_patience
from ostiary.engines.clamd.engine import ClamdEngine, Knowledge
from ostiary.errors import EngineError
from ostiary.model import Clean, Infected
from peers.clamd import EICAR, EICAR_NAME, Clamd
from tests.engines.asking import archive, engine_at, inspect, judge, until
from tests.engines.conftest import LoopRunner
from tests.engines.fake_clamd import PATIENCE, Connection, FakeClamd, well_behaved
from tests.engines.test_clamd_cancelled import SlowScan

KILLS = 100 if os.environ.get("SOAK") else 3
"""Of each test that kills; all of them in a soak."""

SLOW = 30_000_000  # bytes that keep clamd busy for some tenths of a second


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten all patience."""
    monkeypatch.setattr(clamd_patience, "PATIENCE", 0.05)
    monkeypatch.setattr(clamd_patience, "DOUBT", 0.02)
    monkeypatch.setattr(addresses, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(addresses, "PAUSES", (0.0, 0.01, 0.02))


def resting(engine: ClamdEngine) -> list[str]:
    """Return the addresses that rest."""
    return [str(site) for site in engine._addresses.resting()]


@pytest.mark.peer("clamd")
def test_killed_in_a_scan_the_next_one_answers(
    run: LoopRunner, address_of: Callable[[Clamd], str], clamd: Clamd
) -> None:
    """SIGKILL at 10, 50 and 90 % of a scan: the second clamd gives the right answer, each time."""

    async def seconds(engine: ClamdEngine, blob: Blob) -> float:
        began = time.monotonic()
        assert await inspect(engine, blob) == Infected(EICAR_NAME)
        return time.monotonic() - began

    async def body(first: Clamd) -> None:
        bad = os.urandom(SLOW) + archive(EICAR)
        with Blob.of(bad) as blob:
            async with engine_at(address_of(first)) as engine:
                whole = await seconds(engine, blob)
            for turn in range(KILLS):
                async with engine_at(address_of(first), address_of(clamd)) as engine:
                    assert await judge(engine, b"x") == Clean()
                    scan = asyncio.get_running_loop().create_task(inspect(engine, blob))
                    await asyncio.sleep(whole * (0.1, 0.5, 0.9)[turn % 3])
                    await asyncio.to_thread(first.kill)
                    assert await scan == Infected(EICAR_NAME)
                    await asyncio.to_thread(first.start)

    with Clamd(options={"DisableCache": "yes"}) as first:
        run(body(first))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("tcp", [False, True])
def test_a_silent_one_is_passed_over_and_taken_back(run: LoopRunner, *, tcp: bool) -> None:
    """One that accepts and never answers: the next is asked, then it rests, then it is back by itself."""

    def behave(connection: Connection) -> None:
        if silent:
            connection.silence()
        else:
            well_behaved(connection)

    async def body(first: FakeClamd, second: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [first.address, second.address], knowledge=Knowledge(keep=0.1))
        async with asyncio.TaskGroup() as group:
            for number in range(20):  # more than there are slots: none is lost to the silent one
                group.create_task(judge(engine, b"%d" % number))
        await until(lambda: resting(engine) == [first.address])
        assert not engine._lingering._sessions
        probes = engine._addresses._all[0].watch
        assert probes is not None
        before = second.connections
        for number in range(20):
            assert await judge(engine, b"again %d" % number) == Clean()
        assert second.connections >= before
        assert resting(engine) == [first.address]
        silent.clear()
        await until(lambda: not resting(engine))
        at_first = first.connections
        assert await judge(engine, b"back") == Clean()
        assert first.connections >= at_first
        await engine.close()

    silent = [True]
    with FakeClamd(behave, tcp=tcp) as first, FakeClamd(well_behaved, tcp=tcp) as second:
        run(body(first, second))


@pytest.mark.usefixtures("hasty")
def test_one_that_takes_no_connection_is_passed_over(run: LoopRunner, tmp_path: Path) -> None:
    """A socket whose queue is full: connects time out, it rests, and the other one answers."""

    async def body(second: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [f"unix:{path}", second.address], knowledge=Knowledge(keep=0.1))
        assert await judge(engine) == Clean()
        await until(lambda: resting(engine) == [f"unix:{path}"])
        assert await judge(engine) == Clean()
        await engine.close()

    path = tmp_path / "full"
    with ExitStack() as stack, FakeClamd(well_behaved) as second:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen(0)
        while True:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            try:
                client.connect(str(path))
            except BlockingIOError:
                break
        run(body(second))


@pytest.mark.usefixtures("hasty")
def test_a_slow_file_marks_nobody_dead(run: LoopRunner) -> None:
    """While a clamd tells its version it is waited for, whatever else could be asked, and nothing rests."""

    async def body(first: FakeClamd, second: FakeClamd) -> None:
        async with engine_at(first.address, second.address) as engine:
            scan = asyncio.get_running_loop().create_task(judge(engine))
            assert await asyncio.to_thread(slow.taken.wait, PATIENCE)
            await until(lambda: first.connections >= 4)  # probed, and probed again
            assert not scan.done()
            slow.go.set()
            assert await scan == Clean()
            assert second.connections == 0
            assert not resting(engine)

    slow = SlowScan(b"fd[9]: OK")
    with FakeClamd(slow, well_behaved_once) as first, FakeClamd(well_behaved) as second:
        run(body(first, second))


def well_behaved_once(connection: Connection) -> None:
    """Answer one question, so that each probe is a connection."""
    connection.tells_version = False
    connection.scan_command()
    connection.send(b"1: ClamAV 1.4.6\0")


@pytest.mark.usefixtures("hasty")
def test_a_deadline_makes_doubtful(run: LoopRunner) -> None:
    """A silent clamd alone costs one deadline; then it rests, errors come at once, and name it."""

    async def body(fake: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [fake.address], knowledge=Knowledge(keep=0.2))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await judge(engine, b"first")
        await until(lambda: resting(engine) == [fake.address])
        with pytest.raises(EngineError, match="rest") as caught:
            await judge(engine, b"second")
        assert fake.address in str(caught.value)
        assert await engine.versions() == frozenset()
        silent.clear()
        await until(lambda: not resting(engine))
        assert await judge(engine, b"third") == Clean()
        await engine.close()

    def behave(connection: Connection) -> None:
        if silent:
            connection.silence()
        else:
            well_behaved(connection)

    silent = [True]
    with FakeClamd(behave) as fake:
        run(body(fake))
