"""What clamd would not see of some bytes: members of archives beyond its limits, counted by unpacking.

clamd cuts a member of a zip or a cabinet at MaxFileSize and calls what is left of it OK, whatever
AlertExceedsMax says; a zip's member that it can't unpack it calls OK, too. So what it called clean
is walked through once: zips wherever they begin, cabinets' declared sizes, and what is packed by
gzip, bzip2, xz or in a PDF. Nothing is kept: bytes go in, and out of each decoder into the next walker, as
deep as archives are nested. What a member takes belongs to it alone, so the work is bounded.

No IO and no clock. A `Cut` is raised for the first thing that clamd would not have seen.
"""

import re
from typing import Final

from ostiary.engines.unpacking.account import Account
from ostiary.engines.unpacking.archive import NEVER, Cut, Range, ZipRecords, refuse_unseen
from ostiary.engines.unpacking.decoders import (
    BROKEN,
    COMPRESSED,
    TOO_MUCH_MEMORY,
    XZ,
    Copying,
    Decoder,
    bzip2,
    deflate,
    pdf_stream,
)
from ostiary.model import Cause
from ostiary.wire import cabinet
from ostiary.wire import zip_records as wire

ALIGNED: Final = 512
"""Where a compressed file may begin inside one that is not packed (tar, disk images)."""

DEEPEST: Final = 64
"""Archives inside archives that are walked into, whatever clamd's MaxRecursion."""

_STEP: Final = 1 << 14  # bytes for a member at a time: what it leaves of them is copied
_HEAD: Final = len(cabinet.SIGNATURE)  # bytes that tell what begins there
_RECORDS: Final = re.compile(rb"PK(?:\x03\x04|\x01\x02|\x05\x06|\x06\x06)")  # searched at 3 GB/s
_ZIPPED: Final = "a zip's member"
_PDF: Final = "a PDF's stream"
_PDF_HEAD: Final = 1024  # bytes within which a PDF says that it is one (ISO 32000-1, annex H)
_STREAM: Final = re.compile(rb"stream\r?\n([\x08-\x78].)", re.DOTALL)
_CABINET: Final = 1 << 16  # bytes of a cabinet until it is looked at again


