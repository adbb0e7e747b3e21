"""The records of a zip file (PKWARE APPNOTE 6.3), read one at a time: bytes in, values out, no IO.

Two stories are told of each member: its local header, in front of its data, and its entry in the
directory at the end. Streaming unpackers go by the first, most others by the second, and a hostile
file tells them different things. Nothing is believed here; `ostiary.engines.unpacking` compares.
"""

import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

LOCAL: Final = b"PK\3\4"
ENTRY: Final = b"PK\1\2"
END: Final = b"PK\5\6"
END_64: Final = b"PK\6\6"
LOCATOR: Final = b"PK\6\7"
DESCRIPTOR: Final = b"PK\7\x08"

STORED: Final = 0
DEFLATED: Final = 8
BZIP2: Final = 12
"""Methods of compression (APPNOTE 4.4.5)."""

COMMENT_LIMIT: Final = 0xFFFF
"""Bytes that may follow the end record: it is looked for that far from the end."""

LOCAL_SIZE: Final = 30
ENTRY_SIZE: Final = 46
END_SIZE: Final = 22
END_64_SIZE: Final = 56
LOCATOR_SIZE: Final = 20
DESCRIPTOR_LIMIT: Final = 24
"""Bytes of the longest data descriptor: signature, checksum, two wide sizes."""

SIGNING_BLOCK: Final = b"APK Sig Block 42"
"""What ends an Android signing block (APK Signature Scheme v2), between the members and the directory."""

SIGNING_BLOCK_LIMIT: Final = 1 << 20
"""Bytes of the largest signing block that is passed over; usual ones have 4 KB."""

_LOCAL: Final = struct.Struct("<4xHHHHHLLLHH")
_ENTRY: Final = struct.Struct("<4xHHHHHHLLLHHHHHLL")
_END: Final = struct.Struct("<4xHHHHLLH")
_END_64: Final = struct.Struct("<4xQHHLLQQQQ")
_LOCATOR: Final = struct.Struct("<4xLQL")
_EXTRA: Final = struct.Struct("<HH")
_SIZE: Final = struct.Struct("<Q")

_WIDE: Final = 0xFFFFFFFF  # "see the zip64 extra field"
_MANY: Final = 0xFFFF  # "see the zip64 end record"
_ZIP64: Final = 1
_DESCRIBED: Final = 8  # bit 3: a data descriptor follows the data (APPNOTE 4.4.4)
_ENCRYPTED: Final = 0x2041  # bits 0 (encrypted), 6 (strong) and 13 (masked headers), APPNOTE 4.4.4
_AES: Final = 99
_NEWEST: Final = 63  # version needed to extract, APPNOTE 6.3.x
_SYSTEMS: Final = 20  # that write zips (APPNOTE 4.4.2.2); in a program a jump's 0x84 or 0x85 stands there
_METHODS: Final = frozenset({*range(20), *range(93, 100)})


@dataclass(frozen=True, slots=True)
class LocalHeader:
    """What stands in front of a member's data; `length` is where the data begins, sizes in bytes.

    Sizes are None where only what follows the data tells (`described`). `plausible`: it looks like
    one; four bytes in a program that knows zips do not. `name` is a digest, b"" where there is none.
    `wide`: a zip64 field tells the sizes.
    """

    method: int
    encrypted: bool
    described: bool
    compressed: int | None
    size: int | None
    name: bytes
    length: int
    wide: bool
    plausible: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """What the directory says of a member; `offset` of its local header from the archive's beginning.

    Sizes in bytes; `length` is the entry's own, `name` a digest. `wide`: a zip64 field tells one of them.
    """

    method: int
    encrypted: bool
    compressed: int
    size: int
    offset: int
    name: bytes
    length: int
    wide: bool


@dataclass(frozen=True, slots=True)
class End:
    """How many entries the directory has, its size and its offset; None where a zip64 record tells.

    `whole`: all of the archive is in this one file. `comment`: the bytes that follow the record.
    """

    entries: int | None
    directory_size: int | None
    directory_offset: int | None
    whole: bool
    comment: int = 0


def local_length(data: bytes) -> int:
    """Return how many bytes the local header has that these begin."""
    *_, name, extra = _LOCAL.unpack_from(data)
    return LOCAL_SIZE + int(name) + int(extra)


