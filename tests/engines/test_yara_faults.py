"""The YARA engine when a scan is cancelled, hangs or dies: nothing is left, nothing is called clean."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

import ostiary.engines.yara.engine
import ostiary.engines.yara.job
from ostiary.blob import Blob
from ostiary.engines.interface import Sample
from ostiary.engines.yara.engine import YaraEngine
from ostiary.errors import EngineError
from ostiary.model import Cause, Clean, Infected, Unscannable
from tests.descriptors import open_descriptors
from tests.engines.asking import spooled
from tests.engines.conftest import LoopRunner
from tests.engines.yara_engines import BIG, RULES, children, error_of, judge, running


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Return a file of rules for these tests; `endless` runs until it is stopped."""
    path = tmp_path / "test.yar"
    path.write_text(RULES)
    return path


@pytest.mark.parametrize("spool", [False, True])
def test_a_cancelled_scan_leaves_nothing(rules: Path, tmp_path: Path, run: LoopRunner, spool: bool) -> None:  # noqa: FBT001
    """Cancelling ends the scan: no descriptor and no process stays, and the slot is free again."""

    async def main() -> None:
        async with running(rules, concurrency=1) as engine:
            before = open_descriptors()
            for _ in range(3):
                blob = await spooled(bytes(BIG if spool else 9) + b"endless", tmp_path)
                with blob:
                    scan = asyncio.wait_for(engine.inspect(Sample(blob, "")), 0.1)
                    with pytest.raises(TimeoutError):
                        await scan
            assert children() == []
            assert len(open_descriptors()) == len(before) - 1  # the killed process's socket
            assert await judge(engine, Blob.of(b"needle")) == Infected("first")
            assert len(open_descriptors()) == len(before)

    run(main())


