"""Archives that two readers read differently: an unpacker finds the marker, and clamd may not.

Each was seen to pass as clean once. They are built record by record, for no tool writes such files.
"""

import bz2
import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Final

from tests.engines.clamd_cases import MARKER, tarred, zipped

EVIL: Final = b"MZ" + bytes(range(200)) + b"B" * 3000 + MARKER + b"A" * 200
CRC: Final = zlib.crc32(EVIL)


def deflated(data: bytes) -> bytes:
    """Return the bytes packed by Deflate, without a frame."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def local(  # a record has its fields
    name: bytes, method: int, crc: int, sizes: tuple[int, int], *, flags: int = 0, extra: bytes = b""
) -> bytes:
    """Return a local header; sizes are packed and unpacked."""
    fields = struct.pack("<HHHHHLLLHH", 20, flags, method, 0, 33, crc, *sizes, len(name), len(extra))
    return b"PK\3\4" + fields + name + extra


def entry(  # a record has its fields
    name: bytes, method: int, crc: int, sizes: tuple[int, int], offset: int, *, flags: int = 0
) -> bytes:
    """Return an entry of the directory."""
    fields = (20, 20, flags, method, 0, 33, crc, *sizes, len(name), 0, 0, 0, 0, 0, offset)
    return b"PK\1\2" + struct.pack("<HHHHHHLLLHHHHHLL", *fields) + name


def end(count: int, size: int, offset: int, comment: int = 0) -> bytes:
    """Return an end record; a comment of so many bytes is to follow."""
    return b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, count, count, size, offset, comment)


def lying(method: int, told: str, named: str, descriptor: str) -> bytes:
    """Return a zip of EVIL whose header tells some sizes, its directory others."""
    packed = {0: EVIL, 8: deflated(EVIL), 12: bz2.compress(EVIL)}[method]
    true = len(packed), len(EVIL)
    sizes = {
        "true": true,
        "none": (0, 0),
        "small": (8, 8),
        "packed none": (0, len(EVIL)),
        "size none": (len(packed), 0),
        "huge": (0x7FFFFFFF, 0x7FFFFFFF),
        "packed small": (8, len(EVIL)),
        "size small": (len(packed), 8),
        "more": (len(packed) + 100, len(EVIL) + 100),
    }
    flags = 8 if descriptor else 0
    behind = struct.pack("<LLL", CRC, *true) if descriptor else b""
    if descriptor == "signed":
        behind = b"PK\7\x08" + behind
    member = local(b"evil", method, CRC, sizes[told], flags=flags) + packed + behind
    directory = entry(b"evil", method, CRC, sizes[named], 0, flags=flags)
    return member + directory + end(1, len(directory), len(member))


SIZES: Final = (
    *("true", "none", "small", "packed none", "size none", "huge", "packed small", "size small", "more"),
)


def lies() -> Iterator[tuple[str, bytes]]:
    """Give zips in which header and directory tell all pairs of sizes."""
    for method, told, named, descriptor in product((0, 8, 12), SIZES, SIZES, ("", "signed", "unsigned")):
        name = f"method {method}, header {told}, directory {named}, {descriptor or 'no'} descriptor"
        yield name, lying(method, told, named, descriptor)


def lying_gzip(told: int | None, named: int | None) -> bytes:
    """Return a zip with a stored gzip file of EVIL; None is its true size."""
    packed = gzip.compress(EVIL)
    sizes = [len(packed) if size is None else size for size in (told, named)]
    member = local(b"e.gz", 0, zlib.crc32(packed), (sizes[0], sizes[0])) + packed
    directory = entry(b"e.gz", 0, zlib.crc32(packed), (sizes[1], sizes[1]), 0)
    return member + directory + end(1, len(directory), len(member))


def wide(*, header: bool, directory: bool, last: bool) -> bytes:
    """Return an honest zip of EVIL that tells sizes in zip64 fields: of its member, its entry, its end."""
    packed = deflated(EVIL)
    sizes = len(packed), len(EVIL)
    saturated = 0xFFFFFFFF, 0xFFFFFFFF
    extra = struct.pack("<HHQQ", 1, 16, len(EVIL), len(packed))
    member = local(b"e", 8, CRC, saturated if header else sizes, extra=extra if header else b"") + packed
    plain = entry(b"e", 8, CRC, saturated if directory else sizes, 0)
    named = plain[:30] + struct.pack("<H", len(extra)) + plain[32:] + extra if directory else plain
    place = len(member) + len(named)
    wide_end = b"PK\6\6" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, 1, 1, len(named), len(member))
    locator = b"PK\6\7" + struct.pack("<LQL", 0, place, 1)
    final = end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF) if last else end(1, len(named), len(member))
    return member + named + (wide_end + locator if last else b"") + final


def in_extra_field(*, behind: bool) -> bytes:
    """Return a gzip file with a zip of EVIL in its header's extra field, the end record there or behind."""
    packed, place, rest = deflated(EVIL), 12, deflated(b"harmless")
    member = local(b"evil", 8, CRC, (len(packed), len(EVIL))) + packed
    directory = entry(b"evil", 8, CRC, (len(packed), len(EVIL)), place)
    last = end(1, len(directory), place + len(member), 0 if behind else len(rest) + 8)
    extra = member + directory + (b"" if behind else last)
    head = b"\x1f\x8b\x08\x04\0\0\0\0\0\3" + struct.pack("<H", len(extra)) + extra
    tail = rest + struct.pack("<LL", zlib.crc32(b"harmless"), 8)
    return head + tail + (last if behind else b"")


