"""Bytes to look at, in memory or not: a size, and a way to read a piece.

Whoever makes a View decides where the bytes come from; `read` may return fewer bytes than asked for.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, Self

HEAD: Final = 36 << 10
"""Bytes at the beginning that are looked at: an ISO 9660 image says so behind 32 KiB."""

TAIL: Final = 66 << 10
"""Bytes at the end: what ends a ZIP archive may stand before a comment of 64 KiB."""

_CHUNK: Final = 256 << 10
_SEARCHED: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class View:
    """`read(offset, size)` returns bytes of the file; `size` is the file's, in bytes."""

    size: int
    read: Callable[[int, int], bytes]

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Return a view of bytes in memory."""
        return cls(len(data), lambda offset, size: data[offset : offset + size])

    def piece(self, offset: int, size: int) -> bytes:
        """Return the bytes from `offset`, as far as there are any; none before the beginning."""
        if offset < 0 or offset >= self.size or size <= 0:
            return b""
        return self.read(offset, min(size, self.size - offset))

    def tail(self) -> bytes:
        """Return the last bytes."""
        return self.piece(max(0, self.size - TAIL), TAIL)

    def behind(self, needle: bytes, start: int, most: int) -> Iterator[int]:
        """Yield the offsets behind each place that holds the needle, `most` of them, in order.

        Only the first 64 MiB from `start` are searched.
        """
        overlap = len(needle) - 1
        search = re.compile(re.escape(needle))  # three times as fast as bytes.find for two bytes
        stop = min(self.size, start + _SEARCHED)
        while start < stop and most > 0:
            chunk = self.piece(start, min(_CHUNK, stop - start) + overlap)
            for match in islice(search.finditer(chunk), most):
                yield start + match.end()
                most -= 1
            start += _CHUNK
