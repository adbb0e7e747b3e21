"""Images that Ostiary makes: one to be found, others to be passed. Written without any library of images.

A canary is random, so that nobody can send it and no media looks like it.
"""

import random
import struct
import zlib
from typing import Final

_SIDE: Final = 128
_CELLS: Final = 16  # a side: as many as PDQ tells apart
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


def random_image() -> bytes:
    """Return a PNG of random clouds, with enough in it for a PDQ hash that can be trusted."""
    dice = random.SystemRandom()
    cells = [[dice.randrange(256) for _ in range(_CELLS + 1)] for _ in range(_CELLS + 1)]
    rows = [bytes(_level(cells, x, y) for x in range(_SIDE)) for y in range(_SIDE)]
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 0, 0, 0, 0)  # 8 bits of grey (PNG, 11.2.2)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 1)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _level(cells: list[list[int]], x: int, y: int) -> int:
    """Return the level of grey between the four cells around a pixel."""
    size = _SIDE // _CELLS
    column, right = divmod(x, size)
    row, below = divmod(y, size)
    upper = cells[row][column] * (size - right) + cells[row][column + 1] * right
    lower = cells[row + 1][column] * (size - right) + cells[row + 1][column + 1] * right
    return (upper * (size - below) + lower * below) // (size * size)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
