"""A stream that begins as a zip: it is one in canonical form, and nothing else, or it is cut.

Unpackers differ in where they look for an archive's directory, in whether they believe it or the
members' own headers, and in what they skip; clamd has ways of its own. Where every byte belongs to one
record, in the order members, directory, end, and all records agree, there is only one way to read it.
So each way in which two readers may differ is a `Cut`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from ostiary.engines.unpacking.account import Account
from ostiary.engines.unpacking.archive import Cut, refuse_unseen
from ostiary.engines.unpacking.decoders import Copying, Decoder, UntilDescriptor, bzip2, deflate
from ostiary.engines.unpacking.member import Member, Stream
from ostiary.model import Cause
from ostiary.wire import zip_records as wire

ZIPPED: Final = "a zip's member"
"""What a member is called."""

WIDE: Final = "a zip tells sizes or offsets in zip64 fields, which clamd does not read"
"""clamd 1.4 says OK to such members, and to all of an archive whose directory is told of so."""

_STEP: Final = 1 << 14  # bytes for a member at a time: what it leaves of them is copied
_ENDS: Final = re.compile(rb"PK(?:\x05\x06|\x06\x06|\x06\x07)")
_NAMELESS: Final = b""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A member that was walked through: what its entry in the directory must say."""

    method: int
    compressed: int
    size: int
    name: bytes


