"""A picture to send: the sun sets behind mountains, over a lake. Rendered here, as a PNG.

The repository needs no binary file for it, and a person who fetches it sees at once that it is
whole. The seed moves the sun and the grain, so that two photos differ in every byte.
"""

import math
import random
import struct
import zlib
from collections.abc import Sequence
from typing import Final

Colour = tuple[float, float, float]

_WIDTH: Final = 480
_HEIGHT: Final = 320
_HORIZON: Final = 215  # the line where the lake begins, in pixels from the top
_ZENITH: Final = (38.0, 50.0, 110.0)
_DUSK: Final = (250.0, 150.0, 85.0)
_SUN: Final = (255.0, 238.0, 190.0)
_RIDGES: Final[Sequence[tuple[float, float, float, Colour]]] = (
    # height above the horizon, roughness, phase, colour: from far to near
    (72.0, 26.0, 0.4, (122.0, 92.0, 124.0)),
    (44.0, 20.0, 2.3, (80.0, 62.0, 98.0)),
    (20.0, 12.0, 4.1, (42.0, 36.0, 62.0)),
)


def photo(seed: int = 1) -> bytes:
    """Return the picture, 480 x 320 pixels, some 200 kB."""
    chance = random.Random(seed)  # noqa: S311  (a picture, no secret)
    sun = chance.uniform(0.3, 0.7) * _WIDTH, _HORIZON - chance.uniform(55, 85)
    tops = [_skyline(*ridge[:3]) for ridge in _RIDGES]
    land = [_land_row(y, sun, tops) for y in range(_HORIZON)]
    rows = land + [_lake_row(y, land) for y in range(_HORIZON, _HEIGHT)]
    return _png([_with_grain(row, chance) for row in rows])


def _skyline(height: float, rough: float, phase: float) -> list[float]:
    """Return where a ridge begins, in pixels from the top, for every column."""
    waves = (0.011, 1.0), (0.031, 0.45), (0.083, 0.18), (0.211, 0.07)
    return [
        _HORIZON - height - rough * sum(size * math.sin(x * pitch + phase / pitch) for pitch, size in waves)
        for x in range(_WIDTH)
    ]


def _land_row(y: int, sun: tuple[float, float], tops: Sequence[Sequence[float]]) -> list[Colour]:
    sky = _mixed(_ZENITH, _DUSK, (y / _HORIZON) ** 1.4)
    row = []
    for x in range(_WIDTH):
        ridge = next((n for n in reversed(range(len(tops))) if y >= tops[n][x]), None)
        if ridge is None:
            row.append(_mixed(sky, _SUN, _glow(math.hypot(x - sun[0], y - sun[1]))))
        else:
            haze = (y - tops[ridge][x]) / _HORIZON
            row.append(_mixed(_RIDGES[ridge][3], _DUSK, haze))
    return row


def _glow(distance: float) -> float:
    """Return how much of the sun's light a point of the sky has: all within its disc."""
    return min(1.0, math.exp((17.0 - distance) / 2.0) + 0.75 * math.exp(-distance / 60.0))


def _lake_row(y: int, land: Sequence[Sequence[Colour]]) -> list[Colour]:
    depth = (y - _HORIZON) / (_HEIGHT - _HORIZON)
    mirrored = land[max(0, _HORIZON - 1 - round((y - _HORIZON) * 1.9))]
    ripple = 6.0 * depth * math.sin(y * 1.7) + 3.0 * math.sin(y * 0.6)
    shift = round(ripple)
    dark = (12.0, 18.0, 40.0)
    return [
        _mixed(mirrored[min(_WIDTH - 1, max(0, x + shift))], dark, 0.25 + 0.4 * depth) for x in range(_WIDTH)
    ]


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    return (
        one[0] + (other[0] - one[0]) * share,
        one[1] + (other[1] - one[1]) * share,
        one[2] + (other[2] - one[2]) * share,
    )


def _with_grain(row: Sequence[Colour], chance: random.Random) -> bytes:
    grain = chance.randbytes(len(row))
    return bytes(
        min(255, max(0, int(value) + noise % 7 - 3))
        for colour, noise in zip(row, grain, strict=True)
        for value in colour
    )


def _png(rows: Sequence[bytes]) -> bytes:
    """Return the rows of RGB bytes as a PNG (W3C "Portable Network Graphics", filter 1: Sub)."""
    header = struct.pack(">IIBBBBB", len(rows[0]) // 3, len(rows), 8, 2, 0, 0, 0)
    filtered = b"".join(
        b"\1" + row[:3] + bytes((a - b) & 255 for a, b in zip(row[3:], row, strict=False)) for row in rows
    )
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(filtered, 6)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
