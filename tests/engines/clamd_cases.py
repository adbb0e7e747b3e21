"""What real media may look like to a clamd, and what the engine must say: the table in the docs.

The clamd is given small limits, so that each is reached with few bytes. A marker that it knows lies at
the very end of each file, or of what the file unpacks to: whoever says clean has not looked there.
"""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.engines.asking import archive

MARKER: Final = bytes(range(200, 232))
SIGNATURES: Final = {"marker.ndb": f"Marker:0:*:{MARKER.hex()}\n"}
LIMITS: Final = {
    "MaxFileSize": "100000",
    "MaxScanSize": "400000",
    "MaxFiles": "50",
    "DisableCache": "yes",
}
FILE, SCAN, FILES, DEPTH = 100_000, 400_000, 50, 17

INFECTED, LIMIT, ENCRYPTED, CLEAN = (
    "infected",
    "unscannable (limit)",
    "unscannable (encrypted_archive)",
    "clean",
)


def text(size: int) -> bytes:
    """Return so many bytes with the marker at their end; they can be packed, but not like zeros."""
    line = b"The quick brown fox jumps over the lazy dog %06d. "
    return b"".join(line % (i % 500) for i in range(size // 40 + 1))[: size - len(MARKER)] + MARKER


def zipped(*members: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for number, member in enumerate(members):
            file.writestr(f"{number}.bin", member)
    return buffer.getvalue()


def nested(depth: int) -> bytes:
    """Return the marker in so many zips, one in another."""
    data = b"deep down " + MARKER
    for _ in range(depth):
        data = zipped(data)
    return data


def crowd(files: int) -> bytes:
    """Return a zip with so many members, the marker in the last one."""
    others = (b"member %d " % number * 5 for number in range(files - 1))
    return zipped(*others, b"marker " * 3 + MARKER)


def tarred(data: bytes) -> bytes:
    """Return a tar with one member."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        member = tarfile.TarInfo("file")
        member.size = len(data)
        file.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def cabinet(data: bytes) -> bytes:
    """Return a cabinet with one file, packed with MSZIP in blocks of 32 KiB ([MS-CAB])."""
    blocks, before = b"", b""
    pieces = [data[i : i + 32768] for i in range(0, len(data), 32768)]
    for piece in pieces:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=before)
        packed = b"CK" + packer.compress(piece) + packer.flush()
        blocks += struct.pack("<IHH", 0, len(packed), len(piece)) + packed
        before = piece
    file = struct.pack("<IIHHHH", len(data), 0, 0, 0, 0, 0x20) + b"f.bin\0"
    first, begin = 44, 44 + len(file)
    head = struct.pack("<IIIIIBBHHHHH", 0, begin + len(blocks), 0, first, 0, 3, 1, 1, 1, 0, 0, 0)
    return b"MSCF" + head + struct.pack("<IHH", begin, len(pieces), 1) + file + blocks


def pdf(data: bytes) -> bytes:
    """Return a PDF with one attached file, packed by FlateDecode."""
    packed = zlib.compress(data)
    stream = b"<</Type/EmbeddedFile/Length %d/Filter/FlateDecode>>stream\n%b\nendstream" % (
        len(packed),
        packed,
    )
    text, places = b"%PDF-1.4\n", []
    for number, part in enumerate(
        (b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>", stream), 1
    ):
        places.append(len(text))
        text += b"%d 0 obj\n%b\nendobj\n" % (number, part)
    lines = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"xref\n0 4\n0000000000 65535 f \n%btrailer<</Size 4/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n"
    return text + trailer % (lines, len(text))


def relabelled(data: bytes, offset: int, value: int, *, local: bool = True, central: bool = True) -> bytes:
    """Return a zip of one member with a 16-bit field changed, at `offset` in its local header."""
    changed = bytearray(data)
    if local:
        struct.pack_into("<H", changed, changed.index(b"PK\3\4") + offset, value)
    if central:
        struct.pack_into("<H", changed, changed.rindex(b"PK\1\2") + offset + 2, value)
    return bytes(changed)


def lying(size: int, declared: int) -> bytes:
    """Return a zip whose member unpacks to more than both its headers declare."""
    data = zipped(text(size))
    real, false = struct.pack("<L", size), struct.pack("<L", declared)
    assert data.count(real) == 2
    return data.replace(real, false)


PICTURE: Final = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(300) + b"\xff\xd9"
PROGRAM: Final = b"MZ" + bytes(400)


@dataclass(frozen=True, slots=True)
class Case:
    """A file, what the engine says with AlertExceedsMax on (`alerted`) and off (`silent`)."""

    name: str
    data: Callable[[], bytes]
    alerted: str
    silent: str = ""

    def expected(self, *, alerts: bool) -> str:
        """Return what the engine must say."""
        return self.alerted if alerts else self.silent or self.alerted


CASES: Final = (
    Case("nothing, one byte, five bytes", lambda: b"12345", CLEAN),
    Case("a text", lambda: b"hello world", CLEAN),
    Case("a zip of a text", lambda: zipped(b"hello world"), CLEAN),
    Case("the marker at the start, in the middle, at the end", lambda: text(5000), INFECTED),
    Case("a file of MaxFileSize - 1 bytes", lambda: text(FILE - 1), INFECTED),
    Case("a file of MaxFileSize bytes", lambda: text(FILE), INFECTED),
    Case("a file of MaxFileSize + 1 bytes", lambda: text(FILE + 1), LIMIT),
    Case("a zip's member of MaxFileSize - 1 bytes", lambda: zipped(text(FILE - 1)), INFECTED),
    Case("a zip's member of MaxFileSize bytes", lambda: zipped(text(FILE)), INFECTED),
    Case("a zip's member of MaxFileSize + 1 bytes (clamd: OK)", lambda: zipped(text(FILE + 1)), LIMIT),
    Case("the same, declared to be small", lambda: lying(FILE + 1, 77), LIMIT),
    Case("the same, packed by bzip2", lambda: zipped(text(FILE + 1), method=zipfile.ZIP_BZIP2), LIMIT),
    Case("the same, behind a picture", lambda: PICTURE + zipped(text(FILE + 1)), LIMIT),
    Case("the same, behind a program", lambda: PROGRAM + zipped(text(FILE + 1)), LIMIT),
    Case("the same, before other bytes", lambda: zipped(text(FILE + 1)) + bytes(70_000), LIMIT),
    Case("the same, in a zip", lambda: zipped(b"x" * 50, zipped(text(FILE + 1))), LIMIT),
    Case("the same, in a stored zip", lambda: zipped(zipped(text(FILE + 1)), method=0), LIMIT),
    Case("the same, in a tar.gz", lambda: gzip.compress(tarred(zipped(text(FILE + 1)))), LIMIT),
    Case("the same, attached to a PDF", lambda: pdf(zipped(text(FILE + 1))), LIMIT),
    Case("the same, without a directory", lambda: zipped(text(FILE + 1)).partition(b"PK\1\2")[0], LIMIT),
    Case("a zip's member by LZMA (clamd: OK)", lambda: zipped(text(500), method=zipfile.ZIP_LZMA), LIMIT),
    Case("a zip's member by an unknown method", lambda: relabelled(zipped(text(500)), 8, 98), LIMIT),
    Case(
        "a zip whose directory names another method",
        lambda: relabelled(zipped(text(500)), 8, 0, local=False),
        INFECTED,
    ),
    Case(
        "a zip whose member says stored, its directory deflated",
        lambda: relabelled(zipped(text(500)), 8, 0, central=False),
        INFECTED,
    ),
    Case("MaxFiles - 1 files: a zip and its members", lambda: crowd(FILES - 2), INFECTED),
    Case("MaxFiles files", lambda: crowd(FILES - 1), INFECTED),
    Case("MaxFiles + 1 files", lambda: crowd(FILES), LIMIT),
    Case("members of MaxScanSize in all", lambda: zipped(*[text(90_000)[:-32]] * 5, MARKER * 9), LIMIT),
    Case("zips, 17 deep (MaxRecursion)", lambda: nested(DEPTH), INFECTED),
    Case("zips, 18 deep", lambda: nested(DEPTH + 1), LIMIT),
    Case("zips, 25 deep", lambda: nested(25), LIMIT),
    Case("an encrypted zip", lambda: archive(text(500), encrypted=True), ENCRYPTED),
    Case("a gzip file over MaxFileSize", lambda: gzip.compress(text(FILE + 1)), LIMIT),
    Case(
        "the same, in two parts",
        lambda: gzip.compress(text(FILE)[: FILE // 2]) + gzip.compress(text(FILE)[FILE // 2 :] + MARKER),
        LIMIT,
    ),
    Case("a bzip2 file over MaxFileSize", lambda: bz2.compress(text(FILE + 1)), LIMIT),
    Case("an xz file over MaxFileSize", lambda: lzma.compress(text(FILE + 1)), LIMIT),
    Case("a tar with a member over MaxFileSize", lambda: tarred(text(FILE + 1)), LIMIT),
    Case("a PDF with an attachment", lambda: pdf(zipped(text(5000))), INFECTED),
    Case("a cabinet's file under MaxFileSize", lambda: cabinet(text(FILE)), INFECTED),
    Case("a cabinet's file over MaxFileSize (clamd: OK)", lambda: cabinet(text(FILE + 1)), LIMIT),
)


def table() -> str:
    """Return the table of the docs."""
    rows = [
        f"| {case.name} | {case.expected(alerts=True)} | {case.expected(alerts=False)} |" for case in CASES
    ]
    return "\n".join(["| file | AlertExceedsMax yes | AlertExceedsMax no |", "|---|---|---|", *rows])
