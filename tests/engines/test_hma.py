"""The engine that asks a Hasher-Matcher-Actioner, and what it makes of good and bad servers."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import ostiary.engines.addresses
from ostiary import currency
from ostiary.blob import Blob
from ostiary.config.engines import HmaSettings
from ostiary.engines.hma import engine as hma_engine
from ostiary.engines.hma.engine import HmaEngine, content_type_of
from ostiary.engines.interface import Engine, Sample, Statement
from ostiary.engines.registry import Circumstances, engine_of
from ostiary.errors import EngineError
from ostiary.inspection import Station
from ostiary.model import Cause, Clean, Infected, Result, Unscannable
from tests.descriptors import open_descriptors
from tests.engines.asking import spooled, until
from tests.engines.conftest import LoopRunner
from tests.engines.fake_hma import FakeHma, digest_of, fake_hma, says, silence
from tests.flow.fakes import House, ScriptedEngine, serving

PICTURE = b"a picture that is known"
LARGE = bytes(range(256)) * 20_000
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(60)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten all patience."""
    monkeypatch.setattr(hma_engine, "DOUBT", 0.02)
    monkeypatch.setattr(ostiary.engines.addresses, "PAUSES", (0.0, 0.01))
    monkeypatch.setattr(ostiary.engines.addresses, "PROBE_SECONDS", 0.1)


@asynccontextmanager
async def asking(url: str, **options: Any) -> AsyncIterator[HmaEngine]:  # noqa: ANN401  (the engine's)
    """Give an engine, closed on the way out."""
    engine = HmaEngine("hma", url, **options)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


@asynccontextmanager
async def pair(**options: Any) -> AsyncIterator[tuple[FakeHma, HmaEngine]]:  # noqa: ANN401
    """Give an HMA that knows PICTURE, and an engine that asks it."""
    async with fake_hma() as hma, asking(hma.url, **options) as engine:
        hma.banks = {"OTHER": {digest_of(b"other")}, "TEST_BANK": {digest_of(PICTURE)}}
        yield hma, engine


async def ask(engine: HmaEngine, data: bytes | Blob, detected_type: str = "image/jpeg") -> Statement:
    """Have the engine inspect the bytes; a blob is closed."""
    with data if isinstance(data, Blob) else Blob.of(data) as blob:
        return await engine.inspect(Sample(blob, detected_type))


async def error_of(engine: HmaEngine, data: bytes = PICTURE) -> str:
    """Return the words of the EngineError that asking ends in."""
    with pytest.raises(EngineError) as caught:
        await ask(engine, data)
    return str(caught.value)


@pytest.mark.parametrize("bare_names", [False, True])
def test_matches(run: LoopRunner, tmp_path: Path, bare_names: bool) -> None:  # noqa: FBT001
    """A match names the bank, in either form of the API; the rest is clean; large files go as well."""

    async def main() -> None:
        async with pair() as (hma, engine):
            hma.bare_names = bare_names
            assert (await ask(engine, PICTURE)).finding == Infected("hma TEST_BANK")
            assert (await ask(engine, PICTURE, "video/mp4")).finding == Infected("hma TEST_BANK")
            assert (await ask(engine, b"unknown")).finding == Clean()
            hma.banks["A_BANK"] = {digest_of(PICTURE), digest_of(LARGE)}
            assert (await ask(engine, PICTURE)).finding == Infected("hma A_BANK"), "the first by name"
            assert (await ask(engine, await spooled(LARGE, tmp_path))).finding == Infected("hma A_BANK")
            assert hma.largest == len(LARGE)

    run(main())


@pytest.mark.parametrize(
    ("detected_type", "content_type"),
    [
        ("image/png", "photo"),
        ("image/svg+xml", None),
        ("video/webm", "video"),
        ("application/ogg", "video"),
        ("audio/mpeg", None),
        ("text/plain", None),
        ("application/octet-stream", None),
    ],
)
async def test_who_is_asked_about(detected_type: str, content_type: str | None) -> None:
    """Images and videos are sent under HMA's names for them; nothing else leaves us, and it is clean."""
    assert content_type_of(detected_type) == content_type
    async with pair() as (hma, engine):
        finding = (await ask(engine, PICTURE, detected_type)).finding
        assert finding == (Infected("hma TEST_BANK") if content_type else Clean())
        assert ("POST /h/hash" in hma.asked) is (content_type is not None)


