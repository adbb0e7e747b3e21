"""Turns at the homeserver: so many fetches at a time, and of one caller no more than a share.

A fetch may take a minute (a remote server that is slow, a media that is still to be uploaded). Were
all turns one caller's, everybody else would wait for him. First come, first served, past those whose
share is used up.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

SHARE: Final = 4
"""One caller may have a quarter of all turns."""


class Turns:
    """A bounded number of turns; `what` names them in errors and in the load."""

    def __init__(self, what: str, total: int) -> None:
        self.what = what
        self.total = total
        self.used = 0
        self._share = max(1, total // SHARE)
        self._held: Counter[str] = Counter()
        self._queue: OrderedDict[asyncio.Future[None], str] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._queue)

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Hold a turn for the length of the block, after waiting for it as long as it takes."""
        await self._wait(caller)
        try:
            yield
        finally:
            self._end(caller)

    async def _wait(self, caller: str) -> None:
        if self._free(caller):
            self._begin(caller)
            return
        mine = asyncio.get_running_loop().create_future()
        self._queue[mine] = caller
        try:
            await mine
        except BaseException:
            if mine.done() and not mine.cancelled():
                self._end(caller)  # it came in the same moment
            self._queue.pop(mine, None)
            raise

    def _free(self, caller: str) -> bool:
        return self.used < self.total and self._held[caller] < self._share

    def _begin(self, caller: str) -> None:
        self.used += 1
        self._held[caller] += 1

    def _end(self, caller: str) -> None:
        self.used -= 1
        self._held[caller] -= 1
        if not self._held[caller]:
            del self._held[caller]
        for waiter, other in list(self._queue.items()):
            if self.used >= self.total:
                break
            if self._held[other] < self._share and not waiter.done():
                del self._queue[waiter]
                self._begin(other)
                waiter.set_result(None)
