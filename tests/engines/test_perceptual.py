"""The perceptual engine and what it finds: images that look like those of the list."""

import asyncio
import os
from collections.abc import AsyncIterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ostiary.engines.perceptual.engine
import ostiary.engines.watched_files
from ostiary.blob import Blob
from ostiary.config.engines import PerceptualSettings
from ostiary.engines.interface import Sample
from ostiary.engines.perceptual.engine import PerceptualEngine
from ostiary.engines.registry import Circumstances, engine_of
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Cause, Clean, Finding, Infected, Unscannable
from tests.descriptors import open_descriptors
from tests.engines.asking import spooled, until
from tests.engines.conftest import LoopRunner
from tests.engines.perceptual_images import BRIDGE, children, encoded, judge, pdq, picture, running

pytestmark = pytest.mark.peer("pdqhash")

KNOWN = picture(1)
FOUND = Infected("known")
FORMAT = Unscannable(Cause.LIMIT, "an image in a format that can't be compared")
DAMAGED = Unscannable(Cause.LIMIT, "a damaged image, which viewers may show in part")


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PerceptualEngine]:
    """Give an engine that knows one picture, for all tests that change nothing about it."""
    path = tmp_path_factory.mktemp("lists") / "list.pdq"
    async with running(path, lines=[f"{BRIDGE} bridge", f"{pdq(KNOWN)} known"]) as engine:
        yield engine


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a list that knows one picture."""
    path = tmp_path / "list.pdq"
    path.write_text(f"# pictures\n\n{BRIDGE} bridge\n{pdq(KNOWN)} known\n")
    return path


def test_the_hash_is_written_as_lists_have_it() -> None:
    """The first of the 64 digits holds the library's first four bits, as ThreatExchange's tools have it."""
    pdqhash = pytest.importorskip("pdqhash")
    vector, _ = pdqhash.compute(np.asarray(KNOWN))
    assert pdq(KNOWN) == f"{int(''.join(str(bit) for bit in vector), 2):064x}"


@pytest.mark.parametrize(
    ("kind", "detected_type"),
    [
        ("PNG", "image/png"), ("JPEG", "image/jpeg"), ("GIF", "image/gif"), ("WEBP", "image/webp"),
        ("AVIF", "image/avif"), ("HEIF", "image/heic"), ("BMP", "image/bmp"), ("TIFF", "image/tiff"),
        ("JPEG2000", "image/jp2"), ("ICO", "image/vnd.microsoft.icon"),
    ],
)  # fmt: skip
def test_formats(run: LoopRunner, path: Path, tmp_path: Path, kind: str, detected_type: str) -> None:
    """What browsers and phones show is found in each format, in memory and from a file; others are clean."""
    known, other = encoded(KNOWN, kind), encoded(picture(2), kind)

    async def main() -> None:
        async with running(path) as engine:
            assert await judge(engine, known, detected_type) == FOUND
            assert await judge(engine, other, detected_type) == Clean()
            padded = await spooled(known + bytes(1 << 20), tmp_path)  # over what a blob has in memory
            assert padded.data is None
            assert await judge(engine, padded, detected_type) == FOUND
            assert await judge(engine, known, "application/octet-stream") == FOUND, "as browsers take it"

    run(main())


@pytest.mark.parametrize("turn", [None, *Image.Transpose.__members__.values()])
async def test_turned_and_mirrored(engine: PerceptualEngine, turn: Image.Transpose | None) -> None:
    """An image is found in all eight positions, so no orientation in its metadata hides it."""
    image = KNOWN if turn is None else KNOWN.transpose(turn)
    assert await judge(engine, encoded(image, "JPEG", quality=70), "image/jpeg") == FOUND


async def test_scaled_and_recompressed(engine: PerceptualEngine) -> None:
    """Copies of another size and quality are near enough."""
    for size in ((200, 150), (1600, 1200), (2400, 1800)):
        image = KNOWN.resize(size, Image.Resampling.BICUBIC)
        assert await judge(engine, encoded(image, "JPEG", quality=50), "image/jpeg") == FOUND
        assert await judge(engine, encoded(image, "JPEG", progressive=True), "image/jpeg") == FOUND


async def test_distance(path: Path) -> None:
    """As many bits as configured may differ, and no more; the nearest entry is named, then the first."""
    small = KNOWN.resize((400, 300))  # is not scaled before it is hashed
    bits = int(pdq(small), 16)
    entries = {f"{bits ^ ((1 << differing) - 1):064x}": differing for differing in (31, 32, 20)}
    image = encoded(small)
    for entry, differing in entries.items():
        async with running(path, lines=[entry], distance=31) as engine:
            assert await judge(engine, image) == (
                Clean() if differing == 32 else Infected("line 1 of the list")
            )
        async with running(path, lines=[f"{entry} x"], distance=differing - 1) as engine:
            assert await judge(engine, image) == Clean()
    lines = [f"{entry} by {differing}" for entry, differing in entries.items()]
    async with running(path, lines=[*lines, f"{f'{bits ^ ((1 << 20) - 1):064x}'} again"]) as engine:
        assert await judge(engine, image) == Infected("by 20")


async def test_what_is_drawn_by_transparency_is_seen(path: Path) -> None:
    """A picture that only shows on a light or on a dark ground is found, as is one under transparency."""
    grey = KNOWN.convert("L")
    black = Image.new("RGBA", KNOWN.size, "black")
    black.putalpha(grey.point(lambda level: 255 - level))
    white = Image.new("RGBA", KNOWN.size, "white")
    white.putalpha(grey)
    hidden = KNOWN.convert("RGBA")
    hidden.putalpha(0)
    mapped = KNOWN.quantize(255)
    mapped.info["transparency"] = 3
    async with running(path, lines=[f"{pdq(grey)} known"]) as engine:
        for image in (black, white, hidden, mapped):
            assert await judge(engine, encoded(image)) == FOUND


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "I", "F", "CMYK", "YCbCr", "RGBA"])
async def test_modes(engine: PerceptualEngine, mode: str) -> None:
    """Whatever the pixels are made of, they are compared."""
    if mode == "I;16":
        image = Image.frombytes(
            mode, KNOWN.size, b"".join(bytes([0, v]) for v in KNOWN.convert("L").tobytes())
        )
    else:
        image = KNOWN.convert(mode)
    assert await judge(engine, encoded(image, "TIFF"), "image/tiff") == FOUND
    if mode not in {"I", "F", "CMYK", "YCbCr"}:
        assert await judge(engine, encoded(image, "PNG")) == FOUND


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
async def test_animations(engine: PerceptualEngine, kind: str) -> None:
    """A picture in one of the first eight frames is found; of longer animations eight frames are compared."""
    frames = [picture(seed, 320, 240) for seed in range(10, 17)]
    known = KNOWN.resize((320, 240))
    detected_type = f"image/{kind.lower()}"
    for at in (0, 3, 7):
        shown = [*frames[:at], known, *frames[at:]]
        data = encoded(shown[0], kind, save_all=True, append_images=shown[1:])
        assert await judge(engine, data, detected_type) == FOUND
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert await judge(engine, data, detected_type) == Clean()


async def test_pictures_with_nothing_in_them_match_nothing(path: Path) -> None:
    """A hash of PDQ quality below 50 says nothing: a plain image is clean, whatever the list has."""
    plain = Image.new("RGB", (300, 300), "white")
    async with running(path, lines=["0" * 64, "f" * 64, BRIDGE]) as engine:
        assert await judge(engine, encoded(plain)) == Clean()
        assert await judge(engine, encoded(plain.resize((1, 1)))) == Clean()


@pytest.mark.parametrize(
    ("data", "detected_type", "finding"),
    [
        (b"BMW makes cars", "text/plain", Clean()),
        (b"", "application/x-empty", Clean()),
        (b"II*\0 raw of a camera", "application/octet-stream", Clean()),
        (b"GIF89a polyglot", "text/plain", FORMAT),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "application/octet-stream", FORMAT),
        (b"%PDF-1.7", "application/pdf", Clean()),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", Clean()),
        (b"\xff\x0a jxl", "image/jxl", FORMAT),
        (b"8BPS\0\1", "image/vnd.adobe.photoshop", FORMAT),
        (b"", "image/png", FORMAT),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image/x-unknown", FORMAT),
        (encoded(KNOWN, "PPM"), "image/x-portable-pixmap", FORMAT),
    ],
)
async def test_what_is_no_image_is_clean_and_what_cannot_be_read_is_not(
    engine: PerceptualEngine, data: bytes, detected_type: str, finding: object
) -> None:
    """Documents are none of this engine's business; an image in a format that it lacks is unscannable."""
    assert await judge(engine, data, detected_type) == finding


