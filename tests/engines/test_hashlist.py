"""The hash list engine: what it answers, from which list, and what becomes of it when the list changes."""

import asyncio
import gc
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

import ostiary.engines.hashlist.process as module
from ostiary.blob import Blob
from ostiary.engines.hashlist.engine import LISTED, HashListEngine
from ostiary.engines.hashlist.index import HashIndex
from ostiary.engines.interface import Sample, Statement
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Clean, Infected
from tests.descriptors import open_descriptors
from tests.engines.asking import spooled
from tests.engines.conftest import LoopRunner
from tests.engines.watching import WAYS, eventually, look_often


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at files often."""
    look_often(monkeypatch)


def line(data: bytes, name: str = "") -> str:
    """Return a list's line for these bytes."""
    return f"{hashlib.sha256(data).hexdigest()} {name}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a list in a folder of its own."""
    (tmp_path / "lists").mkdir()
    path = tmp_path / "lists" / "blocked.sha256"
    path.write_text("# ours\n" + line(b"named", "Test.Named") + line(b"bare").upper() + line(b"", "Empty"))
    return path


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[HashListEngine]:
    """Give an engine that is closed on the way out."""
    engine = HashListEngine("list", path, temp_directory=path.parent.parent)
    try:
        await engine.start()
        yield engine
    finally:
        await engine.close()


async def ask(engine: HashListEngine, data: bytes) -> Statement:
    """Have the engine inspect these bytes."""
    with Blob.of(data) as blob:
        return await engine.inspect(Sample(blob, "application/octet-stream"))


def open_now() -> dict[str, str]:
    """Return what is open, without what errors of other tests still refer to."""
    gc.collect()
    return open_descriptors()


OTHERS: Final[set[int]] = set()
"""Processes that are there for other tests."""


@pytest.fixture(autouse=True)
def others() -> None:
    """Note who is there before a test begins."""
    OTHERS.clear()
    OTHERS.update(children())


def children() -> list[int]:
    """Return the process IDs of the children that this test has and that were not waited for."""
    lists = [(task / "children").read_text().split() for task in Path("/proc/self/task").iterdir()]
    return [int(child) for listed in lists for child in listed if int(child) not in OTHERS]


def test_what_is_listed_is_found(path: Path, tmp_path: Path, run: LoopRunner) -> None:
    """A listed file is infected, under its name if it has one; any other is clean, in memory or on disk."""

    async def main() -> None:
        big = os.urandom(2 << 20)
        path.write_text(path.read_text() + line(big, "Big"))
        async with running(path) as engine:
            version = await engine.version()
            assert version.startswith("sha256 list ")
            assert await engine.versions() == {version}
            for data, finding in (
                (b"named", Infected("Test.Named")),
                (b"bare", Infected(LISTED)),
                (b"", Infected("Empty")),
                (b"other", Clean()),
            ):
                assert await ask(engine, data) == Statement(finding, version)
            for data, finding in ((big, Infected("Big")), (big + b".", Clean())):
                with await spooled(data, tmp_path) as blob:
                    assert (await engine.inspect(Sample(blob, ""))).finding == finding
            assert await engine.signed_at() is None
            assert not engine.directional

    run(main())


async def test_the_canary(path: Path) -> None:
    """The specimen is found and harmless bytes pass; two engines have two canaries and one version."""
    async with running(path) as one, running(path) as two:
        for engine, other in ((one, two), (two, one)):
            assert (await ask(engine, engine.specimens.bad)).finding == Infected("Ostiary.Canary")
            assert (await ask(engine, other.specimens.bad)).finding == Clean()
            assert (await ask(engine, engine.specimens.good())).finding == Clean()
            assert not engine.specimens.unpacks
        assert await one.version() == await two.version()


@pytest.mark.parametrize("way", WAYS)
def test_a_changed_list_counts(path: Path, run: LoopRunner, way: str) -> None:
    """After each change the new list decides, under another version; canary and descriptors stay."""

    async def main() -> None:
        before = open_now()
        async with running(path) as engine:
            while_running = len(open_descriptors())
            specimen = engine.specimens.bad
            versions = [await engine.version()]
            for data in (b"first", b"second", b"third"):
                WAYS[way](path, line(data).encode())
                await eventually(lambda: engine._index is not None and _version(engine) != versions[-1])
                versions.append(await engine.version())
                assert await ask(engine, data) == Statement(Infected(LISTED), versions[-1])
                assert (await ask(engine, b"named")).finding == Clean()
                assert (await ask(engine, specimen)).finding == Infected("Ostiary.Canary")
            assert len(set(versions)) == 4
            await eventually(lambda: len(open_descriptors()) == while_running)
        await eventually(lambda: open_descriptors() == before)
        assert children() == []

    run(main())


def _version(engine: HashListEngine) -> str:
    assert engine._index is not None
    return f"sha256 list {engine._index.version[:32]}"


async def test_a_list_broken_later(path: Path) -> None:
    """A broken list changes nothing but the log, once; mended, it counts."""
    async with running(path) as engine:
        version = await engine.version()
        with capture_logs() as lines:
            path.write_text(line(b"new") + "what is this\n")
            await eventually(lambda: engine.fault is not None)
            assert engine.fault == f"{path}, line 2: {EXPECTED}"
            assert await engine.version() == version
            assert (await ask(engine, b"named")).finding == Infected("Test.Named")
            assert (await ask(engine, b"new")).finding == Clean()
            path.write_text("")
            await eventually(lambda: engine.fault == f"{path}: holds no digest")
            path.unlink()
            await eventually(lambda: engine.fault == f"{path}: No such file or directory")
            path.write_text(line(b"new"))
            await eventually(lambda: engine.fault is None)
        assert (await ask(engine, b"new")).finding == Infected(LISTED)
    assert [line["log_level"] for line in lines] == ["warning"] * 3 + ["info"] * 3
    assert [line["entries"] for line in lines if "entries" in line] == [1]


