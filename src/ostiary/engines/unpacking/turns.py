"""Who of many threads may work: so many at a time, each for a while, in the order in which they asked.

A long walk gives its turn to who waits after every slice, so that it can't keep short ones from
being done. Nobody waits longer than it takes all others to have one slice each.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

SLICE: Final = 0.05
"""Seconds of work after which somebody else has a turn."""

_LOOK: Final = 0.02  # seconds after which who waits looks whether it is still to work


class Turns:
    """So many turns."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._free = count
        self._waiting: deque[threading.Event] = deque()

    def take(self, going_on: Callable[[], None]) -> float:
        """Wait for a turn, unless `going_on` raises meanwhile; return until when it lasts (monotonic)."""
        mine = threading.Event()
        with self._lock:
            if self._free and not self._waiting:
                self._free -= 1
                mine.set()
            else:
                self._waiting.append(mine)
        try:
            while not mine.wait(_LOOK):
                going_on()
        except BaseException:
            self._leave(mine)
            raise
        return time.monotonic() + SLICE

    def give(self) -> None:
        """Give a turn back: to who waits longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1

    def wanted(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    def _leave(self, mine: threading.Event) -> None:
        with self._lock:
            if not mine.is_set():
                self._waiting.remove(mine)
                return
        self.give()  # it came at the last moment
