"""File types: what the bytes are, in one sane word, whatever the bytes."""

import asyncio
import bz2
import gzip
import io
import lzma
import re
import struct
import subprocess
import sys
import tarfile
import threading
import wave
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.blob import MEMORY_LIMIT, Blob, BlobWriter
from ostiary.engines.filetype import libmagic
from ostiary.engines.filetype.detector import UNKNOWN, FileType, TypeDetector, library_version
from ostiary.engines.filetype.libmagic import Library, library
from peers.samples import png, zipped
from tests.descriptors import open_descriptors
from tests.flow.fakes import cancelled_everywhere

SANE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return file.getvalue()


def _wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(100))
    return file.getvalue()


def _document(*members: tuple[str, str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in members:
            archive.writestr(name, text)
    return file.getvalue()


def _program() -> bytes:
    header = struct.pack("<HHIIIHH", 0x14C, 1, 0, 0, 0, 0xE0, 0x102)
    return b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + header + bytes(300)


SAMPLES: Final = {
    "image/png": png(8, 8),
    "image/jpeg": bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9"),
    "image/gif": b"GIF89a\1\0\1\0\0\0\0;",
    "image/webp": b"RIFF\x1a\0\0\0WEBPVP8L\r\0\0\0/\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0",
    "image/heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "image/avif": b"\0\0\0\x18ftypavif\0\0\0\0mif1avif",
    "image/svg+xml": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"></svg>',
    "application/pdf": b"%PDF-1.4\n%%EOF\n",
    "application/zip": zipped("a", b"b"),
    "application/gzip": gzip.compress(b"a"),
    "application/x-bzip2": bz2.compress(b"a"),
    "application/x-xz": lzma.compress(b"a"),
    "application/x-7z-compressed": b"7z\xbc\xaf\x27\x1c\0\4" + bytes(24),
    "application/x-rar": b"Rar!\x1a\7\1\0" + bytes(20),
    "application/x-tar": _tar(),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": _document(
        ("[Content_Types].xml", "<x/>"), ("_rels/.rels", "x"), ("word/document.xml", "<x/>")
    ),
    "application/vnd.oasis.opendocument.text": _document(
        ("mimetype", "application/vnd.oasis.opendocument.text")
    ),
    "audio/x-wav": _wav(),
    "audio/flac": b"fLaC\0\0\0\x22" + bytes(40),
    "audio/ogg": b"OggS\0\2" + bytes(20) + b"\1\x1e\1vorbis" + bytes(30),
    "video/mp4": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(20),
    "text/html": b"<!DOCTYPE html><html><body>x</body></html>",
    "text/plain": b"hello\n",
    "text/rtf": b"{\\rtf1\\ansi x}",
    "application/json": b'{"a":1}',
    "application/x-mach-binary": bytes.fromhex("cffaedfe07000001030000000200000010000000") + bytes(100),
    UNKNOWN: b"\x93\x12\xf3" * 30,
}  # fmt: skip
"""Samples that libmagic knows alike in all versions that we may meet."""

PROGRAMS: Final = {
    "Windows": (_program(), {"application/x-dosexec", "application/vnd.microsoft.portable-executable"}),
    "Linux": (
        Path("/bin/true").read_bytes(),
        {"application/x-sharedlib", "application/x-pie-executable", "application/x-executable"},
    ),
}


@pytest.fixture(scope="module")
def detector() -> Iterator[TypeDetector]:
    """Return a detector for all tests here."""
    made = TypeDetector()
    yield made
    made.close()


async def detected(detector: TypeDetector, data: bytes) -> str:
    """Return the type of some bytes."""
    with Blob.of(data) as blob:
        return (await detector.detect(blob)).name


@pytest.mark.parametrize(("expected", "data"), SAMPLES.items(), ids=SAMPLES.keys())
async def test_what_the_bytes_are(detector: TypeDetector, expected: str, data: bytes) -> None:
    """The types that people share are told apart."""
    assert await detected(detector, data) == expected


@pytest.mark.parametrize(("data", "names"), PROGRAMS.values(), ids=PROGRAMS.keys())
async def test_programs(detector: TypeDetector, data: bytes, names: set[str]) -> None:
    """Programs are known as such, under the names that `ostiary.policy` calls executable."""
    assert await detected(detector, data) in names


async def test_an_empty_file_has_a_type(detector: TypeDetector) -> None:
    """Nothing at all is something to libmagic too."""
    assert (await detected(detector, b"")).endswith("/x-empty")


async def test_a_spooled_file_is_its_head(detector: TypeDetector, tmp_path: Path) -> None:
    """A large file gets the same type as its beginning, read from the disk."""
    with BlobWriter(tmp_path) as writer:
        await writer.add(png(8, 8) + bytes(2 * MEMORY_LIMIT))
        blob = await writer.finish()
    with blob:
        assert blob.data is None
        assert await detector.detect(blob) == FileType("image/png")


@given(
    st.one_of(
        st.binary(max_size=600),
        st.tuples(st.sampled_from(sorted(SAMPLES.values())), st.binary(max_size=60), st.integers(0, 200)).map(
            lambda parts: parts[0][: parts[2]] + parts[1] + parts[0][parts[2] :]
        ),
        st.text(max_size=200).map(lambda text: text.encode("utf-16", "surrogatepass")),
    )
)
async def test_hostile_bytes_have_a_sane_type(detector: TypeDetector, data: bytes) -> None:
    """Whatever the bytes, the type is one MIME type in lower case: it goes into rules and log lines."""
    assert SANE.fullmatch(await detected(detector, data))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, UNKNOWN),
        ("", UNKNOWN),
        ("Image/PNG", "image/png"),
        ("cannot open `x' (No such file)", UNKNOWN),
        ("text/plain\nlevel=error", UNKNOWN),
        ("application/octet-streamimage/png", UNKNOWN),
        ("image/\ufffd", UNKNOWN),
        ("image/" + "x" * 200, UNKNOWN),
        ("image", UNKNOWN),
    ],
)
async def test_what_is_no_type_is_unknown(
    monkeypatch: pytest.MonkeyPatch, answer: str | None, expected: str
) -> None:
    """An answer of libmagic's that is no MIME type is as good as none."""
    monkeypatch.setattr(Library, "mime_type", lambda *_: answer)
    detector = TypeDetector()
    assert await detected(detector, b"x") == expected
    detector.close()


