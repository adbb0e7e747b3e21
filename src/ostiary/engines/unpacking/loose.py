"""A stream that is no zip, tar or 7z: what is packed in it, or lies in it, and clamd may not see.

Looked for are what is packed by gzip, bzip2, xz or in a PDF; declared sizes of cabinets; and zips and 7z
archives that do not begin where the stream does, which are refused: clamd looks for them behind some
kinds of files only.
"""

import re
from collections.abc import Callable
from typing import Final

from ostiary.engines.unpacking.account import Account
from ostiary.engines.unpacking.archive import BEHIND, NEVER, Cut, Directories, Held, Range
from ostiary.engines.unpacking.decoders import BZIP2, COMPRESSED, GZIP, Decoder, pdf_stream
from ostiary.engines.unpacking.member import Member, Stream
from ostiary.engines.unpacking.zip_stream import ZipStream
from ostiary.model import Cause
from ostiary.wire import cabinet, sevenzip
from ostiary.wire import zip_records as wire

ALIGNED: Final = 512
"""Where a compressed file may begin inside one that is not packed (disk images, odd tars)."""

PDF_HEAD: Final = 1024
"""Bytes within which a PDF says that it is one (ISO 32000-1, annex H)."""

_STEP: Final = 1 << 14  # bytes for a member at a time: what it leaves of them is copied
_HEAD: Final = len(cabinet.SIGNATURE)  # bytes that tell what begins there
_PDF: Final = "a PDF's stream"
_STREAM: Final = re.compile(rb"stream\r?\n([\x08-\x78].)", re.DOTALL)
_OLE2: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # clamd finds each zip in one; Excel writes themes so
_GZIP_MAGIC: Final = b"\x1f\x8b"
_WORDS: Final = tuple(  # a pattern is searched at 3 GB/s, faster than bytes are
    re.compile(re.escape(word)) for word in (wire.LOCAL, sevenzip.SIGNATURE, cabinet.SIGNATURE)
)
_PDF_WORD: Final = re.compile(b"stream")
_CABINET: Final = 1 << 16  # bytes of a cabinet until it is looked at again


