"""Conditional and range requests for media (RFC 9110, sections 13 and 14). Pure.

They are answered from bytes in hand, after access and judgement, and never passed on. What is not in
the grammar, or asks for several ranges, is ignored, as the RFC allows: the whole media is sent.
"""

import re
from dataclasses import dataclass
from typing import Final

_ETAG: Final = re.compile(r'(?:W/)?("[\x21\x23-\x7e]*")')
_ONE_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes from `start` up to `stop`, without the one there, of `size`."""

    start: int
    stop: int
    size: int

    @property
    def satisfiable(self) -> bool:
        """Whether there is such a byte at all."""
        return self.start < self.stop

    def __str__(self) -> str:
        """Return the value of Content-Range (RFC 9110, 14.4)."""
        return (
            f"bytes {self.start}-{self.stop - 1}/{self.size}" if self.satisfiable else f"bytes */{self.size}"
        )


def unchanged(if_none_match: str | None, etag: str) -> bool:
    """Say whether the caller has what we would send (If-None-Match, compared weakly)."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in _ETAG.findall(if_none_match)


def span(range_header: str | None, if_range: str | None, etag: str, size: int) -> Span | None:
    """Return the part that is asked for, None for all of it. Not `satisfiable`: 416."""
    found = _ONE_RANGE.fullmatch(range_header or "")
    if found is None or size == 0 or (if_range is not None and if_range.strip() != etag):
        return None  # If-Range needs the strong comparison, and we give no dates
    first, last = found.groups()
    if not first:
        return Span(max(0, size - int(last)), size, size) if last else None
    if last and int(last) < int(first):
        return None
    stop = min(int(last) + 1, size) if last else size
    return Span(int(first), stop, size)
