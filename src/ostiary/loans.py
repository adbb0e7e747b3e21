"""Stored copies in use: what they take of the memory budget while somebody reads them.

The library bounds what it keeps, and may let go of a copy that is still being sent: its bytes live
until the last reader is done, and slow readers of many copies would be memory without a bound. So
each copy in use counts against `limits.memory`, once, however many read it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ostiary.budget import Budget


class Loans:
    """Counts readers; the budget is asked for room by the first reader of a copy."""

    def __init__(self, memory: Budget) -> None:
        self._memory = memory
        self._readers: dict[int, int] = {}  # by the identity of bytes that are held meanwhile

    @asynccontextmanager
    async def of(self, data: bytes) -> AsyncIterator[None]:
        """Hold the bytes for the length of the block; OverloadedError where there is no room for them."""
        copy, size = id(data), len(data)
        if copy not in self._readers:
            await self._memory.acquire(size)
            if copy in self._readers:  # somebody else got room for it meanwhile
                self._memory.release(size)
        self._readers[copy] = self._readers.get(copy, 0) + 1
        try:
            yield
        finally:
            self._readers[copy] -= 1
            if not self._readers[copy]:
                del self._readers[copy]
                self._memory.release(size)
