"""What lies behind the end of an image or a film: files that are two at once.

A viewer stops where the image ends; an unpacker begins at the end of the file. What is reported is
known by a signature: cameras put thumbnails, depth maps and films (Motion Photos) behind their
images, and those are images still. Nothing is unpacked, nothing is said of what can't be told.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from ostiary.file_types.signatures import PDF, anywhere, at_start
from ostiary.file_types.view import View

_WINDOW: Final = 64 << 10
_LOOK: Final = 5 << 10  # padding, and the header of a program
_ENDS: Final = 256  # places that look like the end of an image; the true one is among the first
_PARTS: Final = 1000  # segments of a JPEG before its picture, boxes of a film
_PDF_REACH: Final = 1024
_SEGMENT_HEADER: Final = 4
_MARKER, _SCAN, _END_OF_IMAGE = 0xFF, 0xDA, 0xD9
_BMP_HEADER: Final = 14
_BOX_HEADER: Final = 8
_BOX_TYPE: Final = re.compile(rb"[ -~\xa9]{4}")

Ends = Callable[[View], Iterator[int]]
"""Yields the offsets at which the image may end, the likeliest first."""


def behind(view: View, kind: str) -> tuple[str, ...]:
    """Return the types of what lies behind the image's end, each once; none where `kind` has no end."""
    ends = _ends_of(kind)
    if ends is None:
        return ()
    found: dict[str, None] = {}
    first: int | None = None
    for end in ends(view):
        if first is None:
            first = end
            found.update(dict.fromkeys(anywhere(view.piece(end, _WINDOW))))
        if here := at_start(view.piece(end, _LOOK)):
            found[here] = None
    if first is None or first + _WINDOW < view.size:
        found.update(dict.fromkeys(anywhere(view.piece(max(first or 0, view.size - _WINDOW), _WINDOW))))
    return tuple(found)


def hides_pdf(head: bytes) -> bool:
    """Say whether readers would take this for a PDF: they look for its header in the first 1024 bytes."""
    return head.find(b"%PDF-", 1, _PDF_REACH + 5) > 0 and PDF in anywhere(head[: _PDF_REACH + 16])


def _ends_of(kind: str) -> Ends | None:
    if kind in _IMAGES:
        return _IMAGES[kind]
    return _boxes if kind.startswith(_OF_BOXES) else None


def _jpeg(view: View) -> Iterator[int]:
    """ITU T.81, annex B: segments up to the first scan; thumbnails with ends of their own lie in them."""
    at = 2
    for _ in range(_PARTS):
        header = view.piece(at, 4)
        if len(header) < _SEGMENT_HEADER or header[0] != _MARKER or header[1] == _END_OF_IMAGE:
            break
        if header[1] == _MARKER:  # fill bytes
            at += 1
            continue
        at += 2 + int.from_bytes(header[2:])
        if header[1] == _SCAN:
            break
    return view.behind(b"\xff\xd9", at, _ENDS)


def _png(view: View) -> Iterator[int]:
    """PNG (W3C), 11.2.5: IEND has no data, so that its checksum is always the same."""
    return view.behind(b"IEND\xaeB`\x82", 8, _ENDS)


def _gif(view: View) -> Iterator[int]:
    """GIF89a, 27: the trailer follows the empty block that ends the one before."""
    return view.behind(b"\0;", 10, _ENDS)


def _riff(view: View) -> Iterator[int]:
    size = int.from_bytes(view.piece(4, 4), "little")
    yield min(8 + size + size % 2, view.size)


def _bmp(view: View) -> Iterator[int]:
    """Some writers leave the size 0; then the end is nowhere."""
    size = int.from_bytes(view.piece(2, 4), "little")
    if size >= _BMP_HEADER:
        yield min(size, view.size)


def _boxes(view: View) -> Iterator[int]:
    """ISO/IEC 14496-12, 4.2: the end is where no box begins any more."""
    at = 0
    for _ in range(_PARTS):
        header = view.piece(at, 16)
        size = int.from_bytes(header[:4])
        if size == 1:
            size = int.from_bytes(header[8:16])
        elif size == 0 and _BOX_TYPE.fullmatch(header[4:8]):
            return  # it reaches to the end of the file
        if size < _BOX_HEADER or not _BOX_TYPE.fullmatch(header[4:8]):
            break
        at += size
    if at <= view.size:
        yield at


_IMAGES: Final[Mapping[str, Ends]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/apng": _png,
    "image/vnd.mozilla.apng": _png,
    "image/gif": _gif,
    "image/webp": _riff,
    "audio/x-wav": _riff,
    "video/x-msvideo": _riff,
    "image/bmp": _bmp,
    "image/x-ms-bmp": _bmp,
}
_OF_BOXES: Final = (
    "image/avif", "image/heic", "image/heif", "image/jp2", "image/x-canon-cr3",
    "audio/mp4", "audio/x-m4a", "video/mp4", "video/x-m4v", "video/3gpp", "video/quicktime",
)  # fmt: skip
