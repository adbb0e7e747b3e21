"""The whole look, over a table of files: one type each, and what else lies in the same bytes."""

import gzip
from collections.abc import Iterator
from typing import Final

import pytest

from ostiary.blob import Blob
from ostiary.engines.filetype.detector import UNKNOWN, FileType, TypeDetector
from ostiary.file_types.look import look
from ostiary.file_types.view import View
from tests.file_types.samples import (
    CLAMAV,
    ELF,
    FILMS,
    GIF,
    LNK,
    PACKAGES,
    PDF,
    PLAIN,
    RAR,
    SCRIPTS,
    SEVEN_ZIP,
    WEBP,
    ZIP,
    bmp,
    film,
    jpeg,
    office,
    png,
    program,
    zipped,
)

JAR: Final = zipped(("META-INF/MANIFEST.MF", "x"), ("A.class", "x"))
DOCM: Final = office("word", "application/vnd.ms-word.document.macroEnabled.main+xml")
EXE: Final = "application/x-dosexec"

ALIASES: Final = {EXE: ("application/vnd.microsoft.portable-executable",)}

TOGETHER: Final = (
    ("image/jpeg", jpeg() + ZIP, ("application/zip",)),
    ("image/jpeg", jpeg() + JAR, ("application/java-archive",)),
    ("image/jpeg", jpeg() + DOCM, ("application/vnd.ms-word.document.macroenabled.12",)),
    ("image/jpeg", jpeg() + program(), (EXE,)),
    ("image/jpeg", jpeg() + bytes(100) + program(), (EXE,)),
    ("image/jpeg", jpeg() + b"some junk" + RAR, ("application/x-rar",)),
    ("image/jpeg", jpeg() + PDF, ("application/pdf",)),
    ("image/jpeg", jpeg() + b"<script>x</script>", ("text/html",)),
    ("image/jpeg", jpeg() + b"\n<?php system(1);", ("text/x-php",)),
    ("image/jpeg", jpeg() + film(b"isom"), ()),
    ("image/jpeg", jpeg() + jpeg(), ()),
    ("image/jpeg", jpeg() + b"SEFT" + bytes(50), ()),
    ("image/jpeg", jpeg(comment=b"<script>alert(1)</script>"), ()),
    ("image/jpeg", jpeg(comment=jpeg()) + SEVEN_ZIP, ("application/x-7z-compressed",)),
    ("image/jpeg", jpeg(comment=PDF), ("application/pdf",)),
    ("image/jpeg", jpeg(bytes(200_000)) + ZIP, ("application/zip",)),
    ("image/jpeg", jpeg(bytes(400_000)) + ELF[:500_000], ("application/x-executable",)),
    ("image/png", png(), ()),
    ("image/png", png() + ELF[:4000], ("application/x-executable",)),
    ("image/png", png((b"tEXt", b"a\0IEND\xaeB`\x82")) + RAR, ("application/x-rar",)),
    ("image/gif", GIF, ()),
    ("image/gif", GIF + JAR, ("application/java-archive",)),
    ("image/webp", WEBP, ()),
    ("image/webp", WEBP + RAR, ("application/x-rar",)),
    ("image/bmp", bmp(), ()),
    ("image/bmp", bmp() + program(), (EXE,)),
    ("video/mp4", film(b"isom"), ()),
    ("video/mp4", film(b"isom", rest=RAR), ("application/x-rar",)),
    ("image/heic", film(b"heic", rest=ZIP), ("application/zip",)),
    ("application/pdf", PDF + ZIP, ("application/zip",)),
    ("text/html", b"<html>x</html>" + JAR, ("application/java-archive",)),
    ("text/x-msdos-batch", b"@echo off\r\njar\r\n" + JAR, ("application/java-archive",)),
    (UNKNOWN, b"\x93\x12\xf3" * 100 + PDF, ("application/pdf",)),
    (UNKNOWN, b"\x93\x12\xf3" * 100 + ZIP, ("application/zip",)),
    ("application/x-ms-shortcut", LNK, ()),
    ("application/x-ms-shortcut", LNK + JAR, ("application/java-archive",)),
    ("application/vnd.oasis.opendocument.text",
     zipped(("mimetype", "application/vnd.oasis.opendocument.text"), ("AndroidManifest.xml", "x")),
     ("application/vnd.android.package-archive",)),
)  # fmt: skip


@pytest.fixture(scope="module")
def detector() -> Iterator[TypeDetector]:
    """Return a detector for all tests here."""
    made = TypeDetector()
    yield made
    made.close()


