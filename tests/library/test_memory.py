"""The library in memory: within its bytes, headers and all."""

import os
import sys

import pytest

from ostiary.library.memory import MemoryLibrary
from tests.library.libraries import copy, key

CAPACITY = 1 << 20


@pytest.mark.parametrize("size", [0, 100, 50_000])
@pytest.mark.parametrize("header", [None, "x" * 2000, "\U0001f600" * 2000])
def test_bytes_in_use_are_all_bytes(size: int, header: str | None) -> None:
    """Data, headers and keys of what it holds are never more than it says, nor than it may take."""
    library = MemoryLibrary(CAPACITY, CAPACITY)
    for number in range(1500):
        header_of_its_own = None if header is None else header + str(number)
        library.put(key(number), copy(os.urandom(size), header=header_of_its_own))
        assert library.used <= CAPACITY
    held = [one for number in range(1500) if (one := library.get(key(number))) is not None]
    assert len(held) == len(library) > 5
    texts = [text for one in held for text in (one.content_type, one.content_disposition, one.etag) if text]
    objects: dict[int, object] = {id(thing): thing for one in held for thing in (one, one.data, one.sha256)}
    objects |= {id(text): text for text in texts}
    assert sum(map(sys.getsizeof, objects.values())) <= library.used


def test_copies_are_bounded_by_count() -> None:
    """However small they are, and however much room there is."""
    library = MemoryLibrary(CAPACITY, CAPACITY, most=10)
    for number in range(100):
        library.put(key(number), copy(b""))
    assert len(library) == 10


def test_eviction_gives_room_back() -> None:
    """What went is not counted."""
    library = MemoryLibrary(CAPACITY, CAPACITY)
    for number in range(10):
        library.put(key(number), copy(b"bad"))
        library.get(key(number % 3))
    library.evict(copy(b"bad").sha256, 1.0)
    assert (len(library), library.used) == (0, 0)


def test_the_largest_file_fits() -> None:
    """What the library says that it takes, it takes, whatever headers come with it."""
    library = MemoryLibrary(CAPACITY, CAPACITY * 2)
    assert library.largest < CAPACITY
    for number, header in enumerate((None, "image/png", "x" * 2048, "\U0001f600" * 2048)):
        library.put(key(number), copy(bytes(library.largest), header=header))
        assert library.get(key(number)) is not None


def test_bytes_are_not_copied() -> None:
    """The blob of a copy is its very bytes, and closing it leaves the copy whole."""
    stored = copy(b"data" * 1000)
    with stored.blob() as blob:
        assert blob.data is stored.data
        assert (blob.size, blob.sha256) == (4000, stored.sha256)
    with stored.blob() as again:
        assert again.data is stored.data


def test_a_copy_shows_no_bytes() -> None:
    """Neither the bytes nor their digest are in a repr, which logs and tracebacks show."""
    stored = copy(b"secret bytes")
    assert "secret" not in repr(stored)
    assert repr(stored.sha256) not in repr(stored)
