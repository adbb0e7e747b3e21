"""New signatures count: a real clamd whose folder of signatures changes, seen and unseen."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from ostiary.blob import Blob
from ostiary.engines.clamd import site as clamd_site
from ostiary.engines.clamd.engine import ClamdEngine, Knowledge
from ostiary.engines.clamd.sight import LOADING_SECONDS, Lookout
from ostiary.engines.interface import Sample, Statement
from ostiary.model import Clean, Infected
from peers.clamd import EICAR, EICAR_NAME, Clamd
from tests.engines.asking import engine_at, judge
from tests.engines.conftest import LoopRunner

SCANS = 1000 if os.environ.get("SOAK") else 150
"""Under which clamd reloads; all of them in a soak."""

INTERVAL = 60.0


def ndb(data: bytes) -> tuple[str, str]:
    """Return a signature file for the bytes, of the extended format."""
    return "new.ndb", f"New:0:0:{data.hex()}\n"


def hsb(data: bytes) -> tuple[str, str]:
    """Return a signature file for the bytes, by their digest."""
    return "new.hsb", f"{hashlib.sha256(data).hexdigest()}:{len(data)}:New\n"


async def state(engine: ClamdEngine, data: bytes) -> Statement:
    """Return what the engine says."""
    with Blob.of(data) as blob:
        return await engine.inspect(Sample(blob, "text/plain"))


async def reloaded(clamd: Clamd, engine: ClamdEngine, data: bytes) -> None:
    """Have clamd load its signatures anew, and wait until it finds the bytes."""
    assert await asyncio.to_thread(clamd.ask, "RELOAD") == "RELOADING"
    async with asyncio.timeout(20):
        while await judge(engine, data) == Clean():  # noqa: ASYNC110  (nobody tells us)
            await asyncio.sleep(0.05)


@pytest.mark.peer("clamd")
@pytest.mark.parametrize("signature", [ndb, hsb])
def test_a_new_loose_signature_counts(
    run: LoopRunner,
    address_of: Callable[[Clamd], str],
    signature: Callable[[bytes], tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was clean is stale at once where the folder is seen, and after the interval where not."""
    monkeypatch.setattr(clamd_site, "FRESH", 0.0)

    async def body(clamd: Clamd) -> None:
        data = b"clean so far " + os.urandom(8).hex().encode()
        seen = address_of(clamd).startswith("unix")
        knowledge = Knowledge(keep=INTERVAL)
        engine = ClamdEngine("clamd", [address_of(clamd)], knowledge=knowledge)
        before = await state(engine, data)
        assert before.finding == Clean()
        assert before.version in await engine.versions()
        assert before.keep == INTERVAL
        name, content = signature(data)
        (clamd.folder / "database" / name).write_text(content)
        assert (before.version in await engine.versions()) is not seen
        after = await state(engine, data)  # clamd has not noticed yet: that is not for long
        assert after.keep == INTERVAL
        await reloaded(clamd, engine, data)
        assert (await state(engine, data)).finding == Infected("New.UNOFFICIAL")
        await engine.close()

    with Clamd(options={"DisableCache": "yes"}) as clamd:
        run(body(clamd))


@pytest.mark.peer("clamd")
def test_settled_signatures_keep(run: LoopRunner) -> None:
    """Once clamd must have loaded what is in its folder, its word counts until something changes there."""
    offset = [0.0]

    async def body(clamd: Clamd) -> None:
        changed = (clamd.folder / "database").stat().st_ctime
        engine = ClamdEngine(
            "clamd", [clamd.unix_address], knowledge=Knowledge(keep=5), clock=lambda: changed + offset[0]
        )
        assert (await state(engine, b"x")).keep == 5
        offset[0] = 30 + LOADING_SECONDS - 1
        assert (await state(engine, b"x")).keep == 5
        offset[0] = 30 + LOADING_SECONDS + 2
        assert (await state(engine, b"x")).keep == inf
        offset[0] = -3600  # the clock was set back
        assert (await state(engine, b"x")).keep == 5
        await engine.close()

    with Clamd(options={"SelfCheck": "30"}) as clamd:
        run(body(clamd))


