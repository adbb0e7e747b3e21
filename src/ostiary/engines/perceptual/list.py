"""A list of PDQ hashes: from the operator's text to the index that the scan processes map.

The text: on each line 64 hexadecimal digits, in either case, and perhaps a name; blank lines, and
what stands behind a `#` at the start of a line or after white space, count for nothing. The index is
made in a process of its own and shared by all scan processes through the page cache: a million
entries are in memory once, and never in the gateway's own. Pure: bytes in, bytes out; numpy is
imported here and not by the gateway.
"""

import hashlib
import re
import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

import numpy as np

HASH_BYTES: Final = 32
"""A PDQ hash has 256 bits."""

MOST_ENTRIES: Final = 5_000_000
"""Entries of a list; an image is compared with each: some 20 ms for a million."""

LONGEST_LINE: Final = 4096
"""Bytes of a line."""

LONGEST_NAME: Final = 200
"""Characters of a name."""

CANARY: Final = "Ostiary.Canary"
"""What the entry of the known-bad sample is called."""

_LINE: Final = re.compile(rb"([0-9A-Fa-f]{64})(?:(?=[ \t])(.*))?", re.DOTALL)
_COMMENT: Final = re.compile(rb"[ \t]+#")
_MAGIC: Final = b"ostiary PDQ\n\0\0\0\1"
_HEAD: Final = struct.Struct("=16sQ")
_BLOCK: Final = 1 << 15  # entries whose intermediate results fit into a processor's cache
_WORDS: Final = 4  # of 64 bits

Words: TypeAlias = "np.ndarray[tuple[int, int], np.dtype[np.uint64]]"


class ListError(Exception):
    """A list that can't be used; the text says which line is at fault, and does not repeat it."""


class ListBuilder:
    """Collects the lines of a list; `digest` is the SHA-256 of what was read so far."""

    def __init__(self) -> None:
        self._hashes = bytearray()
        self._lines = array("I")
        self._names = bytearray()
        self._ends = array("I")
        self._digest = hashlib.sha256()
        self._number = 0

    @property
    def entries(self) -> int:
        """How many hashes there are."""
        return len(self._lines)

    @property
    def digest(self) -> str:
        """What tells this list from others."""
        return self._digest.hexdigest()

    def add(self, line: bytes) -> None:
        """Take the next line; ListError if it is none of a list."""
        self._number += 1
        self._digest.update(line)
        if len(line) > LONGEST_LINE:
            raise ListError(f"line {self._number}: longer than {LONGEST_LINE} bytes")
        text = line.removeprefix(b"\xef\xbb\xbf") if self._number == 1 else line
        text = text.strip(b" \t\r\n")
        if not text or text.startswith(b"#"):
            return
        found = _LINE.fullmatch(text)
        if found is None:
            raise ListError(f"line {self._number}: expected 64 hexadecimal digits and maybe a name")
        if self.entries == MOST_ENTRIES:
            raise ListError(f"line {self._number}: more than {MOST_ENTRIES} entries")
        self._append(bytes.fromhex(found[1].decode()), self._name(found[2] or b""), self._number)

    def index(self, canary: bytes) -> Iterator[bytes]:
        """Yield the index piece by piece, with the canary's hash as its last entry."""
        self._append(canary, CANARY.encode(), 0)
        yield _HEAD.pack(_MAGIC, len(self._lines))
        rows = np.frombuffer(self._hashes, np.uint64).reshape(-1, _WORDS)
        for word in range(_WORDS):
            yield rows[:, word].tobytes()
        yield self._lines.tobytes()
        yield self._ends.tobytes()
        yield bytes(self._names)

    def _append(self, pdq: bytes, name: bytes, line: int) -> None:
        self._hashes += pdq
        self._names += name
        self._lines.append(line)
        self._ends.append(len(self._names))

    def _name(self, name: bytes) -> bytes:
        name = _COMMENT.split(name, maxsplit=1)[0].rstrip(b" \t")
        try:
            text = name.decode().lstrip(" \t")
        except UnicodeDecodeError:
            raise ListError(f"line {self._number}: the name is not UTF-8") from None
        if len(text) > LONGEST_NAME or not text.isprintable():
            raise ListError(f"line {self._number}: a name has up to {LONGEST_NAME} printable characters")
        return name.lstrip(b" \t")


@dataclass(frozen=True, slots=True)
class Match:
    """The nearest entry: its distance in bits, and what to call it."""

    distance: int
    name: str


class PdqIndex:
    """An index to search; `data` is what `ListBuilder.index` yielded, and stays borrowed."""

    def __init__(self, data: memoryview, distance: int) -> None:
        magic, count = _HEAD.unpack_from(data)
        if magic != _MAGIC:
            raise ValueError("no index of PDQ hashes")
        at = _HEAD.size
        self._columns: Words = np.frombuffer(data, np.uint64, _WORDS * count, at).reshape(_WORDS, count)
        at += HASH_BYTES * count
        self._lines = np.frombuffer(data, np.uint32, count, at)
        at += 4 * count
        self._ends = np.frombuffer(data, np.uint32, count, at)
        self._names = data[at + 4 * count :]
        self._distance = distance

    @classmethod
    def of(cls, lines: Iterable[bytes], canary: bytes, distance: int) -> Self:
        """Return the index of a list's lines."""
        builder = ListBuilder()
        for line in lines:
            builder.add(line)
        return cls(memoryview(b"".join(builder.index(canary))), distance)

    def nearest(self, hashes: Sequence[bytes]) -> Match | None:
        """Return the entry nearest to one of these hashes; None if none is near enough.

        Of several as near, the first one in the list counts.
        """
        queries: Words = np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, _WORDS)
        best = (self._distance + 1, 0)
        for start in range(0, self._columns.shape[1], _BLOCK):
            block = self._columns[:, start : start + _BLOCK]
            for query in queries:
                near = _distances(block, query)
                at = int(near.argmin())
                best = min(best, (int(near[at]), start + at))
        distance, entry = best
        return None if distance > self._distance else Match(distance, self._name(entry))

    def _name(self, entry: int) -> str:
        start = int(self._ends[entry - 1]) if entry else 0
        name = bytes(self._names[start : int(self._ends[entry])]).decode()
        return name or f"line {int(self._lines[entry])} of the list"


def _distances(
    block: Words, query: "np.ndarray[tuple[int], np.dtype[np.uint64]]"
) -> "np.ndarray[tuple[int], np.dtype[np.uint16]]":
    """Return by how many of the 256 bits each entry differs."""
    total = np.zeros(block.shape[1], np.uint16)  # 256 itself does not fit into the bytes of the counts
    for column, word in zip(block, query, strict=True):
        total += np.bitwise_count(column ^ word)
    return total
