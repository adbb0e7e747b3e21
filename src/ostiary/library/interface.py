"""What every library is: it holds the homeserver's bytes, bounded, and may lose them at any time.

Ciphertext stays ciphertext. A copy says nothing about whether it is clean or who may read it:
that is asked anew each time (`ostiary.judging`, `ostiary.access`).
"""

from dataclasses import dataclass, field
from typing import Protocol

from ostiary.blob import Blob
from ostiary.model import MediaRef, Thumbnail

LibraryKey = tuple[MediaRef, Thumbnail | None]
"""A media, and which variant of it."""


@dataclass(frozen=True, slots=True)
class StoredCopy:
    """One media as the homeserver gave it.

    `public` says that it came without a token, or any header of the caller's; `validated` is when the
    homeserver last said that it serves it (seconds of the library's clock); `etag` is the homeserver's.
    """

    data: bytes = field(repr=False)
    sha256: bytes = field(repr=False)
    content_type: str | None
    content_disposition: str | None
    etag: str | None
    public: bool
    validated: float

    def blob(self) -> Blob:
        """Return the bytes as a blob, which the caller closes; nothing is copied."""
        return Blob(size=len(self.data), sha256=self.sha256, data=self.data, descriptor=None)


class Library(Protocol):
    """Copies by key."""

    @property
    def largest(self) -> int:
        """Bytes of the largest file that it takes."""
        ...

    def get(self, key: LibraryKey) -> StoredCopy | None:
        """Return the copy, None where there is none."""
        ...

    def put(self, key: LibraryKey, copy: StoredCopy) -> None:
        """Keep the copy, in place of an older one."""
        ...

    def evict(self, sha256: bytes, now: float) -> None:
        """Let go of every copy of these bytes, under whatever media ID, and take none that is older."""
        ...
