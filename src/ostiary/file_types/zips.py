"""ZIP archives: where they are, what their members say they are (a document, a program, an app).

APPNOTE.TXT 4.3: the archive is found from its end, and so is it here: the end record, then the central
directory. What was put before it (an image, a PDF) is no matter to it, which makes polyglots.
"""

import struct
from dataclasses import dataclass
from typing import Final

from ostiary.file_types.view import View

_END: Final = struct.Struct("<4sHHHHIIH")  # 4.3.16
_ENTRY: Final = struct.Struct("<4s6HIIIHHHHHII")  # 4.3.12
_LOCAL: Final = struct.Struct("<4s5HIIIHH")  # 4.3.7
_ZIP64_LOCATOR: Final = b"PK\6\7"
_ZIP64_END: Final = struct.Struct("<4sQHHIIQQQQ")  # 4.3.14
_DIRECTORY: Final = 4 << 20  # bytes of the directory that are looked at: some 50,000 members
_LONGEST_NAME: Final = 1 << 10
_NEWEST: Final = 63  # version needed to unpack, 4.4.3
_LAST_METHOD: Final = 99  # 4.4.5


@dataclass(frozen=True, slots=True)
class Directory:
    """An archive's central directory.

    `start` and `end` are where the archive begins and ends in the file; `entries` are the bytes of the
    directory, and the offsets in them count from `shift`.
    """

    start: int
    end: int
    entries: bytes
    shift: int


def directory_of(view: View) -> Directory | None:
    """Return the directory of the archive at the end of these bytes; None where there is none.

    An end record counts if a directory that fits lies right before it, whatever stands behind it.
    """
    tail = view.tail()
    base = view.size - len(tail)
    at = tail.rfind(b"PK\5\6")
    for _ in range(8):  # an end record may be faked in another's comment
        if at < 0:
            return None
        found = _before(view, tail, base, at)
        if found is not None:
            return found
        at = tail.rfind(b"PK\5\6", 0, at)
    return None


def _before(view: View, tail: bytes, base: int, at: int) -> Directory | None:
    if len(tail) - at < _END.size:
        return None
    _, _, _, _, entries, size, offset, _ = _END.unpack_from(tail, at)
    end = base + at
    if view.piece(end - 20, 4) == _ZIP64_LOCATOR:
        far = view.piece(end - 20 - _ZIP64_END.size, _ZIP64_END.size)
        if len(far) < _ZIP64_END.size or far[:4] != b"PK\6\6":
            return None
        end -= 20 + _ZIP64_END.size
        _, _, _, _, _, _, _, entries, size, offset = _ZIP64_END.unpack(far)
    begin = end - size
    shift = begin - offset  # bytes before the archive, where its offsets do not count them
    if not entries or size < _ENTRY.size or begin < 0:
        return None
    if shift < 0 or view.piece(begin, 4) != b"PK\1\2":
        shift, begin = 0, offset
        if view.piece(begin, 4) != b"PK\1\2" or begin >= end:
            return None
    directory = view.piece(begin, min(size, _DIRECTORY))
    if len(directory) < _ENTRY.size:
        return None
    start = _ENTRY.unpack_from(directory)[16] + shift
    return Directory(start, base + at + _END.size, directory, shift)


def content(view: View, directory: Directory, at: int, most: int) -> tuple[int, bytes]:
    """Return the packing method and the first packed bytes of the member whose entry is at `at`.

    No bytes where its header is broken.
    """
    if at + _ENTRY.size > len(directory.entries):
        return 0, b""
    entry = _ENTRY.unpack_from(directory.entries, at)
    local = entry[16] + directory.shift
    header = view.piece(local, _LOCAL.size)
    if len(header) < _LOCAL.size or header[:4] != b"PK\3\4":
        return 0, b""
    fields = _LOCAL.unpack(header)
    return entry[4], view.piece(local + _LOCAL.size + fields[9] + fields[10], min(entry[8], most))


def first_member(head: bytes) -> tuple[bytes, bytes]:
    """Return the name of the first file and what follows it, as far as the head goes; stored as it is."""
    if len(head) < _LOCAL.size or head[:4] != b"PK\3\4":
        return b"", b""
    fields = _LOCAL.unpack_from(head)
    name_end = _LOCAL.size + fields[9]
    at = name_end + fields[10]
    stored = fields[3] == 0
    return head[_LOCAL.size : name_end], head[at : at + fields[7]] if stored else b""


def begins(head: bytes) -> bool:
    """Say whether an archive begins here, by a local header that makes sense."""
    if len(head) < _LOCAL.size or head[:4] != b"PK\3\4":
        return False
    version, method = head[4], int.from_bytes(head[8:10], "little")
    name = int.from_bytes(head[26:28], "little")
    return version <= _NEWEST and method <= _LAST_METHOD and 0 < name <= _LONGEST_NAME
