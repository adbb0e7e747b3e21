"""Builds programs and shortcuts for the rule tests; none of them does anything."""

import struct
import uuid
from typing import Final

_LINK_CLASS: Final = uuid.UUID("00021401-0000-0000-C000-000000000046").bytes_le
_HAS_ARGUMENTS, _HAS_PATH, _UNICODE = 0x20, 0x08, 0x80


def pe(*, dos: bytes = b"", offset: int = 0x80, machine: int = 0x8664) -> bytes:
    """Return a Windows program of headers and one empty section; `dos` fills the DOS stub."""
    wide = machine == 0x8664
    optional_size = 0xF0 if wide else 0xE0
    head = (b"MZ" + bytes(58) + struct.pack("<I", offset) + dos).ljust(offset, b"\0")
    file_header = struct.pack("<2H3I2H", machine, 1, 0x5F000000, 0, 0, optional_size, 0x22)
    optional = struct.pack("<HBB", 0x20B if wide else 0x10B, 14, 0).ljust(optional_size, b"\0")
    section = b".text\0\0\0" + struct.pack("<6I2HI", 1, 0x1000, 512, 1024, 0, 0, 0, 0, 0x60000020)
    return (head + b"PE\0\0" + file_header + optional + section).ljust(1024, b"\0") + b"\xc3".ljust(
        512, b"\0"
    )


def elf(*, big_endian: bool = False) -> bytes:
    """Return a 64-bit Linux program of one header."""
    order = ">" if big_endian else "<"
    identity = b"\x7fELF" + bytes([2, 2 if big_endian else 1, 1]) + bytes(9)
    machine = 21 if big_endian else 62
    return identity + struct.pack(order + "2HI3QI6H", 2, machine, 1, 0x400000, 64, 0, 0, 64, 56, 0, 64, 0, 0)


def shortcut(path: str, arguments: str, *, unicode: bool = True) -> bytes:
    """Return a Windows shortcut ([MS-SHLLINK]) with a relative path and arguments."""
    flags = _HAS_PATH | _HAS_ARGUMENTS | (_UNICODE if unicode else 0)
    header = struct.pack("<I", 0x4C) + _LINK_CLASS + struct.pack("<I", flags)
    encoding = "utf-16-le" if unicode else "cp1252"
    strings = b"".join(struct.pack("<H", len(text)) + text.encode(encoding) for text in (path, arguments))
    return header.ljust(0x4C, b"\0") + strings + bytes(4)


def dicom(preamble: bytes = b"") -> bytes:
    """Return the start of a DICOM file: 128 bytes of preamble, then DICM and the meta group."""
    meta = b"\2\0\0\0UL\4\0" + struct.pack("<I", 20) + b"\2\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"
    return preamble[:128].ljust(128, b"\0") + b"DICM" + meta
