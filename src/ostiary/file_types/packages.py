"""What a ZIP archive is: a document with or without macros, a book, an app, a library, or just an archive.

A package tells by its members: `mimetype` (OpenDocument 1.3 part 2, 3.3; EPUB 3.3, 4.2.6.1),
`[Content_Types].xml` (ECMA-376 part 2, 7.2.3) or a member that only one kind has. What a package says of
itself is believed among the types of packages only: no archive makes itself an image.
"""

import re
import sys
import zlib
from typing import Final

from ostiary.file_types.view import View
from ostiary.file_types.zips import Directory, content, first_member

ZIP: Final = "application/zip"

_XML: Final = 64 << 10
_REFERENCE: Final = re.compile(r"&#(?:x0{0,9}([0-9A-Fa-f]{1,6})|0{0,9}([0-9]{1,7}));")
_STORED: Final = 0
_DEFLATED: Final = 8
_CALLS_ITSELF: Final = re.compile(
    rb"application/(?:epub\+zip|vnd\.oasis\.opendocument\.[a-z-]{1,60}|vnd\.sun\.xml\.[a-z.]{1,60}"
    rb"|vnd\.recordare\.musicxml|x-krita)|image/openraster"
)
_BRAND: Final = re.compile(
    r'ContentType\s*=\s*["\']\s*(application/vnd\.'
    r"(?:openxmlformats-officedocument|ms-(?:word|excel|powerpoint|visio))\.[a-z.]{3,60}?)\.main(?:\+xml)?\s*[\"']",
    re.IGNORECASE,
)
_VBA: Final = "application/vnd.ms-office.vbaproject"
_OPEN: Final = "application/vnd.openxmlformats-officedocument."

_FAMILIES: Final = {
    b"word": (_OPEN + "wordprocessingml.document", "application/vnd.ms-word.document.macroenabled.12"),
    b"xl": (_OPEN + "spreadsheetml.sheet", "application/vnd.ms-excel.sheet.macroenabled.12"),
    b"ppt": (
        _OPEN + "presentationml.presentation",
        "application/vnd.ms-powerpoint.presentation.macroenabled.12",
    ),
    b"visio": ("application/vnd.ms-visio.drawing", "application/vnd.ms-visio.drawing.macroenabled.12"),
}
"""By the folder of the main part: the type of a plain document, and of one with macros."""

_WITH_MACROS: Final = {
    _OPEN + "wordprocessingml.template": "application/vnd.ms-word.template.macroenabled.12",
    _OPEN + "spreadsheetml.template": "application/vnd.ms-excel.template.macroenabled.12",
    _OPEN + "presentationml.template": "application/vnd.ms-powerpoint.template.macroenabled.12",
    _OPEN + "presentationml.slideshow": "application/vnd.ms-powerpoint.slideshow.macroenabled.12",
    **dict(_FAMILIES.values()),
}

_BY_MEMBER: Final = {
    b"androidmanifest.xml": "application/vnd.android.package-archive",
    b"appxmanifest.xml": "application/appx",
    b"appxmetadata/appxbundlemanifest.xml": "application/appxbundle",
    b"extension.vsixmanifest": "application/vsix",
    b"meta-inf/mozilla.rsa": "application/x-xpinstall",
    b"install.rdf": "application/x-xpinstall",
    b"3d/3dmodel.model": "model/3mf",
    b"fixeddocseq.fdseq": "application/vnd.ms-xpsdocument",
    b"fixeddocumentsequence.fdseq": "application/vnd.ms-xpsdocument",
    b"doc.kml": "application/vnd.google-earth.kmz",
    b"meta-inf/manifest.mf": "application/java-archive",
}
"""Members that only one kind has; the first that is there decides. APKs hold a Java manifest too."""

_CONTENT_TYPES: Final = b"[content_types].xml"
_MACRO_SHEETS: Final = b"xl/macrosheets"
_TELLING: Final = re.compile(
    rb"PK\x01\x02[\s\S]{42}[/\\]{0,2}(?:(?P<whole>"
    + b"|".join(re.escape(name).replace(b"/", rb"[/\\]") for name in (_CONTENT_TYPES, *_BY_MEMBER))
    + rb")|(?P<macros>xl[/\\]macrosheets)[/\\]|(?P<folder>word|xl|ppt|visio)[/\\])",
    re.IGNORECASE,
)
"""Entries of a directory whose names tell something (APPNOTE.TXT 4.3.12: the name is 46 bytes in)."""


def package_types(view: View, head: bytes, directory: Directory) -> tuple[str, ...]:
    """Return the types of an archive: what it is first, then what else it passes for.

    `head` are the bytes that the archive begins with. An archive that is nothing special is a ZIP.
    """
    names = _telling_names(directory)
    name, first = first_member(head)
    itself = _CALLS_ITSELF.fullmatch(first.strip()) if name == b"mimetype" else None
    office = _office_type(view, directory, names) if _CONTENT_TYPES in names else None
    other = next((kind for member, kind in _BY_MEMBER.items() if member in names), None)
    said = (itself and itself[0].decode("ascii"), office, other)
    return tuple(dict.fromkeys(kind for kind in said if kind)) or (ZIP,)


def _telling_names(directory: Directory) -> dict[bytes, int]:
    """Return the names that tell something, in lower case, and where the first entry of each begins."""
    names: dict[bytes, int] = {}
    for match in _TELLING.finditer(directory.entries):
        found = match[match.lastgroup or 0].lower().replace(b"\\", b"/")
        names.setdefault(found, match.start())
    return names


def _office_type(view: View, directory: Directory, names: dict[bytes, int]) -> str | None:
    """A document says its type; macros anywhere in it count, whatever it says."""
    content_types = _text(view, directory, names[_CONTENT_TYPES])
    said = sorted({match[1].lower() for match in _BRAND.finditer(content_types)})
    active = next((kind for kind in said if "macroenabled" in kind), None)
    if active is not None:
        return active.replace("macroenabledtemplate", "macroenabled") + ".12"
    family = next((kinds for folder, kinds in _FAMILIES.items() if folder in names), None)
    if _MACRO_SHEETS in names:
        family = _FAMILIES[b"xl"]
    plain = next((kind for kind in said if kind in _WITH_MACROS), family and family[0])
    if plain is None:
        return None
    macros = (
        _MACRO_SHEETS in names
        or _VBA in content_types.lower()
        or b"vbaproject.bin" in directory.entries.lower()
    )
    return _WITH_MACROS[plain] if macros else plain


def _text(view: View, directory: Directory, at: int) -> str:
    """Return the beginning of a member as text; empty where it can't be unpacked."""
    method, packed = content(view, directory, at, _XML)
    if method == _DEFLATED:
        try:
            packed = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, _XML)
        except zlib.error:
            return ""
    elif method != _STORED:
        return ""
    encoding = "utf-16" if packed[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8"
    text = packed.decode(encoding, errors="replace")
    return _REFERENCE.sub(_letter, text)


def _letter(reference: re.Match[str]) -> str:
    """XML 1.0, 4.1; what is beyond Unicode stays as it is."""
    number = int(reference[1], 16) if reference[1] else int(reference[2])
    return chr(number) if number <= sys.maxunicode else reference[0]