async def test_what_browsers_take_for_an_image_is_asked_about() -> None:
    """Whatever type was detected: a browser goes by the first bytes."""
    async with pair() as (hma, engine):
        hma.banks = {"GIFS": {digest_of(b"GIF89a and more")}}
        assert (await ask(engine, b"GIF89a and more", "text/plain")).finding == Infected("hma GIFS")


async def test_content_types_can_be_left_out() -> None:
    """Videos are not sent where only photos are to be asked about."""
    async with pair(content_types=("photo",)) as (hma, engine):
        assert (await ask(engine, PICTURE, "video/mp4")).finding == Clean()
        assert hma.asked == []
        assert (await ask(engine, PICTURE)).finding == Infected("hma TEST_BANK")


async def test_from_its_section() -> None:
    """What the configuration says is what runs; answers count for `proof.interval` at most."""
    around = Circumstances(Path(), "rm", frozenset(), frozenset(), proof_interval=9)
    async with fake_hma() as hma:
        chosen = HmaSettings(type="hma", url=hma.url, content_types=("video",), concurrency=3)
        engine = engine_of(chosen, around)
        assert engine.name == "hma"
        assert (await engine_said(engine, "image/png")).finding == Clean()
        assert (await engine_said(engine, "video/mp4")).keep == 9
        assert hma.asked[-1] == "GET /m/lookup"
        await engine.close()


async def engine_said(engine: Engine, detected_type: str) -> Statement:
    """Have any engine inspect a byte."""
    with Blob.of(b"x") as blob:
        return await engine.inspect(Sample(blob, detected_type))


async def test_version() -> None:
    """It changes with the index; what is said counts for a while only, since banks change without it."""
    async with pair(keep=7) as (hma, engine):
        said = await ask(engine, PICTURE)
        assert said.version == "hma pdq 1700146048/2 video_md5 -1/0"
        assert said.keep == 7
        assert await engine.versions() == {said.version} == {await engine.version()}
        hma.built += 60
        assert (await ask(engine, PICTURE)).version == "hma pdq 1700146108/2 video_md5 -1/0"
        assert engine.specimens is None
        assert await engine.signed_at() is None
        assert not engine.directional
    assert await engine.versions() == frozenset()


async def test_what_it_is_not_asked_about_depends_on_no_index() -> None:
    """Such a statement names no version: nothing that happens to HMA may take it back."""
    async with pair(keep=7) as (hma, engine):
        said = await ask(engine, b"text", "text/plain")
        assert (said.finding, said.version, said.keep) == (Clean(), "", 7)
        assert hma.asked == []


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("seen_before", [True, False])
async def test_texts_are_clean_while_it_is_away(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    required: bool,  # noqa: FBT001
    seen_before: bool,  # noqa: FBT001
) -> None:
    """Through the whole flow, also after it has answered before; the verdict is remembered meanwhile."""
    monkeypatch.setattr(currency, "OLDEST", -1.0)  # whoever asks for live versions asks the engines
    monkeypatch.setattr(currency, "FRESH", -1.0)
    async with fake_hma() as hma, asking(hma.url, keep=60) as engine:
        other = ScriptedEngine()
        stations = [Station(other), Station(engine, required=required)]
        homeserver = serving(b"nothing but words")
        with House(tmp_path, homeserver, stations, verdicts=10) as house:
            if seen_before:
                assert (await ask(engine, PNG, "image/png")).version
            hma.fault = says(500)
            for _ in range(3):
                verdict, served = await house.ask()
                assert (verdict.result, served) == (Result.CLEAN, b"nothing but words")
            assert await engine.versions() == frozenset()
            assert len(other.seen) == 1
            house.live.forget()
            house.clock.now += 1
            assert (await house.ask())[0].result is Result.CLEAN
            assert len(other.seen) == 2, "the other engine's word was forgotten all the same"


@pytest.mark.parametrize(("required", "result"), [(True, Result.ERROR), (False, Result.CLEAN)])
async def test_pictures_while_it_is_away(tmp_path: Path, required: bool, result: Result) -> None:  # noqa: FBT001
    """What it is asked about is an error without it, where it is required."""
    async with fake_hma() as hma, asking(hma.url) as engine:
        hma.fault = says(500)
        stations = [Station(ScriptedEngine()), Station(engine, required=required)]
        with House(tmp_path, serving(PNG), stations) as house:
            assert (await house.ask())[0].result is result
            assert hma.asked