def local_header(data: bytes) -> LocalHeader:
    """Read a local header that is there in full."""
    version, flags, method, _, _, _, compressed, size, name_length, extra_length = _LOCAL.unpack_from(data)
    begin = LOCAL_SIZE + name_length
    name = data[LOCAL_SIZE:begin]
    wide = [size, compressed]
    _widen(wide, data[begin : begin + extra_length])
    described = bool(flags & _DESCRIBED)
    untold = {0, _WIDE} if described else set()
    return LocalHeader(
        method,
        bool(flags & _ENCRYPTED) or method == _AES,
        described,
        None if wide[1] in untold else wide[1],
        None if wide[0] in untold else wide[0],
        _digest(name),
        begin + extra_length,
        not described and _WIDE in {size, compressed},
        version & 0xFF <= _NEWEST
        and version >> 8 <= _SYSTEMS
        and method in _METHODS
        and name != b""
        and b"\0" not in name,
    )


def entry_length(data: bytes) -> int:
    """Return how many bytes the directory's entry has that these begin."""
    fields = _ENTRY.unpack_from(data)
    return ENTRY_SIZE + int(fields[9]) + int(fields[10]) + int(fields[11])


def entry(data: bytes) -> Entry:
    """Read an entry of the directory that is there in full."""
    fields = _ENTRY.unpack_from(data)
    flags, method, compressed, size, name_length, extra_length = (
        *fields[2:4],
        *fields[7:9],
        *fields[9:11],
    )
    begin = ENTRY_SIZE + name_length
    wide = [size, compressed, fields[15]]
    _widen(wide, data[begin : begin + extra_length])
    return Entry(
        method,
        bool(flags & _ENCRYPTED) or method == _AES,
        compressed=wide[1],
        size=wide[0],
        offset=wide[2],
        name=_digest(data[ENTRY_SIZE:begin]),
        length=entry_length(data),
        wide=_WIDE in {size, compressed, fields[15]},
    )


def end(data: bytes) -> End:
    """Read an end record that is there in full, but for its comment."""
    disk, first, here, entries, size, offset, comment = _END.unpack_from(data)
    return End(
        None if entries == _MANY else entries,
        None if size == _WIDE else size,
        None if offset == _WIDE else offset,
        disk in {0, _MANY} and first in {0, _MANY} and here == entries,
        comment,
    )


def end_64(data: bytes) -> End:
    """Read a zip64 end record that is there in full; one with a private part is not `whole`."""
    length, _, _, disk, first, here, entries, size, offset = _END_64.unpack_from(data)
    whole = disk == first == 0 and here == entries and length == END_64_SIZE - 12  # APPNOTE 4.3.14.1
    return End(entries, size, offset, whole)


def locator(data: bytes) -> int | None:
    """Return where a zip64 locator says that its record is; None where that is on another disk."""
    disk, offset, disks = _LOCATOR.unpack_from(data)
    return int(offset) if disk == 0 and disks <= 1 else None


def descriptor_length(data: bytes, compressed: int, size: int) -> int | None:
    """Return the length of the data descriptor that these bytes begin; None if they are none of such sizes.

    With or without a signature, with sizes of 4 or 8 bytes (APPNOTE 4.3.9): the first form that fits.
    """
    for signature in (DESCRIPTOR, b""):
        for form in ("<LL", "<QQ"):
            begin = len(signature) + 4
            sizes = struct.Struct(form)
            enough = data.startswith(signature) and len(data) >= begin + sizes.size
            if enough and sizes.unpack_from(data, begin) == (compressed, size):
                return begin + sizes.size
    return None


def signing_block_length(data: bytes) -> int:
    """Return the length of the signing block that these eight bytes begin, if they begin one."""
    return _SIZE.size + int(_SIZE.unpack_from(data)[0])


def is_signing_block(data: bytes) -> bool:
    """Whether these bytes are an Android signing block, no more and no less."""
    size = len(data) - _SIZE.size
    tail = _SIZE.pack(size) + SIGNING_BLOCK
    return size >= len(tail) and data.startswith(_SIZE.pack(size)) and data.endswith(tail)


def _digest(name: bytes) -> bytes:
    """Return what stands for a name: many of the longest ones would not fit into memory."""
    return name and blake2b(name, digest_size=16).digest()


def _widen(values: list[int], extra: bytes) -> None:
    """Replace the saturated ones of size, compressed size and offset, in that order (APPNOTE 4.5.3)."""
    at = 0
    while at + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, at)
        at += _EXTRA.size
        if kind == _ZIP64:
            field = extra[at : at + length]
            for index, value in enumerate(values):
                if value == _WIDE and len(field) >= _SIZE.size:
                    (values[index],) = _SIZE.unpack_from(field)
                    field = field[_SIZE.size :]
            return
        at += length
