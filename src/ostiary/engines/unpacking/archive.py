"""Directories of zips in one stream's raw bytes, wherever they lie: does an unpacker find one there?

clamd looks for a zip behind some kinds of files and not behind others, and unpackers look from a file's
end, whatever stands before. So in a stream that is no zip itself, an end record that names a directory
is a `Cut`. Four bytes that look like a record are met by chance; an end record whose directory is
where it says is not.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from ostiary.model import Cause
from ostiary.wire import zip_records as wire

NEVER: Final = 1 << 62
"""A position that no stream reaches."""

BEHIND: Final = "a zip lies in it, or behind it: clamd does not look for one everywhere"
"""Why nobody knows what clamd looked at."""

_HORIZON: Final = wire.COMMENT_LIMIT + wire.END_SIZE  # bytes from the end in which an end is looked for


class Cut(Exception):  # noqa: N818  (a finding on its way up, no error)
    """clamd would not have seen all of it."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail


class Held(Enum):
    """How a range of a stream is held by somebody who looks into it."""

    PACKED = auto()
    """It is unpacked: records in its packed bytes are no records, unless an unpacker looks there."""
    PLAIN = auto()
    """It is a file of its own, and is judged as one: what it has in itself is its own."""


_RECORDS: Final = re.compile(rb"PK(?:\x01\x02|\x05\x06)")  # searched at 3 GB/s


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes of a stream that are somebody's, from `begin` up to `end`."""

    begin: int
    end: int
    held: Held = Held.PACKED

    def holds(self, position: int) -> bool:
        """Whether that byte is among them."""
        return self.begin <= position < self.end


class Directories:
    """Looks through the raw bytes of one stream; positions are bytes from the stream's beginning."""

    def __init__(self, spend: Callable[[], None]) -> None:
        self._spend = spend  # raises when too much was compared
        self._entries: set[int] = set()
        self._found: list[tuple[int, frozenset[int]]] = []  # ends, and where their directories are
        self._tail = b""
        self._base = self._next = 0  # where the tail begins, and where it was not looked at yet
        self.ranges: list[Range] = []
        """What is held by others: in order, none in another."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        text = self._tail + data if self._tail else data
        stop = len(text) - wire.END_SIZE + 1
        for found in _RECORDS.finditer(text, max(0, self._next - self._base)):
            if found.start() >= stop:
                break
            self._record(text, found.start())
        keep = max(0, stop - wire.LOCATOR_SIZE)
        self._next = max(self._next, self._base + max(0, stop))
        self._tail, self._base = text[keep:], self._base + keep

    def finish(self) -> None:
        """Refuse a stream with a directory that some unpacker would find."""
        horizon = self._base + len(self._tail) - _HORIZON
        for position, directories in self._found:
            place = bisect_right(self.ranges, position, key=lambda each: each.begin)
            holder = self.ranges[place - 1] if place else None
            if holder is None or not holder.holds(position):
                raise Cut(Cause.LIMIT, BEHIND)
            if holder.held is Held.PACKED:
                if position >= horizon:
                    raise Cut(Cause.LIMIT, BEHIND)
            elif not all(map(holder.holds, directories)):
                raise Cut(Cause.LIMIT, BEHIND)

    def _record(self, text: bytes, at: int) -> None:
        self._spend()
        position = self._base + at
        if text.startswith(wire.ENTRY, at):
            self._entries.add(position)
            return
        directories = set()
        if at >= wire.LOCATOR_SIZE and text.startswith(wire.LOCATOR, at - wire.LOCATOR_SIZE):
            directories.add(position - wire.LOCATOR_SIZE)
        end = wire.end(text[at : at + wire.END_SIZE])
        if end.entries != 0:
            if end.directory_offset is not None:
                directories |= {end.directory_offset} & self._entries
            if end.directory_size is not None:
                directories |= {position - end.directory_size} & self._entries
        if directories:
            self._found.append((position, frozenset(directories)))


def refuse_unseen(method: int, compressed: int | None, *, encrypted: bool) -> None:
    """Raise Cut for a member that clamd, or we, can't look into; `compressed` in bytes, None: unknown."""
    if encrypted:
        raise Cut(Cause.ENCRYPTED_ARCHIVE, "a zip's member is encrypted")
    if method not in {wire.STORED, wire.DEFLATED, wire.BZIP2} and compressed != 0:
        raise Cut(Cause.LIMIT, f"a zip's member is packed by method {method}, which can't be looked into")
