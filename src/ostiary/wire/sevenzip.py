"""Which methods a 7z archive is packed by (7zFormat.txt of the LZMA SDK): bytes in, values out, no IO.

Only as much of the header is read as tells that. Every number in it is bounded; anything that can't be
read is a ValueError, for nobody knows then how it is packed.
"""

import lzma
import struct
import zlib
from dataclasses import dataclass
from typing import Final

SIGNATURE: Final = b"7z\xbc\xaf\x27\x1c"

START_SIZE: Final = 32
"""Bytes of the signature header; packed streams follow, and then the header."""

HEADER_LIMIT: Final = 1 << 20
"""Bytes of the largest header that is read, packed or not: some ten thousand files."""

COPY: Final = b"\0"
LZMA: Final = b"\3\1\1"
LZMA2: Final = b"\x21"
X86: Final = b"\3\3\1\3"
ARM: Final = b"\3\3\5\1"
AES: Final = b"\6\xf1\7\1"

_START: Final = struct.Struct("<6x2sLQQL")
_HEADER, _MAIN_STREAMS, _FILES = 1, 4, 5
_PACK, _UNPACK, _FOLDERS, _SIZES, _END = 6, 7, 11, 12, 0
_PACK_SIZES, _SUBSTREAMS, _DIGESTS = 9, 8, 10
_ENCODED: Final = 23
_MOST_FOLDERS: Final = 1 << 12
_MOST_CODERS: Final = 32
_MOST_STREAMS: Final = 32
_LC, _LP = 9, 5  # how lc, lp and pb share a byte


@dataclass(frozen=True, slots=True)
class Start:
    """Where the header is, in bytes from the archive's beginning, its size and its CRC-32."""

    offset: int
    size: int
    crc: int


@dataclass(frozen=True, slots=True)
class Coder:
    """One step of packing: its method, and the properties that its unpacker needs."""

    method: bytes
    properties: bytes


@dataclass(frozen=True, slots=True)
class Streams:
    """Packed streams: where the first one is, its size, the coders of all folders, what they unpack to."""

    offset: int
    packed: int
    coders: tuple[Coder, ...]
    size: int


def start(data: bytes, begin: int = 0) -> Start | None:
    """Read the signature header that is there in full; None where its checksum is another's."""
    _, crc, offset, size, header_crc = _START.unpack_from(data, begin)
    if zlib.crc32(data[begin + 12 : begin + START_SIZE]) != crc:
        return None
    return Start(START_SIZE + int(offset), int(size), int(header_crc))


def packed_header(header: bytes) -> Streams | None:
    """Return what a header says of the one that is packed in it; None where it is none of these."""
    reader = _Reader(header)
    return reader.streams() if reader.byte() == _ENCODED else None


def unpacked_header(packed: bytes, streams: Streams) -> bytes:
    """Return the header that was packed by LZMA or LZMA2; ValueError if it was not, or is broken.

    The dictionary is as large as the header, whatever is declared: nothing lies further back.
    """
    if len(streams.coders) != 1 or not 0 < streams.size <= HEADER_LIMIT:
        raise ValueError("its header is packed in an unusual way")
    try:
        decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[_filter(streams.coders[0], streams.size)])
        return _exactly(decoder.decompress(packed, streams.size), streams.size)
    except (lzma.LZMAError, EOFError) as error:
        raise ValueError("its header can't be unpacked") from error


def methods(header: bytes) -> set[bytes]:
    """Return the methods of all coders that an unpacked header names."""
    reader = _Reader(header)
    if reader.byte() != _HEADER:
        raise ValueError("it has no header")
    kind = reader.byte()
    if kind in {_FILES, _END}:
        return set()  # files without bytes only
    if kind != _MAIN_STREAMS:
        raise ValueError("its header has unusual parts")
    streams = reader.streams()
    reader.substreams(len(streams.coders))
    return {coder.method for coder in streams.coders}


