"""Content-Encoding of a homeserver's answers, undone a bounded piece at a time. Pure: bytes in, bytes out.

We ask for `identity`; a proxy may compress all the same. What comes out is what is scanned and
served, so a stream must be whole: one that is cut, damaged or followed by more is an error, as is
a coding that we can't undo. The caller bounds the sum: a few bytes may become very many.
"""

import zlib
from collections.abc import Iterator
from typing import Final

from ostiary.errors import HomeserverError

PIECE: Final = 1 << 16
"""Bytes that are decoded at a time."""

_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS
_CODINGS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}  # RFC 9110, 8.4.1

_METHOD: Final = 0x0F
_DEFLATE: Final = 0x08  # RFC 1950, 2.2: what the low half of a zlib stream's first byte says


class Decoder:
    """Undoes one coding, `gzip` or `deflate`; HomeserverError for any other, or several."""

    __slots__ = ("_bits", "_stream")

    def __init__(self, coding: str) -> None:
        bits = _CODINGS.get(coding)
        if bits is None:
            raise HomeserverError("the homeserver's answer has an encoding that nobody asked for")
        self._bits = bits
        self._stream: zlib._Decompress | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what the next bytes become, at most PIECE at a time; HomeserverError if they are damaged."""
        while data:
            stream = self._opened(data)
            if stream.eof:
                raise HomeserverError("the homeserver's answer goes on behind its compressed end")
            piece = _next(stream, data)
            data = stream.unconsumed_tail or stream.unused_data
            if piece:
                yield piece

    def end(self) -> Iterator[bytes]:
        """Yield what is left, and say that no more comes: HomeserverError unless that was all of it."""
        stream = self._stream
        if stream is None:
            return  # an empty body, which nobody compressed
        while piece := _next(stream, b""):
            yield piece
        if not stream.eof:
            raise HomeserverError("the homeserver's answer was cut short inside its compressed body")

    def _opened(self, data: bytes) -> "zlib._Decompress":
        """Open the stream with its first byte: many servers send `deflate` without its zlib header."""
        if self._stream is None:
            raw = self._bits == _ZLIB and data[0] & _METHOD != _DEFLATE
            self._stream = zlib.decompressobj(_RAW if raw else self._bits)
        return self._stream


def coding_of(header: str) -> str | None:
    """Return the coding that a Content-Encoding header names, in lower case; None where it names none."""
    codings = [word.strip().lower() for word in header.split(",")]
    return ", ".join(word for word in codings if word not in {"", "identity"}) or None


def _next(stream: "zlib._Decompress", data: bytes) -> bytes:
    try:
        return stream.decompress(data, PIECE)
    except zlib.error:
        raise HomeserverError("the homeserver's answer can't be decompressed") from None
