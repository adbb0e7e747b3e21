"""What a clamd looks at, and what of that was used up while a blob is walked through.

One account is for one blob, and all walkers of what lies in it share it: no way of nesting or repeating
things makes more work than the bounds allow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ostiary.engines.unpacking.archive import Cut
from ostiary.model import Cause

RECORDS: Final = 8
"""Records of zips and cabinets that are compared, for each file that clamd scans."""

PACKED: Final = 8
"""Bytes that are given to decoders, for each byte that clamd scans: broken streams are looked at again."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What clamd looks at: bytes of one member, bytes in all, files, archives inside each other.

    Among the files is the blob itself, among the bytes its own.
    """

    file_size: int
    scan_size: int
    files: int
    recursion: int


CLAMAV: Final = Bounds(100 << 20, 400 << 20, 10_000, 17)
"""What a clamd of 1.4 looks at where nobody configured it (clamd.conf(5))."""


class Account:
    """What all walkers of one blob have seen together; `going_on` raises to end the walk."""

    def __init__(self, bounds: Bounds, going_on: Callable[[], None] = lambda: None) -> None:
        self.bounds = bounds
        self.unpacking_xz = False
        self.going_on = going_on
        self._bytes = self._packed = self._records = 0
        self._members = 1  # clamd counts the file itself, too

    def add_bytes(self, size: int) -> None:
        """Count bytes that clamd has to look at."""
        self.going_on()
        self._bytes += size
        if self._bytes > self.bounds.scan_size:
            raise Cut(Cause.LIMIT, f"it unpacks to more than the {self.bounds.scan_size} bytes clamd scans")

    def add_packed(self, size: int) -> None:
        """Count bytes that are given to a decoder, whatever comes out."""
        self.going_on()
        self._packed += size
        if self._packed > PACKED * self.bounds.scan_size:
            raise Cut(Cause.LIMIT, "too much of it looks packed, and is not")

    def room(self) -> int:
        """Return how many more members clamd scans."""
        return self.bounds.files - self._members

    def add_member(self) -> None:
        """Count a member."""
        self.going_on()
        self._members += 1
        if self._members > self.bounds.files:
            raise Cut(Cause.LIMIT, f"it has more members than clamd scans ({self.bounds.files}, with itself)")

    def add_record(self) -> None:
        """Count a record that was compared: a few times as often as there are files, no more."""
        self.going_on()
        self._records += 1
        if self._records > RECORDS * self.bounds.files:
            raise Cut(Cause.LIMIT, "it has more zip records than any zip needs")

    def check_member(self, size: int, what: str) -> None:
        """Refuse a member of so many bytes if clamd would cut it."""
        if size > self.bounds.file_size:
            raise Cut(Cause.LIMIT, f"clamd sees only the first {self.bounds.file_size} bytes of {what}")
