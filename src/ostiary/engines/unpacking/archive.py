"""One stream's zip records while they come by: are the members that a directory names those we saw?

clamd and an unpacker may go by different records of the same file. So each entry of a directory must
name a local header that was seen, and agree with it in all that decides what comes out: anything
else is a `Cut`, for nobody knows then what clamd looked at.
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import Final

from ostiary.model import Cause
from ostiary.wire import zip_records as wire

NEVER: Final = 1 << 62
"""A position that no stream reaches."""

_MOST_ENDS: Final = 64  # zip64 end records in one stream

DISAGREE: Final = "a zip's directory and its members disagree: what clamd saw may not be what is unpacked"
"""Why nobody knows what clamd looked at."""

Range = tuple[int, int]


class Cut(Exception):  # noqa: N818  (a finding on its way up, no error)
    """clamd would not have seen all of it."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail


class ZipRecords:
    """What was seen of zips in one stream; positions are bytes from the stream's beginning."""

    def __init__(self, spend: Callable[[], None]) -> None:
        self._spend = spend  # raises when too much was compared
        self.members: dict[int, wire.LocalHeader] = {}
        self.entries: dict[int, wire.Entry] = {}
        self.ends_64: list[tuple[int, wire.End]] = []
        self.taken: list[Range] = []

    def add_end_64(self, position: int, end: wire.End) -> None:
        """Note a zip64 end record; which one counts is told by a locator that may lie."""
        if len(self.ends_64) >= _MOST_ENDS:
            raise Cut(Cause.LIMIT, "it has too many ends of zips")
        self.ends_64.append((position, end))

    def hidden(self, position: int) -> bool:
        """Whether what is there was taken for a part of a member."""
        place = bisect_right(self.taken, (position, NEVER))  # ranges come in order, none in another
        return place > 0 and position < self.taken[place - 1][1]

    def settle(self, position: int, end: wire.End) -> None:
        """Check the directory that the end record at the position names, in each way it can be read."""
        self._settle(position, end)
        for where, end_64 in self.ends_64:
            self._settle(where, end_64)

    def _settle(self, position: int, end: wire.End) -> None:
        if end.directory_size is None or end.directory_offset is None:
            return  # a zip64 record tells
        begins = {position - end.directory_size, end.directory_offset}
        seen = begins & self.entries.keys()
        for begin in seen:  # archives behind other bytes are read either way
            self._check(begin, begin - end.directory_offset, position, end.entries)
        if not seen and any(map(self.hidden, begins)):
            raise Cut(Cause.LIMIT, DISAGREE)
        # Neither: four bytes in a program that knows zips, and no unpacker finds a directory.

    def _check(self, at: int, base: int, stop: int, count: int) -> None:
        """Walk along the directory: some unpackers go by its size, some by its count."""
        walked = 0
        while (entry := self.entries.get(at)) is not None:
            self._spend()
            member = self.members.get(base + entry.offset)
            if member is None or (member.method, member.encrypted) != (entry.method, entry.encrypted):
                raise Cut(Cause.LIMIT, DISAGREE)
            refuse_unseen(entry.method, entry.compressed, encrypted=entry.encrypted)
            at += entry.length
            walked += 1
        if walked < count and at != stop:
            raise Cut(Cause.LIMIT, DISAGREE)


def refuse_unseen(method: int, compressed: int | None, *, encrypted: bool) -> None:
    """Raise Cut for a member that clamd, or we, can't look into; `compressed` in bytes, None: unknown."""
    if encrypted:
        raise Cut(Cause.ENCRYPTED_ARCHIVE, "a zip's member is encrypted")
    if method not in {wire.STORED, wire.DEFLATED, wire.BZIP2} and compressed != 0:
        raise Cut(Cause.LIMIT, f"a zip's member is packed by method {method}, which can't be looked into")
