"""From the bytes of an image to its PDQ hashes. Runs in a scan process only: every byte is hostile.

Pillow decodes, and only the formats that browsers and phones show; an image is scaled to 512 pixels
before it is hashed, a JPEG already while it is decoded. All eight positions (turned, mirrored) are
hashed, so an orientation in the metadata makes no difference. What can't be decoded is said to be
so, with one of REASONS: never is it an image without hashes.
"""

import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
import pdqhash
import pillow_heif
from PIL import AvifImagePlugin, Image, ImageFile, UnidentifiedImageError

from ostiary.engines.perceptual.reasons import Reason

FORMATS: Final = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "HEIF", "BMP", "ICO", "CUR", "TIFF", "JPEG2000")
"""What Pillow may decode: of its other formats some start programs, and nobody's client shows them."""

SIDE: Final = 512
"""Pixels of the longer side at which an image is hashed: 12 megapixels differ by some 10 bits then."""

PIXELS: Final = 64 << 20
"""Pixels of an image that is decoded in full, and of all frames of an animation that are decoded."""

JPEG_PIXELS: Final = 256 << 20
"""Pixels of a JPEG: it is scaled while it is decoded, and telephones take 200 megapixels."""

LARGE: Final = 8 << 20
"""Pixels above which `large` is called before an image is decoded."""

FRAMES: Final = 8
"""Frames of an animation, or images of a file, that are hashed."""

_OPAQUE: Final = 255

QUALITY: Final = 50
"""PDQ's quality below which a hash says nothing: the image has too little in it."""


@dataclass(frozen=True, slots=True)
class Look:
    """What became of an image: its hashes, 32 bytes each, and why it was not seen as a whole, if so."""

    hashes: tuple[bytes, ...]
    reason: Reason | None = None


def prepare() -> None:
    """Set Pillow and its plugins up, once in a process."""
    pillow_heif.register_heif_opener()
    pillow_heif.options.DECODE_THREADS = 1
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    Image.MAX_IMAGE_PIXELS = JPEG_PIXELS
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.init()


def look_at(file: BinaryIO, large: Callable[[], None] = lambda: None) -> Look:
    """Decode the image and hash it. Never raises for what the file holds.

    A damaged image is decoded as far as it goes, as viewers do: what it matches counts, but it may
    show more elsewhere than here, so it is never said to be whole.
    """
    first = _attempt(file, large, lenient=False)
    if first.reason is not Reason.DAMAGED:
        return first
    again = _attempt(file, large, lenient=True)
    return Look(again.hashes, Reason.DAMAGED)


def hash_of(data: bytes) -> bytes:
    """Return the one hash of an image of ours; ValueError if it has none."""
    look = look_at(io.BytesIO(data))
    if look.reason is not None or not look.hashes:
        raise ValueError("the image can't be hashed")
    return look.hashes[0]


def _attempt(file: BinaryIO, large: Callable[[], None], *, lenient: bool) -> Look:
    ImageFile.LOAD_TRUNCATED_IMAGES = lenient
    file.seek(0)
    hashes: dict[bytes, None] = {}  # in order, each once
    try:
        with Image.open(file, formats=FORMATS) as image:
            for frame in _frames(image, large):
                hashes.update(dict.fromkeys(_hashes(frame)))
    except UnidentifiedImageError:
        return Look((), Reason.FORMAT)
    except (_TooManyPixelsError, Image.DecompressionBombWarning, Image.DecompressionBombError):
        return Look(tuple(hashes), Reason.PIXELS)
    except MemoryError:
        return Look(tuple(hashes), Reason.MEMORY)
    except Exception:  # noqa: BLE001  (decoders raise what they like, and their words may quote content)
        return Look(tuple(hashes), Reason.DAMAGED)
    return Look(tuple(hashes))


class _TooManyPixelsError(Exception):
    """The frame has more pixels than are decoded."""


def _frames(image: Image.Image, large: Callable[[], None]) -> Iterator[Image.Image]:
    """Yield the first frame, then some of the others, evenly spread over what may be decoded."""
    pixels = image.width * image.height
    _bound(image, large)
    yield image
    frames = min(getattr(image, "n_frames", 1), PIXELS // max(1, pixels))
    chosen = min(frames, FRAMES)
    for number in range(chosen):
        at = number * frames // chosen
        if at != image.tell():
            image.seek(at)
            _bound(image, large)
            yield image


def _bound(image: Image.Image, large: Callable[[], None]) -> None:
    """Refuse too many pixels before any is decoded; a JPEG is told to scale itself down."""
    jpeg = image.format in {"JPEG", "MPO"}
    if image.width * image.height > (JPEG_PIXELS if jpeg else PIXELS):
        raise _TooManyPixelsError
    whole = image.width * image.height
    image.draft(None, (SIDE, SIDE))  # None: the mode stays
    if (whole if image.info.get("progressive") else image.width * image.height) > LARGE:
        large()  # a progressive JPEG keeps all its coefficients while it is decoded


def _hashes(image: Image.Image) -> Iterator[bytes]:
    """Yield the hashes of one frame's eight positions, on each ground if it is transparent; none if dull."""
    for picture in _pictures(image):
        positions, quality = pdqhash.compute_dihedral(np.asarray(picture.convert("RGB")))
        if quality >= QUALITY:
            yield from (np.packbits(np.asarray(position, np.uint8)).tobytes() for position in positions)


def _pictures(image: Image.Image) -> Iterator[Image.Image]:
    """Yield what may be seen of a frame, scaled down.

    Colours without their transparency are what lists are made of; what people see lies on a light or
    a dark ground, and can be drawn by the transparency alone.
    """
    if not image.has_transparency_data:
        yield _scaled(_opaque(image))
        return
    whole = image if image.mode == "RGBA" else image.convert("RGBA")
    red, green, blue, alpha = (_scaled(whole.getchannel(band)) for band in "RGBA")  # a quarter at a time
    colours = Image.merge("RGB", (red, green, blue))
    yield colours
    least, _ = alpha.getextrema()
    if least < _OPAQUE:  # type: ignore[operator]  # one channel
        for ground in ("white", "black"):
            yield Image.composite(colours, Image.new("RGB", colours.size, ground), alpha)


def _opaque(image: Image.Image) -> Image.Image:
    """Return the image in 8 bits of grey or of each colour."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in {"I", "F"}:
        return _stretched(np.asarray(image, np.float32))
    return image if image.mode in {"L", "RGB"} else image.convert("RGB")


def _stretched(values: "np.ndarray[Any, np.dtype[np.float32]]") -> Image.Image:
    """Return a picture of numbers of any range, the least black, the greatest white."""
    values = np.nan_to_num(values, posinf=0, neginf=0)
    least, greatest = float(values.min()), float(values.max())
    scale = 255 / (greatest - least) if greatest > least else 0.0
    return Image.fromarray(((values - least) * scale).astype(np.uint8))


def _scaled(image: Image.Image) -> Image.Image:
    small = image.copy() if max(image.size) <= SIDE else image
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return small
