"""What clamd did not see is never clean: each case of the table in the docs, with a real clamd."""

import asyncio
import bz2
import gzip
import os
import struct
import threading
import zipfile
from pathlib import Path

import pytest

from ostiary.blob import Blob
from ostiary.engines.clamd.engine import ClamdEngine, Knowledge
from ostiary.engines.unpacking.account import Account, Bounds
from ostiary.engines.unpacking.archive import Cut
from ostiary.engines.unpacking.examiner import Examiner
from ostiary.engines.unpacking.walk import Walker
from ostiary.errors import EngineError
from ostiary.model import Cause, Clean, Finding, Infected, Unscannable
from peers.clamd import Clamd
from tests.engines.asking import engine_at, judge, spooled, until
from tests.engines.clamd_cases import (
    CASES,
    CLEAN,
    FILE,
    FILES,
    INFECTED,
    LIMITS,
    MARKER,
    SCAN,
    SIGNATURES,
    Case,
    cabinet,
    table,
    tarred,
    text,
    zipped,
)
from tests.engines.conftest import LoopRunner
from tests.engines.hidden_cases import zip64_member

BOUNDS = Bounds(FILE, SCAN, FILES, 17)
WIDE = Bounds(1 << 30, 1 << 32, 100_000, 17)
DOCS = Path(__file__).parents[2] / "docs" / "reference" / "engine-cases.md"


def shown(finding: Finding) -> str:
    """Return what the table calls a finding."""
    match finding:
        case Unscannable(cause=cause):
            return f"unscannable ({cause.value})"
        case Infected():
            return INFECTED
    return CLEAN


@pytest.mark.peer("clamd")
@pytest.mark.parametrize("alerts", [True, False])
@pytest.mark.parametrize("visible", [True, False])
def test_the_table(run: LoopRunner, *, alerts: bool, visible: bool) -> None:
    """Whether clamd says so or not, and whether its limits are found or told: never a wrong clean."""
    options = {**LIMITS, "AlertExceedsMax": "yes" if alerts else "no", "AlertEncrypted": "no"}
    if not visible:
        options |= {"MaxFiles": "10000", "MaxScanSize": "400000"}

    async def body(clamd: Clamd) -> None:
        address = clamd.unix_address if visible else clamd.tcp_address
        knowledge = Knowledge(max_file_size=FILE, max_scan_size=SCAN, keep=60)
        engine = ClamdEngine("clamd", [address], knowledge=knowledge)
        said = {case.name: shown(await judge(engine, case.data())) for case in cases}
        await engine.close()
        assert said == {case.name: case.expected(alerts=alerts) for case in cases}

    cases: list[Case] = [case for case in CASES if visible or "MaxFiles" not in case.name]
    with Clamd(options=options, signatures=SIGNATURES) as clamd:
        run(body(clamd))


def test_the_table_is_the_docs() -> None:
    """docs/reference/engine-cases.md shows these cases and outcomes."""
    assert table() in DOCS.read_text()


def unseen(data: bytes, bounds: Bounds = BOUNDS, chunk: int = 1 << 18) -> str:
    """Return the cause for which such a clamd does not see all of the bytes, "" if it does."""
    account = Account(bounds)
    walker = Walker(account)
    try:
        account.add_bytes(len(data))
        for at in range(0, len(data), chunk):
            walker.feed(data[at : at + chunk])
        walker.finish()
    except Cut as cut:
        return cut.cause.value
    return ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_in_any_pieces(case: Case) -> None:
    """What is found does not depend on how the bytes are cut into pieces."""
    data = case.data()
    whole = unseen(data)
    assert unseen(data, chunk=7) == whole
    assert unseen(data, chunk=1) == whole


def test_a_fake_member_hides_no_directory(run: LoopRunner) -> None:
    """A member that claims the bytes of the real archive behind it is no way around the count."""

    async def body() -> None:
        examiner = Examiner(1)
        inner = zipped(text(FILE + 1))
        for method, data in ((0, inner), (8, inner)):
            fake = zipped(b"x", method=method)
            header = bytearray(fake[: fake.index(b"PK\1\2")][:31])
            header[18:22] = len(data).to_bytes(4, "little")
            hidden = bytes(header) + data
            with Blob.of(hidden) as blob:
                assert await examiner.unseen(blob, BOUNDS) is not None
        examiner.close()

    run(body())


