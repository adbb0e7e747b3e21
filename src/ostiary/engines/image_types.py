"""Which bytes are an image that people may get to see. Pure.

The detected type decides, and beside it what browsers go by, the first bytes (WHATWG MIME Sniffing,
6.1): libmagic and they need not agree. Pictures made of lines and shapes (SVG, EMF, drawings) are
documents, as a PDF is: they have no pixels to compare.
"""

import re
from collections.abc import Iterable
from typing import Final

HEAD: Final = 32
"""Bytes at the start that tell."""

_DRAWINGS: Final = frozenset({
    "image/svg+xml", "image/svg+xml-compressed", "image/svg", "image/wmf", "image/x-wmf", "image/emf",
    "image/x-emf", "image/cgm", "image/x-eps", "image/x-cdr", "image/vnd.dwg", "image/vnd.dxf",
})  # fmt: skip

_SURE: Final = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|\0\0\0\x0c(?:jP  |JXL )\r\n\x87\n"
    rb"|....ftyp(?:avi[fs]|he[iv][cxms]|mif1|msf1)",
    re.DOTALL,
)
_PERHAPS: Final = re.compile(rb"BM|\0\0[\1\2]\0|II\*\0|MM\0\*|\xff\x4f\xff\x51|\xff\x0a")
"""So few bytes that a text or noise may begin with them as well."""


def is_image(detected_type: str) -> bool:
    """Say whether a type is one of images with pixels."""
    return detected_type.startswith("image/") and detected_type not in _DRAWINGS


def is_surely_image(detected_type: str, head: bytes) -> bool:
    """Say whether bytes that begin with `head` are an image, if a detected type or a browser can tell."""
    return is_image(detected_type) or _SURE.match(head) is not None


def may_be_image(detected_type: str, embedded: Iterable[str], head: bytes) -> bool:
    """Say whether it is worth trying to see an image in them."""
    return (
        is_surely_image(detected_type, head)
        or any(map(is_image, embedded))
        or _PERHAPS.match(head) is not None
    )
