"""The index of a hash list, in a file without a name: is this digest on the list, and under which name?

It is read by `pread`, not mapped: a page fault would hold Python's global lock until the disk answers.
What lies in the page cache is read at once, the rest in a thread. A table of the first two bytes
(512 KiB) is all that is kept in memory; it says where to look, so one read finds most digests.
"""

import errno
import os
import struct
import sys
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from ostiary.blocking import run_blocking
from ostiary.engines.hashlist.lines import DIGEST
from ostiary.engines.hashlist.worker import NAMELESS, Reply

_TABLE: Final = (1 << 16) + 1
_NUMBER: Final = 8  # bytes
_BLOCK: Final = 2048  # digests that are read at once: 64 KiB

Read = Callable[[int, int], bytes]
"""Returns so many bytes from an offset: exactly as many, or OSError."""


class HashIndex:
    """An index as `worker` wrote it: `version` is the digest of what is listed, `count` how many.

    It has a descriptor of its own, which is closed when nobody refers to it any more: not under a thread
    that reads.
    """

    def __init__(self, descriptor: int, reply: Reply) -> None:
        """Take an index whose descriptor stays the caller's; ValueError or OSError if it is none."""
        self.version = str(reply["version"])
        self._digests_at, self._places_at = int(reply["digests_at"]), int(reply["places_at"])
        count = int(reply["count"])
        self.count = count - 1  # the canary is ours
        self._table = array("Q", _read(descriptor, _TABLE * _NUMBER, int(reply["table_at"])))
        if sys.byteorder == "little":
            self._table.byteswap()
        if self._table[-1] != count or sorted(self._table) != list(self._table):
            raise ValueError("the table of an index is spoilt")
        self._descriptor = os.dup(descriptor)  # at last: what fails before has none to close
        weakref.finalize(self, os.close, self._descriptor)

    async def name_of(self, digest: bytes) -> str | None:
        """Return a name that the digest is listed under, "" for none; None if it is not listed. OSError."""
        try:
            return self._name_of(digest, self._cached)
        except OSError:
            return await run_blocking(self._name_of, digest, self._pread)

    def _name_of(self, digest: bytes, read: Read) -> str | None:
        at = self._find(digest, read)
        if at is None:
            return None
        place = read(_NUMBER, self._places_at + at * _NUMBER)
        if place == NAMELESS:
            return ""
        (start,) = struct.unpack(">Q", place)
        (size,) = struct.unpack(">H", read(2, start))
        return read(size, start + 2).decode()

    def _find(self, digest: bytes, read: Read) -> int | None:
        """Return the number of the digest among all."""
        first = int.from_bytes(digest[:2], "big")
        low, high = self._table[first], self._table[first + 1]
        while high - low > _BLOCK:  # a list whose digests begin alike
            middle = (low + high) // 2
            if read(DIGEST, self._digests_at + middle * DIGEST) <= digest:
                low = middle
            else:
                high = middle
        block = read((high - low) * DIGEST, self._digests_at + low * DIGEST)
        at = bisect_left(range(high - low), digest, key=lambda n: block[n * DIGEST : (n + 1) * DIGEST])
        return low + at if block[at * DIGEST : (at + 1) * DIGEST] == digest else None

    def _pread(self, size: int, offset: int) -> bytes:
        return _read(self._descriptor, size, offset)

    def _cached(self, size: int, offset: int) -> bytes:
        """Read what is in the page cache; OSError if not all is, or the file system can't say."""
        data = bytearray(size)
        if size and os.preadv(self._descriptor, [data], offset, os.RWF_NOWAIT) != size:
            raise BlockingIOError
        return bytes(data)


def _read(descriptor: int, size: int, offset: int) -> bytes:
    data = os.pread(descriptor, size, offset)
    if len(data) != size:
        raise OSError(errno.EIO, "an index became shorter")
    return data