class Walker:
    """Walks through one stream of bytes: a blob, or what a member unpacks to."""

    def __init__(self, account: Account, depth: int = 0) -> None:
        if depth > min(account.bounds.recursion, DEEPEST):
            raise Cut(Cause.LIMIT, "archives lie in each other more deeply than clamd looks")
        self._account = account
        self._depth = depth
        self._buffer = b""
        self._base = 0  # where the buffer begins in the stream
        self._wanted = _PDF_HEAD  # bytes without which nothing more can be told
        self._pdf: bool | None = None
        self._fresh = True  # a compressed file may begin right here
        self._final = False
        self._member: _Member | None = None
        self._last: _Member | None = None
        self.zips = ZipRecords(account.add_record)

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._buffer = self._buffer + data if self._buffer else data
        if len(self._buffer) >= self._wanted:
            self._walk()

    def finish(self) -> None:
        """Note that no more bytes come."""
        self._final = True
        self._walk()
        if self._member is not None:
            self._end_member(self._member, len(self._buffer))

    def _walk(self) -> None:
        self._wanted = 0
        if self._pdf is None:
            self._pdf = b"%PDF-" in self._buffer[:_PDF_HEAD]
        at, marks = 0, _Marks(self._buffer, pdf=self._pdf)
        while at < len(self._buffer):
            if self._member is not None:
                at = self._into(self._member, at)
                continue
            mark = min(marks.following(at), self._aligned(at))
            after = self._kept(at) if mark >= len(self._buffer) else self._look(mark)
            if after is None or mark >= len(self._buffer):
                at = mark if after is None else after
                break
            at = after
        self._base += at
        self._buffer = self._buffer[at:]

    def _kept(self, at: int) -> int:
        """Return from where on a mark may have begun whose end has not come yet."""
        return len(self._buffer) if self._final else max(at, len(self._buffer) - _HEAD + 1)

    def _aligned(self, at: int) -> int:
        """Return where the next compressed file may begin."""
        if self._fresh:
            return at
        first = at + -(self._base + at) % ALIGNED
        heads = self._buffer[first::ALIGNED]
        found = [place for begin in b"\x1fB\xfd" if (place := heads.find(begin)) >= 0]
        return first + min(found) * ALIGNED if found else NEVER

    def _look(self, at: int) -> int | None:
        """Look at a mark; return where to go on, None if more bytes are needed to tell."""
        head = self._buffer[at : at + _HEAD]
        if len(head) < _HEAD and not self._final:
            return None
        self._fresh = False
        if head.startswith(wire.LOCAL):
            return self._local(at)
        if head.startswith(wire.ENTRY):
            return self._entry(at)
        if head.startswith((wire.END, wire.END_64)):
            return self._end(at)
        if head == cabinet.SIGNATURE:
            return self._cabinet(at)
        if head.startswith(b"stream"):
            return self._stream(at)
        return self._compressed(at, head)

    def _record(self, at: int, size: int) -> bytes | None:
        """Return so many bytes; None if they are not here, and then they are waited for."""
        if at + size <= len(self._buffer):
            return self._buffer[at : at + size]
        self._wanted = size
        return None

    def _missing(self, at: int) -> int | None:
        """Return where to go on after a record whose end is not here; None while it may still come."""
        return at + len(wire.LOCAL) if self._final else None

    def _local(self, at: int) -> int | None:
        begin = self._record(at, wire.LOCAL_SIZE)
        whole = begin and self._record(at, wire.local_length(begin))
        if not whole:
            return self._missing(at)
        header = wire.local_header(whole)
        self._account.add_member()
        self.zips.members[self._base + at] = header
        if header.plausible:
            refuse_unseen(header.method, header.compressed, encrypted=header.encrypted)
        decoder = _decoder_of(header)
        if decoder is None:
            return at + len(wire.LOCAL)
        self._begin(decoder, _ZIPPED, self._base + at)
        return at + header.length

    def _entry(self, at: int) -> int | None:
        begin = self._record(at, wire.ENTRY_SIZE)
        whole = begin and self._record(at, wire.entry_length(begin))
        if not whole:
            return self._missing(at)
        if len(self.zips.entries) >= self._account.bounds.files:
            raise Cut(Cause.LIMIT, f"it names more than the {self._account.bounds.files} members clamd scans")
        self.zips.entries[self._base + at] = wire.entry(whole)
        return at + len(wire.ENTRY)

    def _end(self, at: int) -> int | None:
        large = self._buffer.startswith(wire.END_64, at)
        record = self._record(at, wire.END_64_SIZE if large else wire.END_SIZE)
        if record is None:
            return self._missing(at)
        self._account.add_record()
        if large:
            self.zips.add_end_64(self._base + at, wire.end_64(record))
        else:
            self.zips.settle(self._base + at, wire.end(record))
        return at + len(wire.END)

    def _cabinet(self, at: int) -> int | None:
        try:
            sizes = cabinet.file_sizes(self._buffer[at:])
        except cabinet.IncompleteError:
            self._wanted = max(2 * (len(self._buffer) - at), _CABINET)
            return self._missing(at)
        except ValueError as error:
            raise Cut(Cause.LIMIT, f"a cabinet can't be read: {error}") from None
        for size in sizes or ():
            self._account.add_member()
            self._account.check_member(size, "a cabinet's member")
            self._account.add_bytes(size)
        return at + len(cabinet.SIGNATURE)

    def _stream(self, at: int) -> int | None:
        """Look into a PDF's stream that is packed as usual: for what may lie in it, not for its size.

        clamd passes over images there, and of other streams it tells when they are too large.
        """
        found = _STREAM.match(self._buffer, at)
        if found is None:
            short = len(self._buffer) - at < len(b"stream\r\nxx")
            return None if short and not self._final else at + 1
        if int.from_bytes(found[1], "big") % 31:  # RFC 1950, 2.2
            return at + 1
        self._begin(pdf_stream(), _PDF, self._base + at)
        return found.start(1)

    def _compressed(self, at: int, head: bytes) -> int:
        for begin, name, decoder in COMPRESSED:
            if head.startswith(begin):
                self._account.add_member()
                self._begin(decoder(), name, self._base + at)
                return at
        return at + 1

    def _begin(self, decoder: Decoder, kind: str, begin: int) -> None:
        last, together = self._last, 0
        if last is not None and last.kind == kind != _ZIPPED and last.taken[1] == begin:
            together = last.total  # gzip files in a row are one file to who unpacks them
        self._member = _Member(self._account, self._depth, decoder, kind, begin, together)

    def _into(self, member: "_Member", at: int) -> int:
        """Give the member its next bytes; return where to go on."""
        step = self._buffer[at : at + _STEP]
        left = member.feed(step)
        if left is None:
            return at + len(step)
        if member.broken:  # these bytes were no member's, or a broken one's: they may hold others
            self._end_member(member, at)
            return at if member.kind == _ZIPPED else at + 1
        self._end_member(member, at + len(step) - left)
        self._fresh = True
        return at + len(step) - left

    def _end_member(self, member: "_Member", end: int) -> None:
        member.finish(self._base + end)
        if member.kind == _ZIPPED:
            self.zips.taken.append(member.taken)
        self._last, self._member = member, None