async def detected(detector: TypeDetector, data: bytes) -> FileType:
    """Return what some bytes are."""
    found = await detector.detect(Blob.of(data))
    name = "image/bmp" if found.name == "image/x-ms-bmp" else found.name  # libmagic's name changed
    return FileType(name, found.embedded)


@pytest.mark.parametrize(("kind", "data"), [*FILMS, *PACKAGES])
async def test_what_libmagic_misses(detector: TypeDetector, kind: str, data: bytes) -> None:
    """Films and pictures by all their brands, packages by their members: nothing else lies in them."""
    assert await detected(detector, data) == FileType(kind)


@pytest.mark.parametrize(("kind", "text"), SCRIPTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
async def test_scripts(detector: TypeDetector, kind: str, text: str, encoding: str) -> None:
    """Scripts and shortcuts have types of their own, in each encoding that Windows writes."""
    assert await detected(detector, text.encode(encoding)) == FileType(kind)


@pytest.mark.parametrize("text", PLAIN)
async def test_talk_is_no_script(detector: TypeDetector, text: str) -> None:
    """Chat, manuals, logs and other languages are not taken for scripts."""
    known = {kind for kind, _ in SCRIPTS}
    assert (await detected(detector, text.encode())).name not in known


@pytest.mark.parametrize(("kind", "data", "embedded"), TOGETHER)
async def test_what_else_lies_there(
    detector: TypeDetector, kind: str, data: bytes, embedded: tuple[str, ...]
) -> None:
    """Archives, programs, pages and PDFs in the same bytes are named; what cameras write is not."""
    assert await detected(detector, data) == FileType(kind, embedded)


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png"])
async def test_a_program_behind_a_spooled_image(detector: TypeDetector, kind: str) -> None:
    """In large files too, whose bytes are read in pieces: here the end lies on the border of two."""
    picture = jpeg() if kind == "image/jpeg" else png()
    head, end = (picture[:-2], picture[-2:]) if kind == "image/jpeg" else (picture[:-12], picture[-12:])
    for border in range(256 << 10, (256 << 10) + 16):
        data = head + bytes(border - len(head)) + end + program() + bytes(200_000)
        view = View(len(data), lambda offset, size, data=data: data[offset : offset + size])  # type: ignore[misc]
        assert look(kind, view) == FileType(kind, (EXE,))


@pytest.mark.skipif(not CLAMAV.exists(), reason="Debian's clamav-testfiles are not installed")
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("clam.exe", EXE), ("clam.zip", "application/zip"), ("clam.7z", "application/x-7z-compressed"),
        ("clam.pdf", "application/pdf"), ("clam.cab", "application/vnd.ms-cab-compressed"),
        ("clam.chm", "application/vnd.ms-htmlhelp"), ("clam.exe.rtf", "text/rtf"),
        ("clam.tar.gz", "application/gzip"),
    ],
)  # fmt: skip
async def test_debians_samples(detector: TypeDetector, name: str, kind: str) -> None:
    """Real files, behind a picture as well."""
    data = (CLAMAV / name).read_bytes()
    assert (await detected(detector, data)).name in {kind, *ALIASES.get(kind, ())}
    if kind in {EXE, "application/zip", "application/x-7z-compressed", "application/pdf"}:
        found = await detected(detector, png() + data)
        assert (found.name, kind in found.embedded) == ("image/png", True)


def test_what_libmagic_knows_better_stays() -> None:
    """A package that we do not know, or whose directory is cut off, keeps libmagic's name."""
    assert look("application/x-new+zip", View.of(ZIP)) == FileType("application/x-new+zip")
    assert look("application/zip", View.of(DOCM[:60])) == FileType("application/zip")
    assert look("text/x-lua", View.of(b"#!/bin/lua\n")) == FileType("text/x-lua")
    assert look("application/gzip", View.of(gzip.compress(b"x"))) == FileType("application/gzip")


@pytest.mark.parametrize("guess", ["text/javascript", "application/javascript", "text/x-script.python"])
def test_libmagics_guesses_at_manuals_are_not_believed(guess: str) -> None:
    """libmagic calls a text a script for single words; among sentences or fences it is a text."""
    manual = b"# Use\n\n```js\nvar a = require('a');\n```\n"
    assert look(guess, View.of(manual)) == FileType("text/plain")
    assert look(guess, View.of(b"x = 1\n")).name != "text/plain"
