"""Watched files: every way in which they change is seen, and nothing half is taken."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import ostiary.engines.watched_files as module
from ostiary.blocking import run_blocking
from ostiary.engines.watched_files import Look, WatchedFiles, look_at
from ostiary.errors import ConfigError
from tests.engines.conftest import LoopRunner
from tests.engines.watching import WAYS, eventually, look_often


class Reader:
    """Reads one file, and keeps what it was told to use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.used: list[str] = []
        self.reads = 0
        self.watched = WatchedFiles("lists", lambda: [path], self.read, self.used.append)

    async def read(self) -> str:
        """Return the file's text, which must not be "broken"."""
        self.reads += 1
        text = await run_blocking(self.path.read_text)
        if text.startswith("broken"):
            raise ConfigError(f"{self.path}, line 1: {text}")
        return text


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at files often."""
    look_often(monkeypatch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a good file."""
    (tmp_path / "list").write_text("first")
    return tmp_path / "list"


@pytest.mark.parametrize("way", WAYS)
def test_every_change_is_read(path: Path, run: LoopRunner, way: str) -> None:
    """However a file changes, what it holds then is used; an unchanged one is read once."""

    async def main() -> None:
        reader = Reader(path)
        await reader.watched.start()
        assert reader.used == ["first"]
        await asyncio.sleep(0.2)
        assert reader.reads == 1
        for text in ("other", "third"):
            WAYS[way](path, text.encode())
            await eventually(lambda text=text: reader.used[-1] == text)  # type: ignore[misc]
        assert reader.watched.fault is None
        await reader.watched.close()

    run(main())


async def test_a_folder_is_its_files(tmp_path: Path) -> None:
    """Files that come and go are a change, also where none of the others changed."""
    used: list[list[str]] = []

    def names() -> Iterable[Path]:
        return sorted(tmp_path.iterdir())

    async def read() -> list[str]:
        return [file.name for file in await run_blocking(names)]

    watched = WatchedFiles("rules", names, read, used.append)
    await watched.start()
    (tmp_path / "a").touch()
    await eventually(lambda: used[-1] == ["a"])
    (tmp_path / "b").touch()
    await eventually(lambda: used[-1] == ["a", "b"])
    (tmp_path / "a").unlink()
    await eventually(lambda: used[-1] == ["b"])
    await watched.close()


async def test_broken_at_the_start(path: Path) -> None:
    """What can't be read at the start is an error in its own words, and nothing is watched."""
    path.write_text("broken")
    reader = Reader(path)
    with pytest.raises(ConfigError, match=r"/list, line 1: broken$"):
        await reader.watched.start()
    path.write_text("mended")
    await asyncio.sleep(0.2)
    assert (reader.used, reader.reads) == ([], 1)
    path.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        await reader.watched.start()
    await reader.watched.close()


async def test_broken_later(path: Path) -> None:
    """What is broken later is said once for each change, and used no sooner than it is mended."""
    reader = Reader(path)
    with capture_logs() as lines:
        await reader.watched.start()
        for text in ("broken once", "broken twice"):
            path.write_text(text)
            await eventually(lambda text=text: text in (reader.watched.fault or ""))  # type: ignore[misc]
            await asyncio.sleep(0.2)
        path.unlink()
        await eventually(lambda: "No such file" in (reader.watched.fault or ""))
        assert reader.used == ["first"]
        path.write_text("mended")
        await eventually(lambda: reader.watched.fault is None)
        await reader.watched.close()
    assert reader.used == ["first", "mended"]
    warnings = [line["fault"] for line in lines if line["log_level"] == "warning"]
    assert [warning.split(": ")[-1] for warning in warnings[:2]] == ["broken once", "broken twice"]
    assert len(warnings) == 3
    assert lines[-1]["event"] == "the files can be used again"
    assert all(line["engine"] == "lists" for line in lines)


async def test_the_same_fault_after_a_change_is_said_again(path: Path) -> None:
    """Whoever mends a file in vain is told so, in the same words if need be."""
    reader = Reader(path)
    with capture_logs() as lines:
        await reader.watched.start()
        for count in (1, 2):
            path.write_text("broken")
            await eventually(lambda count=count: len(lines) == count)  # type: ignore[misc]
        await reader.watched.close()
    assert lines[0] == lines[1]


async def test_a_file_that_changes_while_it_is_read(path: Path) -> None:
    """What was read while the file changed is dropped, good or broken, at the start and later."""
    reader = Reader(path)
    plain = reader.read
    meanwhile = iter(["second", "broken", "third", "fourth"])

    async def read() -> str:
        try:
            return await plain()
        finally:
            if (text := next(meanwhile, None)) is not None:
                await run_blocking(path.write_text, text)

    reader.watched = WatchedFiles("lists", lambda: [path], read, reader.used.append)
    await reader.watched.start()
    assert reader.used == ["fourth"]
    meanwhile = iter(["seventh", "broken", "eighth", "ninth"])
    path.write_text("sixth")
    await eventually(lambda: len(reader.used) == 2)
    assert (reader.used, reader.watched.fault) == (["fourth", "ninth"], None)
    await reader.watched.close()