async def test_many_at_once(detector: TypeDetector) -> None:
    """A handle is used by one thread at a time: many looks together give what each gives alone."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            (expected, group.create_task(detected(detector, data)))
            for expected, data in list(SAMPLES.items()) * 20
        ]
    assert all(task.result() == expected for expected, task in tasks)


async def test_a_caller_that_goes_away_may_close_the_file(detector: TypeDetector, tmp_path: Path) -> None:
    """Cancelled anywhere: the file is closed at once and nobody reads from it any more."""
    before = open_descriptors()

    async def run() -> None:
        with BlobWriter(tmp_path) as writer:
            await writer.add(png(8, 8) + bytes(2 * MEMORY_LIMIT))
            blob = await writer.finish()
        with blob:
            assert await detector.detect(blob) == FileType("image/png")

    async def check() -> None:
        assert open_descriptors() == before
        assert await detected(detector, png(8, 8)) == "image/png"

    assert await cancelled_everywhere(run, check) >= 2


def test_the_newer_library_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the system's library and the wheel's the newer one counts; one alone is enough, none is an error."""

    class Fake:
        def __init__(self, version: int) -> None:
            self.version = version

    def choose(system: int | None, wheel: int | None) -> object:
        monkeypatch.setattr(libmagic, "_of_the_system", lambda: system and Fake(system))
        monkeypatch.setattr(libmagic, "_of_the_wheel", lambda: wheel and Fake(wheel))
        library.cache_clear()
        try:
            return library().version
        finally:
            library.cache_clear()

    assert choose(544, 541) == 544
    assert choose(541, 544) == 544
    assert choose(None, 541) == 541
    assert choose(541, None) == 541
    with pytest.raises(OSError, match="pylibmagic"):
        choose(None, None)


def test_a_library_that_does_not_work_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file, one that is no library, and a database that can't be loaded are no candidates."""
    (tmp_path / "broken.so").write_bytes(b"\x7fELF nonsense")
    (tmp_path / "broken.mgc").write_bytes(b"nonsense")
    assert libmagic._working(str(tmp_path / "missing.so"), None) is None
    assert libmagic._working(str(tmp_path / "broken.so"), None) is None
    wheel = libmagic._of_the_wheel()
    assert wheel is not None
    assert libmagic._working("libmagic.so.1", tmp_path / "broken.mgc") is None
    monkeypatch.setattr(libmagic, "find_spec", lambda _: None)
    assert libmagic._of_the_wheel() is None


def test_every_library_here_agrees_on_the_samples() -> None:
    """What the rules depend on does not depend on which of the two libraries is newer."""
    for candidate in (libmagic._of_the_system(), libmagic._of_the_wheel()):
        if candidate is None:
            continue
        handle = candidate.handle()
        assert {name: candidate.mime_type(handle, data) for name, data in SAMPLES.items()} == {
            name: name for name in SAMPLES
        }
        for data, names in PROGRAMS.values():
            assert candidate.mime_type(handle, data) in names
        candidate.close(handle)


def test_the_wheel_does_not_touch_the_environment() -> None:
    """Looking for libmagic changes neither `ctypes` nor what child processes inherit."""
    code = (
        "import ctypes, os; before = dict(os.environ), ctypes.CDLL, ctypes.util.find_library\n"
        "from ostiary.engines.filetype.libmagic import library; library()\n"
        "assert before == (dict(os.environ), ctypes.CDLL, ctypes.util.find_library)"
    )
    subprocess.check_call([sys.executable, "-c", "import ctypes.util; " + code])


def test_the_version_names_the_library() -> None:
    """The version, part of what a verdict depends on, reads as libmagic's own."""
    assert re.fullmatch(r"libmagic 5\.\d\d, rules \d+", library_version())


async def test_closing_ends_the_threads() -> None:
    """A detector that looked at things is closed without a trace; closing again does no harm."""
    tasks = set(threading.enumerate())
    detector = TypeDetector()
    await detected(detector, b"x")
    assert set(threading.enumerate()) > tasks
    detector.close()
    detector.close()
    assert set(threading.enumerate()) <= tasks
