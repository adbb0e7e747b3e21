"""How scripts end: at deadlines, with their callers, and with a gateway that was killed."""

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from ostiary.blob import Blob
from ostiary.engines.interface import Sample
from ostiary.engines.script.engine import ScriptEngine
from ostiary.model import Clean
from tests.descriptors import open_descriptors
from tests.engines.conftest import LoopRunner
from tests.flow.fakes import cancelled_everywhere, until

SAMPLE: Final = Sample(Blob.of(b"the bytes of a file"), "text/plain")

STUBBORN: Final = """#!/bin/sh
trap '' TERM HUP INT
(trap '' TERM HUP INT; echo $(exec sh -c 'echo $PPID') >> "{out}/pids"; sleep 1000; sleep 1000) &
echo $$ >> "{out}/pids"
wait
"""


def script(folder: Path, text: str) -> Path:
    """Write an executable script; `{out}` in it is the folder."""
    path = folder / "scan.sh"
    path.write_text(text.replace("{out}", str(folder)))
    path.chmod(0o755)
    return path


def engine_of(path: Path, temp: Path) -> ScriptEngine:
    """Return an engine, not yet started."""
    temp.mkdir(exist_ok=True)
    return ScriptEngine("script", path, temp_directory=temp)


def children() -> set[int]:
    """Return the process IDs of our children, zombies among them."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            match = re.match(r"(\d+) \(.*\) \S (\d+) ", path.read_text(errors="replace"), re.DOTALL)
        except OSError:
            continue
        if match and int(match[2]) == os.getpid():
            found.add(int(match[1]))
    return found


def alive(pid: int) -> bool:
    """Say whether a process runs: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_deadline_ends_the_script_and_what_it_started(tmp_path: Path, run: LoopRunner) -> None:
    """A script and its child that both ignore SIGTERM are gone when the caller hears of the timeout."""
    before = children()

    async def slow() -> list[int]:
        engine = engine_of(script(tmp_path, STUBBORN), tmp_path / "temp")
        await engine.start()
        pids = tmp_path / "pids"
        inspection = asyncio.get_running_loop().create_task(engine.inspect(SAMPLE))
        await until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        running = [int(pid) for pid in pids.read_text().split()]
        assert all(map(alive, running))
        inspection.cancel()
        await asyncio.wait([inspection])
        assert inspection.cancelled()
        assert list((tmp_path / "temp").glob("*/*")) == []
        await until(lambda: not any(map(alive, running)))
        await engine.close()
        return running

    assert len(run(slow())) == 2
    assert children() <= before


def test_cancelled_anywhere_nothing_stays(tmp_path: Path, run: LoopRunner) -> None:
    """Wherever a caller goes away: no file, no process, no descriptor; and the next file is scanned."""
    before = children()

    async def everywhere() -> int:
        engine = engine_of(script(tmp_path, "#!/bin/sh\nexit 0\n"), tmp_path / "temp")
        await engine.start()
        assert (await engine.inspect(SAMPLE)).finding == Clean()
        descriptors = open_descriptors()

        async def once() -> None:
            assert (await engine.inspect(SAMPLE)).finding == Clean()

        async def check() -> None:
            assert list((tmp_path / "temp").glob("*/*")) == []
            await until(lambda: children() <= before)
            await until(lambda: open_descriptors() == descriptors)

        count = await cancelled_everywhere(once, check)
        await once()
        await engine.close()
        return count

    assert run(everywhere()) >= 3


def test_cancelled_again_and_again(tmp_path: Path, run: LoopRunner) -> None:
    """A second and third cancellation do not cut the cleaning short."""
    before = children()

    async def thrice() -> None:
        engine = engine_of(script(tmp_path, STUBBORN), tmp_path / "temp")
        await engine.start()
        inspection = asyncio.get_running_loop().create_task(engine.inspect(SAMPLE))
        await until((tmp_path / "pids").exists)
        while not inspection.done():
            inspection.cancel()
            await asyncio.sleep(0)
        assert inspection.cancelled()
        assert list((tmp_path / "temp").glob("*/*")) == []
        await until(lambda: children() <= before)
        await engine.close()

    run(thrice())


def test_waiting_for_a_turn_can_be_cancelled(tmp_path: Path, run: LoopRunner) -> None:
    """A caller that goes away in the queue leaves its place to the next."""

    async def queue() -> None:
        path = script(tmp_path, '#!/bin/sh\nwhile [ ! -e "{out}/go" ]; do sleep 0.01; done\n')
        engine = ScriptEngine("script", path, temp_directory=tmp_path, concurrency=1)
        await engine.start()
        loop = asyncio.get_running_loop()
        first, second, third = (loop.create_task(engine.inspect(SAMPLE)) for _ in range(3))
        await asyncio.sleep(0.05)
        second.cancel()
        (tmp_path / "go").touch()
        assert (await first).finding == (await third).finding == Clean()
        assert second.cancelled()
        await engine.close()

    run(queue())


DYING: Final = """
import asyncio, sys
from pathlib import Path
from ostiary.blob import Blob
from ostiary.engines.interface import Sample
from ostiary.engines.script.engine import ScriptEngine

async def main():
    engine = ScriptEngine("script", Path(sys.argv[1]), temp_directory=Path(sys.argv[2]))
    await engine.start()
    await engine.inspect(Sample(Blob.of(b"plaintext"), "x/y"))

asyncio.run(main())
"""


