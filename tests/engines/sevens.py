"""7z archives of one file, built here: packed by any chain of coders, as their headers claim at least."""

import lzma
import struct
import zlib
from typing import Final

LZMA2: Final = {"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}


def raw(data: bytes, filters: dict[str, int]) -> bytes:
    """Return bytes packed without a frame."""
    return lzma.compress(data, lzma.FORMAT_RAW, filters=[filters])


def _coder(method: bytes, properties: bytes) -> bytes:
    flags = len(method) | (0x20 if properties else 0)
    return bytes([flags]) + method + (bytes([len(properties)]) + properties if properties else b"")


def _streams(offset: int, packed: int, size: int, coders: list[tuple[bytes, bytes]], crc: int) -> bytes:
    """Return the description of one folder whose coders follow each other."""
    bonds = b"".join(bytes([index, index - 1]) for index in range(1, len(coders)))
    folder = bytes([len(coders)]) + b"".join(_coder(*coder) for coder in coders) + bonds
    return (
        b"\x06" + _number(offset) + b"\x01\x09" + _number(packed) + b"\x00"
        b"\x07\x0b\x01\x00"
        + folder
        + b"\x0c"
        + _number(size) * len(coders)
        + b"\x0a\x01"
        + struct.pack("<L", crc)
        + b"\x00"
    )


def _number(value: int) -> bytes:
    return b"\xff" + struct.pack("<Q", value)


def sevenzip(
    data: bytes,
    *coders: tuple[bytes, bytes],
    packed: bytes | None = None,
    pack_header: str = "",
    substreams: bytes = b"\x08\0",
) -> bytes:
    """Return an archive with one file; by Copy if no coders are named. `pack_header`: "", lzma or lzma2."""
    body = data if packed is None else packed
    name = "e\0".encode("utf-16-le")
    files = b"\x05\x01\x11" + bytes([len(name) + 1]) + b"\0" + name + b"\0"
    main = _streams(0, len(body), len(data), list(coders) or [(b"\0", b"")], zlib.crc32(data))
    header = b"\x01\x04" + main + substreams + b"\x00" + files + b"\x00"
    if pack_header:
        lzma2 = pack_header == "lzma2"
        filters = LZMA2 if lzma2 else {"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16}
        coder = (b"\x21", b"\x10") if lzma2 else (b"\3\1\1", b"\x5d" + struct.pack("<L", 1 << 16))
        inner = raw(header, filters)
        description = _streams(len(body), len(inner), len(header), [coder], zlib.crc32(header))
        body, header = body + inner, b"\x17" + description + b"\x00"
    start = struct.pack("<QQL", len(body), len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<L", zlib.crc32(start)) + start + body + header
