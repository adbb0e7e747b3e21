"""ISO base media files (MP4, MOV, HEIC, AVIF, CR3...): their brands say what they are.

ISO/IEC 14496-12, 4.3: the first box `ftyp` holds the major brand and the compatible ones. libmagic goes
by the major brand alone; `mif1`, which any HEIF image may say, tells nothing without the others.
"""

from typing import Final

_MOST: Final = 64  # compatible brands that are looked at
_BOX_HEADER: Final = 8
_MP4: Final = "video/mp4"

_MAJOR: Final = {
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis"), "image/heic"),
    **dict.fromkeys((b"hevc", b"hevx", b"hevm", b"hevs"), "image/heic-sequence"),
    b"crx ": "image/x-canon-cr3",
    b"jp2 ": "image/jp2",
    b"jpx ": "image/jpx",
    b"jpm ": "image/jpm",
    b"mjp2": "video/mj2",
    b"jxl ": "image/jxl",
    b"M4A ": "audio/x-m4a",
    **dict.fromkeys((b"M4B ", b"M4P "), "audio/mp4"),
    **dict.fromkeys((b"M4V ", b"M4VH", b"M4VP"), "video/x-m4v"),
    **dict.fromkeys((b"F4V ", b"f4v ", b"F4P "), _MP4),
    **dict.fromkeys((b"F4A ", b"F4B "), "audio/mp4"),
    b"qt  ": "video/quicktime",
    **dict.fromkeys((b"MSNV", b"XAVC", b"dash", b"avc1", b"mmp4", b"mp41", b"mp42", b"mp71", b"isom"), _MP4),
    **dict.fromkeys((b"iso" + bytes([digit]) for digit in b"23456789abc"), _MP4),
    **dict.fromkeys((b"cmfc", b"cmf2", b"dby1", b"ndas", b"ndsc", b"ndsh", b"ndsm", b"ndsp"), _MP4),
}  # fmt: skip
"""Brands that decide by themselves; the names are libmagic's where it has one."""

_HEIF: Final = {b"mif1": "image/heif", b"mif2": "image/heif", b"msf1": "image/heif-sequence"}
_IMAGES: Final = ("image/avif", "image/heic", "image/heic-sequence")
_QUICKTIME_FIRST: Final = frozenset({b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})


def media_type(head: bytes) -> str | None:
    """Return the type of an ISO base media file, None where it is none or its brands are all unknown."""
    if head[4:8] != b"ftyp":
        return _without_brands(head)
    end = min(int.from_bytes(head[:4]), len(head), 16 + 4 * _MOST)
    major = head[8:12]
    compatible = [head[at : at + 4] for at in range(16, end - 3, 4)]
    if major in _HEIF:
        known = {_MAJOR.get(brand) for brand in compatible}
        return next((image for image in _IMAGES if image in known), _HEIF[major])
    return _by_family(major) or next(filter(None, map(_by_family, compatible)), None)


def _by_family(brand: bytes) -> str | None:
    if brand[:3] in {b"3gp", b"3gs", b"3ge", b"3gr", b"3gg", b"3gh"}:
        return "video/3gpp"
    if brand[:3] == b"3g2":
        return "video/3gpp2"
    return _MAJOR.get(brand) or _HEIF.get(brand)


def _without_brands(head: bytes) -> str | None:
    """QuickTime files of old begin with any box: two known ones in a row are believed."""
    size = int.from_bytes(head[:4])
    if head[4:8] not in _QUICKTIME_FIRST or not _BOX_HEADER <= size <= len(head) - _BOX_HEADER:
        return None
    return "video/quicktime" if head[size + 4 : size + 8] in _QUICKTIME_FIRST else None
