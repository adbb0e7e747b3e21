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
"""Records of zips that are compared, for each file that clamd scans."""


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
        self._going_on = going_on
        self._bytes = self._records = 0
        self._members = 1  # clamd counts the file itself, too

    def add_bytes(self, size: int) -> None:
        """Count bytes that clamd has to look at."""
        self._going_on()
        self._bytes += size
        if self._bytes > self.bounds.scan_size:
            raise Cut(Cause.LIMIT, f"it unpacks to more than the {self.bounds.scan_size} bytes clamd scans")

    def add_member(self) -> None:
        """Count a member."""
        self._going_on()
        self._members += 1
        if self._members > self.bounds.files:
            raise Cut(Cause.LIMIT, f"it has more members than clamd scans ({self.bounds.files}, with itself)")

    def add_record(self) -> None:
        """Count a record that was compared: a few times as often as there are files, no more."""
        self._going_on()
        self._records += 1
        if self._records > RECORDS * self.bounds.files:
            raise Cut(Cause.LIMIT, "it has more zip records than any zip needs")

    def check_member(self, size: int, what: str) -> None:
        """Refuse a member of so many bytes if clamd would cut it."""
        if size > self.bounds.file_size:
            raise Cut(Cause.LIMIT, f"clamd sees only the first {self.bounds.file_size} bytes of {what}")