def test_a_killed_gateway_leaves_its_files_to_the_next(tmp_path: Path, run: LoopRunner) -> None:
    """What lay there when a gateway was killed goes when the next one starts; a live one's files stay."""
    temp = tmp_path / "temp"
    path = script(tmp_path, '#!/bin/sh\necho $$ > "{out}/pids"\nexec sleep 1000\n')
    other = engine_of(path, temp)
    run(other.start())
    (live,) = temp.iterdir()
    with subprocess.Popen([sys.executable, "-c", DYING, path, temp]) as gateway:
        while not (tmp_path / "pids").exists() or not (tmp_path / "pids").read_text().strip():
            assert gateway.poll() is None
            time.sleep(0.01)
        assert len(list(temp.glob("*/*/media"))) == 1
        gateway.kill()
    os.kill(int((tmp_path / "pids").read_text()), 9)  # an orphan now: nobody of ours waits for it
    assert len(list(temp.glob("*/*/media"))) == 1
    engine = engine_of(path, temp)
    run(engine.start())
    assert list(temp.glob("*/*/media")) == []
    assert live.exists()
    assert len(list(temp.iterdir())) == 2
    run(engine.close())
    run(other.close())
    assert list(temp.iterdir()) == []


def test_what_is_not_ours_stays(tmp_path: Path, run: LoopRunner) -> None:
    """Only abandoned folders of our own are cleared away: no links, no files, no strangers', no others."""
    temp, precious = tmp_path / "temp", tmp_path / "precious"
    engine = engine_of(script(tmp_path, "#!/bin/sh\n"), temp)
    for folder in (
        precious,
        temp / "ostiary-other",
        temp / "ostiary-script-theirs",
        temp / "ostiary-script-old",
    ):
        folder.mkdir()
        (folder / "file").touch()
    (temp / "ostiary-script-link").symlink_to(precious)
    (temp / "ostiary-script-file").touch()
    if os.geteuid() == 0:
        os.chown(temp / "ostiary-script-theirs", 12345, 12345)
    run(engine.start())
    left = {path.name for path in temp.iterdir()}
    assert {"ostiary-other", "ostiary-script-link", "ostiary-script-file"} <= left
    assert "ostiary-script-old" not in left
    assert ("ostiary-script-theirs" in left) == (os.geteuid() == 0)
    assert (precious / "file").exists()
    run(engine.close())


def test_gateways_that_start_together(tmp_path: Path, run: LoopRunner) -> None:
    """However many start in one directory at once, each keeps a folder of its own."""

    async def together() -> None:
        path, temp = script(tmp_path, "#!/bin/sh\n"), tmp_path / "temp"
        engines = [engine_of(path, temp) for _ in range(20)]
        async with asyncio.TaskGroup() as group:
            for engine in engines:
                group.create_task(engine.start())
        assert len(list(temp.iterdir())) == 20
        for engine in engines:
            assert (await engine.inspect(SAMPLE)).finding == Clean()
            await engine.close()
        assert list(temp.iterdir()) == []

    run(together())


@pytest.mark.parametrize("started", [True, False])
def test_closing_leaves_no_descriptor(tmp_path: Path, run: LoopRunner, *, started: bool) -> None:
    """The lock on its folder goes with the engine."""

    async def lifecycle() -> None:
        engine = engine_of(script(tmp_path, "#!/bin/sh\n"), tmp_path / "temp")
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        before = open_descriptors()
        if started:
            await engine.start()
            assert open_descriptors() != before
        await engine.close()
        assert open_descriptors() == before

    run(lifecycle())


def test_the_operators_removal_command_is_run(run: LoopRunner, tmp_path: Path) -> None:
    """It gets the file's path as its last argument; what it leaves behind goes all the same."""
    shredder = script(tmp_path, '#!/bin/sh\necho "$1 $(wc -c <"$2")" >>"{out}/shredded"\n')
    shredder = shredder.rename(tmp_path / "shredder")
    path = script(tmp_path, "#!/bin/sh\nexit 0\n")

    async def body() -> None:
        command = f"'{shredder}' -u"
        engine = ScriptEngine("script", path, temp_directory=tmp_path, removal_command=command)
        await engine.start()
        assert (await engine.inspect(SAMPLE)).finding == Clean()
        await engine.close()

    run(body())
    assert (tmp_path / "shredded").read_text().split() == ["-u", str(SAMPLE.blob.size)]
    assert not list(tmp_path.glob("ostiary-script-*"))


@pytest.mark.parametrize("command", ["/nothing/here", "false"])
def test_a_removal_command_that_fails(run: LoopRunner, tmp_path: Path, command: str) -> None:
    """A command that is missing or fails is told of, changes no finding and leaves no file."""
    path = script(tmp_path, "#!/bin/sh\nexit 0\n")

    async def body() -> None:
        engine = ScriptEngine("script", path, temp_directory=tmp_path, removal_command=command)
        with capture_logs() as lines:
            await engine.start()
            assert (await engine.inspect(SAMPLE)).finding == Clean()
        assert ["removal" in line["event"] for line in lines] == [True]
        await engine.close()

    run(body())
    assert not list(tmp_path.glob("ostiary-script-*"))