async def test_an_index_that_is_building() -> None:
    """503 is an error that says so: nothing was compared."""
    async with pair() as (hma, engine):
        hma.ready = False
        assert await error_of(engine) == f"HMA at {hma.url}: it answered 503: its index is building"
        hma.ready = True
        assert (await ask(engine, PICTURE)).finding == Infected("hma TEST_BANK")


@pytest.mark.parametrize("path", ["/h/hash", "/m/lookup", "/m/index/status"])
@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "enabled"), (401, "credentials"), (403, "roles"), (404, "roles"), (500, "log"),
        (503, "building"), (204, "no answer"), (206, "no answer"), (301, "no answer"), (302, "no answer"),
        (418, "no answer"),
    ],
)  # fmt: skip
async def test_odd_statuses(path: str, status: int, words: str) -> None:
    """Each is an error with advice, wherever it comes; redirects are not followed."""
    async with pair() as (hma, engine):
        hma.fault = says(status, b"" if status == 204 else b"{}", path, Location=f"{hma.url}/status")
        said = await error_of(engine)
        assert f"it answered {status}: " in said
        assert words in said
        assert "GET /status" not in hma.asked


async def test_too_large_for_it() -> None:
    """413 tells of the file, for good."""
    async with pair() as (hma, engine):
        hma.fault = says(413, b"", "/h/hash")
        assert (await ask(engine, PICTURE)).finding == Unscannable(
            Cause.LIMIT, "a larger file than HMA takes"
        )


@pytest.mark.parametrize("path", ["/h/hash", "/m/lookup", "/m/index/status"])
@pytest.mark.parametrize(
    "body", [b"", b"null", b"{", b"<html>", b"[1]", b'{"pdq": 1}', b'[] ,"x":[]', b'"x"', b" " * (2 << 20)]
)
async def test_odd_answers(path: str, body: bytes) -> None:
    """Whatever is not the API's grammar, or has no end, is an error."""
    async with pair() as (hma, engine):
        hma.fault = says(200, body, path)
        assert f"HMA at {hma.url}: " in await error_of(engine)


async def test_pictures_without_a_hash_match_nothing() -> None:
    """HMA gives an empty hash where a picture has too little in it; that can't be looked up."""
    async with pair() as (hma, engine):
        hma.fault = says(200, b'{"pdq": ""}', "/h/hash")
        assert (await ask(engine, PICTURE)).finding == Clean()
        assert "GET /m/lookup" not in hma.asked


async def test_an_answer_that_is_cut() -> None:
    """A connection that ends in an answer is an error, also where what came would be one."""

    async def cut(request: web.Request) -> web.StreamResponse | None:
        if request.path != "/m/lookup":
            return None
        response = web.StreamResponse(headers={"Content-Length": "20"})
        await response.prepare(request)
        await response.write(b"{}")
        assert request.transport is not None
        request.transport.close()
        return response

    async with pair() as (hma, engine):
        hma.fault = cut
        assert "the connection failed" in await error_of(engine)


def test_nobody_there(run: LoopRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing listens each file fails at once, and the first after it is back is answered."""
    monkeypatch.setattr(ostiary.engines.addresses, "PAUSES", (0.0,))

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        async with asking(f"http://127.0.0.1:{port}") as engine:
            assert "can't be reached" in await error_of(engine)
            assert await engine.versions() == frozenset()
            assert (await ask(engine, b"text", "text/plain")).finding == Clean()
            await until(lambda: bool(engine._addresses.resting()))
            async with fake_hma(port=port):
                assert (await ask(engine, PICTURE)).finding == Clean()

    run(main())


def test_one_that_is_silent(run: LoopRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once its probes have shown that it hangs nobody waits for it, and it is taken back by itself."""
    monkeypatch.setattr(ostiary.engines.addresses, "PAUSES", (0.0,))
    monkeypatch.setattr(ostiary.engines.addresses, "PROBE_SECONDS", 0.1)

    async def main() -> None:
        async with pair() as (hma, engine):
            engine._addresses._rest = 0.05
            hma.fault = silence
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ask(engine, PICTURE), 0.1)
            engine._addresses.doubt(hma.url)
            await until(lambda: bool(engine._addresses.resting()))
            assert await error_of(engine) == f"HMA at {hma.url} does not answer"
            hma.fault = None
            await until(lambda: not engine._addresses.resting())
            assert (await ask(engine, PICTURE)).finding == Infected("hma TEST_BANK")

    run(main())


