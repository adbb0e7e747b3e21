"""Archives, programs and pages by the bytes that they begin with, for wherever they lie in a file.

Strong ones are checked beyond their few letters, so that they can be looked for in noise; weak ones
(`#!`, `<script`) count only where something begins.
"""

import re
from typing import Final

from ostiary.file_types.zips import begins

RAR: Final = "application/x-rar"
SEVEN_ZIP: Final = "application/x-7z-compressed"
CABINET: Final = "application/vnd.ms-cab-compressed"
WINDOWS: Final = "application/x-dosexec"
ELF: Final = "application/x-executable"
MACH: Final = "application/x-mach-binary"
PDF: Final = "application/pdf"
SHORTCUT: Final = "application/x-ms-shortcut"
COMPOUND: Final = "application/x-ole-storage"

LNK: Final = bytes.fromhex("4c0000000114020000000000c000000000000046")
"""The header of a Windows shortcut (MS-SHLLINK 2.1)."""

_STRONG: Final = re.compile(
    rb"PK\x03\x04|Rar!\x1a\x07[\x00\x01]|7z\xbc\xaf\x27\x1c\x00|MSCF\x00\x00\x00\x00"
    rb"|\x7fELF[\x01\x02][\x01\x02]\x01|\xcf\xfa\xed\xfe[\x07\x0c]\x00\x00\x01|%PDF-[12]\.\d"
    rb"|MZ(?=[\s\S]{60}\x00\x00)"
    rb"|\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1|L\x00\x00\x00\x01\x14\x02\x00\x00\x00\x00\x00\xc0"
)
_WEAK: Final = re.compile(
    rb"(?P<page><(?:!doctype\s+html|html|head|body|script|iframe|svg)[\s>])|(?P<php><\?php\s)"
    rb"|(?P<hta><hta:application)|(?P<shell>\#!\s?/)",
    re.IGNORECASE,
)
_WEAK_TYPES: Final = {
    "page": "text/html",
    "php": "text/x-php",
    "hta": "application/hta",
    "shell": "text/x-shellscript",
}
_BY_LETTER: Final = {
    ord("R"): RAR, ord("7"): SEVEN_ZIP, 0x7F: ELF, 0xCF: MACH, ord("%"): PDF,
    0xD0: COMPOUND, ord("L"): SHORTCUT,
}  # fmt: skip
_PADDING: Final = re.compile(rb"[\x00\s]{0,512}")
_EARLIEST: Final = 4  # tiny programs fold the one header into the other


def at_start(data: bytes) -> str | None:
    """Return the type of what begins here, behind some padding; None where nothing known does."""
    padding = _PADDING.match(data)
    begin = padding.end() if padding is not None else 0
    found = _STRONG.match(data, begin)
    if found is not None and (kind := _confirmed(data, begin)):
        return kind
    weak = _WEAK.match(data, begin)
    return None if weak is None or weak.lastgroup is None else _WEAK_TYPES[weak.lastgroup]


def anywhere(data: bytes) -> tuple[str, ...]:
    """Return the types of all that begins somewhere in these bytes, each once, in order."""
    found: dict[str, None] = {}
    for match in _STRONG.finditer(data):
        kind = _confirmed(data, match.start())
        if kind is not None:
            found[kind] = None
    return tuple(found)


def _confirmed(data: bytes, at: int) -> str | None:
    letter = data[at]
    if letter == ord("P"):
        return "application/zip" if begins(data[at : at + 30]) else None
    if letter == ord("M"):
        return _program_or_cabinet(data, at)
    return _BY_LETTER.get(letter)


def _program_or_cabinet(data: bytes, at: int) -> str | None:
    if data[at : at + 4] == b"MSCF":
        return CABINET
    header = int.from_bytes(data[at + 60 : at + 64], "little")  # e_lfanew
    if header < _EARLIEST:
        return None
    return WINDOWS if data[at + header : at + header + 4] == b"PE\0\0" else None
