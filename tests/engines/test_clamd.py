"""The clamd engine with a real clamd, over both transports, on both event loops."""

import asyncio
import io
import itertools
import os
import signal
import types
import zipfile
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ostiary.blob import MEMORY_LIMIT, Blob, BlobWriter
from ostiary.engines.clamd import ClamdEngine
from ostiary.engines.interface import Sample
from ostiary.errors import EngineError
from ostiary.model import Cause, Clean, Finding, Infected, Unscannable
from peers.clamd import EICAR, EICAR_NAME, TESTFILE_NAME, TESTFILES, Clamd
from tests.engines.conftest import LoopRunner

pytestmark = pytest.mark.peer("clamd")

T = TypeVar("T")

ADDRESSES: dict[str, Callable[[Clamd], str]] = {
    "unix": lambda clamd: clamd.unix_address,
    "tcp": lambda clamd: clamd.tcp_address,
}

SLOW = 90_000_000  # bytes that keep clamd busy for some tenths of a second
UNCACHED = {"DisableCache": "yes"}  # else it knows bytes that it saw before


@pytest.fixture(params=ADDRESSES)
def address_of(request: pytest.FixtureRequest) -> Callable[[Clamd], str]:
    """Return how to get a clamd's address: every test that uses it runs over both transports."""
    return ADDRESSES[request.param]


@pytest.fixture
def address(address_of: Callable[[Clamd], str], clamd: Clamd) -> str:
    """Return an address of the shared clamd."""
    return address_of(clamd)


@asynccontextmanager
async def engine_at(*addresses: str, concurrency: int = 8) -> AsyncIterator[ClamdEngine]:
    """Give an engine, closed on the way out."""
    engine = ClamdEngine("clamd", addresses, concurrency=concurrency)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def judge(engine: ClamdEngine, data: bytes) -> Finding:
    """Have the engine inspect these bytes."""
    with Blob.of(data) as blob:
        return await engine.inspect(Sample(blob, "application/octet-stream"))


async def spooled(data: bytes, folder: Path) -> Blob:
    """Return the bytes as a blob made the usual way: a file if there are many."""
    with BlobWriter(folder) as writer:
        await writer.add(data)
        return await writer.finish()


def archive(data: bytes, *, encrypted: bool = False) -> bytes:
    """Return a zip with one file; `encrypted` only says that it is."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("file", data)
    zipped = bytearray(buffer.getvalue())
    if encrypted:
        for header, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            zipped[zipped.index(header) + offset] |= 1  # general purpose bit 0 (APPNOTE 4.4.4)
    return bytes(zipped)


def descriptors() -> int:
    """Return how many descriptors are open in this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  (names are enough)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; TimeoutError after some seconds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  (nobody tells us)
            await asyncio.sleep(0.005)


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
                assert await engine.inspect(Sample(blob, "application/octet-stream")) == Clean()
            with await spooled(filler[: -len(zipped)] + zipped, tmp_path) as blob:  # found by its end
                finding = await engine.inspect(Sample(blob, "application/octet-stream"))
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
    """The version is clamd's own words, also while scans take every slot."""

    async def body() -> None:
        async with engine_at(address, concurrency=1) as engine, asyncio.TaskGroup() as group:
            scans = [group.create_task(judge(engine, b"x")) for _ in range(5)]
            versions = [group.create_task(engine.version()) for _ in range(5)]
        assert {task.result() for task in versions} == {clamd.ask("VERSION")}
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
                    finding = await engine.inspect(Sample(blob, "application/octet-stream"))
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


