"""What an engine knows of its clamds and tells: doubts, the date of their signatures, scans given up."""

from pathlib import Path

import pytest

from ostiary.blob import Blob
from ostiary.engines.clamd.engine import ClamdEngine, Knowledge
from ostiary.engines.clamd.versions import signed_at
from ostiary.engines.interface import Sample
from ostiary.model import Cause, Clean, Unscannable
from peers.clamd import Clamd
from tests.engines.asking import engine_at, judge
from tests.engines.conftest import LoopRunner
from tests.engines.fake_clamd import Behaviour, Connection, FakeClamd, well_behaved

OLDER = "ClamAV 1.4.6/27000/Fri Nov 13 06:41:00 2026"
NEWER = "ClamAV 1.4.6/27007/Fri Nov 20 06:41:00 2026"


def telling(*versions: str) -> Behaviour:
    """Return the behaviour of clamds that take turns: each connection meets the next of them."""
    turn = [0]

    def behave(connection: Connection) -> None:
        version = versions[turn[0] % len(versions)].encode()
        turn[0] += 1
        connection.tells_version = False
        number = 0
        while command := connection.scan_command():
            number += 1
            connection.send(b"%d: %s\0" % (number, version if command == b"zVERSION" else b"stream: OK"))

    return behave


def test_the_oldest_signatures_tell_the_date(run: LoopRunner) -> None:
    """Of several clamds the oldest date counts; none where nothing has a date."""

    async def body(old: FakeClamd, new: FakeClamd, none: FakeClamd) -> None:
        async with engine_at(new.address, old.address, none.address) as engine:
            assert await engine.signed_at() == signed_at(OLDER) is not None
        async with engine_at(none.address) as engine:
            assert await engine.signed_at() is None
        async with engine_at("unix:/nonexistent/clamd.ctl") as engine:
            assert await engine.signed_at() is None

    with (
        FakeClamd(telling(OLDER), tcp=True) as old,
        FakeClamd(telling(NEWER), tcp=True) as new,
        FakeClamd(well_behaved, tcp=True) as none,
    ):
        run(body(old, new, none))


def test_clamds_that_take_turns_behind_one_address(run: LoopRunner) -> None:
    """Evidence of each counts; after an update of a single one the old version does not."""

    async def body(two: FakeClamd, updated: FakeClamd) -> None:
        async with engine_at(two.address) as engine:
            for _ in range(4):
                await engine.versions()
            assert await engine.versions() == {OLDER, NEWER}
            assert await judge(engine) == Clean()
        async with engine_at(updated.address) as engine:
            assert await engine.versions() == {OLDER}
            assert await engine.versions() == {NEWER}
            assert await engine.versions() == {NEWER}

    with (
        FakeClamd(telling(OLDER, NEWER), tcp=True) as two,
        FakeClamd(telling(OLDER, *[NEWER] * 9), tcp=True) as updated,
    ):
        run(body(two, updated))


def test_a_scan_that_clamd_gave_up(run: LoopRunner, tmp_path: Path) -> None:
    """After MaxScanTime clamd says OK, unless AlertExceedsMax is on: only then OK is believed."""

    async def body(fake: FakeClamd) -> None:
        for alerts, finding in (("yes", Clean), ("no", Unscannable)):
            config = tmp_path / "clamd.conf"
            config.write_text(f"DatabaseDirectory {tmp_path}\nMaxScanTime 1\nAlertExceedsMax {alerts}\n")
            knowledge = Knowledge(config_file=config, keep=5)
            engine = ClamdEngine("clamd", [fake.address], knowledge=knowledge)
            with Blob.of(b"x") as blob:
                said = await engine.inspect(Sample(blob, "text/plain"))
            assert isinstance(said.finding, finding)
            assert said.keep == 5
            if isinstance(said.finding, Unscannable):
                assert said.finding.cause is Cause.LIMIT
            await engine.close()

    def slow(connection: Connection) -> None:
        connection.scan_command()
        connection.pause()
        connection.send(b"1: fd[9]: OK\0")

    with FakeClamd(slow) as fake:
        run(body(fake))


@pytest.mark.peer("clamd")
def test_doubts(run: LoopRunner) -> None:
    """What `check` shows of a clamd that passes what it did not see, and of one that hides."""

    async def body(clamd: Clamd) -> None:
        async with engine_at(clamd.unix_address, clamd.tcp_address, "unix:/nonexistent/c") as engine:
            doubts = await engine.doubts(100_000_000)
        text = "\n".join(doubts)
        assert f"{clamd.unix_address}: AlertExceedsMax is off" in text
        assert f"{clamd.unix_address}: MaxFileSize (1048576)" in text
        assert f"{clamd.tcp_address}: its settings can't be seen" in text
        assert "unix:/nonexistent/c: does not answer" in text
        assert f"{clamd.tcp_address}: AlertExceedsMax is off" in text
        assert len(doubts) == 5

    with Clamd(options={"AlertExceedsMax": "no", "MaxFileSize": "1M"}) as clamd:
        run(body(clamd))
