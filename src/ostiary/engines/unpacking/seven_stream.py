"""A stream that begins as a 7z archive: is it packed only in ways that clamd unpacks?

clamd calls a 7z clean that is packed by anything else, and so is what can't be read here. Nothing is
unpacked but the header, which lies at the end and is packed itself as a rule.
"""

import zlib
from typing import Final

from ostiary.engines.unpacking.account import Account
from ostiary.engines.unpacking.archive import Cut, Directories, Range
from ostiary.model import Cause
from ostiary.wire import sevenzip

KNOWN: Final = frozenset({sevenzip.COPY, sevenzip.LZMA, sevenzip.LZMA2, sevenzip.X86, sevenzip.ARM})
"""Methods that clamd 1.4 was seen to unpack."""


class SevenStream:
    """Keeps the end of a 7z archive, and reads its header from that."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._directories = Directories(account.add_record)
        self._start: sevenzip.Start | None = None
        self._tail = bytearray()
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._account.going_on()
        self._directories.feed(data)
        self._tail += data
        self._size += len(data)
        if self._start is None and len(self._tail) >= sevenzip.START_SIZE:
            self._start = sevenzip.start(bytes(self._tail[: sevenzip.START_SIZE]))
            if self._start is None or self._start.size > sevenzip.HEADER_LIMIT:
                raise _cut("its beginning can't be read")
        if len(self._tail) > 4 * sevenzip.HEADER_LIMIT:
            del self._tail[: -2 * sevenzip.HEADER_LIMIT]

    def finish(self) -> None:
        """Note that no more bytes come."""
        self._directories.ranges.append(Range(0, self._size))
        self._directories.finish()
        start = self._start
        if start is None or self._size != start.offset + start.size:
            raise _cut("it does not end where it says")
        if not start.size:
            return
        try:
            methods = self._methods(start)
        except ValueError as error:
            raise _cut(str(error)) from None
        if sevenzip.AES in methods:
            raise Cut(Cause.ENCRYPTED_ARCHIVE, "a 7z archive is encrypted")
        if not methods <= KNOWN:
            raise _cut("it is packed in a way that clamd does not unpack")

    def _methods(self, start: sevenzip.Start) -> set[bytes]:
        header = self._part(start.offset, start.size)
        if zlib.crc32(header) != start.crc:
            raise ValueError("its header is broken")
        streams = sevenzip.packed_header(header)
        if streams is None:
            return sevenzip.methods(header)
        methods = {coder.method for coder in streams.coders}
        if sevenzip.AES in methods:
            return methods
        return sevenzip.methods(sevenzip.unpacked_header(self._part(streams.offset, streams.packed), streams))

    def _part(self, offset: int, size: int) -> bytes:
        begin = offset - (self._size - len(self._tail))
        if begin < 0 or begin + size > len(self._tail):
            raise ValueError("its header is too far from its end")
        return bytes(self._tail[begin : begin + size])


def _cut(what: str) -> Cut:
    return Cut(Cause.LIMIT, f"a 7z archive can't be looked into: {what}")
