"""What a Microsoft cabinet says of its files ([MS-CAB]): bytes in, sizes out, no IO.

An unpacker writes as many bytes of a file as its CFFILE declares, no more: the sizes can be believed.
"""

import struct
from collections.abc import Iterator
from typing import Final

SIGNATURE: Final = b"MSCF\0\0\0\0"

HEAD_LIMIT: Final = 1 << 22
"""Bytes within which all of a cabinet's CFFILE records must lie: 65,535 files with short names."""

_HEADER: Final = struct.Struct("<8xL4xL4xBBHH")
_FILE: Final = struct.Struct("<LLHHHH")
_VERSION: Final = 1
_NAME_LIMIT: Final = 257  # bytes, with the NUL


class IncompleteError(Exception):
    """More bytes are needed to tell."""


def file_count(data: bytes, begin: int = 0) -> int | None:
    """Return how many files a cabinet has that begins there; None where it is none.

    IncompleteError while its header has not arrived.
    """
    if len(data) < begin + _HEADER.size:
        raise IncompleteError
    total, first, _, major, folders, files = _HEADER.unpack_from(data, begin)
    if major != _VERSION or not folders or not _HEADER.size <= first < total:
        return None
    return int(files)


def file_sizes(data: bytes, begin: int = 0) -> Iterator[int]:
    """Give the size of each file in the cabinet that begins there, whose header is there.

    IncompleteError while its records have not arrived; ValueError where they can't be read.
    """
    _, first, _, _, _, files = _HEADER.unpack_from(data, begin)
    at = begin + first
    for _ in range(files):
        if at > begin + HEAD_LIMIT:
            raise ValueError("its file records lie too far away")
        at, size = _next_file(data, at)
        yield size


def _next_file(data: bytes, at: int) -> tuple[int, int]:
    """Return where the next record begins, and this one's size."""
    name = at + _FILE.size
    end = data.find(b"\0", name, name + _NAME_LIMIT)
    if end < 0:
        if len(data) < name + _NAME_LIMIT:
            raise IncompleteError
        raise ValueError("a file has no name")
    return end + 1, _FILE.unpack_from(data, at)[0]