class LooseStream:
    """Walks through any bytes; `directories` is told of them by somebody else, if given."""

    def __init__(
        self,
        account: Account,
        inside: Callable[[], Stream],
        base: int = 0,
        directories: Directories | None = None,
    ) -> None:
        self._account = account
        self._inside = inside
        self._own = Directories(account.add_record) if directories is None else None
        self._ranges = (self._own or directories or Directories(account.add_record)).ranges
        self._buffer = b""
        self._base = base  # where the buffer begins in the stream
        self._wanted = PDF_HEAD  # bytes without which nothing more can be told
        self._pdf: bool | None = None
        self._ole2 = False
        self._fresh = True  # a compressed file may begin right here
        self._final = False
        self._member: Member | None = None
        self._zip: ZipStream | None = None
        self._begin = 0  # where the member, or the zip, begins
        self._padding = False  # zeros behind a gzip file, so far
        self._last: tuple[str, int, int] | None = None  # the last member's kind, end and bytes

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._account.going_on()
        if self._own is not None:
            self._own.feed(data)
        self._buffer = self._buffer + data if self._buffer else data
        if len(self._buffer) >= self._wanted:
            self._walk()

    def finish(self) -> None:
        """Note that no more bytes come."""
        self._final = True
        self._walk()
        if self._zip is not None:
            self._zip.finish()
        if self._member is not None:
            self._end_member(self._member, len(self._buffer))
        if self._own is not None:
            self._own.finish()

    def _walk(self) -> None:
        self._wanted = 0
        if self._pdf is None:
            self._pdf = b"%PDF-" in self._buffer[:PDF_HEAD]
            self._ole2 = self._base == 0 and self._buffer.startswith(_OLE2)
        at, marks = 0, _Marks(self._buffer, pdf=self._pdf)
        while at < len(self._buffer):
            if self._member is not None:
                at = self._into(self._member, at)
                continue
            if self._zip is not None:
                at = self._along(self._zip, at)
                continue
            if self._padding:
                at = self._padded(at)
                if self._padding:
                    break
            mark = min(marks.following(at), self._aligned(at))
            after = self._kept(at) if mark >= len(self._buffer) else self._look(mark)
            if after is None or mark >= len(self._buffer):
                at = mark if after is None else after
                break
            at = after
        self._base += at
        self._buffer = self._buffer[at:]

    def _padded(self, at: int) -> int:
        """Pass over zeros behind a gzip file: some readers go on behind them, clamd does not."""
        at = len(self._buffer) - len(self._buffer[at:].lstrip(b"\0"))
        begin = self._buffer[at : at + len(_GZIP_MAGIC)]
        self._padding = not self._final and len(begin) < len(_GZIP_MAGIC)
        if begin == _GZIP_MAGIC and self._last is not None and self._last[1] != self._base + at:
            raise Cut(
                Cause.LIMIT, "it is several gzip files with zeros between: clamd looks into the first only"
            )
        return at

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
        if head.startswith(sevenzip.SIGNATURE):
            return self._seven(at)
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
        self._account.add_record()
        begin = self._record(at, wire.LOCAL_SIZE)
        whole = begin and self._record(at, wire.local_length(begin))
        if not whole:
            return self._missing(at)
        header = wire.local_header(whole)
        if header.plausible and self._ole2:
            self._zip = ZipStream(self._account, self._inside, embedded=True)
            self._begin = self._base + at
            return at
        if header.plausible:
            raise Cut(Cause.LIMIT, BEHIND)
        return at + len(wire.LOCAL)

    def _along(self, embedded: ZipStream, at: int) -> int:
        """Give a zip in an OLE2 document its next bytes; return where to go on."""
        embedded.feed(self._buffer[at:])
        if embedded.left is None:
            return len(self._buffer)
        end = len(self._buffer) - embedded.left
        self._ranges.append(Range(self._begin, self._base + end, Held.PLAIN))
        self._zip = None
        return end

    def _seven(self, at: int) -> int | None:
        begin = self._record(at, sevenzip.START_SIZE)
        if begin is None:
            return self._missing(at)
        if sevenzip.start(begin) is not None:
            raise Cut(Cause.LIMIT, "a 7z archive lies in it: clamd does not look for one everywhere")
        return at + len(sevenzip.SIGNATURE)

    def _cabinet(self, at: int) -> int | None:
        try:
            sizes = self._cabinet_sizes(at)
        except cabinet.IncompleteError:
            self._wanted = max(2 * (len(self._buffer) - at), _CABINET)
            return self._missing(at)
        except ValueError as error:
            raise Cut(Cause.LIMIT, f"a cabinet can't be read: {error}") from None
        for size in sizes:
            self._account.add_member()
            self._account.check_member(size, "a cabinet's member")
            self._account.add_bytes(size)
        return at + len(cabinet.SIGNATURE)

    def _cabinet_sizes(self, at: int) -> list[int]:
        """Read the sizes of a cabinet's files; each record costs, so that no heap of heads is for ever."""
        files = cabinet.file_count(self._buffer, at) or 0
        if files > self._account.room():
            raise Cut(Cause.LIMIT, "a cabinet has more files than clamd scans")
        sizes = []
        for size in cabinet.file_sizes(self._buffer, at) if files else ():
            self._account.add_record()
            sizes.append(size)
        return sizes

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
        self._begin_member(pdf_stream(), _PDF, self._base + at)
        return found.start(1)

    def _compressed(self, at: int, head: bytes) -> int:
        for begin, name, decoder in COMPRESSED:
            if head.startswith(begin):
                if self._last is not None and self._last[:2] == (BZIP2, self._base + at) and name == BZIP2:
                    raise Cut(Cause.LIMIT, "it is several bzip2 streams: clamd looks into the first only")
                self._account.add_member()
                self._begin_member(decoder(), name, self._base + at)
                return at
        return at + 1

    def _begin_member(self, decoder: Decoder, kind: str, begin: int) -> None:
        together = 0
        if self._last is not None and self._last[:2] == (kind, begin):
            together = self._last[2]  # gzip files in a row are one file to who unpacks them
        self._begin = begin
        self._member = Member(self._account, decoder, kind, self._inside(), together)
        self._member.counted = kind != _PDF

    def _into(self, member: Member, at: int) -> int:
        """Give the member its next bytes; return where to go on."""
        step = self._buffer[at : at + _STEP]
        left = member.feed(step)
        if left is None:
            return at + len(step)
        if member.broken:  # these bytes were no member's, or a broken one's: they may hold others
            self._end_member(member, at)
            return at + 1
        self._end_member(member, at + len(step) - left)
        self._fresh = True
        self._padding = member.kind == GZIP
        return at + len(step) - left

    def _end_member(self, member: Member, end: int) -> None:
        member.finish()
        self._ranges.append(Range(self._begin, self._base + end))
        self._last, self._member = (member.kind, self._base + end, member.total), None


class _Marks:
    """Where something seems to begin in some bytes; each kind is searched once."""

    def __init__(self, data: bytes, *, pdf: bool) -> None:
        self._data = data
        self._places = dict.fromkeys((*_WORDS, *((_PDF_WORD,) if pdf else ())), -1)

    def following(self, at: int) -> int:
        """Return the first place from there on."""
        for word, place in self._places.items():
            if place < at:
                found = word.search(self._data, at)
                self._places[word] = found.start() if found else NEVER
        return min(self._places.values())