def test_killed_and_restarted(run: LoopRunner, address_of: Callable[[Clamd], str]) -> None:
    """While clamd is gone every scan is an error that helps; when it is back all is right by itself."""

    async def body(clamd: Clamd) -> None:
        async with engine_at(address_of(clamd)) as engine:
            for _ in range(2):
                async with asyncio.TaskGroup() as group:
                    for _ in range(8):
                        group.create_task(judge(engine, b"x"))
                await asyncio.to_thread(clamd.kill)
                for _ in range(10):
                    with pytest.raises(EngineError, match="is clamd running") as caught:
                        await judge(engine, EICAR)
                    assert address_of(clamd) in str(caught.value)
                with pytest.raises(EngineError):
                    await engine.version()
                await asyncio.to_thread(clamd.start)
                assert await judge(engine, EICAR) == Infected(EICAR_NAME)
                assert await judge(engine, b"x") == Clean()

    with Clamd() as clamd:
        run(body(clamd))


def test_restarted_behind_our_back(run: LoopRunner, address_of: Callable[[Clamd], str]) -> None:
    """A restart between two scans is not noticed: dead sessions in the pool cost nobody an error."""

    async def body(clamd: Clamd) -> None:
        async with engine_at(address_of(clamd)) as engine:
            async with asyncio.TaskGroup() as group:
                for _ in range(8):
                    group.create_task(judge(engine, b"x"))
            clamd.kill()  # blocks: the loop learns of it only after clamd is back
            clamd.start()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(judge(engine, EICAR)) for _ in range(20)]
            assert {task.result() for task in tasks} == {Infected(EICAR_NAME)}

    with Clamd() as clamd:
        run(body(clamd))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_ended_in_a_scan(run: LoopRunner, address_of: Callable[[Clamd], str], number: signal.Signals) -> None:
    """When clamd ends while it scans, that scan is an error, never clean."""

    async def body(clamd: Clamd) -> None:
        async with engine_at(address_of(clamd)) as engine:
            assert await judge(engine, b"x") == Clean()  # so that it happens in a reused session
            loop = asyncio.get_running_loop()
            with Blob.of(os.urandom(SLOW)) as blob:
                scan = loop.create_task(engine.inspect(Sample(blob, "application/octet-stream")))
                while not {"FILDES", "INSTREAM"} & set((await asyncio.to_thread(clamd.ask, "STATS")).split()):
                    assert not scan.done()
                clamd.child.send_signal(number)
                with pytest.raises(EngineError):
                    await scan
            await asyncio.to_thread(clamd.kill)
            await asyncio.to_thread(clamd.start)
            assert await judge(engine, EICAR) == Infected(EICAR_NAME)

    with Clamd(options=UNCACHED) as clamd:
        run(body(clamd))


def test_hanging(run: LoopRunner, address_of: Callable[[Clamd], str]) -> None:
    """A clamd that hangs costs a deadline and no more: its session is closed, the next scan is right."""

    async def body(clamd: Clamd) -> None:
        before = descriptors()
        async with engine_at(address_of(clamd)) as engine:
            assert await judge(engine, b"x") == Clean()
            clamd.child.send_signal(signal.SIGSTOP)
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await judge(engine, EICAR)
            clamd.child.send_signal(signal.SIGCONT)
            assert await judge(engine, b"x") == Clean()
            assert await judge(engine, EICAR) == Infected(EICAR_NAME)
        await until(lambda: descriptors() <= before)

    with Clamd() as clamd:
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
                assert await engine.version() == clamd.ask("VERSION")

    run(body())


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
                sample = Sample(blob, "application/octet-stream")
                assert await engine.inspect(sample) == Infected(EICAR_NAME)
                await engine.close()
                before = descriptors()
                for step in itertools.count(1):
                    engine = ClamdEngine("clamd", [address])  # noqa: PLW2901  (a fresh pool each time)
                    if pooled:
                        assert await judge(engine, b"x") == Clean()
                    done = await completes_despite(step, engine.inspect(sample))
                    assert await judge(engine, b"x") == Clean()
                    assert await engine.inspect(sample) == Infected(EICAR_NAME)
                    await engine.close()
                    await until(lambda: descriptors() <= before)
                    if done:
                        break
                assert step > 1

    run(body())


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
