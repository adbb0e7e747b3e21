"""A bounded memory of what was used lately, that a flood of new things can't wash out.

Two segments (a segmented LRU): what is new is on trial, and what is asked for again moves to the
kept segment, which takes four fifths of the room. Whoever asks for a million things once only
pushes out other things that were asked for once, and the oldest kept ones where the largest of the
million needs more than a fifth.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_KEPT_SHARE: Final = 0.8


class SegmentedLru(Generic[K, V]):
    """Holds at most `most` entries, whose weights sum up to at most `capacity`."""

    def __init__(self, most: int, capacity: int | None = None) -> None:
        self._most = most
        self._capacity = most if capacity is None else capacity
        self._trial: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._kept_weight = 0
        self.weight = 0

    def __len__(self) -> int:
        return len(self._trial) + len(self._kept)

    def get(self, key: K) -> V | None:
        """Return the value and note its use; None where there is none."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][0]
        entry = self._trial.pop(key, None)
        if entry is None:
            return None
        self._kept[key] = entry
        self._kept_weight += entry[1]
        self._demote()
        return entry[0]

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Hold the value, in place of an older one; what weighs more than there is room is not held."""
        known = key in self._kept
        self.pop(key)
        if weight > self._capacity or not self._most:
            return
        if known:
            self._kept[key] = value, weight
            self._kept_weight += weight
            self._demote()
        else:
            self._trial[key] = value, weight
        self.weight += weight
        while len(self) > self._most or self.weight > self._capacity:
            # The new one fits, so it never makes room for itself.
            only_the_new = len(self._trial) == (key in self._trial)
            self.pop(next(iter(self._kept if only_the_new else self._trial)))

    def pop(self, key: K) -> V | None:
        """Let go of the value and return it; None where there is none."""
        entry = self._trial.pop(key, None)
        if entry is None:
            entry = self._kept.pop(key, None)
            if entry is None:
                return None
            self._kept_weight -= entry[1]
        self.weight -= entry[1]
        return entry[0]

    def items(self) -> Iterator[tuple[K, V]]:
        """Yield all there is, and note no use; nothing may change meanwhile."""
        for segment in (self._trial, self._kept):
            for key, (value, _) in segment.items():
                yield key, value

    def drop(self, unwanted: Callable[[V], bool]) -> int:
        """Let go of all unwanted values, and return how many there were; looks at every one."""
        found = [
            key
            for segment in (self._trial, self._kept)
            for key, (value, _) in segment.items()
            if unwanted(value)
        ]
        for key in found:
            self.pop(key)
        return len(found)

    def _demote(self) -> None:
        """Put what the kept segment has too much of back on trial, as its newest."""
        while len(self._kept) > _KEPT_SHARE * self._most or self._kept_weight > _KEPT_SHARE * self._capacity:
            key, entry = self._kept.popitem(last=False)
            self._kept_weight -= entry[1]
            self._trial[key] = entry
