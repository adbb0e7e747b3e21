"""What every store of verdicts is. It keeps Evidence, from which policy makes each request's verdict.

What a request declares is never in it. Whether the evidence still counts, under the engines of
now, is for `ostiary.judging` to say. Operators list what is there, and have it forgotten.
"""

from dataclasses import dataclass
from typing import Protocol

from ostiary.model import Evidence


@dataclass(frozen=True, slots=True)
class Entry:
    """What a store holds under one index; `left` is for how many seconds more."""

    index: bytes
    evidence: Evidence
    left: float


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, and where to go on: None at the end. Only the store knows what `after` means."""

    entries: tuple[Entry, ...]
    after: bytes | None


class VerdictStore(Protocol):
    """Evidence by index: 32 bytes from `ostiary.digests`."""

    async def get(self, index: bytes) -> Evidence | None:
        """Return what is known; None where nothing is, or the store can't be asked."""
        ...

    async def put(self, index: bytes, evidence: Evidence, seconds: float) -> None:
        """Keep it until so many seconds after it was made, if the store can."""
        ...

    async def entry(self, index: bytes) -> Entry | None:
        """Return what is known as `get` does, with the time it has left."""
        ...

    async def entries(self, limit: int, after: bytes | None = None) -> Page:
        """Return about `limit` entries, in whatever order; from the beginning, or `after` an earlier page.

        Whatever is there from the first page to the last comes at least once. No use is noted: listing
        keeps nothing alive. MalformedRequestError for an `after` that no page of this store's could have
        had; another OstiaryError where the store can't be asked.
        """
        ...

    async def remove(self, index: bytes) -> bool:
        """Forget what is known under an index, and say whether anything was; OstiaryError if it can't be."""
        ...

    async def clear(self) -> int:
        """Forget everything, and say how many entries that were; OstiaryError if it can't be."""
        ...