async def test_a_file_that_never_rests_is_a_start_error(path: Path) -> None:
    """The start does not wait for ever for a file that changes whenever it is read."""

    async def read() -> None:
        await run_blocking(path.write_text, path.read_text() + "x")

    with pytest.raises(ConfigError, match="again and again"):
        await WatchedFiles("lists", lambda: [path], read, lambda _: None).start()


def _scripted(monkeypatch: pytest.MonkeyPatch, looks: Iterable[str]) -> None:
    coming: Iterator[str] = iter(looks)
    last = ""

    def look(_files: Callable[[], Iterable[Path]]) -> Look:
        nonlocal last
        last = next(coming, last)
        return ((last,),)

    monkeypatch.setattr(module, "look_at", look)


def _later(value: Callable[[], object]) -> Callable[[], Awaitable[str]]:
    async def read() -> str:
        return str(value())

    return read


async def test_two_looks_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that grows is not read until it has stopped: a half-written one replaces nothing."""
    reads: list[int] = []
    count = 0
    looks = ["a", "a", "a", "b", "c", "d", "e", "e", "e"]

    def look(_files: Callable[[], Iterable[Path]]) -> Look:
        nonlocal count
        count += 1
        return ((looks[min(count, len(looks)) - 1],),)

    async def read() -> int:
        reads.append(count)
        return count

    monkeypatch.setattr(module, "look_at", look)
    watched = WatchedFiles("lists", list, read, lambda _: None)
    await watched.start()
    await eventually(lambda: count > 12)
    await watched.close()
    assert reads == [1, 8]  # after the first look, and after the second that saw e


async def test_restless_files_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file changes at every look, the operator hears once that nothing is read."""
    monkeypatch.setattr(module, "RESTLESS", 0.05)
    restless = [str(number) for number in range(20)]
    _scripted(monkeypatch, ["a", "a", *restless])
    used: list[str] = []
    with capture_logs() as lines:
        watched = WatchedFiles("lists", list, _later(lambda: "text"), used.append)
        await watched.start()
        await eventually(lambda: watched.fault is not None)
        assert used == ["text"]
        await eventually(lambda: watched.fault is None)
        await watched.close()
    assert used == ["text", "text"]
    assert [line["log_level"] for line in lines] == ["warning", "info", "info"]
    assert "faster" in lines[0]["fault"]


async def test_what_failed_is_tried_again_without_a_change(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading may fail for want of memory or disk: after a while it is tried again, without more words."""
    monkeypatch.setattr(module, "RETRY", 0.1)
    reader = Reader(path)
    await reader.watched.start()
    trouble = 3

    async def read() -> str:
        nonlocal trouble
        trouble -= 1
        if trouble >= 0:
            raise OSError(28, "No space left on device")
        return await run_blocking(path.read_text)

    reader.watched._read = read
    with capture_logs() as lines:
        path.write_text("larger")
        await eventually(lambda: reader.used[-1] == "larger")
        await reader.watched.close()
    assert [line["log_level"] for line in lines] == ["warning", "info", "info"]


async def test_a_bug_ends_no_watch(path: Path) -> None:
    """An exception that nobody thought of is logged as a bug; the next change is read all the same."""
    reader = Reader(path)
    await reader.watched.start()
    plain = reader.watched._read

    async def read() -> str:
        text = await plain()
        return {"good": text}[text]

    reader.watched._read = read
    with capture_logs() as lines:
        path.write_text("odd")
        await eventually(lambda: reader.watched.fault == "a bug of ours: KeyError")
        path.write_text("good")
        await eventually(lambda: reader.used[-1] == "good")
        await reader.watched.close()
    assert lines[0]["log_level"] == "error"
    assert reader.used == ["first", "good"]


async def test_close_cancels_a_reading(path: Path) -> None:
    """Closing does not wait for a reading under way, and may be done twice."""
    reader = Reader(path)
    await reader.watched.start()
    ended = asyncio.Event()
    began = asyncio.Event()

    async def read() -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    reader.watched._read = read
    path.write_text("larger")
    await began.wait()
    await reader.watched.close()
    assert ended.is_set()
    await reader.watched.close()
    assert reader.used == ["first"]


def test_a_look_never_raises(tmp_path: Path) -> None:
    """What can't be looked at looks like that: another look if the reason changes, the same if not."""

    def refuse() -> Iterable[Path]:
        raise ConfigError("no *.yar file in this folder")

    missing = look_at(lambda: [tmp_path / "x"])
    assert missing == look_at(lambda: [tmp_path / "x"])
    assert missing == ((str(tmp_path / "x"), "No such file or directory"),)
    (tmp_path / "file").touch()
    assert look_at(lambda: [tmp_path / "file" / "x"])[0][1] == "Not a directory"
    assert look_at(refuse) == (("no *.yar file in this folder",),)