class ZipStream:
    """Walks along a zip, from its first byte to its last; behind one that is `embedded` others may follow."""

    def __init__(self, account: Account, inside: Callable[[], Stream], *, embedded: bool = False) -> None:
        self._account = account
        self._inside = inside  # a walker for what a member unpacks to
        self._buffer = b""
        self._at = 0  # in the buffer
        self._base = 0  # where the buffer begins in the stream
        self._wanted = 1
        self._final = False
        self._step: Callable[[], bool] = self._record
        self._begin = self._packed = 0  # where the member's header is; bytes of it that were unpacked
        self._seen: dict[int, _Seen] = {}  # by where their headers are
        self._directory: int | None = None  # where it begins
        self._entries = 0
        self._end_64: wire.End | None = None
        self._comment = 0
        self._embedded = embedded
        self.left: int | None = None
        """How many of the bytes fed last come after the end of an embedded one, once that was there."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._buffer += data
        if len(self._buffer) - self._at >= self._wanted:
            self._walk()

    def finish(self) -> None:
        """Note that no more bytes come; the archive must be whole."""
        self._final = True
        self._walk()
        if self._step != self._rest or len(self._buffer) - self._at != self._comment:
            raise _cut("it is not whole")

    def _walk(self) -> None:
        self._wanted = 1
        while self._step():
            pass
        spare = max(0, self._at - wire.DESCRIPTOR_LIMIT)  # what a decoder holds back may be left by it
        self._base += spare
        self._buffer = self._buffer[spare:]
        self._at -= spare

    def _take(self, size: int) -> bytes | None:
        """Return so many bytes from here on; None if they are not here, and then they are waited for."""
        if self._at + size <= len(self._buffer):
            return self._buffer[self._at : self._at + size]
        self._wanted = size
        return None

    def _record(self) -> bool:
        """Look at what begins here; return whether to go on."""
        head = self._take(len(wire.LOCAL))
        if head is None:
            return False
        if head == wire.LOCAL and self._directory is None:
            return self._local()
        if head == wire.ENTRY and self._end_64 is None:
            return self._entry()
        if head == wire.END_64 and self._end_64 is None and self._directory is not None:
            return self._wide_end()
        if head == wire.END:
            return self._end()
        if self._directory is None:
            return self._signing_block()
        raise _cut("other bytes lie in it")

    def _local(self) -> bool:
        begin = self._take(wire.LOCAL_SIZE)
        whole = begin and self._take(wire.local_length(begin))
        if not whole:
            return False
        header = wire.local_header(whole)
        self._account.add_member()
        refuse_unseen(header.method, header.compressed, encrypted=header.encrypted)
        if header.wide:
            raise Cut(Cause.LIMIT, WIDE)
        if self._embedded and header.described:
            raise _cut("clamd does not look for a member's size behind it")
        self._begin, self._packed = self._base + self._at, 0
        self._at += header.length
        decoder = _decoder_of(header)
        if decoder is None:
            return self._end_member(header, 0)
        member = Member(self._account, decoder, ZIPPED, self._inside())
        self._step = partial(self._data, header, member)
        return True

    def _data(self, header: wire.LocalHeader, member: Member) -> bool:
        """Give the member its next bytes."""
        told = header.compressed
        most = _STEP if told is None else min(_STEP, told - self._packed)
        data = self._buffer[self._at : self._at + most]
        if not data and most:
            return False
        left = member.feed(data)
        taken = len(data) - (left or 0)
        self._at += taken
        self._packed += taken
        if member.broken or (told is not None and (left is None) == (self._packed == told)):
            raise _cut("a member is not packed as it says")
        if left is None:
            return True
        member.finish()
        return self._end_member(header, member.total)

    def _end_member(self, header: wire.LocalHeader, size: int) -> bool:
        if header.size not in {None, size}:
            raise _cut("a member unpacks to another size than it says")
        seen = _Seen(header.method, self._packed, size, header.name)
        if header.name == _NAMELESS and seen != _Seen(wire.STORED, 0, 0, _NAMELESS):
            raise _cut("a member has no name")
        self._seen[self._begin] = seen
        self._step = self._descriptor if header.described else self._record
        return True

    def _descriptor(self) -> bool:
        seen = self._seen[self._begin]
        data = self._take(wire.DESCRIPTOR_LIMIT)
        if data is None:  # an end record follows any descriptor of a whole archive
            return False
        length = wire.descriptor_length(data, seen.compressed, seen.size)
        if length is None:
            raise _cut("a member has another size than it says")
        self._at += length
        self._step = self._record
        return True

    def _signing_block(self) -> bool:
        head = self._take(8)
        if head is None:
            return False
        length = wire.signing_block_length(head)
        if length > wire.SIGNING_BLOCK_LIMIT:
            raise _cut("other bytes lie in it")
        block = self._take(length)
        if block is None:
            return False
        if not wire.is_signing_block(block):
            raise _cut("other bytes lie in it")
        self._at += length
        self._directory = self._base + self._at
        return True

    def _entry(self) -> bool:
        begin = self._take(wire.ENTRY_SIZE)
        whole = begin and self._take(wire.entry_length(begin))
        if not whole:
            return False
        if self._directory is None:
            self._directory = self._base + self._at
        self._account.going_on()
        entry = wire.entry(whole)
        said = _Seen(entry.method, entry.compressed, entry.size, entry.name)
        refuse_unseen(entry.method, entry.compressed, encrypted=entry.encrypted)
        if entry.wide:
            raise Cut(Cause.LIMIT, WIDE)
        if _ENDS.search(whole):
            raise _cut("its directory may end in two ways")
        if entry.name == _NAMELESS or self._seen.pop(entry.offset, None) != said:
            raise _cut("its directory and its members disagree")
        self._entries += 1
        self._at += len(whole)
        return True

    def _wide_end(self) -> bool:
        record = self._take(wire.END_64_SIZE + wire.LOCATOR_SIZE)
        if record is None:
            return False
        place = self._base + self._at
        locator = record[wire.END_64_SIZE :]
        self._end_64 = wire.end_64(record)
        self._check(self._end_64, place)
        if not locator.startswith(wire.LOCATOR) or wire.locator(locator) != place:
            raise _cut("its end is not where it says")
        self._at += len(record)
        return True

    def _end(self) -> bool:
        record = self._take(wire.END_SIZE)
        if record is None:
            return False
        end = wire.end(record)
        place = self._base + self._at
        if end.directory_offset is None:
            raise Cut(Cause.LIMIT, WIDE)
        if self._end_64 is not None:
            place -= wire.END_64_SIZE + wire.LOCATOR_SIZE
        elif None in {end.entries, end.directory_size}:
            raise _cut("its end is not where it says")
        self._check(end, place)
        if any(seen.name != _NAMELESS for seen in self._seen.values()):
            raise _cut("its directory and its members disagree")
        self._at += wire.END_SIZE
        self._comment = end.comment
        self._step = self._rest
        return True

    def _check(self, end: wire.End, place: int) -> None:
        """Refuse an end record that does not tell of just the directory that ends there."""
        begin = place if self._directory is None else self._directory
        said = (end.entries, end.directory_size, end.directory_offset)
        true = (self._entries, place - begin, begin)
        if not end.whole or any(one not in {None, other} for one, other in zip(said, true, strict=True)):
            raise _cut("its directory is not where its end says")

    def _rest(self) -> bool:
        """Look at the comment, which must be all that follows."""
        rest = self._buffer[self._at :]
        if len(rest) > self._comment and not self._embedded:
            raise _cut("other bytes follow it")
        if len(rest) >= self._comment and self._embedded:
            self.left = len(rest) - self._comment
            rest = rest[: self._comment]
        if _ENDS.search(rest):
            raise _cut("it may end in two ways")
        self._wanted = len(rest) + 1
        return False


def _decoder_of(header: wire.LocalHeader) -> Decoder | None:
    """Return what unpacks a member; None where there is nothing to unpack."""
    if header.compressed == 0:
        return None
    if header.method == wire.DEFLATED:
        return deflate()
    if header.method == wire.BZIP2:
        return bzip2()
    return UntilDescriptor() if header.compressed is None else Copying(header.compressed)


def _cut(what: str) -> Cut:
    return Cut(Cause.LIMIT, f"a zip can be read in more than one way: {what}")
