"""Every library there is, and copies for it."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

from ostiary.library.interface import Library, LibraryKey, StoredCopy
from ostiary.library.memory import MemoryLibrary
from ostiary.model import MediaRef, Thumbnail

LIBRARIES: Final[Mapping[str, Callable[[int, int], Library]]] = {
    "memory": MemoryLibrary,
}
"""How each is made, for so many bytes in all and so many for one file."""

REF: Final = MediaRef("example.org", "id")
VARIANTS: Final[tuple[LibraryKey, ...]] = (
    (REF, None),
    (REF, Thumbnail(1, 1)),
    (REF, Thumbnail(1, 2)),
    (REF, Thumbnail(1, 1, animated=False)),
    (MediaRef("example.org", "ID"), None),
    (MediaRef("elsewhere.org", "id"), None),
)
"""Keys of which none is another."""


def key(number: int) -> LibraryKey:
    """Return the key of one of many media."""
    return MediaRef("example.org", f"media-{number}"), None


def copy(
    data: bytes, *, public: bool = False, validated: float = 0.0, header: str | None = "image/png"
) -> StoredCopy:
    """Return a copy of these bytes; `header` is what all its headers say."""
    return StoredCopy(
        data=data,
        sha256=hashlib.sha256(data).digest(),
        content_type=header,
        content_disposition=header,
        etag=None if header is None else header[:256],
        public=public,
        validated=validated,
    )