@pytest.mark.usefixtures("hasty")
def test_a_deadline_makes_doubtful(run: LoopRunner) -> None:
    """One that swallows a question is probed when its deadline has passed; then nobody waits for it."""

    async def main() -> None:
        async with pair() as (hma, engine):
            engine._addresses._rest = 0.05
            hma.fault = silence
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ask(engine, PICTURE), 0.1)
            await until(lambda: bool(engine._addresses.resting()))
            assert await error_of(engine) == f"HMA at {hma.url} does not answer"
            assert await engine.versions() == frozenset()
            hma.fault = None
            await until(lambda: not engine._addresses.resting())
            assert (await ask(engine, PICTURE)).finding == Infected("hma TEST_BANK")

    run(main())


@pytest.mark.usefixtures("hasty")
def test_a_version_that_does_not_come_makes_doubtful(
    run: LoopRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question for its version, put where nobody scans, shows a silent one as well."""
    monkeypatch.setattr(hma_engine, "VERSION_SECONDS", 0.01)
    monkeypatch.setattr(hma_engine, "DOUBT", 60.0)

    async def main() -> None:
        async with pair() as (hma, engine):
            hma.fault = silence
            assert await engine.versions() == frozenset()
            await until(lambda: bool(engine._addresses.resting()))

    run(main())


@pytest.mark.usefixtures("hasty")
def test_a_slow_file_makes_no_hma_rest(run: LoopRunner) -> None:
    """What decides is the probe: one that works on a file for longer than anybody waits stays awake."""

    async def main() -> None:
        async with pair() as (hma, engine):

            async def slow(request: web.Request) -> None:
                if request.path == "/h/hash":
                    await silence(request)

            hma.fault = slow
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ask(engine, PICTURE), 0.1)
            await until(lambda: "GET /status" in hma.asked)
            hma.fault = None
            assert not engine._addresses.resting()
            assert (await ask(engine, PICTURE)).finding == Infected("hma TEST_BANK")

    run(main())


def test_impatience_makes_nothing_doubtful(run: LoopRunner) -> None:
    """Whoever goes away at once has not waited long enough to tell."""

    async def main() -> None:
        async with pair() as (hma, engine):
            hma.fault = silence
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ask(engine, PICTURE), 0.01)
            assert engine._addresses._all[0].watch is None

    run(main())


def test_cancelling_leaves_nothing(run: LoopRunner, tmp_path: Path) -> None:
    """At whatever request it happens: no connection, no descriptor, and the slot is free."""

    async def main() -> None:
        async with pair(concurrency=1) as (hma, engine):
            await ask(engine, PICTURE)
            for path in ("/m/index/status", "/h/hash", "/m/lookup"):
                before = open_descriptors()

                async def stuck(request: web.Request, path: str = path) -> None:
                    if request.path == path:
                        await asyncio.sleep(0.3)

                hma.fault = stuck
                for _ in range(3):
                    blob = await spooled(LARGE, tmp_path)
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(ask(engine, blob), 0.1)
                hma.fault = None
                assert (await ask(engine, PICTURE)).finding == Infected("hma TEST_BANK")
                gc.collect()
                await until(lambda before=before: len(open_descriptors()) <= len(before))  # type: ignore[misc]

    run(main())


async def test_no_more_at_a_time_than_it_has_slots() -> None:
    """HMA is asked about so many files at once."""
    async with pair(concurrency=2) as (hma, engine):
        now, most = 0, 0

        async def count(request: web.Request) -> None:
            nonlocal now, most
            if request.path == "/h/hash":
                now += 1
                most = max(most, now)
                await asyncio.sleep(0.02)
                now -= 1

        hma.fault = count
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(ask(engine, PICTURE))
        assert most == 2


async def test_nothing_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a proxy nor passwords of a .netrc."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with pair() as (_, engine):
        assert (await ask(engine, PICTURE)).finding == Infected("hma TEST_BANK")


async def test_a_closed_blob_and_a_closed_engine() -> None:
    """Both are errors of their own."""
    async with pair() as (_, engine):
        blob = Blob.of(b"x")
        blob.close()
        with pytest.raises(EngineError, match="can't be read"):
            await engine.inspect(Sample(blob, "image/png"))
    assert "not running" in await error_of(engine)
    await engine.close()
