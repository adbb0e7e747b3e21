"""The clamd engine with a real clamd, over both transports, on both event loops."""

import asyncio
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ostiary.blob import MEMORY_LIMIT
from ostiary.engines.clamd.engine import ClamdEngine
from ostiary.model import Cause, Clean, Infected, Unscannable
from peers.clamd import EICAR, EICAR_NAME, TESTFILE_NAME, TESTFILES, Clamd
from tests.engines.asking import archive, descriptors, engine_at, inspect, judge, spooled, until
from tests.engines.conftest import LoopRunner

pytestmark = pytest.mark.peer("clamd")


FINDINGS = [
    (b"hello world", Clean()),
    (b"", Clean()),
    (b"x", Clean()),
    (b"12345", Clean()),
    (EICAR, Infected(EICAR_NAME)),
    (archive(EICAR), Infected(EICAR_NAME)),
    (archive(archive(EICAR)), Infected(EICAR_NAME)),
    (archive(b"hello world"), Clean()),
]


def test_findings(run: LoopRunner, address: str) -> None:
    """Clean and infected bytes of many kinds, one after the other in one session, and again."""

    async def body() -> None:
        async with engine_at(address) as engine:
            for data, finding in FINDINGS * 2:
                assert await judge(engine, data) == finding

    run(body())


def test_encrypted_archive(run: LoopRunner, address: str) -> None:
    """What clamd can't open is no infection but a permanent "could not look"."""

    async def body() -> None:
        async with engine_at(address) as engine:
            finding = await judge(engine, archive(b"hello world", encrypted=True))
            assert finding == Unscannable(Cause.ENCRYPTED_ARCHIVE, "clamd: Heuristics.Encrypted.Zip")

    run(body())


@pytest.mark.parametrize("size", [MEMORY_LIMIT - 1, MEMORY_LIMIT, MEMORY_LIMIT + 1, 30_000_000])
def test_sizes(run: LoopRunner, address: str, tmp_path: Path, size: int) -> None:
    """Blobs in memory and in files are scanned to their last byte."""

    async def body() -> None:
        filler = os.urandom(size)
        zipped = archive(EICAR)
        async with engine_at(address) as engine:
            with await spooled(filler, tmp_path) as blob:
                assert await inspect(engine, blob) == Clean()
            with await spooled(filler[: -len(zipped)] + zipped, tmp_path) as blob:  # found by its end
                finding = await inspect(engine, blob)
                assert finding == Infected(EICAR_NAME)

    run(body())


@pytest.mark.skipif(not TESTFILES.is_dir(), reason="Debian's clamav-testfiles are not here")
def test_testfiles(run: LoopRunner, address: str) -> None:
    """Every container of Debian's clamav-testfiles is opened, and what it holds found."""

    async def body() -> None:
        files = sorted(TESTFILES.iterdir())
        assert len(files) >= 40
        async with engine_at(address) as engine:
            found = {file.name: await judge(engine, file.read_bytes()) for file in files}
        assert found == {file.name: Infected(TESTFILE_NAME) for file in files}

    run(body())


def test_two_hundred_at_once(run: LoopRunner, address: str) -> None:
    """Concurrent scans of clean and infected bytes never take each other's findings."""

    async def body() -> None:
        samples = [(archive(EICAR) if i % 3 else b"") + b"sample %d" % i for i in range(200)]
        async with engine_at(address) as engine, asyncio.TaskGroup() as group:
            tasks = [group.create_task(judge(engine, data)) for data in samples]
        findings = [task.result() for task in tasks]
        assert findings == [Infected(EICAR_NAME) if i % 3 else Clean() for i in range(200)]

    run(body())


def test_version(run: LoopRunner, address: str, clamd: Clamd) -> None:
    """The version begins with clamd's own words, also while scans take every slot."""

    async def body() -> None:
        async with engine_at(address, concurrency=1) as engine, asyncio.TaskGroup() as group:
            scans = [group.create_task(judge(engine, b"x")) for _ in range(5)]
            versions = [group.create_task(engine.version()) for _ in range(5)]
        assert {task.result().partition(" signatures ")[0] for task in versions} == {clamd.ask("VERSION")}
        assert {task.result() for task in scans} == {Clean()}

    run(body())


