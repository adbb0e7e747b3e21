"""Stored copies in this process's memory, bounded by bytes and by count."""

import sys
from typing import Final

from ostiary.library.interface import LibraryKey, StoredCopy
from ostiary.lru import SegmentedLru

MOST: Final = 1 << 16
"""Copies at most, however small they are."""

_EVICTED: Final = 1000  # evictions that are remembered, against runs that began before them
_OVERHEAD: Final = 1024  # bytes that a copy takes beyond its own and its headers': bookkeeping
_HEADERS: Final = 1 << 15  # bytes that the longest headers and names take


class MemoryLibrary:
    """Keeps copies of at most `largest` bytes each in at most `capacity` bytes together."""

    def __init__(self, capacity: int, largest: int, most: int = MOST) -> None:
        self.largest = max(0, min(largest, capacity - _OVERHEAD - _HEADERS))
        self._copies: SegmentedLru[LibraryKey, StoredCopy] = SegmentedLru(most, capacity)
        self._evicted: SegmentedLru[bytes, float] = SegmentedLru(
            _EVICTED
        )  # when the homeserver had it no more

    def __len__(self) -> int:
        return len(self._copies)

    @property
    def used(self) -> int:
        """Bytes in use."""
        return self._copies.weight

    def get(self, key: LibraryKey) -> StoredCopy | None:
        """Return the copy, None where there is none."""
        return self._copies.get(key)

    def put(self, key: LibraryKey, copy: StoredCopy) -> None:
        """Keep the copy, in place of an older one."""
        gone = self._evicted.get(copy.sha256)
        if len(copy.data) <= self.largest and (gone is None or copy.validated > gone):
            self._copies.put(key, copy, _weight(key, copy))

    def evict(self, sha256: bytes, now: float) -> None:
        """Let go of every copy of these bytes, and take none that is older."""
        self._evicted.put(sha256, now)
        self._copies.drop(lambda copy: copy.sha256 == sha256)


def _weight(key: LibraryKey, copy: StoredCopy) -> int:
    """Return the bytes that it takes: long headers can be many times what a small file is."""
    texts = (key[0].server_name, key[0].media_id, copy.content_type, copy.content_disposition, copy.etag)
    return _OVERHEAD + len(copy.data) + sum(sys.getsizeof(text) for text in texts if text)