@pytest.mark.peer("clamd")
def test_official_databases_alone(run: LoopRunner, clamd: Clamd) -> None:
    """`loose_signatures: false`: VERSION alone is believed, for ever."""

    async def body() -> None:
        knowledge = Knowledge(loose_signatures=False, keep=5)
        engine = ClamdEngine("clamd", [clamd.unix_address], knowledge=knowledge)
        statement = await state(engine, b"x")
        assert (statement.version, statement.keep) == (clamd.ask("VERSION"), inf)
        await engine.close()

    run(body())


@pytest.mark.peer("clamd")
def test_ten_reloads_under_load(run: LoopRunner, address: str, clamd: Clamd) -> None:
    """RELOAD ten times under many scans: no wrong finding, no error."""

    async def reload(over: asyncio.Event) -> None:
        for _ in range(10):
            await asyncio.to_thread(clamd.ask, "RELOAD")
            await asyncio.sleep(0.03)
        over.set()

    async def scan(engine: ClamdEngine, number: int, over: asyncio.Event) -> None:
        for turn in range(SCANS // 10):
            data = b"%d %d" % (number, turn)
            assert await judge(engine, data) == Clean()
            assert await judge(engine, EICAR + data) == Infected(EICAR_NAME)
        await over.wait()

    async def body() -> None:
        over = asyncio.Event()
        async with engine_at(address) as engine, asyncio.TaskGroup() as group:
            group.create_task(reload(over))
            for number in range(10):
                group.create_task(scan(engine, number, over))

    run(body())


@pytest.mark.peer("clamd")
def test_what_is_seen(clamd: Clamd, tmp_path: Path) -> None:
    """The configuration of a clamd is found through the process behind its socket, or where we are told."""
    path = clamd.unix_address.removeprefix("unix:")
    pid = clamd.child.pid
    found = Lookout(path, None).look(pid)
    told = Lookout(None, clamd.folder / "clamd.conf").look(None)
    assert found.config is not None
    assert found.config.alert_exceeds_max
    assert replace(found, changed=0) == replace(told, changed=0)
    assert len(found.mark) == 16
    for lookout, peer in (
        (Lookout(path, None), None),  # as for a peer in a container
        (Lookout(None, None), None),
        (Lookout(path, None), os.getpid()),  # a process that is no clamd
        (Lookout(str(tmp_path / "other"), None), pid),
        (Lookout(None, tmp_path / "absent"), None),
    ):
        sight = lookout.look(peer)
        assert sight.config is None
        assert sight.reason
        assert not sight.settled(1e12)


def folder_of(tmp_path: Path) -> tuple[Path, Lookout]:
    """Return a folder of signatures, and what looks at it."""
    folder, config = tmp_path / "db", tmp_path / "clamd.conf"
    folder.mkdir()
    config.write_text(f"DatabaseDirectory {folder}\n")
    return folder, Lookout(None, config)


def test_the_mark_follows_content(tmp_path: Path) -> None:
    """Every change of a file is a new mark, whatever its times say; the same files make the same mark."""
    folder, lookout = folder_of(tmp_path)
    marks = [lookout.look(None).mark]

    def changed() -> None:
        marks.append(lookout.look(None).mark)
        assert len(set(marks)) == len(marks)

    (folder / "a.ndb").write_text("A:0:*:00\n")
    changed()
    status = (folder / "a.ndb").stat()
    (folder / "a.ndb").write_text("A:0:*:11\n")
    os.utime(folder / "a.ndb", ns=(status.st_atime_ns, status.st_mtime_ns))  # as if nothing had been written
    changed()
    (folder / "b.new").write_text("A:0:*:22\n")
    os.utime(folder / "b.new", (0, 0))
    (folder / "b.new").rename(folder / "a.ndb")  # as freshclam does, with an old time
    changed()
    (folder / "a.ndb").rename(folder / "b.ndb")
    changed()
    before = marks[-1]
    (folder / "freshclam.dat").write_text("its own")
    (folder / "tmp.1").mkdir()
    assert lookout.look(None).mark == before
    (folder / "b.ndb").write_bytes((folder / "b.ndb").read_bytes())
    assert lookout.look(None).mark == before == Lookout(None, tmp_path / "clamd.conf").look(None).mark


def test_a_folder_that_can_not_be_looked_at(tmp_path: Path) -> None:
    """Its limits count all the same, nothing is settled, and the reason is told."""
    folder, lookout = folder_of(tmp_path)
    folder.rmdir()
    sight = lookout.look(None)
    assert sight.config is not None
    assert (sight.mark, sight.settled(1e12)) == ("", False)
    assert "No such file" in sight.reason
