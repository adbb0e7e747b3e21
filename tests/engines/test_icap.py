"""The ICAP engine against a real c-icap with a real clamd behind it: never a wrong clean."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from ostiary.engines.icap.engine import IcapEngine, IcapWays
from ostiary.engines.interface import Sample
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Cause, Clean, Finding, Infected, Unscannable
from peers.c_icap import CIcap
from peers.clamd import EICAR, EICAR_NAME, SIGNATURES, TESTFILE_NAME, TESTFILES, Clamd
from peers.samples import png
from tests.engines.asking import archive, spooled
from tests.engines.asking_icap import engine_at, error_at, judge, judge_at, state
from tests.engines.conftest import LoopRunner

MARKER: Final = b"OSTIARY-MARKER-0123456789"
MARKED: Final = Infected("Marker.UNOFFICIAL")
LIMIT: Final = 1 << 20
BARE: Final = IcapWays(preset="squidclamav", max_size=10**9)
"""A preset that adds no arguments to the URL: virus_scan does what its own settings say."""


@pytest.fixture(scope="module")
def marking() -> Iterator[Clamd]:
    """Return a clamd that finds a marker wherever it stands."""
    with Clamd(signatures={**SIGNATURES, "marker.ndb": f"Marker:0:*:{MARKER.hex()}\n"}) as clamd:
        yield clamd


@pytest.fixture(scope="module")
def narrow(marking: Clamd) -> Iterator[CIcap]:
    """Return a c-icap that scans text only, and up to a limit."""
    options = {"virus_scan.ScanFileTypes": "TEXT", "virus_scan.MaxObjectSize": "1M"}
    with CIcap(marking, options=options) as server:
        yield server


@pytest.fixture(scope="module")
def wide(marking: Clamd) -> Iterator[CIcap]:
    """Return a c-icap that scans all, before the clamd that finds the marker."""
    with CIcap(marking) as server:
        yield server


def cause(found: Finding) -> Cause | None:
    """Return why something is unscannable, None if it is not."""
    return found.cause if isinstance(found, Unscannable) else None


@pytest.mark.parametrize("upload", [False, True], ids=["RESPMOD", "REQMOD"])
def test_sizes(run: LoopRunner, wide: CIcap, tmp_path: Path, *, upload: bool) -> None:
    """Empty, a byte, around the preview, a megabyte, thirty: clean, and found with a marker at the end."""

    async def body() -> None:
        async with engine_at(wide.url) as engine:
            for size in (0, 1, 1023, 1024, 1025, 2048, 1_000_000, 30_000_000):
                clean = os.urandom(size)
                with await spooled(clean, tmp_path) as blob:
                    sample = Sample(blob, "application/octet-stream", upload=upload)
                    assert (await engine.inspect(sample)).finding == Clean()
                with await spooled(clean + MARKER, tmp_path) as blob:
                    sample = Sample(blob, "application/octet-stream", upload=upload)
                    assert (await engine.inspect(sample)).finding == MARKED

    run(body())


@pytest.mark.parametrize("before", [0, 1010, 1024, 5000], ids=["within", "across", "behind", "far behind"])
def test_a_marker_around_the_preview(run: LoopRunner, wide: CIcap, before: int) -> None:
    """What stands before, across and behind the end of the preview is found."""

    async def body() -> None:
        data = os.urandom(before) + MARKER + os.urandom(5000)
        async with engine_at(wide.url) as engine:
            assert await judge(engine, data) == MARKED
            assert await judge(engine, data, upload=True) == MARKED
        assert await judge_at(wide.url, data, IcapWays(preset="c-icap", preview=False)) == MARKED

    run(body())


async def test_eicar(c_icap: CIcap) -> None:
    """The specimen of the proof is found, and what is good passes."""
    async with engine_at(c_icap.url) as engine:
        assert await judge(engine, engine.specimens.bad) == Infected(EICAR_NAME)
        assert await judge(engine, engine.specimens.good()) == Clean()
        assert await judge(engine, archive(EICAR)) == Infected(EICAR_NAME)
        assert engine.specimens.unpacks
        assert await engine.signed_at() is None


@pytest.mark.skipif(not TESTFILES.is_dir(), reason="Debian's clamav-testfiles is not here")
async def test_clamav_testfiles(c_icap: CIcap) -> None:
    """Each of Debian's containers is found."""
    async with engine_at(c_icap.url) as engine:
        files = sorted(path for path in TESTFILES.rglob("*") if path.is_file())
        assert len(files) > 40
        for path in files:
            assert await judge(engine, path.read_bytes()) == Infected(TESTFILE_NAME), path.name