async def test_embedded_images(engine: PerceptualEngine) -> None:
    """What is an image beside something else is compared as one."""
    with Blob.of(b"no image") as blob:
        said = await engine.inspect(Sample(blob, "application/pdf", embedded=("image/jpeg",)))
        assert said.finding == Clean()
    with Blob.of(encoded(KNOWN)) as blob:
        said = await engine.inspect(Sample(blob, "application/zip", embedded=("image/png",)))
        assert said.finding == FOUND


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "AVIF", "HEIF", "BMP", "TIFF"])
async def test_a_cut_image_is_never_clean(engine: PerceptualEngine, kind: str) -> None:
    """Viewers show a part of it: what that matches counts, and otherwise it could not be seen."""
    known, other = encoded(KNOWN, kind), encoded(picture(2), kind)
    findings = []
    for tenths in range(1, 10):
        findings.append(await judge(engine, known[: len(known) * tenths // 10], f"image/{kind.lower()}"))
        assert await judge(engine, other[: len(other) * tenths // 10], f"image/{kind.lower()}") in (
            FORMAT,
            DAMAGED,
        )
    assert set(map(type, findings)) <= {Infected, Unscannable}


async def test_specimens(path: Path) -> None:
    """It finds an image of ours beside those of the list, which nobody else can have, and passes new ones."""
    async with running(path) as engine, running(path) as replica:
        specimens = engine.specimens
        assert specimens is not None
        assert not specimens.unpacks
        assert await judge(engine, specimens.bad) == Infected("Ostiary.Canary")
        assert await judge(replica, specimens.bad) == Clean()
        assert specimens.good() != specimens.good()
        for _ in range(5):
            assert await judge(engine, specimens.good()) == Clean()
        assert await engine.version() == await replica.version(), "the canary is no part of it"


async def test_from_its_section(path: Path) -> None:
    """What the configuration says is what runs."""
    around = Circumstances(Path(), "rm", frozenset(), frozenset(), proof_interval=9)
    engine = engine_of(PerceptualSettings(type="perceptual", path=path, distance=0, name="known"), around)
    await engine.start()
    try:
        assert engine.name == "known"
        assert "distance 0 " in await engine.version()
    finally:
        await engine.close()


async def test_version(path: Path) -> None:
    """What a finding depends on: the libraries, the distance, the list."""
    async with running(path) as engine, running(path, distance=20) as nearer:
        version = await engine.version()
        assert await engine.versions() == {version}
        assert version != await nearer.version()
        for word in ("pdqhash ", "Pillow ", "pillow-heif ", "distance 31", "list "):
            assert word in version
        assert await engine.signed_at() is None
        assert not engine.directional
    assert await engine.versions() == frozenset()
    with pytest.raises(EngineError, match="not running"):
        await engine.version()


def test_a_changed_list_counts(run: LoopRunner, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new list is in use without a restart, under a new version; a broken one leaves the old one in use."""
    monkeypatch.setattr(ostiary.engines.watched_files, "INTERVAL", 0.02)

    async def main() -> None:
        before = set(children())
        engine = PerceptualEngine("perceptual", path)
        await engine.start()
        try:
            other = picture(2)
            first = await engine.version()
            assert await judge(engine, encoded(other)) == Clean()
            new = path.with_suffix(".new")
            new.write_text(f"{pdq(other)} other\n")
            new.rename(path)
            await until(lambda: engine._version_of(engine._current()) != first)
            assert await judge(engine, encoded(other)) == Infected("other")
            assert await judge(engine, encoded(KNOWN)) == Clean()
            specimens = engine.specimens
            assert specimens is not None
            assert await judge(engine, specimens.bad) == Infected("Ostiary.Canary"), "it survives"
            second = await engine.version()
            path.write_text("nonsense\n")
            await until(lambda: engine._watched.fault is not None)
            assert engine._watched.fault == f"{path}: line 1: expected 64 hexadecimal digits and maybe a name"
            assert await engine.version() == second
            assert await judge(engine, encoded(other)) == Infected("other")
            assert len(set(children()) - before) == 1, "the processes with the old list are gone"
        finally:
            await engine.close()
        assert set(children()) == before

    run(main())


def indices(targets: dict[str, str]) -> int:
    """Return how many of these descriptors are indices of lists."""
    return sum("ostiary-pdq" in target for target in targets.values())


def test_lists_that_change_under_load(run: LoopRunner, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each finding is that of the list whose version comes with it; nothing of old lists stays open."""
    monkeypatch.setattr(ostiary.engines.watched_files, "INTERVAL", 0.02)
    image = encoded(KNOWN.resize((100, 75)))
    findings: dict[str, set[Finding]] = {}

    async def ask(engine: PerceptualEngine) -> None:
        with Blob.of(image) as blob:
            said = await engine.inspect(Sample(blob, "image/png"))
        findings.setdefault(said.version, set()).add(said.finding)

    async def main() -> None:
        async with running(path) as engine:
            await ask(engine)
            before = open_descriptors()
            for number in range(3):
                version = await engine.version()
                new = path.with_suffix(".new")
                new.write_text(f"{pdq(KNOWN)} name {number}\n" * 1000)
                new.rename(path)
                async with asyncio.timeout(20):
                    while await engine.version() == version:
                        await asyncio.gather(*(ask(engine) for _ in range(4)))
                await ask(engine)
            for process in engine._idle:
                assert process.index is engine._index
            assert indices(open_descriptors()) == indices(before)
            assert len(open_descriptors()) <= len(before) + 1  # a second process

    run(main())
    assert len(findings) == 4
    assert all(len(each) == 1 for each in findings.values())
    assert set.union(*findings.values()) == {FOUND, *(Infected(f"name {number}") for number in range(3))}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "line 1: expected 64 hexadecimal digits and maybe a name"),
        (f"{BRIDGE}\n{BRIDGE[:-1]}", "line 2: expected 64 hexadecimal digits and maybe a name"),
    ],
)
async def test_a_broken_list_is_a_start_error(path: Path, text: str, message: str) -> None:
    """The error names file and line, and no process is left."""
    before = children()
    with pytest.raises(ConfigError) as caught:
        async with running(path, lines=[text]):
            raise AssertionError
    assert str(caught.value) == f"{path}: {message}"
    assert children() == before


async def test_a_list_that_is_no_file(tmp_path: Path) -> None:
    """What is missing, a folder, or a pipe that nobody writes to, is a start error, at once."""
    os.mkfifo(tmp_path / "pipe")
    for place, message in (
        (tmp_path, "no file"),
        (tmp_path / "none", "No such file"),
        (tmp_path / "pipe", "no file"),
    ):
        with pytest.raises(ConfigError, match=message):
            async with running(place):
                raise AssertionError


async def test_an_empty_list(path: Path) -> None:
    """A list without entries is one, and the proof holds all the same."""
    async with running(path, lines=["# nobody yet"]) as engine:
        assert engine.specimens is not None
        assert await judge(engine, encoded(KNOWN)) == Clean()
        assert await judge(engine, engine.specimens.bad) == Infected("Ostiary.Canary")


async def test_without_its_libraries(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start error says what to install, and what that needs."""

    def installed_version(package: str) -> str:
        if package == "pdqhash":
            raise PackageNotFoundError
        return "1"

    monkeypatch.setattr(ostiary.engines.perceptual.engine, "installed_version", installed_version)
    with pytest.raises(ConfigError, match=r"pip install 'ostiary\[perceptual\]'.*compiler.*g\+\+"):
        async with running(path):
            raise AssertionError


def test_the_gateway_loads_no_library_of_images() -> None:
    """Importing the engine costs nobody the libraries, nor needs them."""
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    code = "import sys, ostiary.engines.registry; print({'PIL', 'numpy', 'pdqhash'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)  # noqa: TID251
    assert done.stdout == "set()\n"