def test_sessions_are_reused(run: LoopRunner, address: str) -> None:
    """Scans one after the other need one connection; closing the engine closes it."""

    async def body() -> None:
        before = descriptors()
        async with engine_at(address) as engine:
            await judge(engine, b"x")
            after_one = descriptors()
            for _ in range(20):
                await judge(engine, b"x")
            assert descriptors() == after_one > before
            await engine.close()
            assert descriptors() == after_one - 1
            assert await judge(engine, EICAR) == Infected(EICAR_NAME)  # but nothing is pooled any more
            assert descriptors() == after_one - 1

    run(body())


def test_idle_sessions_go(run: LoopRunner, address: str) -> None:
    """A session that nobody needs is closed after a while: it would count against clamd's MaxQueue."""

    async def body() -> None:
        engine = ClamdEngine("clamd", [address], idle_seconds=0.05)
        before = descriptors()
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(judge(engine, b"x"))
        await until(lambda: descriptors() <= before)
        assert await judge(engine, EICAR) == Infected(EICAR_NAME)
        await engine.close()

    run(body())


def test_reload_during_scans(run: LoopRunner, address: str, clamd: Clamd) -> None:
    """While clamd loads its signatures anew, scans go on and are right."""

    async def scan(engine: ClamdEngine, stop: asyncio.Event) -> int:
        for count in itertools.count():
            if stop.is_set():
                return count
            assert await judge(engine, EICAR) == Infected(EICAR_NAME)
            assert await judge(engine, b"x") == Clean()
        raise AssertionError

    async def body() -> None:
        stop = asyncio.Event()
        async with engine_at(address) as engine, asyncio.TaskGroup() as group:
            scans = [group.create_task(scan(engine, stop)) for _ in range(8)]
            for _ in range(3):
                assert await asyncio.to_thread(clamd.ask, "RELOAD") == "RELOADING"
                await asyncio.sleep(0.1)
            stop.set()
        assert all(task.result() > 0 for task in scans)

    run(body())


def test_stream_limit(run: LoopRunner, tmp_path: Path) -> None:
    """A stream over StreamMaxLength is a limit reached, whether clamd says so early or late."""

    async def body(clamd: Clamd) -> None:
        async with engine_at(clamd.tcp_address) as engine:
            for size in (100_000, 100_001, 900_000, 30_000_000):
                with await spooled(os.urandom(size), tmp_path) as blob:
                    finding = await inspect(engine, blob)
                assert isinstance(finding, Clean if size == 100_000 else Unscannable)
                if isinstance(finding, Unscannable):
                    assert finding.cause is Cause.LIMIT
            assert await judge(engine, EICAR) == Infected(EICAR_NAME)

    with Clamd(options={"StreamMaxLength": "100000"}) as clamd:
        run(body(clamd))


def test_file_limit(run: LoopRunner, address_of: Callable[[Clamd], str]) -> None:
    """A file over MaxFileSize is a limit reached."""

    async def body(clamd: Clamd) -> None:
        async with engine_at(address_of(clamd)) as engine:
            finding = await judge(engine, os.urandom(200_000))
            assert finding == Unscannable(Cause.LIMIT, "clamd: Heuristics.Limits.Exceeded.MaxFileSize")

    with Clamd(options={"MaxFileSize": "100000"}) as clamd:
        run(body(clamd))


def test_one_of_several_is_enough(run: LoopRunner, clamd: Clamd) -> None:
    """Addresses are tried in order; one where nobody listens sends us to the next."""

    async def body() -> None:
        for addresses in (
            ["unix:/nonexistent/clamd.sock", clamd.unix_address],
            ["tcp:127.0.0.1:1", clamd.tcp_address, "unix:/nonexistent/clamd.sock"],
            ["tcp:no-such-host.invalid:3310", clamd.unix_address],
        ):
            async with engine_at(*addresses) as engine:
                assert await judge(engine, EICAR) == Infected(EICAR_NAME)
                assert await judge(engine, b"x") == Clean()
                assert (await engine.version()).startswith(clamd.ask("VERSION"))

    run(body())
