"""Something packed, while it is unpacked into a walker of its own, and counted.

What a member takes belongs to it alone, and nothing that comes out of it is kept.
"""

from typing import Protocol

from ostiary.engines.unpacking.account import Account
from ostiary.engines.unpacking.archive import Cut
from ostiary.engines.unpacking.decoders import BROKEN, TOO_MUCH_MEMORY, XZ, Decoder
from ostiary.model import Cause


class Stream(Protocol):
    """Bytes that are looked through as they come."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes; Cut for the first thing that clamd would not have seen."""
        ...

    def finish(self) -> None:
        """Note that no more bytes come."""
        ...


class Member:
    """One member: `kind` is what it is called, `total` the bytes that it has given."""

    def __init__(self, account: Account, decoder: Decoder, kind: str, inside: Stream, total: int = 0) -> None:
        self._account = account
        self._decoder = decoder
        self._inside = inside
        self.kind = kind
        self.total = total
        self.broken = False
        self.counted = True
        if kind == XZ:
            if account.unpacking_xz:
                raise Cut(Cause.LIMIT, "xz lies in xz: counting it would take too much memory")
            account.unpacking_xz = True

    @property
    def ended(self) -> bool:
        """Whether all of it was there."""
        return self._decoder.ended

    def feed(self, data: bytes) -> int | None:
        """Take bytes; return how many of them come behind the member's end, None if that has not come."""
        self._account.add_packed(len(data))
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
            if self.counted:
                self._account.check_member(self.total, self.kind)
            self._inside.feed(piece)

    def finish(self) -> None:
        """Note that it ended."""
        self._inside.finish()
        if self.kind == XZ:
            self._account.unpacking_xz = False