EXPECTED: Final = "expected a SHA-256 (64 hex digits), then perhaps a space and a name"


def _too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate((4 << 30) + 1)  # a hole, no disk


BROKEN: Final[dict[str, tuple[Callable[[Path], object], str]]] = {
    "missing": (lambda _path: None, "list: No such file or directory"),
    "folder": (Path.mkdir, "list: no regular file"),
    "fifo": (os.mkfifo, "list: no regular file"),
    "empty": (Path.touch, "list: holds no digest"),
    "comments": (lambda path: path.write_text("# a\n\n# b"), "list: holds no digest"),
    "line": (lambda path: path.write_text(f"\n{line(b'x')}\nmd5"), r"list, line 4: expected a SHA-256"),
    "binary": (lambda path: path.write_bytes(bytes(70_000)), "list, line 1: a line has at most"),
    "too large": (_too_large, "list: over 4294967296 bytes"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_list_is_a_start_error(tmp_path: Path, case: str) -> None:
    """What is broken is named, with its line, and nothing is left."""
    make, message = BROKEN[case]
    make(tmp_path / "list")
    before = open_now()
    with pytest.raises(ConfigError, match=message):
        async with running(tmp_path / "list"):
            pass
    assert open_descriptors() == before
    assert children() == []


async def test_no_room_for_an_index(path: Path, tmp_path: Path) -> None:
    """Where no file can be made, the error says where."""
    engine = HashListEngine("list", path, temp_directory=tmp_path / "missing")
    with pytest.raises(ConfigError, match="missing"):
        await engine.start()
    await engine.close()


async def test_not_running_is_an_error(path: Path) -> None:
    """Before the start and after the end it answers nothing; closing twice is fine."""
    engine = HashListEngine("list", path, temp_directory=path.parent)
    for _ in range(2):
        with pytest.raises(EngineError):
            await ask(engine, b"x")
        with pytest.raises(EngineError):
            await engine.version()
        assert await engine.versions() == frozenset()
        await engine.close()


async def test_an_index_that_fails_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails means "could not scan"."""

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    async with running(path) as engine:
        monkeypatch.setattr(HashIndex, "_pread", fail)
        monkeypatch.setattr(HashIndex, "_cached", fail)
        with pytest.raises(EngineError, match="Input/output error"):
            await ask(engine, b"x")


def _instead(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have other code run instead of ours."""
    monkeypatch.setattr(module, "command", lambda *_: [sys.executable, "-c", code])


@pytest.mark.parametrize("when", ["start", "later"])
def test_a_reading_that_is_cancelled_leaves_nothing(
    path: Path, run: LoopRunner, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Cancelled at the start or by the end, the process is killed and every descriptor closed."""

    async def main() -> None:
        before = open_now()
        if when == "start":
            _instead(monkeypatch, "import time; time.sleep(60)")
            engine = HashListEngine("list", path, temp_directory=path.parent)
            async with asyncio.TaskGroup() as group:
                start = group.create_task(engine.start())
                await eventually(lambda: children() != [])
                start.cancel()
            await engine.close()
        else:
            async with running(path):
                _instead(monkeypatch, "import time; time.sleep(60)")
                path.write_text(line(b"new"))
                await eventually(lambda: children() != [])
        assert children() == []
        await eventually(lambda: open_descriptors() == before)

    run(main())


@pytest.mark.parametrize("code", [
    "", "raise SystemExit(1)", "print('{')", "print('[]')", "print('{}')", "print('7')",
    "print('x' * 10 ** 6)", "import os; os.kill(os.getpid(), 9)",
    """print('{"digests_at": 0, "places_at": 0, "table_at": 0, "count": 1, "version": "x"}')""",
])  # fmt: skip
async def test_a_process_that_fails(path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """A process that dies or says anything else has made no index."""
    before = open_now()
    _instead(monkeypatch, code)
    with pytest.raises(ConfigError, match="the process that read it failed"):
        async with running(path):
            pass
    await eventually(lambda: open_descriptors() == before)
    assert children() == []


async def test_a_process_that_takes_too_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that does not end is killed."""
    monkeypatch.setattr(module, "READ_SECONDS", 0.1)
    _instead(monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(ConfigError, match="not read within"):
        async with running(path):
            pass
    assert children() == []


def test_the_process_on_its_own(path: Path, tmp_path: Path) -> None:
    """Its memory and its files are bounded, it leaves no core dump, and requests go before it."""
    probe = (
        "import os, resource, runpy, sys; sys.argv[0] = 'x'\n"
        "runpy.run_module('ostiary.engines.hashlist.worker', run_name='__main__')\n"
        "print(resource.getrlimit(resource.RLIMIT_AS)[1], resource.getrlimit(resource.RLIMIT_FSIZE)[1],"
        " max(resource.getrlimit(resource.RLIMIT_CORE)) <= 1, os.nice(0) > 0)"
    )
    with (tmp_path / "index").open("w+b") as index, (tmp_path / "runs").open("w+b") as runs:
        files = (index.fileno(), runs.fileno())
        words = [sys.executable, "-c", probe, *map(str, files), "00" * 32]
        with path.open("rb") as source:
            done = subprocess.run(  # noqa: TID251
                words, stdin=source, capture_output=True, pass_fds=files, check=True, text=True
            )
    assert '"count": 4' in done.stdout
    assert done.stdout.endswith(f"{1 << 30} {8 << 30} True True\n")