def test_a_long_extra_field_hides_nothing() -> None:
    """Records behind a truncated, or very long, header are seen all the same."""
    header = bytearray(zipped(b"x", method=0)[:31])
    header[28:30] = (60_000).to_bytes(2, "little")
    assert unseen(bytes(header) + zipped(text(FILE + 1))) == "limit"
    header[18:22] = bytes(4)
    assert unseen(bytes(header) + zipped(text(FILE + 1))) == "limit"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_entry_of_a_directory_is_checked(count: int) -> None:
    """Neither a false count nor a second end record keeps an entry that disagrees from being seen."""
    data = bytearray(zipped(b"one" * 20, b"two" * 20, b"three" * 20))
    entry = data.rindex(b"PK\1\2")
    data[entry + 42] ^= 1  # its member is somewhere else
    end = data.rindex(b"PK\5\6")
    data[end + 10] = count
    assert unseen(bytes(data)) == "limit"
    data[entry + 32] = 22  # the entry has a comment, and in it stands another end
    data[end:end] = b"PK\5\6" + bytes(18)
    data[-10] += 22  # of the directory's size
    assert unseen(bytes(data)) == "limit"


def test_endless_records_end() -> None:
    """A file of nothing but records is refused after a while, not compared for ever."""
    for record in (
        b"PK\5\6" + bytes(18),
        b"PK\1\2" + bytes(42),
        b"PK\3\4" + bytes(26),
        bytes(10) + b"PK\3\4" + bytes(26),
        b"\x1f\x8b\x08" + bytes(509),
        HEADS,
    ):
        assert unseen(record * 100_000, Bounds(1 << 30, 1 << 40, 1000, 17)) == "limit"


def test_ordinary_files_pass() -> None:
    """Documents, zips in zips, programs with a zip's signatures in their code: nothing to complain of."""
    inner = zipped(os.urandom(150_000))
    code = b"MZ" + os.urandom(100) + b"PK\3\4" + os.urandom(40) + b"PK\5\6" + os.urandom(40) + b"PK\1\2\0"
    for data in (
        zipped(inner, b"text"),
        zipped(zipped(inner), method=0),
        zipped(inner, method=0),
        code * 3,
        b"PK\5\6" + bytes(18),
        b"",
        b"P",
        zipped(b"", b""),
        zipped(),
        tarred(zipped(inner)),
        gzip.compress(tarred(zipped(inner))),
        bz2.compress(zipped(inner)),
        os.urandom(1 << 20),
        cabinet(text(70_000)),
        cabinet(text(70_000))[:60],
    ):
        assert unseen(data, WIDE) == ""


HEADS = b"MSCF\0\0\0\0" + struct.pack("<L4xL4xBBHH", 0x7FFFFFFF, 30, 3, 1, 1, 900)
BOMB = zipped(bytes(100 << 20))


def test_zip64(tmp_path: Path) -> None:
    """A member told of in wide fields is refused: clamd passes over it. A wide count is read."""
    assert unseen(zip64_member(text(FILE + 1)), WIDE) == "limit"
    many = Bounds(FILE, 1 << 30, 100_000, 17)
    buffer = tmp_path / "b.zip"
    with zipfile.ZipFile(buffer, "w") as file:
        for number in range(65_600):
            file.writestr(zipfile.ZipInfo(f"{number}"), b"")
    assert unseen(buffer.read_bytes(), many) == ""


def test_a_bomb_costs_its_limit(run: LoopRunner, tmp_path: Path) -> None:
    """What a member unpacks to is never held, and counted no further than the limit."""
    assert unseen(BOMB, Bounds(1 << 20, 1 << 40, 100, 17)) == "limit"

    async def body() -> None:
        examiner = Examiner(1)
        with await spooled(zipped(os.urandom(2 << 20)), tmp_path) as blob:
            assert await examiner.unseen(blob, BOUNDS) == Unscannable(
                Cause.LIMIT, "clamd scans no more than 100000 bytes of a file"
            )
            assert await examiner.unseen(blob, WIDE) is None
        examiner.close()
        with Blob.of(zipped(b"x")) as blob, pytest.raises(EngineError, match="closed"):
            await examiner.unseen(blob, WIDE)

    run(body())


def test_cancelled_it_ends(run: LoopRunner) -> None:
    """Whoever goes away ends the unpacking, and waits only for the piece in hand."""

    async def body() -> None:
        examiner = Examiner(1)
        with Blob.of(BOMB) as blob, pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await examiner.unseen(blob, WIDE)
        with Blob.of(zipped(b"x")) as blob:
            assert await examiner.unseen(blob, WIDE) is None
        examiner.close()
        await until(lambda: threading.active_count() < 50)

    run(body())


@pytest.mark.peer("clamd")
def test_what_clamd_found_stands(run: LoopRunner) -> None:
    """A signature found in the part that was seen is a better answer than a limit."""

    async def body(clamd: Clamd) -> None:
        async with engine_at(clamd.unix_address) as engine:
            assert isinstance(await judge(engine, zipped(MARKER * 2, text(FILE + 1))), Infected)
            assert await judge(engine, b"x") == Clean()

    with Clamd(options=LIMITS, signatures=SIGNATURES) as clamd:
        run(body(clamd))
