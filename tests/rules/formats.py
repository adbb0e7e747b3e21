"""Builds small files of the formats that people send: none of them may match a built-in rule."""

import bz2
import gzip
import io
import json
import lzma
import random
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Final

from tests.rules import documents, programs
from tests.rules.archives import streamed_zip, zip_of

PAGE: Final = """<!DOCTYPE html>
<html lang="en"><head><title>Ward 3</title><script>window.onload = function () { print("<svg>"); }</script>
</head><body onload="start()"><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onclick="zoom()">
<script>/* zooms */</script><a href="javascript:void(0)"><rect width="9" height="9"/></a></svg>
<iframe src="map.html"></iframe></body></html>
"""
"""An ordinary web page, with scripts and a drawing."""

DIAGRAM: Final = (
    '<foreignObject width="100%" height="100%"><div xmlns="http://www.w3.org/1999/xhtml">Admission</div>'
    "</foreignObject><title>script</title><text>onload = 'later', javascript: no</text>"
    '<a xlink:href="https://example.org/?a=1&#38;b=2"><rect width="9" height="9"/></a>'
    '<style>rect { fill: url("#paint"); }</style>'
)
"""What drawing programs put into an SVG."""


def png() -> bytes:
    """Return a PNG image of one pixel, with a comment that speaks of scripts."""
    chunks = [
        (b"IHDR", struct.pack(">2I5B", 1, 1, 8, 2, 0, 0, 0)),
        (b"tEXt", b"Comment\0<svg onload='x'><script> This program cannot be run in DOS mode MZ PE\0\0"),
        (b"IDAT", zlib.compress(b"\0\xff\0\0")),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def jpeg() -> bytes:
    """Return the markers of a JPEG image with a thumbnail in its Exif segment."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
    return (
        b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
         b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
        + b"\xff\xdb\0\x43\0" + bytes(range(1, 65))
        + b"\xff\xc0\0\x0b\x08\0\1\0\1\1\1\x11\0\xff\xda\0\x08\1\1\0\0\x3f\0\xd2\xcf\x20\xff\xd9"
    )  # fmt: skip


def gif() -> bytes:
    """Return a GIF image of one pixel."""
    return b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"


def webp() -> bytes:
    """Return a lossless WebP image of one pixel."""
    chunk = b"VP8L\x0d\0\0\0\x2f\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0"
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def bmp() -> bytes:
    """Return a BMP image of one pixel."""
    head = struct.pack("<I2i2H6I", 40, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0)
    return b"BM" + struct.pack("<3I", 58, 0, 54) + head + b"\0\0\xff\0"


def mp4() -> bytes:
    """Return the boxes of an MP4 film."""
    return b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\0\x10mdat" + bytes(8) + b"\0\0\0\x08free"


def form() -> bytes:
    """Return a PDF form as authorities publish them: scripts in fields and by name, none at opening."""
    return documents.pdf(
        b"/OpenAction [3 0 R /Fit] /AcroForm << /Fields [4 0 R] >> /Names << /JavaScript 5 0 R >>",
        b"<< /FT /Tx /T (birthday) /AA << /K << /S /JavaScript /JS (AFDate_KeystrokeEx\\(1\\);) >>"
        b" /F << /S /JavaScript /JS (AFDate_FormatEx\\(1\\);) >> >> >>",
        b"<< /Names [(checks) 6 0 R] >>",
        b"<< /S /JavaScript /JS (function check\\(\\) { app.alert\\(1\\); }) >>",
    )


def tar() -> bytes:
    """Return a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("notes/today.txt")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"hello"))
    return buffer.getvalue()


