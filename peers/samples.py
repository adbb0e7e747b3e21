"""Media to send: a real picture, and the EICAR test file, alone and in a zip.

Built when needed, so that no scanner finds this repository.
"""

import io
import os
import struct
import zipfile
import zlib
from typing import Final

EICAR: Final = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The 68 bytes that every antivirus calls a virus, and that do no harm."""


def png(width: int = 320, height: int = 240) -> bytes:
    """Return a picture: a PNG with colours running across it."""
    rows = b"".join(
        b"\0" + b"".join(bytes((x * 255 // width, y * 255 // height, 128)) for x in range(width))
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def zipped(name: str, data: bytes, beside: int = 0) -> bytes:
    """Return a zip with one compressed member, and one of so many random bytes before it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        if beside:
            archive.writestr("noise", os.urandom(beside))
        archive.writestr(name, data)
    return file.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
