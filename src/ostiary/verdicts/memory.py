"""Verdicts in this process's memory, bounded by count and by time."""

import heapq
from collections.abc import Callable
from typing import Final

from ostiary.errors import MalformedRequestError
from ostiary.lru import SegmentedLru
from ostiary.model import Evidence
from ostiary.verdicts.interface import Entry, Page

_INDEX: Final = 32  # bytes


class MemoryVerdicts:
    """Keeps the evidence on at most `most` contents; `clock` is the one that dates evidence, in seconds."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._entries: SegmentedLru[bytes, tuple[Evidence, float]] = SegmentedLru(most)
        self._clock = clock

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, index: bytes) -> Evidence | None:
        """Return what is known."""
        entry = self._entries.get(index)
        if entry is None:
            return None
        evidence, end = entry
        if self._clock() < end:
            return evidence
        self._entries.pop(index)
        return None

    async def put(self, index: bytes, evidence: Evidence, seconds: float) -> None:
        """Keep it until so many seconds after it was made."""
        self._entries.put(index, (evidence, evidence.made + seconds))

    async def entry(self, index: bytes) -> Entry | None:
        """Return what is known, with the time it has left."""
        evidence = await self.get(index)
        found = self._entries.get(index)
        if evidence is None or found is None:
            return None
        return Entry(index, evidence, max(0.0, found[1] - self._clock()))

    async def entries(self, limit: int, after: bytes | None = None) -> Page:
        """Return the entries with the `limit` lowest indexes above `after`: pages that no use shifts.

        Looks at every entry: about 10 ms where there are 200,000.
        """
        if after is not None and len(after) != _INDEX:
            raise MalformedRequestError("no page of verdicts ends there")
        now = self._clock()
        ahead = (
            Entry(index, evidence, end - now)
            for index, (evidence, end) in self._entries.items()
            if now < end and (after is None or after < index)
        )
        found = heapq.nsmallest(limit, ahead, key=lambda entry: entry.index)
        return Page(tuple(found), found[-1].index if len(found) == limit else None)

    async def remove(self, index: bytes) -> bool:
        """Forget what is known under an index, and say whether anything was."""
        entry = self._entries.pop(index)
        return entry is not None and self._clock() < entry[1]

    async def clear(self) -> int:
        """Forget everything, and say how many entries that were."""
        now = self._clock()
        count = sum(now < end for _, (_, end) in self._entries.items())
        self._entries.drop(lambda _: True)
        return count
