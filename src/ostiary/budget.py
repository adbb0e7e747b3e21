"""Budgets: how much may be in hand at once, and how long a caller waits for its share.

A Budget counts units (bytes, requests). It is first come, first served: a large share is not
starved by small ones. Everything a run will need is taken in one go, so that two runs never hold
half of what the other needs. When full: wait `limits.wait`, then OverloadedError.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ostiary.blob import MEMORY_LIMIT, BlobWriter
from ostiary.errors import OverloadedError


class Budget:
    """A bounded number of units, shared fairly; `what` names it in errors and logs.

    `wait` is how long a caller waits for its share, in seconds; None: as long as it takes.
    """

    def __init__(self, what: str, total: int, wait: float | None) -> None:
        self.what = what
        self.total = total
        self.used = 0
        self._wait = wait
        self._emptied = asyncio.Event()
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """How many callers wait for their share."""
        return len(self._queue)

    async def acquire(self, amount: int) -> None:
        """Take so many units, after waiting at most `wait` seconds; OverloadedError otherwise."""
        if amount > self.total:
            raise OverloadedError(self.what)
        if not self._queue and self.used + amount <= self.total:
            self.used += amount
            return
        turn = asyncio.get_running_loop().create_future()
        entry = (amount, turn)
        self._queue.append(entry)
        try:
            async with asyncio.timeout(self._wait):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.release(amount)  # granted in the same moment
            else:
                with suppress(ValueError):  # a grant in the same moment may have passed it over
                    self._queue.remove(entry)
                self._grant()  # ours may have been the share that held up the others
            if isinstance(error, TimeoutError):
                raise OverloadedError(self.what) from None
            raise

    def acquire_now(self, amount: int) -> None:
        """Take so many units; OverloadedError where that would need waiting.

        For who holds some already: two that wait for more of the same would wait for each other.
        """
        if self._queue or self.used + amount > self.total:
            raise OverloadedError(self.what)
        self.used += amount

    def release(self, amount: int) -> None:
        """Give units back."""
        self.used -= amount
        if not self.used:
            self._emptied.set()
        self._grant()

    async def drained(self) -> None:
        """Wait until nothing is in use."""
        while self.used:
            self._emptied.clear()
            await self._emptied.wait()

    def _grant(self) -> None:
        while self._queue and self.used + self._queue[0][0] <= self.total:
            amount, turn = self._queue.popleft()
            if turn.cancelled():
                continue
            self.used += amount
            turn.set_result(None)

    @asynccontextmanager
    async def share(self, amount: int) -> AsyncIterator[None]:
        """Hold so many units for the length of the block."""
        await self.acquire(amount)
        try:
            yield
        finally:
            self.release(amount)


@dataclass(frozen=True)
class Spool:
    """Where blobs are made: a directory for the large ones, and the budgets that bound all."""

    directory: Path
    memory: Budget
    disk: Budget

    def writer(self) -> BlobWriter:
        """Return a writer for a new blob; hold room for it first."""
        return BlobWriter(self.directory)

    def room(self, size: int, copies: int = 1, *, resident: int = 0) -> "Room":
        """Return a context that holds room for so many copies of at most `size` bytes each.

        `resident` bytes more are in memory, all the way.
        """
        return Room(self, size, copies, resident)


class Room:
    """Room for copies of one media, taken in one go; it can only become less.

    A small blob may get a second life as a memfd, for engines that take a descriptor. A large one
    lies on disk, and still passes through memory a megabyte at a time.
    """

    def __init__(self, spool: Spool, size: int, copies: int, resident: int) -> None:
        self._budgets = (spool.memory, spool.disk)
        self._resident = resident
        self._wanted = self._shares(size, copies)
        self._held = [0, 0]

    async def __aenter__(self) -> Self:
        try:
            for which, budget in enumerate(self._budgets):
                if self._wanted[which]:
                    await budget.acquire(self._wanted[which])
                    self._held[which] = self._wanted[which]
        except BaseException:
            self._keep((0, 0))
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._keep((0, 0))

    def shrink(self, size: int, copies: int) -> None:
        """Give back what so many copies of so many bytes don't need."""
        self._keep(self._shares(size, copies))

    def _shares(self, size: int, copies: int) -> tuple[int, int]:
        """Return the bytes of memory and of disk that so many copies take."""
        if size <= MEMORY_LIMIT:
            return self._resident + size * (copies + 1), 0
        return self._resident + 2 * MEMORY_LIMIT, size * copies

    def _keep(self, shares: tuple[int, int]) -> None:
        for which, budget in enumerate(self._budgets):
            surplus = self._held[which] - shares[which]
            if surplus > 0:
                self._held[which] -= surplus
                budget.release(surplus)