async def test_what_clamd_can_not_scan(c_icap: CIcap) -> None:
    """clamd's causes come through c-icap under clamd's names."""
    assert cause(await judge_at(c_icap.url, archive(b"x" * 100, encrypted=True))) is Cause.ENCRYPTED_ARCHIVE


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1])
async def test_the_limit_of_c_icap(narrow: CIcap, size: int) -> None:
    """MaxObjectSize: its arguments lift it; else only `max_size` helps: just that size comes back as 200."""
    data = (b"some text\n" * (size // 10 + 1))[: size - len(MARKER)] + MARKER
    assert await judge_at(narrow.url, data) == MARKED
    assert await judge_at(narrow.url, data, IcapWays()) == MARKED  # known by its Service
    bounded = IcapWays(preset="squidclamav", max_size=LIMIT)
    if size >= LIMIT:
        assert cause(await judge_at(narrow.url, data, bounded)) is Cause.LIMIT
    if size > LIMIT:  # passed after the preview
        assert cause(await judge_at(narrow.url, data, BARE)) is Cause.LIMIT
    if size < LIMIT:  # it sends the beginning of what it found: none, as it happens
        assert "cut" in await error_at(narrow.url, data, bounded)


async def test_a_type_that_c_icap_does_not_scan(narrow: CIcap) -> None:
    """ScanFileTypes: its arguments lift it; else the preview shows that such a file passes unscanned."""
    data = png() + MARKER
    assert await judge_at(narrow.url, data) == MARKED
    assert await judge_at(narrow.url, data, IcapWays()) == MARKED
    assert cause(await judge_at(narrow.url, data, BARE)) is Cause.LIMIT


async def test_a_server_that_sends_the_beginning_of_infected_files(marking: Clamd) -> None:
    """SendPercentData, without the preset's arguments: an infected file comes back cut, a clean one whole."""
    with CIcap(marking, options={"virus_scan.SendPercentData": "5"}) as server:
        clean = os.urandom(LIMIT)
        assert await judge_at(server.url, clean, BARE) == Clean()
        assert "cut" in await error_at(server.url, clean + MARKER, BARE)
        assert await judge_at(server.url, clean + MARKER) == MARKED


async def test_a_server_that_sends_no_204(marking: Clamd) -> None:
    """Then the file comes back, and is compared: 30 MB too."""
    with CIcap(marking, options={"virus_scan.Allow204Responces": "off"}) as server:
        async with engine_at(server.url.replace("virus_scan", "virus_scan?allow204=off")) as engine:
            for size in (0, 1, 5000, 30_000_000):
                assert await judge(engine, os.urandom(size)) == Clean()
                assert await judge(engine, os.urandom(size) + MARKER) == MARKED


def test_a_dead_clamd_is_never_clean(run: LoopRunner) -> None:
    """OPTIONS still answers 200 then; the scan says 500. Both work again with clamd back."""

    async def body(clamd: Clamd, server: CIcap) -> None:
        async with engine_at(server.url) as engine:
            assert await judge(engine) == Clean()
            clamd.kill()
            for data in (b"x", EICAR, os.urandom(1_000_000)):
                with pytest.raises(EngineError, match="could not scan: is the engine behind it running"):
                    await judge(engine, data)
            assert await engine.versions()
            clamd.start()
            assert await judge(engine, EICAR) == Infected(EICAR_NAME)

    with Clamd() as clamd, CIcap(clamd) as server:
        run(body(clamd, server))


async def test_a_preset_that_does_not_fit_is_never_clean(c_icap: CIcap) -> None:
    """Neither specimen gets its answer, so the engine is not trusted."""
    ways = IcapWays(preset="f-secure")
    assert "x-fsecure-scan-result" in await error_at(c_icap.url, b"x", ways)
    assert "named no threat" in await error_at(c_icap.url, EICAR, ways)
    page = IcapWays(preset="f-secure", page_is_infected=True)
    assert await judge_at(c_icap.url, EICAR, page) == Infected("blocked by the ICAP server")


async def test_a_service_that_only_echoes_is_caught_by_its_specimen(c_icap: CIcap) -> None:
    """It calls everything clean, also the known-bad sample: that is the proof's matter.

    With previews, c-icap's echo passes by chance some files after the first bytes.
    """
    assert await judge_at(c_icap.service("echo"), EICAR, IcapWays(preview=False)) == Clean()


async def test_a_service_that_is_not_there(c_icap: CIcap) -> None:
    """Its 404 says what to mend."""
    assert "check the path of `url`" in await error_at(c_icap.service("nothing"))


async def test_versions_tell_the_two_methods_apart(c_icap: CIcap) -> None:
    """Evidence of REQMOD has another version than evidence of RESPMOD, and both are live."""
    async with engine_at(c_icap.url) as engine:
        down, up = await state(engine), await state(engine, upload=True)
        assert down.version.startswith("RESPMOD /virus_scan: ISTag ")
        assert up.version.startswith("REQMOD /virus_scan: ISTag ")
        assert {down.version, up.version} == await engine.versions()
        assert await engine.version() == down.version
        assert engine.directional
    async with engine_at(c_icap.url, IcapWays(preset="c-icap", reqmod=False, keep=60)) as engine:
        one = await state(engine, upload=True)
        assert one.version == down.version
        assert one.keep == 60
        assert not engine.directional


async def test_two_services(c_icap: CIcap) -> None:
    """`upload_url` is asked about uploads alone, and both are live."""
    ways = IcapWays(preset="c-icap", upload_url=c_icap.service("echo"), reqmod=False, preview=False)
    async with engine_at(c_icap.url, ways) as engine:
        assert await judge(engine, EICAR) == Infected(EICAR_NAME)
        assert await judge(engine, EICAR, upload=True) == Clean()
        assert engine.directional
        assert len(await engine.versions()) == 3  # an upload by REQMOD might be, if it were asked for


async def test_many_at_a_time(c_icap: CIcap) -> None:
    """Each scan gets its own answer, over connections that are used again and again."""
    async with engine_at(c_icap.url, concurrency=4) as engine:
        data = [EICAR if number % 3 == 0 else os.urandom(3000) for number in range(150)]
        found = await asyncio.gather(*(judge(engine, one) for one in data))
        assert found == [Infected(EICAR_NAME) if one == EICAR else Clean() for one in data]


async def test_doubts(c_icap: CIcap) -> None:
    """What `ostiary check` warns of: what is unscanned, and what can't be known."""
    async with engine_at(c_icap.url, IcapWays(preset="c-icap", keep=60)) as engine:
        assert list(await engine.doubts(10_000_000)) == []
    async with engine_at(c_icap.url, IcapWays(max_size=1_000_000, preview=False)) as engine:
        doubts = " ".join(await engine.doubts(1_000_000))
        assert "max_size" in doubts
        assert "istag_follows_signatures" in doubts
        assert "preview" in doubts
    async with engine_at("icap://127.0.0.1:1/x", IcapWays(keep=60)) as engine:
        (doubt,) = await engine.doubts(1000)
        assert "could not be read" in doubt


async def test_doubts_about_the_engine_behind_it() -> None:
    """What clamd passes beyond its limits is put to the test: no OPTIONS would tell."""
    options = {"AlertExceedsMax": "no", "MaxFileSize": "1M"}
    with Clamd(options=options) as clamd, CIcap(clamd) as server:
        async with engine_at(server.url, IcapWays(preset="c-icap", keep=60)) as engine:
            doubts = " ".join(await engine.doubts(2_000_000))
            for what in ("25 deep", "10001 members", "member of 2000000 bytes"):
                assert what in doubts


@pytest.mark.parametrize(
    ("url", "ways"), [("http://x", None), ("icap://x:0/", None), ("icap://x", IcapWays(preset="none"))]
)
def test_what_can_not_be_configured(url: str, ways: IcapWays | None) -> None:
    """A URL that is none, a preset that is none: named at start."""
    with pytest.raises(ConfigError, match="engine icap"):
        IcapEngine("icap", url, ways)
