"""The records of a zip file (PKWARE APPNOTE 6.3), read one at a time: bytes in, values out, no IO.

Two stories are told of each member: its local header, in front of its data, and its entry in the
directory at the end. Streaming unpackers go by the first, most others by the second, and a hostile
file tells them different things. Nothing is believed here; `ostiary.engines.unpacking.walk` compares.
"""

import struct
from dataclasses import dataclass
from typing import Final

LOCAL: Final = b"PK\3\4"
ENTRY: Final = b"PK\1\2"
END: Final = b"PK\5\6"
END_64: Final = b"PK\6\6"

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

_LOCAL: Final = struct.Struct("<4xHHHHHLLLHH")
_ENTRY: Final = struct.Struct("<4xHHHHHHLLLHHHHHLL")
_END: Final = struct.Struct("<4xHHHHLLH")
_END_64: Final = struct.Struct("<4xQHHLLQQQQ")
_EXTRA: Final = struct.Struct("<HH")
_SIZE: Final = struct.Struct("<Q")

_SATURATED: Final = 0xFFFFFFFF  # "see the zip64 extra field"
_ZIP64: Final = 1
_ENCRYPTED: Final = 0x2041  # bits 0 (encrypted), 6 (strong) and 13 (masked headers), APPNOTE 4.4.4
_AES: Final = 99
_NEWEST: Final = 63  # version needed to extract, APPNOTE 6.3.x
_METHODS: Final = frozenset({*range(20), *range(93, 100)})


@dataclass(frozen=True, slots=True)
class LocalHeader:
    """What stands in front of a member's data; `length` is where the data begins, `compressed` in bytes.

    `compressed` is None where only the directory, or what follows the data, tells. `plausible`: it
    looks like one; four bytes in a program that knows zips do not.
    """

    method: int
    encrypted: bool
    compressed: int | None
    length: int
    plausible: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """What the directory says of a member; `offset` of its local header from the archive's beginning.

    Sizes in bytes; `length` is the entry's own.
    """

    method: int
    encrypted: bool
    compressed: int
    size: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class End:
    """How many entries the directory has, its size and its offset; None where a zip64 record tells."""

    entries: int
    directory_size: int | None
    directory_offset: int | None


def local_length(data: bytes) -> int:
    """Return how many bytes the local header has that these begin."""
    *_, name, extra = _LOCAL.unpack_from(data)
    return LOCAL_SIZE + int(name) + int(extra)


def local_header(data: bytes) -> LocalHeader:
    """Read a local header that is there in full, up to its name at least."""
    version, flags, method, _, _, _, compressed, _, name_length, extra_length = _LOCAL.unpack_from(data)
    name = data[LOCAL_SIZE : LOCAL_SIZE + name_length]
    told = not flags & 8 and compressed != _SATURATED  # bit 3: a data descriptor follows the data
    return LocalHeader(
        method,
        bool(flags & _ENCRYPTED) or method == _AES,
        compressed if told else None,
        LOCAL_SIZE + name_length + extra_length,
        version & 0xFF <= _NEWEST and method in _METHODS and name != b"" and b"\0" not in name,
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
        length=entry_length(data),
    )


def end(data: bytes) -> End:
    """Read an end record that is there in full."""
    fields = _END.unpack_from(data)
    size, offset = int(fields[4]), int(fields[5])
    return End(
        int(fields[3]),
        None if size == _SATURATED else size,
        None if offset == _SATURATED else offset,
    )


def end_64(data: bytes) -> End:
    """Read a zip64 end record that is there in full."""
    fields = _END_64.unpack_from(data)
    return End(int(fields[6]), int(fields[7]), int(fields[8]))


def _widen(values: list[int], extra: bytes) -> None:
    """Replace the saturated ones of size, compressed size and offset, in that order (APPNOTE 4.5.3)."""
    at = 0
    while at + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, at)
        at += _EXTRA.size
        if kind == _ZIP64:
            field = extra[at : at + length]
            for index, value in enumerate(values):
                if value == _SATURATED and len(field) >= _SIZE.size:
                    (values[index],) = _SIZE.unpack_from(field)
                    field = field[_SIZE.size :]
            return
        at += length
