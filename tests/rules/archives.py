"""Builds zip and gzip files for the rule tests: ordinary ones, encrypted ones, and bombs.

Everything is made of structure here, nothing is stored in the repository. What the bombs claim is
true: an unpacker would get the bytes that their directories promise.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

MIB: Final = 1 << 20
EICAR: Final = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"
"""The EICAR test file, in pieces so that no scanner takes this file for it."""


def zip_of(members: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an ordinary zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def streamed_zip(name: str, data: bytes) -> bytes:
    """Return a zip archive written to a pipe: CRC and sizes stand in a descriptor behind the data."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(_Pipe(buffer), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


class _Pipe:
    """A file that can't seek."""

    def __init__(self, buffer: io.BytesIO) -> None:
        self._buffer = buffer

    def write(self, data: bytes, /) -> int:
        return self._buffer.write(data)

    def flush(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Member:
    """One member as its headers tell it; `packed` are the bytes behind its local header."""

    name: bytes
    packed: bytes
    crc: int
    size: int
    method: int = 8
    flags: int = 0

    def local(self) -> bytes:
        """Return the local header with the name."""
        fields = (
            20,
            self.flags,
            self.method,
            0,
            0x21,
            self.crc,
            len(self.packed),
            self.size,
            len(self.name),
            0,
        )
        return b"PK\x03\x04" + struct.pack("<5H3I2H", *fields) + self.name

    def central(self, offset: int) -> bytes:
        """Return the directory entry of a member whose local header is at the offset."""
        fields = (20, 20, self.flags, self.method, 0, 0x21, self.crc, len(self.packed), self.size)
        tail = (len(self.name), 0, 0, 0, 0, 0, offset)
        return b"PK\x01\x02" + struct.pack("<6H3I", *fields) + struct.pack("<5H2I", *tail) + self.name


def directory(entries: Iterable[bytes], start: int) -> bytes:
    """Return the central directory that begins at the offset, with its end record."""
    listed = list(entries)
    joined = b"".join(listed)
    count = min(len(listed), 0xFFFF)
    return joined + b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, count, count, len(joined), start, 0)


def zip_members(members: Iterable[Member]) -> bytes:
    """Return an archive of hand-made members."""
    body, entries = bytearray(), []
    for member in members:
        entries.append(member.central(len(body)))
        body += member.local() + member.packed
    return bytes(body) + directory(entries, len(body))


def encrypted_zip(name: str, data: bytes, password: bytes = b"infected") -> bytes:
    """Return a zip archive with the traditional encryption (APPNOTE.TXT 6.1)."""
    crc = zlib.crc32(data)
    packed = _deflate(data)
    header = bytes(11) + bytes([crc >> 24])
    secret = _traditional(header + packed, password)
    return zip_members([Member(name.encode(), secret, crc, len(data), flags=1)])


def ratio_bomb(size: int, count: int = 1) -> bytes:
    """Return a zip archive with so many members of so many zeros each."""
    packed, crc = _zeros(size)
    return zip_members(Member(b"%d.bin" % number, packed, crc, size) for number in range(count))


def gzip_bomb(size: int) -> bytes:
    """Return a gzip file of so many zeros."""
    packed, crc = _zeros(size)
    return b"\x1f\x8b\x08\0\0\0\0\0\2\3" + packed + struct.pack("<2I", crc, size)


def overlapping_zip(count: int, size: int) -> bytes:
    """Return a zip archive whose members share one run of deflated zeros.

    Each member begins with a stored deflate block that quotes the next member's local header, and
    goes on with what that member holds, so that they nest.
    """
    packed, crc = _zeros(size)
    members, offsets = [Member(b"%03d" % (count - 1), packed, crc, size)], [0]
    body, before = members[0].local() + packed, b""
    for number in reversed(range(count - 1)):
        quoted = members[0].local()
        quote = b"\0" + struct.pack("<2H", len(quoted), len(quoted) ^ 0xFFFF)
        before = quoted + before
        crc = _crc_of_zeros(size, zlib.crc32(before))
        outer = Member(b"%03d" % number, quote + body, crc, len(before) + size)
        head = outer.local() + quote
        members.insert(0, outer)
        offsets = [0, *(offset + len(head) for offset in offsets)]
        body = head + body
    entries = [member.central(offset) for member, offset in zip(members, offsets, strict=True)]
    return body + directory(entries, len(body))


def _crc_of_zeros(size: int, crc: int = 0) -> int:
    for start in range(0, size, MIB):
        crc = zlib.crc32(bytes(min(MIB, size - start)), crc)
    return crc


def _zeros(size: int) -> tuple[bytes, int]:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = bytearray()
    for start in range(0, size, MIB):
        packed += compressor.compress(bytes(min(MIB, size - start)))
    return bytes(packed + compressor.flush()), _crc_of_zeros(size)


def _deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()


def _traditional(data: bytes, password: bytes) -> bytes:
    keys = [0x12345678, 0x23456789, 0x34567890]

    def update(byte: int) -> None:
        keys[0] = _crc_step(keys[0], byte)
        keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = _crc_step(keys[2], keys[1] >> 24)

    for byte in password:
        update(byte)
    result = bytearray()
    for byte in data:
        mask = (keys[2] | 2) & 0xFFFF
        result.append(byte ^ ((mask * (mask ^ 1)) >> 8 & 0xFF))
        update(byte)
    return bytes(result)


def _crc_step(crc: int, byte: int) -> int:
    return zlib.crc32(bytes([byte]), crc ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
