"""The perceptual engine under bombs, when a look is cancelled, hangs or dies: nothing is left or clean."""

import asyncio
import fcntl
import os
import resource
import signal
import zlib
from pathlib import Path

import pytest

import ostiary.engines.perceptual.engine
from ostiary.blob import Blob
from ostiary.engines.interface import Sample
from ostiary.engines.perceptual.engine import PerceptualEngine
from ostiary.engines.perceptual.process import Index, Process
from ostiary.engines.perceptual.worker import MEMORY
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Cause, Clean, Finding, Infected, Unscannable
from tests.descriptors import open_descriptors
from tests.engines.asking import spooled, until
from tests.engines.conftest import LoopRunner
from tests.engines.perceptual_images import (
    BRIDGE,
    children,
    chunk,
    encoded,
    judge,
    noise,
    pdq,
    picture,
    png,
    running,
)

pytestmark = pytest.mark.peer("pdqhash")

PIXELS = Unscannable(Cause.LIMIT, "an image of too many pixels")
DAMAGED = Unscannable(Cause.LIMIT, "a damaged image, which viewers may show in part")
SLOW = png(8000, 8000, zlib.compress(bytes(8001 * 8000), 1))
"""An image that takes a good part of a second."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a list of one hash."""
    path = tmp_path / "list.pdq"
    path.write_text(f"{BRIDGE} bridge\n")
    return path


