"""A stream that is a tar: each file in it is looked through as a file of its own, as clamd does.

Only what every reader reads alike is followed: headers with a true checksum and octal sizes. From the
first one that is unusual the rest is looked through as any bytes.
"""

import re
from collections.abc import Callable
from typing import Final

from ostiary.engines.unpacking.account import Account
from ostiary.engines.unpacking.archive import Directories, Held, Range
from ostiary.engines.unpacking.member import Stream

BLOCK: Final = 512
"""Bytes of a header; members are filled up to as many."""

_SIZE: Final = slice(124, 136)
_SUM: Final = slice(148, 156)
_KIND: Final = slice(156, 157)
_MAGIC: Final = slice(257, 262)
_OCTAL: Final = re.compile(rb" *([0-7]+)[ \0]*")
_FILES: Final = b"0\0"
_NO_DATA: Final = b"123456"
_NAMES: Final = b"LK"
_PAX: Final = b"xg"
_PAX_LIMIT: Final = 1 << 16


def file_size(header: bytes) -> int | None:
    """Return how many bytes follow a tar's header; None for what is no header, or an unusual one."""
    if len(header) != BLOCK or header[_MAGIC] != b"ustar":
        return None
    size, told = _OCTAL.fullmatch(header[_SIZE]), _OCTAL.fullmatch(header[_SUM])
    true = sum(header) - sum(header[_SUM]) + 8 * ord(" ")
    if size is None or told is None or int(told[1], 8) != true:
        return None
    kind, bytes_ = header[_KIND], int(size[1], 8)
    if kind in _NO_DATA:
        return None if bytes_ else 0
    if kind in _PAX and bytes_ > _PAX_LIMIT:
        return None
    return bytes_ if kind in _FILES + _NAMES + _PAX else None


class TarStream:
    """Walks along a tar; `loose` is who looks through what is no part of it, from a position on."""

    def __init__(
        self,
        account: Account,
        inside: Callable[[], Stream],
        loose: Callable[[int, Directories], Stream],
    ) -> None:
        self._account = account
        self._inside = inside
        self._loose = loose
        self._directories = Directories(account.add_record)
        self._buffer = b""
        self._base = 0
        self._rest: Stream | None = None  # of what follows the last member
        self._member: Stream | None = None
        self._begin = self._total = 0
        self._missing = self._padding = 0  # bytes of the member, and behind it, that are to come
        self._pax: bytes | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._directories.feed(data)
        if self._rest is None:
            self._along(data)
        else:
            self._rest.feed(data)

    def finish(self) -> None:
        """Note that no more bytes come."""
        if self._member is not None:
            self._end_member(self._member)
        if self._rest is None:
            self._rest = self._loose(self._base, self._directories)
            self._rest.feed(self._buffer)
        self._rest.finish()
        self._directories.finish()

    def _along(self, data: bytes) -> None:
        """Walk along headers and members, as far as they are here."""
        self._buffer += data
        at = 0
        while (after := self._next(at)) != at:
            at = after
        self._base += at
        self._buffer = self._buffer[at:]
        self._pass_on()

    def _pass_on(self) -> None:
        """Give what is here to who looks through the rest."""
        if self._rest is not None:
            self._rest.feed(self._buffer)
            self._buffer = b""

    def _next(self, at: int) -> int:
        """Look at what comes next; return where to go on."""
        if self._rest is not None:
            return at
        if self._member is not None:
            return self._data(self._member, at)
        if self._padding:
            passed = min(self._padding, len(self._buffer) - at)
            self._padding -= passed
            return at + passed
        if len(self._buffer) - at < BLOCK:
            return at
        header = self._buffer[at : at + BLOCK]
        size = file_size(header)
        if size is None:  # the end, as a rule: blocks of zeros
            self._rest = self._loose(self._base + at, self._directories)
            return at
        self._account.going_on()
        if size:
            self._account.add_member()
            self._account.check_member(size, "a tar's member")
            self._account.add_bytes(size)
            self._member = self._inside()
            self._begin, self._total = self._base + at + BLOCK, size
            self._missing, self._padding = size, -size % BLOCK
            self._pax = b"" if header[_KIND] in _PAX else None
        return at + BLOCK

    def _data(self, member: Stream, at: int) -> int:
        data = self._buffer[at : at + self._missing]
        member.feed(data)
        self._missing -= len(data)
        if self._pax is not None:
            self._pax += data
        if not self._missing:
            self._end_member(member)
        return at + len(data)

    def _end_member(self, member: Stream) -> None:
        member.finish()
        self._member = None
        end = self._begin + self._total - self._missing
        self._directories.ranges.append(Range(self._begin, end, Held.PLAIN))
        if self._pax is not None and (b" size=" in self._pax or b" GNU.sparse" in self._pax):
            self._missing = 0  # some readers go by another size
            self._rest = self._loose(end, self._directories)
