"""The process that makes an index of a hash list: it reads, sorts, writes and ends.

Sorting millions of digests would hold Python's global lock, and the gateway's event loop with it.
Memory stays bounded however long the list is: each batch is sorted and written out as a run, then
all runs are merged for one first byte after the other. It knows no settings and no secrets; the
list is its standard input, the answer, one JSON object, goes to its standard output.

The index holds the names, each with two bytes of length before it; the digests in order, without
doubles; for each digest where its name stands; and a table of how many digests begin with less than
each two bytes. Numbers are big-endian. `ostiary.engines.hashlist.index` reads it.
"""

import errno
import hashlib
import json
import os
import resource
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from typing import Final

from ostiary.core_dumps import forbid_core_dumps
from ostiary.engines.hashlist.lines import DIGEST, Batch, ListError, batches

ENTRIES_LIMIT: Final = 50_000_000
"""Entries in one list, doubles included."""

MEMORY_LIMIT: Final = 1 << 30
"""Bytes of address space: six times what a list of the full size takes, if its digests are SHA-256."""

FILE_SIZE_LIMIT: Final = 8 << 30
"""Bytes that the index or its runs may have."""

NAMELESS: Final = b"\xff" * 8
"""In the place of where a name stands. It sorts behind every name."""

CANARY: Final = "Ostiary.Canary"
"""The name of the entry that we add."""

_RECORD: Final = DIGEST + len(NAMELESS)
_KNOWN_NAMES: Final = 50_000  # that are written once only
_NICENESS: Final = 10  # requests go first

Reply = Mapping[str, str | int]


def main() -> None:
    """Read the list and say what came of it: `index` and `runs` are descriptors to write to."""
    os.nice(_NICENESS)
    forbid_core_dumps()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE_LIMIT, FILE_SIZE_LIMIT))
    index, runs, canary = sys.argv[1:]
    with os.fdopen(os.dup(0), "rb") as source:
        reply = make_index(batches(source.read), int(index), int(runs), bytes.fromhex(canary))
    os.write(1, json.dumps(reply).encode())


def make_index(entries: Iterable[Batch], index: int, runs: int, canary: bytes) -> Reply:
    """Write the index of all entries and the canary; the reply says where in it what stands, or `error`."""
    try:
        names, sorted_runs = Names(index), Runs(runs)
        sorted_runs.add(canary, (names.place(CANARY.encode()),))
        for batch in entries:
            sorted_runs.add(batch.digests, [names.place(name) for name in batch.names] or repeat(NAMELESS))
        names.flush()
        if sorted_runs.count == 1:
            return {"error": "holds no digest"}
        return _merge(sorted_runs, index, names.size, canary)
    except ListError as error:
        return {"error": str(error)}
    except OSError as error:
        return {"error": f"its index can't be made: {error.strerror}"}
    except MemoryError:
        return {"error": "takes too much memory: too many of its digests begin alike"}


class Names:
    """The names, at the start of the index."""

    def __init__(self, descriptor: int) -> None:
        self.size = 0
        self._descriptor = descriptor
        self._pending = bytearray()
        self._known: dict[bytes, bytes] = {b"": NAMELESS}

    def place(self, name: bytes) -> bytes:
        """Return where the name stands; it is written unless that was done not long ago."""
        place = self._known.get(name)
        if place is None:
            if len(self._known) > _KNOWN_NAMES:
                self._known = {b"": NAMELESS}
                self.flush()
            place = self._known[name] = struct.pack(">Q", self.size)
            self._pending += struct.pack(">H", len(name)) + name
            self.size += 2 + len(name)
        return place

    def flush(self) -> None:
        """Write what is not written yet."""
        write_at(self._descriptor, self._pending, self.size - len(self._pending))
        self._pending.clear()


class Runs:
    """Sorted runs of records (a digest, and where its name stands), in a file of their own."""

    def __init__(self, descriptor: int) -> None:
        self.count = 0
        self._descriptor = descriptor
        self._runs: list[array[int]] = []  # where in a run each first byte begins, and its end

    def add(self, digests: bytes, places: Iterable[bytes]) -> None:
        """Write one more run; ListError over the limit."""
        singles = [digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST)]
        records = sorted(map(bytes.__add__, singles, places))
        start = self.count * _RECORD
        starts = [start + _RECORD * bisect_left(records, bytes((first,))) for first in range(256)]
        self.count += len(records)
        if self.count > ENTRIES_LIMIT:
            raise ListError(f"holds more than {ENTRIES_LIMIT} digests")
        write_at(self._descriptor, b"".join(records), start)
        self._runs.append(array("Q", [*starts, self.count * _RECORD]))

    def beginning_with(self, first: int) -> list[bytes]:
        """Return all records with this first byte in order; of equal digests one, named if any is."""
        records: list[bytes] = []
        for starts in self._runs:
            start, end = starts[first], starts[first + 1]
            data = os.pread(self._descriptor, end - start, start)
            if len(data) != end - start:
                raise OSError(errno.EIO, "its runs became shorter")
            records += [data[at : at + _RECORD] for at in range(0, len(data), _RECORD)]
        records.sort()  # runs in a row are merged
        return list(_without_doubles(records))


def _without_doubles(records: Iterable[bytes]) -> Iterator[bytes]:
    before = b""
    for record in records:
        digest = record[:DIGEST]
        if digest != before:
            yield record
        before = digest


def _merge(runs: Runs, index: int, names_size: int, canary: bytes) -> Reply:
    """Write digests, places and table behind the names."""
    digests_at = names_size
    places_at = digests_at + runs.count * DIGEST
    version, count, table = hashlib.sha256(), 0, array("Q")
    for first in range(256):
        records = runs.beginning_with(first)
        table.extend(count + bisect_left(records, bytes((first, second))) for second in range(256))
        digests = [record[:DIGEST] for record in records]
        write_at(index, b"".join(digests), digests_at + count * DIGEST)
        write_at(index, b"".join([record[DIGEST:] for record in records]), places_at + count * len(NAMELESS))
        version.update(b"".join([digest for digest in digests if digest != canary]))
        count += len(records)
    table.append(count)
    if sys.byteorder == "little":
        table.byteswap()
    table_at = places_at + count * len(NAMELESS)
    write_at(index, table.tobytes(), table_at)
    where = {"digests_at": digests_at, "places_at": places_at, "table_at": table_at}
    return {**where, "count": count, "version": version.hexdigest()}


def write_at(descriptor: int, data: bytes | bytearray, offset: int) -> None:
    """Write all bytes."""
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            done += os.pwrite(descriptor, view[done:], offset + done)


if __name__ == "__main__":
    main()