def peak(process: int) -> int:
    """Return how many bytes of memory a process had at most."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise AssertionError


def gif(width: int, height: int) -> bytes:
    """Return a GIF that says it has this size, with one frame of the same."""
    size = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + b"," + bytes(4) + size + b"\0\x02\x02D\x01\0;"


def bomb(kind: bytes, start: bytes) -> bytes:
    """Return a small PNG with a chunk of 200 MB, packed."""
    return png(8, 8, zlib.compress(bytes(72)), chunk(kind, start + zlib.compress(bytes(200 << 20), 9)))


BOMBS: dict[str, tuple[bytes, set[Finding]]] = {
    "PNG of 30,000 x 30,000": (png(30_000, 30_000, zlib.compress(bytes(100_000))), {PIXELS}),
    "PNG of 2^31 - 1 x 2^31 - 1": (png(2**31 - 1, 2**31 - 1), {PIXELS}),
    "PNG with less than its size": (png(8000, 8000, zlib.compress(bytes(100_000))), {DAMAGED}),
    "PNG with more than its size": (png(8, 8, zlib.compress(bytes(100 << 20))), {Clean(), DAMAGED}),
    "PNG with a great profile": (bomb(b"iCCP", b"x\0\0"), {Clean(), DAMAGED}),
    "PNG with a great text": (bomb(b"zTXt", b"x\0\0"), {Clean(), DAMAGED}),
    "GIF of 65,535 x 65,535": (gif(65_535, 65_535), {PIXELS}),
    "GIF of 65,535 x 1": (gif(65_535, 1), {Clean(), DAMAGED}),
    "BMP of 40,000 x 40,000": (
        b"BM"
        + bytes(8)
        + b"\x36\0\0\0\x28\0\0\0"
        + (40_000).to_bytes(4, "little") * 2
        + b"\1\0\x18\0"
        + bytes(24),
        {PIXELS},
    ),
    "JPEG of 65,535 x 65,535": (
        encoded(picture(3), "JPEG").replace((480).to_bytes(2) + (640).to_bytes(2), b"\xff\xff\xff\xff", 1),
        {PIXELS},
    ),
}


@pytest.mark.parametrize("name", BOMBS)
async def test_bombs(path: Path, tmp_path: Path, name: str) -> None:
    """None is clean without having been seen, none takes more memory than it may, and the engine goes on."""
    data, findings = BOMBS[name]
    before = set(children())
    async with running(path, concurrency=1) as engine:
        assert await judge(engine, await spooled(data, tmp_path)) in findings
        (process,) = set(children()) - before
        assert peak(process) < MEMORY
        assert engine.specimens is not None
        assert await judge(engine, engine.specimens.bad) == Infected("Ostiary.Canary")


async def test_too_little_memory_is_a_limit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that does not fit is unscannable for good, and its process goes on."""
    monkeypatch.setattr(ostiary.engines.perceptual.engine, "CANCEL_GRACE", 60.0)
    async with running(path, concurrency=1) as engine:
        await judge(engine, b"", "image/png")
        (process,) = engine._idle
        assert process._child is not None
        size = int(Path(f"/proc/{process._child.pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(process._child.pid, resource.RLIMIT_AS, (size + (16 << 20), MEMORY))
        assert await judge(engine, SLOW) == Unscannable(
            Cause.LIMIT, "an image that takes too much memory to decode"
        )
        assert engine._idle == [process]


@pytest.mark.parametrize("spool", [False, True])
def test_a_cancelled_look_leaves_nothing(run: LoopRunner, path: Path, tmp_path: Path, spool: bool) -> None:  # noqa: FBT001
    """Cancelling ends the process: no descriptor stays, and the slot is free again."""

    async def main() -> None:
        before = set(children())
        async with running(path, concurrency=1) as engine:
            held = open_descriptors()
            for _ in range(3):
                blob = await spooled(SLOW + (bytes(1 << 20) if spool else b""), tmp_path)
                with blob:
                    os.kill(next(iter(set(children()) - before)), signal.SIGSTOP)
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(engine.inspect(Sample(blob, "image/png")), 0.05)
                assert set(children()) == before
                assert await judge(engine, encoded(picture(2))) == Clean()
            assert len(open_descriptors()) == len(held)
        assert set(children()) == before

    run(main())


async def test_a_cancelled_look_that_ends_by_itself_keeps_its_process(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short look is let end: its process goes on to serve."""
    monkeypatch.setattr(ostiary.engines.perceptual.engine, "CANCEL_GRACE", 60.0)
    async with running(path, concurrency=1) as engine:
        (process,) = engine._idle
        with Blob.of(SLOW) as blob, pytest.raises(TimeoutError):
            await asyncio.wait_for(engine.inspect(Sample(blob, "image/png")), 0.02)
        assert engine._idle == [process]


def test_a_look_that_takes_too_long(run: LoopRunner, path: Path) -> None:
    """After its time the process is killed; the next one answers."""

    async def main() -> None:
        before = set(children())
        async with running(path, concurrency=1, timeout=0.3) as engine:
            os.kill(next(iter(set(children()) - before)), signal.SIGSTOP)
            assert await judge(engine, encoded(picture(2))) == Unscannable(
                Cause.TIMEOUT, "an image that takes too long to decode"
            )
            engine._timeout = 30
            assert await judge(engine, encoded(picture(2))) == Clean()

    run(main())


def test_a_process_that_dies(run: LoopRunner, path: Path) -> None:
    """One that dies at work is an error; one that died while it was idle is replaced."""

    async def main() -> None:
        before = set(children())
        async with running(path, concurrency=1) as engine:
            (process,) = set(children()) - before
            os.kill(process, signal.SIGKILL)
            await until(lambda: not engine._idle[0].alive)
            assert await judge(engine, encoded(picture(2))) == Clean()
            (process,) = set(children()) - before
            os.kill(process, signal.SIGSTOP)
            async with asyncio.TaskGroup() as group:
                look = group.create_task(_error(engine))
                await asyncio.sleep(0.05)
                os.kill(process, signal.SIGKILL)
            assert "process that decodes images" in look.result()
            assert await judge(engine, encoded(picture(2))) == Clean()

    run(main())


def test_closing_while_looks_wait_and_run(run: LoopRunner, path: Path) -> None:
    """All of them end with an error, and no process is left."""

    async def main() -> None:
        before = set(children())
        async with running(path, concurrency=1) as engine:
            os.kill(next(iter(set(children()) - before)), signal.SIGSTOP)
            async with asyncio.TaskGroup() as group:
                looks = [group.create_task(_error(engine)) for _ in range(3)]
                await asyncio.sleep(0.05)
                await engine.close()
                await engine.close()
            assert all(look.result() for look in looks)
        assert set(children()) == before

    run(main())


async def test_closing_while_the_list_is_read(path: Path) -> None:
    """A start that is cancelled leaves no process."""
    path.write_text(f"{BRIDGE} bridge\n" * 400_000)
    before = children()
    engine = PerceptualEngine("perceptual", path)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(engine.start(), 0.3)
    await engine.close()
    assert children() == before


async def test_a_start_without_a_process_that_works(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would fail for every image fails at start."""

    def load(_process: Process, _index: Index, _distance: int) -> None:
        raise EngineError("no memory")

    monkeypatch.setattr(Process, "load", load)
    before = children()
    with pytest.raises(ConfigError, match="images can't be compared: no memory"):
        async with running(path):
            raise AssertionError
    assert children() == before


async def test_large_images_wait_for_each_other(path: Path) -> None:
    """Small ones do not wait meanwhile, and whoever is killed gives its turn up."""
    async with running(path, concurrency=3) as engine:
        assert engine._index is not None
        turn = os.open(f"/proc/self/fd/{engine._index.descriptor}", os.O_RDONLY)
        fcntl.flock(turn, fcntl.LOCK_EX)
        try:
            with Blob.of(SLOW) as blob:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(engine.inspect(Sample(blob, "image/png")), 0.2)
                assert await judge(engine, encoded(picture(2))) == Clean()
        finally:
            os.close(turn)
        assert await judge(engine, SLOW) == Clean()


async def test_its_processes_know_no_secrets_and_may_do_little(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of our environment, no core dumps, nothing to write, bounded memory, first to be killed."""
    monkeypatch.setenv("OSTIARY__CRYPTO__PICKLE_KEY", "hunter2")
    before = set(children())
    async with running(path, lines=[f"{pdq(picture(2))} known"], concurrency=1) as engine:
        assert await judge(engine, encoded(picture(2))) == Infected("known")
        (process,) = set(children()) - before
        place = Path(f"/proc/{process}")
        assert b"hunter2" not in (place / "environ").read_bytes()
        limits = {
            line[:25].strip(): line[26:].split()[:2] for line in (place / "limits").read_text().splitlines()
        }
        assert limits["Max file size"] == ["0", "0"]
        assert limits["Max core file size"] in (["0", "0"], ["1", "1"])
        assert int(limits["Max address space"][0]) < MEMORY + (1 << 20)
        assert (place / "oom_score_adj").read_text() == "1000\n"
        targets = {str(link.readlink()).split(":")[0] for link in (place / "fd").iterdir()}
        assert targets <= {"/dev/null", "socket", "/memfd"} | {t for t in targets if "ostiary-pdq" in t}


async def test_the_whole_file_is_looked_at_or_none(path: Path) -> None:
    """A blob that was closed is an error."""
    async with running(path) as engine:
        blob = Blob.of(noise(100))
        blob.close()
        with pytest.raises(EngineError, match="can't be read"):
            await engine.inspect(Sample(blob, "image/png"))


async def _error(engine: PerceptualEngine) -> str:
    with Blob.of(encoded(picture(2))) as blob, pytest.raises(EngineError) as caught:
        await engine.inspect(Sample(blob, "image/png"))
    return str(caught.value)
