"""What clamd would not see of some bytes: members of archives beyond its limits, counted by unpacking.

clamd cuts a member of a zip or a cabinet at MaxFileSize and calls what is left of it OK, whatever
AlertExceedsMax says; a zip's member that it can't unpack it calls OK, too, and where two unpackers
would find different members, nobody knows which it saw. So what it called clean is walked through
once: bytes go in, and out of each decoder into the next walker, as deep as archives are nested. Nothing
is kept, and what a member takes belongs to it alone, so the work is bounded.

No IO and no clock. A `Cut` is raised for the first thing that clamd would not have seen.
"""

from typing import Final

from ostiary.engines.unpacking.account import Account
from ostiary.engines.unpacking.archive import Cut, Directories
from ostiary.engines.unpacking.loose import ALIGNED, PDF_HEAD, LooseStream
from ostiary.engines.unpacking.member import Stream
from ostiary.engines.unpacking.seven_stream import SevenStream
from ostiary.engines.unpacking.tar_stream import BLOCK, TarStream, file_size
from ostiary.engines.unpacking.zip_stream import ZipStream
from ostiary.model import Cause
from ostiary.wire import cabinet, sevenzip
from ostiary.wire import zip_records as wire

DEEPEST: Final = 64
"""Archives inside archives that are walked into, whatever clamd's MaxRecursion."""


class Walker:
    """Walks through one stream of bytes: a blob, or what a member unpacks to."""

    def __init__(self, account: Account, depth: int = 0) -> None:
        if depth > min(account.bounds.recursion, DEEPEST):
            raise Cut(Cause.LIMIT, "archives lie in each other more deeply than clamd looks")
        self._account = account
        self._depth = depth
        self._head = b""
        self._stream: Stream | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._stream is not None:
            self._stream.feed(data)
            return
        self._head += data
        if len(self._head) >= BLOCK:
            self._begin()

    def finish(self) -> None:
        """Note that no more bytes come."""
        stream = self._stream or self._begin()
        stream.finish()

    def _begin(self) -> Stream:
        head, self._head = self._head, b""
        self._stream = stream = self._of(head)
        stream.feed(head)
        return stream

    def _of(self, head: bytes) -> Stream:
        """Return who knows what begins like this."""
        if head.startswith((wire.LOCAL, wire.END)):
            return ZipStream(self._account, self._inside)
        if head.startswith(sevenzip.SIGNATURE):
            return SevenStream(self._account)
        if file_size(head[:BLOCK]) is not None:
            return TarStream(self._account, self._inside, self._loose)
        return self._loose()

    def _inside(self) -> Stream:
        return Walker(self._account, self._depth + 1)

    def _loose(self, base: int = 0, directories: Directories | None = None) -> Stream:
        return LooseStream(self._account, self._inside, base, directories)


def plain(data: bytes) -> bool:
    """Whether nothing in all of these bytes looks like something packed."""
    if b"PK" in data or cabinet.SIGNATURE in data or sevenzip.SIGNATURE in data:
        return False
    if b"%PDF-" in data[:PDF_HEAD]:
        return False
    heads = data[::ALIGNED]
    return not any(begin in heads for begin in b"\x1fB\xfd")