async def test_a_cancelled_scan_that_ends_by_itself_keeps_its_process(
    rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short scan is let end: its process goes on to serve."""
    monkeypatch.setattr(ostiary.engines.yara.engine, "CANCEL_GRACE", 60.0)
    async with running(rules, concurrency=1) as engine:
        before = children()
        async with asyncio.TaskGroup() as group:
            scan = group.create_task(judge(engine, Blob.of(b"needle")))
            await asyncio.sleep(0)
            scan.cancel()
        assert scan.cancelled()
        assert children() == before
        assert await judge(engine, Blob.of(b"needle")) == Infected("first")


async def test_cancelled_twice(rules: Path) -> None:
    """A second cancellation kills at once, and still nothing is left."""
    async with running(rules, concurrency=1) as engine:
        async with asyncio.TaskGroup() as group:
            scan = group.create_task(judge(engine, Blob.of(b"endless")))
            await asyncio.sleep(0.05)
            scan.cancel()
            await asyncio.sleep(0)
            scan.cancel()
        assert children() == []
        assert await judge(engine, Blob.of(b"x")) == Clean()


async def test_cancelled_while_waiting_for_a_turn(rules: Path) -> None:
    """A waiting caller that goes away takes no slot with it."""
    async with running(rules, concurrency=1) as engine, asyncio.TaskGroup() as group:
        slow = group.create_task(judge(engine, Blob.of(b"endless")))
        waiting = group.create_task(judge(engine, Blob.of(b"needle")))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.sleep(0)
        slow.cancel()
        assert await judge(engine, Blob.of(b"needle")) == Infected("first")


@pytest.mark.parametrize("spool", [False, True])
async def test_a_timeout_is_not_clean(rules: Path, tmp_path: Path, spool: bool) -> None:  # noqa: FBT001
    """A scan that takes longer than the timeout is unscannable, and the process goes on to serve."""
    async with running(rules, concurrency=1, timeout=1) as engine:
        before = children()
        blob = await spooled(bytes(BIG if spool else 9) + b"endless", tmp_path)
        assert await judge(engine, blob) == Unscannable(Cause.TIMEOUT, "the YARA rules took too long")
        assert children() == before
        assert await judge(engine, Blob.of(b"needle")) == Infected("first")


async def test_a_process_that_hangs_is_killed(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that does not even time out is killed; that is a timeout, and a new one serves."""
    monkeypatch.setattr(ostiary.engines.yara.job, "KILL_GRACE", 0.0)
    async with running(rules, concurrency=1, timeout=1) as engine:
        (process,) = children()
        os.kill(process, signal.SIGSTOP)
        assert await judge(engine, Blob.of(b"x")) == Unscannable(
            Cause.TIMEOUT, "the YARA rules took too long"
        )
        assert await judge(engine, Blob.of(b"needle")) == Infected("first")
        assert process not in children()


def _first_child() -> int:
    while not (started := children()):
        time.sleep(0.01)
    return started[0]


async def test_a_process_that_dies_is_an_error(rules: Path) -> None:
    """A process that dies while it scans is an error for that scan; one that died idle is replaced."""
    async with running(rules, concurrency=1) as engine:
        (process,) = children()
        os.kill(process, signal.SIGKILL)
        await asyncio.to_thread(os.waitid, os.P_PID, process, os.WEXITED | os.WNOWAIT)
        assert await judge(engine, Blob.of(b"x")) == Clean()
        assert children() != [process]
        async with asyncio.TaskGroup() as group:
            scan = group.create_task(error_of(judge(engine, Blob.of(b"endless"))))
            os.kill(await asyncio.to_thread(_first_child), signal.SIGKILL)
        assert "scan process" in scan.result()
        assert await judge(engine, Blob.of(b"x")) == Clean()


async def test_a_closed_blob_is_an_error(rules: Path, tmp_path: Path) -> None:
    """Bytes that are gone are never clean."""
    async with running(rules) as engine:
        for blob in (Blob.of(b"x"), await spooled(bytes(BIG), tmp_path)):
            blob.close()
            with pytest.raises(EngineError, match="closed"):
                await engine.inspect(Sample(blob, ""))
        assert await judge(engine, Blob.of(b"x")) == Clean()


@pytest.mark.parametrize("claimed", [1, 20])
async def test_a_blob_of_another_size_is_an_error(rules: Path, tmp_path: Path, claimed: int) -> None:
    """A scan counts only when it saw as many bytes as the blob has."""
    async with running(rules) as engine:
        for size in (10, BIG):
            blob = await spooled(bytes(size), tmp_path)
            blob.size += claimed - 10
            with pytest.raises(EngineError, match="all bytes"):
                await judge(engine, blob)


async def test_a_scanned_file_is_let_go(rules: Path, tmp_path: Path) -> None:
    """After the scan no process holds the bytes: neither descriptor nor mapping keeps the disk full."""
    async with running(rules, concurrency=1) as engine:
        (process,) = children()
        before = len(list(Path(f"/proc/{process}/fd").iterdir()))
        assert await judge(engine, await spooled(bytes(BIG) + b"needle", tmp_path)) == Infected("first")
        assert "(deleted)" not in Path(f"/proc/{process}/maps").read_text()
        assert len(list(Path(f"/proc/{process}/fd").iterdir())) == before


async def test_not_running_is_an_error(rules: Path) -> None:
    """Before `start` and after `close` it answers nothing; closing twice is fine."""
    engine = YaraEngine("yara", [rules])
    for _ in range(2):
        with pytest.raises(EngineError):
            await judge(engine, Blob.of(b"x"))
        with pytest.raises(EngineError):
            await engine.version()
        await engine.close()


async def test_close_ends_what_runs(rules: Path, tmp_path: Path) -> None:
    """Closing fails the scans under way and those that wait, and leaves no process."""
    before = open_descriptors()
    async with running(rules, concurrency=1) as engine, asyncio.TaskGroup() as group:
        scans = [group.create_task(error_of(judge(engine, Blob.of(b"endless")))) for _ in range(2)]
        large = [
            group.create_task(error_of(judge(engine, await spooled(bytes(BIG) + b"endless", tmp_path))))
            for _ in range(2)
        ]
        await asyncio.sleep(0.1)
        await engine.close()
    assert all(scan.result() for scan in scans + large)
    assert children() == []
    assert open_descriptors() == before


async def test_processes_end_with_the_gateway(rules: Path) -> None:
    """A process ends by itself when our end of its socket closes, as it does when we are killed."""
    async with running(rules) as engine:
        (process,) = children()
        engine._idle[0]._connection.close()
        assert await asyncio.to_thread(os.waitid, os.P_PID, process, os.WEXITED | os.WNOWAIT)
