"""Verdicts in this process's memory, bounded by count and by time."""

from collections.abc import Callable

from ostiary.lru import SegmentedLru
from ostiary.model import Evidence


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