class _Member:
    """Something packed, while it is unpacked into a walker of its own."""

    def __init__(
        self, account: Account, depth: int, decoder: Decoder, kind: str, begin: int, total: int
    ) -> None:
        self._account = account
        self._decoder = decoder
        self._walker = Walker(account, depth + 1)
        self.kind = kind
        self.total = total
        self.taken: Range = (begin, begin)
        self.broken = False
        if kind == XZ:
            if account.unpacking_xz:
                raise Cut(Cause.LIMIT, "xz lies in xz: counting it would take too much memory")
            account.unpacking_xz = True

    def feed(self, data: bytes) -> int | None:
        """Take bytes; return how many of them come behind the member's end, None if that has not come."""
        pieces = self._decoder.feed(data)
        while True:
            try:
                piece = next(pieces, None)
            except BROKEN as error:
                if TOO_MUCH_MEMORY in str(error):
                    raise Cut(Cause.LIMIT, "an xz file takes too much memory to be counted") from None
                self.broken = True
                return len(data)
            if piece is None:
                return self._decoder.left() if self._decoder.ended else None
            self.total += len(piece)
            self._account.add_bytes(len(piece))
            if self.kind != _PDF:
                self._account.check_member(self.total, self.kind)
            self._walker.feed(piece)

    def finish(self, end: int) -> None:
        """Note that it ended there, in the stream that it lies in."""
        self.taken = (self.taken[0], end)
        self._walker.finish()
        if self.kind == XZ:
            self._account.unpacking_xz = False


def plain(data: bytes) -> bool:
    """Whether nothing in all of these bytes looks like something packed."""
    if b"PK" in data or cabinet.SIGNATURE in data or b"%PDF-" in data[:_PDF_HEAD]:
        return False
    heads = data[::ALIGNED]
    return not any(begin in heads for begin in b"\x1fB\xfd")


class _Marks:
    """Where records of zips and cabinets seem to begin in some bytes; searched once."""

    def __init__(self, data: bytes, *, pdf: bool) -> None:
        self._data = data
        self._record = self._cabinet = -1
        self._stream = -1 if pdf else NEVER

    def following(self, at: int) -> int:
        """Return the first place from there on."""
        if self._record < at:
            found = _RECORDS.search(self._data, at)
            self._record = found.start() if found else NEVER
        if self._cabinet < at:
            place = self._data.find(cabinet.SIGNATURE, at)
            self._cabinet = place if place >= 0 else NEVER
        if self._stream < at:
            place = self._data.find(b"stream", at)
            self._stream = place if place >= 0 else NEVER
        return min(self._record, self._cabinet, self._stream)


def _decoder_of(header: wire.LocalHeader) -> Decoder | None:
    """Return what unpacks a zip's member; None where its bytes lie there as they are."""
    if header.encrypted:
        return None
    if header.method == wire.DEFLATED:
        return deflate()
    if header.method == wire.BZIP2:
        return bzip2()
    if header.method == wire.STORED and header.plausible and header.compressed:
        return Copying(header.compressed)
    return None