def two_directories() -> bytes:
    """Return a zip with two directories: by the end's offset one with a text, by its size one with EVIL."""
    text, packed = b"good text", deflated(EVIL)
    good = local(b"good", 0, zlib.crc32(text), (len(text), len(text))) + text
    evil = local(b"evil", 8, CRC, (len(packed), len(EVIL))) + packed
    first = entry(b"good", 0, zlib.crc32(text), (len(text), len(text)), 600)
    begin = 600 + len(good) + len(evil)
    second = entry(b"evil", 8, CRC, (len(packed), len(EVIL)), 600 + len(good) - len(first))
    return bytes(600) + good + evil + first + second + end(1, len(second), begin)


def wide_end_only() -> bytes:
    """Return a zip whose zip64 record is among a member's bytes: only the locator and the end are seen."""
    inner = wide(header=False, directory=False, last=True)
    record = inner.rindex(b"PK\6\6")
    text = inner[: record + 56]
    member = local(b"a", 0, zlib.crc32(text), (len(text), len(text))) + text
    locator = b"PK\6\7" + struct.pack("<LQL", 0, 31 + record, 1)
    return member + locator + end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)


def masked() -> bytes:
    """Return a text's zip, then one of EVIL, and four bytes that look like an end that is cut."""
    return zipped(b"good") + zipped(EVIL) + b"PK\5\6"


def tar_over_members() -> bytes:
    """Return a tar with a zip of EVIL in a member, cut before its end, which lies behind the tar."""
    inner = zipped(EVIL)
    at = inner.rindex(b"PK\5\6")
    data = tarred(b"x" + inner[:at])
    size = struct.unpack_from("<L", inner, at + 12)[0]
    offset = data.index(b"PK\3\4") + inner.index(b"PK\1\2")
    return data + end(1, size, offset)


def sized_by_pax() -> bytes:
    """Return a tar whose header tells one size, and its pax record another, with a zip in what is left."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as file:
        member = tarfile.TarInfo("a")
        member.size, member.pax_headers = 0, {"size": "2048"}
        file.addfile(member)
    return buffer.getvalue()[:1536] + b"y" * 512 + zipped(EVIL) + bytes(1024)


FRONTS: Final[dict[str, Callable[[], bytes]]] = {
    "a zip": lambda: zipped(b"good" * 9),
    "a gzip file": lambda: gzip.compress(b"hi"),
    "a bzip2 file": lambda: bz2.compress(b"hi"),
    "a tar": lambda: tarred(b"hi"),
    "a tar without an end": lambda: tarred(b"hi")[:1024],
    "an MP3": lambda: b"ID3\3\0\0\0\0\0\0" + b"\xff\xfb\x90\0" * 50,
    "an Ogg file": lambda: b"OggS" + bytes(100),
    "a PNG": lambda: b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a 7z archive": lambda: b"7z\xbc\xaf\x27\x1c\0\4" + bytes(24),
    "a text": lambda: b"hello world\n" * 20,
}


def _behind(front: Callable[[], bytes]) -> bytes:
    return front() + zipped(EVIL)


HIDDEN: Final[dict[str, Callable[[], bytes]]] = {
    **{f"a zip behind {name}": partial(_behind, front) for name, front in FRONTS.items()},
    "two zips in a row, in a zip": lambda: zipped(zipped(b"good") + zipped(EVIL)),
    "a zip, other bytes, a zip": lambda: zipped(b"good") + bytes(5000) + zipped(EVIL) + bytes(70_000),
    "a masked zip": masked,
    "a masked zip in a zip": lambda: zipped(masked()),
    "two directories": two_directories,
    "two directories in a zip": lambda: zipped(two_directories()),
    "a zip64 end among a member's bytes": wide_end_only,
    "a gzip file's extra field": lambda: in_extra_field(behind=False),
    "a gzip file's extra field, its end behind": lambda: in_extra_field(behind=True),
    "a gzip file's extra field, in a zip": lambda: zipped(in_extra_field(behind=True)),
    "a directory in a tar's member": tar_over_members,
    "a tar sized by pax": sized_by_pax,
    "two bzip2 streams": lambda: bz2.compress(b"hi") + bz2.compress(EVIL),
    "two bzip2 streams in a zip": lambda: zipped(bz2.compress(b"hi") + bz2.compress(EVIL)),
    "two gzip files, zeros between": lambda: gzip.compress(b"hi") + bytes(7) + gzip.compress(EVIL),
    "a gzip file by a false size in its header": lambda: lying_gzip(5, None),
    "a gzip file by no size in its header": lambda: lying_gzip(0, None),
    "a gzip file by a false size in the directory": lambda: lying_gzip(None, 5),
    "a member with zip64 sizes": lambda: wide(header=True, directory=False, last=False),
    "an entry with zip64 sizes": lambda: wide(header=False, directory=True, last=False),
    "an end with zip64 sizes": lambda: wide(header=False, directory=False, last=True),
    "a member written as zip64": lambda: zip64_member(EVIL),
}


def zip64_member(data: bytes) -> bytes:
    """Return a zip whose one member has its sizes in the zip64 field of its header (APPNOTE 4.5.3).

    Python's zipfile writes it so with `force_zip64` from 3.11.4 on; before, it wrote both.
    """
    name, packer = b"evil", zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(data) + packer.flush()
    crc, full = zlib.crc32(data), 0xFFFFFFFF
    header = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 8, 0, 0x21, crc, full, full, len(name), 20)
    local = header + name + struct.pack("<HHQQ", 1, 16, len(data), len(packed)) + packed
    sizes = crc, len(packed), len(data)
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 45, 45, 0, 8, 0, 0x21, *sizes, len(name), 0, 0, 0, 0, 0, 0)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry + name), len(local), 0)
    return local + entry + name + end
