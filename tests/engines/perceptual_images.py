"""How the perceptual engine's tests ask it, and the images that they ask about."""

import hashlib
import io
import struct
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pillow_heif
from PIL import Image, ImageDraw

from ostiary.blob import Blob
from ostiary.engines.interface import Sample
from ostiary.engines.perceptual.engine import PerceptualEngine
from ostiary.model import Finding

pillow_heif.register_heif_opener()

BRIDGE: Final = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
"""The published hash of an image that nobody here has (PDQ's reference data)."""

Picture = Image.Image


def picture(seed: int = 1, width: int = 640, height: int = 480) -> Picture:
    """Return an image with the make-up of a photograph: clouds of all sizes, and edges."""
    dice = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for power in range(2, 8):
        cells = Image.fromarray(dice.integers(0, 255, (2**power, 2**power, 3), dtype=np.uint8))
        total += np.asarray(cells.resize((width, height), Image.Resampling.BICUBIC), float) / 2**power
    total = (total - total.min()) / (total.max() - total.min())
    image = Image.fromarray((total * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(10):
        x, y, size = int(dice.integers(width)), int(dice.integers(height)), int(dice.integers(9, width // 5))
        colour = tuple(int(level) for level in dice.integers(0, 255, 3))
        draw.ellipse((x - size, y - size // 2, x + size, y + size // 2), fill=colour)
    return image


def encoded(image: Picture, kind: str = "PNG", **options: Any) -> bytes:  # noqa: ANN401  (Pillow's)
    """Return the bytes of the image in one of Pillow's formats."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pdq(image: Picture) -> str:
    """Return the hash of the image as it is, by the library alone."""
    import pdqhash  # noqa: PLC0415  (may be missing where its tests are skipped)

    vector, quality = pdqhash.compute(np.asarray(image.convert("RGB")))
    assert quality >= 50
    return np.packbits(np.asarray(vector, np.uint8)).tobytes().hex()


def png(width: int, height: int, data: bytes = b"", extra: bytes = b"") -> bytes:
    """Return a PNG in 8 bits of grey that says it has this size; `data` are its rows, packed."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), extra, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"".join(parts)


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def noise(size: int) -> bytes:
    """Return bytes that nothing can compress, always the same."""
    return hashlib.shake_128(b"noise").digest(size)


@asynccontextmanager
async def running(
    path: Path,
    *,
    lines: Sequence[str] | None = None,
    **options: Any,  # noqa: ANN401  (the engine's)
) -> AsyncIterator[PerceptualEngine]:
    """Give an engine with these lines in its list, closed on the way out with all it started."""
    if lines is not None:
        path.write_text("".join(f"{line}\n" for line in lines))
    engine = PerceptualEngine("perceptual", path, **options)
    try:
        await engine.start()
        yield engine
    finally:
        await engine.close()


async def judge(engine: PerceptualEngine, data: bytes | Blob, detected_type: str = "image/png") -> Finding:
    """Have the engine inspect the bytes; a blob is closed."""
    with data if isinstance(data, Blob) else Blob.of(data) as blob:
        return (await engine.inspect(Sample(blob, detected_type))).finding


def children() -> list[int]:
    """Return the process IDs of the processes of this engine that we started and have not waited for."""
    listed = [
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [
        int(child) for child in listed if b"perceptual.worker" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
