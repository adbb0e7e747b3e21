"""The ways in which a member of an archive is packed, as decoders of one shape.

Each takes bytes as they come, gives what they unpack to in small pieces, and says which of them it
did not need. None holds more than its window: 32 KiB for deflate, 4 MB for bzip2, what `XZ_MEMORY`
allows for xz.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from ostiary.wire import zip_records as wire

PIECE: Final = 1 << 16
"""Bytes unpacked at a time: what a few bytes unpack to may not fit into memory."""

XZ_MEMORY: Final = 72 << 20
"""Bytes for an xz decoder: `xz -9` needs 65 MiB."""

BROKEN: Final = (zlib.error, lzma.LZMAError, OSError, EOFError)
"""What decoders raise for bytes that are not packed their way."""

XZ: Final = "an xz file"
"""What an xz file is called; one at a time is unpacked."""

GZIP: Final = "a gzip file"
"""What a gzip file is called."""

BZIP2: Final = "a bzip2 file"
"""What a bzip2 file is called; clamd looks into the first of several in a row."""

TOO_MUCH_MEMORY: Final = "Memory usage limit exceeded"
"""What the xz decoder's error says where `XZ_MEMORY` is not enough."""


class Decoder(Protocol):
    """Unpacks one member."""

    @property
    def ended(self) -> bool:
        """Whether all of the member was there."""
        ...

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes, give pieces of what they unpack to; one of BROKEN where they don't."""
        ...

    def left(self) -> int:
        """Return how many of the bytes fed last come after the end."""
        ...


class Inflating:
    """Deflate, bare as in a zip (`bits` -15) or in gzip's frame (31)."""

    def __init__(self, bits: int) -> None:
        self._decoder = zlib.decompressobj(bits)
        self.ended = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes, give pieces."""
        while not self.ended:
            piece = self._decoder.decompress(data, PIECE)
            data = self._decoder.unconsumed_tail
            self.ended = self._decoder.eof
            if piece:
                yield piece
            if not data and len(piece) < PIECE:
                return

    def left(self) -> int:
        """Return how many of the bytes fed last come after the end."""
        return len(self._decoder.unused_data)


class Expanding:
    """bzip2 and xz, whose decoders in Python's library look alike."""

    def __init__(self, decoder: "bz2.BZ2Decompressor | lzma.LZMADecompressor") -> None:
        self._decoder = decoder
        self.ended = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes, give pieces."""
        while not self.ended:
            piece = self._decoder.decompress(data, PIECE)
            data = b""
            self.ended = self._decoder.eof
            if piece:
                yield piece
            if self._decoder.needs_input or not (piece or self.ended):
                return

    def left(self) -> int:
        """Return how many of the bytes fed last come after the end."""
        return len(self._decoder.unused_data)


class Copying:
    """Not packed at all: so many bytes."""

    def __init__(self, size: int) -> None:
        self._missing = size
        self._left = 0
        self.ended = size == 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes, give the same."""
        piece = data[: self._missing]
        self._missing -= len(piece)
        self._left = len(data) - len(piece)
        self.ended = self._missing == 0
        if piece:
            yield piece

    def left(self) -> int:
        """Return how many of the bytes fed last come after the end."""
        return self._left


class UntilDescriptor:
    """Not packed, and as long as it takes to a data descriptor that tells just that length.

    What a stream's unpacker can't know is told by the directory later, and compared then.
    """

    def __init__(self) -> None:
        self._held = b""  # bytes in which a descriptor may have begun
        self._given = 0
        self._left = 0
        self.ended = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes, give the same up to the descriptor; what is left begins there, or before."""
        text = self._held + data
        at = text.find(wire.DESCRIPTOR)
        while at >= 0 and at + wire.DESCRIPTOR_LIMIT <= len(text):
            size = self._given + at
            if wire.descriptor_length(text[at : at + wire.DESCRIPTOR_LIMIT], size, size):
                self.ended = True
                self._left = len(text) - at
                yield text[:at]
                return
            at = text.find(wire.DESCRIPTOR, at + 1)
        stop = max(0, len(text) - wire.DESCRIPTOR_LIMIT + 1)
        self._held = text[stop:]
        self._given += stop
        if stop:
            yield text[:stop]

    def left(self) -> int:
        """Return how many of the bytes fed come after the end, those fed before the last ones among them."""
        return self._left


def _xz() -> Decoder:
    return Expanding(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY))


def deflate() -> Decoder:
    """Return a decoder for a zip's deflated member."""
    return Inflating(-zlib.MAX_WBITS)


def pdf_stream() -> Decoder:
    """Return a decoder for a PDF's FlateDecode stream."""
    return Inflating(zlib.MAX_WBITS)


def bzip2() -> Decoder:
    """Return a decoder for bzip2, in a zip or alone."""
    return Expanding(bz2.BZ2Decompressor())


COMPRESSED: Final[tuple[tuple[bytes, str, Callable[[], Decoder]], ...]] = (
    (b"\x1f\x8b\x08", GZIP, lambda: Inflating(16 + zlib.MAX_WBITS)),
    (b"BZh", BZIP2, bzip2),
    (b"\xfd7zXZ\0", XZ, _xz),
)
"""Single compressed files: how they begin, their name, their decoder."""
