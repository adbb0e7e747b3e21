"""Builds PDF, Office (OLE2, OOXML), RTF and SVG files for the rule tests."""

import struct
from collections.abc import Mapping
from typing import Final

from tests.rules.archives import zip_of

CATALOG: Final = b"/Type /Catalog /Pages 2 0 R"
_SECTOR: Final = 512
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


def pdf(catalog: bytes = b"", *objects: bytes, page: bytes = b"") -> bytes:
    """Return a PDF of one empty page; `objects` are numbered from 4."""
    bodies = [
        b"<< " + CATALOG + b" " + catalog + b" >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] " + page + b" >>",
        *objects,
    ]
    out, offsets = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return bytes(out) + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(bodies) + 1,
        start,
    )


def stream(data: bytes, keys: bytes = b"") -> bytes:
    """Return a PDF stream object."""
    return b"<< %b /Length %d >>\nstream\n%b\nendstream" % (keys, len(data), data)


def ole(streams: Mapping[str, bytes], storages: tuple[str, ...] = ()) -> bytes:
    """Return an OLE2 compound file ([MS-CFB]) of up to 100 sectors.

    The FAT is sector 0, the directory follows, then the streams; all entries hang in the root as one chain.
    """
    listed = [(name, 1, b"") for name in storages]
    listed += [(name, 2, content.ljust(4096, b"\0")) for name, content in streams.items()]
    directory = -(-(len(listed) + 1) // 4)  # sectors of four entries
    fat = [_FAT, *range(2, directory + 1), _END]
    entries, data = [_entry("Root Entry", 5, _END, 0, child=1)], b""
    for number, (name, kind, content) in enumerate(listed, 1):
        padded = content + bytes(-len(content) % _SECTOR)
        first = len(fat) if content else 0
        fat += [*range(first + 1, first + len(padded) // _SECTOR), _END] if content else []
        following = number + 1 if number < len(listed) else _FREE
        entries.append(_entry(name, kind, first, len(padded), right=following))
        data += padded
    table = struct.pack("<128I", *fat, *[_FREE] * (128 - len(fat)))
    return _ole_header() + table + b"".join(entries).ljust(directory * _SECTOR, b"\0") + data


def _ole_header() -> bytes:
    start = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    fields = struct.pack("<5H6x", 0x3E, 3, 0xFFFE, 9, 6)
    sizes = struct.pack("<9I", 0, 1, 1, 0, 4096, _END, 0, _END, 0)
    return start + fields + sizes + struct.pack("<109I", 0, *[_FREE] * 108)


def _entry(name: str, kind: int, start: int, size: int, *, right: int = _FREE, child: int = _FREE) -> bytes:
    text = name.encode("utf-16-le") + b"\0\0"
    links = struct.pack("<HBB3I", len(text), kind, 1, _FREE, right, child)
    return text.ljust(64, b"\0") + links + bytes(36) + struct.pack("<IQ", start, size)


def vba(names: str) -> bytes:
    """Return a VBA document whose project knows the names, as `_VBA_PROJECT` lists them."""
    project = b"\xcc\x61\xb5\0\0\3\0" + bytes(60)
    project += b"".join(bytes([len(name), 0]) + name.encode() + b"\x93\x18" for name in names.split())
    module = b'\x01\x16\xb0\0Attribut\0e VB_Nam\0e = "Thi\0sDocume'
    streams = {"WordDocument": b"\xec\xa5", "_VBA_PROJECT": project, "ThisDocument": module, "dir": b"\1"}
    return ole(streams, storages=("Macros", "VBA"))


def ooxml(main: str, *, extra: Mapping[str, bytes] | None = None) -> bytes:
    """Return a small OOXML document with the main part of that name, such as word/document.xml."""
    types = (
        b'<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
    )
    parts = {"[Content_Types].xml": types, "_rels/.rels": b"<Relationships/>", main: b"<document/>" * 500}
    return zip_of({**parts, **(extra or {})})


def rtf(body: bytes = b"Good morning.\\par") -> bytes:
    """Return an RTF document."""
    return b"{\\rtf1\\ansi\\deff0{\\fonttbl{\\f0 Arial;}}\\f0\\fs24 " + body + b"}"


def rtf_object(kind: bytes, name: bytes, data: bytes = b"") -> bytes:
    """Return an RTF document with an OLE 1.0 object ([MS-OLEDS]) of that class."""
    content = struct.pack("<3I", 0x501, 2, len(name) + 1) + name + b"\0" + bytes(8)
    content += struct.pack("<I", len(data)) + data
    return rtf(b"{\\object" + kind + b"\\objw380\\objh260{\\*\\objdata " + content.hex().encode() + b"}}")


def svg(body: str = '<rect width="9" height="9"/>', *, prolog: str = "", attributes: str = "") -> bytes:
    """Return an SVG image in UTF-8."""
    return svg_text(body, prolog=prolog, attributes=attributes).encode()


def svg_text(body: str = "", *, prolog: str = "", attributes: str = "") -> str:
    """Return the text of an SVG image."""
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'{prolog}<svg {names} width="9" height="9" {attributes}>{body}</svg>'