def package() -> bytes:
    """Return what an Android package or a jar looks like: native code and classes in a zip, some stored."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
        archive.writestr("lib/x86_64/libmain.so", programs.elf() * 20, zipfile.ZIP_STORED)
        archive.writestr("libs/inner.jar", zip_of({"A.class": b"\xca\xfe\xba\xbe" * 9}), zipfile.ZIP_STORED)
        archive.writestr("assets/pdf.js", "var pdf;")
        archive.writestr("assets/icon.png.js", "module.exports = 1;")
    return buffer.getvalue()


def database() -> bytes:
    """Return an SQLite database."""
    connection = sqlite3.connect(":memory:")
    connection.execute("create table patients (name text)")
    data = connection.serialize()
    connection.close()
    return data


def noise(size: int, seed: int) -> bytes:
    """Return bytes without structure, as ciphertext is."""
    return random.Random(seed).randbytes(size)  # noqa: S311  (the same noise in every run)


BENIGN: Final[Mapping[str, Callable[[], bytes]]] = {
    "empty": lambda: b"",
    "one byte": lambda: b"M",
    "text": lambda: b"Guten Morgen, im Anhang die Befunde.\r\n" * 50,
    "png": png,
    "jpeg": jpeg,
    "gif": gif,
    "webp": webp,
    "bmp": bmp,
    "tiff": lambda: b"II*\0\x08\0\0\0\1\0\0\1\3\0\1\0\0\0\1\0\0\0\0\0\0\0",
    "motion photo": lambda: jpeg() + mp4(),
    "svg": documents.svg,
    "svg with html": lambda: documents.svg(DIAGRAM, prolog='<?xml version="1.0"?>\n<!-- <me@x.org> -->\n'),
    "svg utf-16": lambda: documents.svg_text(DIAGRAM, prolog='<?xml version="1.0"?>').encode("utf-16"),
    "svg with entities": lambda: documents.svg(
        prolog='<!DOCTYPE svg [<!ENTITY ns "http://www.w3.org/2000/svg"><!ENTITY nbsp "&#160;">]>'
    ),
    "web page": PAGE.encode,
    "web page, commented": lambda: b"<!-- saved from url=(0014)about:internet -->\n" + PAGE.encode(),
    "component": lambda: (
        b"<template>\n<svg onclick='a'></svg></template>\n<script>export default {}</script>"
    ),
    "article": lambda: (
        b'# SVG\n\nWrite `<svg onload="x">` and `<script>`; an HTA begins with `<hta:application`.'
    ),
    "script": lambda: b"const svg = '<svg onload=\"go()\"><script>';\n" + b"module.exports = svg;\n" * 20,
    "css": lambda: b"body::before { content: '<svg>'; }",
    "json": lambda: json.dumps({"name": "invoice.pdf.exe", "list": list(range(50))}).encode(),
    "mail": lambda: b"From: a@example.org\nSubject: x\n\nplease see invoice.pdf\n" + PAGE.encode(),
    "log": lambda: b"blocked invoice.pdf.exe, photo.jpg.scr and report.docx   .lnk\n" * 400,
    "pdf": lambda: documents.pdf(
        b"", documents.stream(zlib.compress(b"BT (MZ) Tj ET"), b"/Filter /FlateDecode")
    ),
    "pdf form": form,
    "pdf that prints": lambda: documents.pdf(
        b"/OpenAction << /S /JavaScript /JS (this.print\\({bUI: true}\\);\\r) >>"
    ),
    "rtf": documents.rtf,
    "docx": lambda: documents.ooxml(
        "word/document.xml", extra={"word/embeddings/oleObject1.bin": b"\xd0\xcf" * 9}
    ),
    "xlsx": lambda: documents.ooxml(
        "xl/workbook.xml", extra={"xl/worksheets/sheet1.xml": b"<c r='A1'/>" * 90_000}
    ),
    "doc": lambda: documents.ole({"WordDocument": b"see AutoOpen in the handbook", "1Table": b"x"}),
    "odt": lambda: zip_of({"mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": b"<x/>"}),
    "zip": lambda: zip_of({"a/photo.jpg": jpeg(), "setup.exe": programs.pe(), "v1.2 final.pdf": form()}),
    "streamed zip": lambda: streamed_zip("letters.txt", b"dear all" * 100),
    "stored zip": lambda: zip_of({"log.txt": b"invoice.pdf.exe\n" * 300}, method=zipfile.ZIP_STORED),
    "package": package,
    "gzip": lambda: gzip.compress(bytes(1 << 20), mtime=0),
    "bzip2": lambda: bz2.compress(b"abc" * 999),
    "xz": lambda: lzma.compress(b"abc" * 999),
    "tar": tar,
    "elf": programs.elf,
    "elf, big endian": lambda: programs.elf(big_endian=True),
    "pe": programs.pe,
    "pe, 32 bits": lambda: programs.pe(machine=0x14C),
    "installer": lambda: programs.pe() + zip_of({"readme.txt": b"x"}) + png(),
    "shortcut": lambda: programs.shortcut("..\\Windows\\notepad.exe", "C:\\notes.txt"),
    "developer shell": lambda: programs.shortcut(
        "%ComSpec%",
        '/k "C:\\Program Files\\Tools\\vars.bat" & powershell -NoExit -Command "& {Import-Module X}"',
    ),
    "dicom": programs.dicom,
    "dicom, also tiff": lambda: programs.dicom(b"II*\0\x08\0\0\0"),
    "wasm": lambda: b"\0asm\1\0\0\0",
    "mp3": lambda: b"ID3\4\0\0\0\0\0\0\xff\xfb\x90\0" + bytes(400),
    "mp4": mp4,
    "ogg": lambda: b"OggS\0\2" + bytes(8) + noise(400, 1),
    "font": lambda: b"wOF2\0\1\0\0" + noise(900, 2),
    "sqlite": database,
    "contact": lambda: b"BEGIN:VCARD\nVERSION:3.0\nN:Doe;Jane\nEND:VCARD\n",
    "ciphertext": lambda: noise(3 << 20, 3),
}
"""Benign files by name."""