def _filter(coder: Coder, size: int) -> dict[str, int]:
    """Return how Python's library calls the coder."""
    dictionary = max(size, 4096)
    if coder.method == LZMA2:
        return {"id": lzma.FILTER_LZMA2, "dict_size": dictionary}
    if coder.method != LZMA:
        raise ValueError("its header is packed in an unusual way")
    rest, lc = divmod(_exactly(coder.properties, 5)[0], _LC)
    pb, lp = divmod(rest, _LP)
    return {"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}


def _exactly(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise ValueError("it is cut")
    return data


class _Reader:
    """Reads a header from its beginning."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = self._outputs = self.folders = 0

    def streams(self) -> Streams:
        """Read what packed streams there are, up to the size of the first one."""
        offset = packed = 0
        kind = self.byte()
        if kind == _PACK:
            offset, packed = self._packed()
            kind = self.byte()
        self._expect(kind, _UNPACK)
        self._expect(self.byte(), _FOLDERS)
        self.folders = self._number(_MOST_FOLDERS)
        self._expect(self.byte(), 0)  # not somewhere else
        coders = tuple(coder for _ in range(self.folders) for coder in self._folder())
        self._expect(self.byte(), _SIZES)
        sizes = [self._number(1 << 62) for _ in range(self._outputs)]
        return Streams(START_SIZE + offset, packed, coders, sizes[0] if sizes else 0)

    def substreams(self, coders: int) -> None:
        """Expect the description of what files lie in the folders, which some readers can't do without."""
        kind = self.byte()
        if kind == _DIGESTS:
            self._expect(self.byte(), 1)  # of all folders
            self._bytes(4 * self.folders)
            kind = self.byte()
        self._expect(kind, _END)
        if coders:
            self._expect(self.byte(), _SUBSTREAMS)

    def _packed(self) -> tuple[int, int]:
        """Read where packed streams are, how long the first one is, and pass over what else is told."""
        offset, count = self._number(1 << 62), self._number(4 * _MOST_FOLDERS)
        self._expect(self.byte(), _PACK_SIZES)
        sizes = [self._number(1 << 62) for _ in range(count)]
        self._expect(self.byte(), _END)
        return offset, sizes[0] if sizes else 0

    def _folder(self) -> list[Coder]:
        coders, taken, given = [], 0, 0
        for _ in range(self._number(_MOST_CODERS)):
            flags = self.byte()
            if flags & 0xC0:
                raise ValueError("a coder of an unknown kind")
            method = self._bytes(flags & 0x0F)
            streams = (self._number(_MOST_STREAMS), self._number(_MOST_STREAMS)) if flags & 0x10 else (1, 1)
            if 0 in streams:
                raise ValueError("a coder without streams")
            taken, given = taken + streams[0], given + streams[1]
            coders.append(Coder(method, self._bytes(self._number(HEADER_LIMIT)) if flags & 0x20 else b""))
        self._outputs += given
        if self._outputs > 4 * _MOST_FOLDERS:
            raise ValueError("a number is too large")
        bound = max(0, given - 1)
        packed = taken - bound
        if not coders or packed < 1:
            raise ValueError("a folder without streams")
        for _ in range(2 * bound + (packed if packed > 1 else 0)):
            self._number(1 << 16)
        return coders

    def byte(self) -> int:
        """Read one byte."""
        return self._bytes(1)[0]

    def _bytes(self, size: int) -> bytes:
        data = _exactly(self._data[self._at : self._at + size], size)
        self._at += size
        return data

    def _number(self, most: int) -> int:
        """Read a number: as many ones lead its first byte as bytes follow."""
        first, value, mask = self.byte(), 0, 0x80
        for index in range(8):
            if not first & mask:
                value |= (first & (mask - 1)) << (8 * index)
                break
            value |= self.byte() << (8 * index)
            mask >>= 1
        if value > most:
            raise ValueError("a number is too large")
        return value

    def _expect(self, kind: int, expected: int) -> None:
        if kind != expected:
            raise ValueError("its header has unusual parts")
