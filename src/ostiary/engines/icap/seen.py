"""Which versions of an ICAP service are live, by what its answers say.

Behind one URL several servers may answer turn by turn, each with its own ISTag: those count together. A
server that was updated says the old one never again: it counts no more from the first new one on.
"""

from collections import deque
from typing import Final

WINDOW: Final = 60.0
"""Seconds for which turns are remembered."""

_MOST_TURNS: Final = 256


class SeenVersions:
    """The versions of one service, in the order in which they were seen; times in seconds of one clock."""

    def __init__(self) -> None:
        self._turns: deque[tuple[str, float]] = deque(maxlen=_MOST_TURNS)  # each until when it was seen

    def note(self, version: str, now: float) -> None:
        """Note that an answer said this version."""
        if self._turns and self._turns[-1][0] == version:
            self._turns.pop()
        self._turns.append((version, now))

    def live(self, now: float) -> frozenset[str]:
        """Return the last version seen, and those of the last minute that came again after another one."""
        recent = [version for version, until in self._turns if now - until <= WINDOW]
        again = {version for version in recent if recent.count(version) > 1}
        return frozenset(again | {version for version, _ in list(self._turns)[-1:]})
