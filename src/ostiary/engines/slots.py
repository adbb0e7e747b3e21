"""So many at a time in one engine: whoever is there for the first time goes before who comes again.

After new signatures everything that is stored is scanned once more. Those scans wait behind the
first ones, or an update would slow down what nobody has seen yet; every fourth turn is theirs all
the same, so that they do not wait for ever.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

AGAIN: Final = 4
"""One turn of so many is for those who come again, while both wait."""


class Slots:
    """A semaphore of `total` with two queues."""

    def __init__(self, total: int) -> None:
        self._free = total
        self._turns = 0
        self._first: deque[asyncio.Future[None]] = deque()
        self._again: deque[asyncio.Future[None]] = deque()

    async def acquire(self, *, again: bool = False) -> None:
        """Wait for a slot."""
        if self._free > 0:
            self._free -= 1
            return
        queue = self._again if again else self._first
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.release()  # it was given to us in the moment that we were cancelled
            else:
                with suppress(ValueError):  # `release` has passed over it
                    queue.remove(turn)
            raise

    def release(self) -> None:
        """Give a slot back: to who waits, if anybody does."""
        while queue := self._next():
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _next(self) -> deque[asyncio.Future[None]]:
        if not self._first or not self._again:
            return self._first or self._again
        self._turns += 1
        return self._again if self._turns % AGAIN == 0 else self._first
