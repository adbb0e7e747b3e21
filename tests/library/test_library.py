"""What every library does, whatever it keeps its copies in."""

import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.library.interface import Library, StoredCopy
from tests.library.libraries import LIBRARIES, VARIANTS, copy, key

CAPACITY = 1 << 20
LARGEST = 100_000

Make = Callable[[int, int], Library]


@pytest.fixture(params=LIBRARIES.values(), ids=[*LIBRARIES])
def make(request: pytest.FixtureRequest) -> Make:
    """Return how to make one."""
    made: Make = request.param
    return made


@pytest.mark.parametrize("data", [b"", b"x", os.urandom(LARGEST)], ids=len)
@pytest.mark.parametrize("header", [None, "image/png", "\u00e9\U0001f600" * 100])
@pytest.mark.parametrize("public", [True, False])
def test_a_copy_comes_back_as_it_went(make: Make, data: bytes, header: str | None, *, public: bool) -> None:
    """Bytes, digest, headers, whose it is and how old: all of it, as often as it is asked for."""
    library = make(CAPACITY, LARGEST)
    stored = copy(data, public=public, validated=12.5, header=header)
    library.put(VARIANTS[0], stored)
    for _ in range(2):
        assert library.get(VARIANTS[0]) == stored


def test_keys_do_not_meet(make: Make) -> None:
    """Server name, media ID in its case, and every part of a variant tell copies apart."""
    library = make(CAPACITY, LARGEST)
    for number, place in enumerate(VARIANTS):
        assert library.get(place) is None
        library.put(place, copy(bytes([number])))
    for number, place in enumerate(VARIANTS):
        found = library.get(place)
        assert found is not None
        assert found.data == bytes([number])


def test_the_newer_copy_counts(make: Make) -> None:
    """Put again it is in the older one's place, in every respect."""
    library = make(CAPACITY, LARGEST)
    for stored in (copy(b"old", public=True), copy(b"old", validated=1), copy(b"new", header=None)):
        library.put(VARIANTS[0], stored)
        assert library.get(VARIANTS[0]) == stored


def test_eviction_is_by_content(make: Make) -> None:
    """Every copy of those bytes goes, under whatever key, and no other."""
    library = make(CAPACITY, LARGEST)
    for place in VARIANTS[:3]:
        library.put(place, copy(b"bad"))
    for place in VARIANTS[3:]:
        library.put(place, copy(b"good"))
    library.get(VARIANTS[0])
    library.evict(copy(b"bad").sha256, 1.0)
    library.evict(copy(b"never seen").sha256, 1.0)
    assert [library.get(place) is None for place in VARIANTS] == [True] * 3 + [False] * 3


def test_what_was_evicted_does_not_come_back(make: Make) -> None:
    """A run that began before the homeserver had it no more brings nothing back; a later one may."""
    library = make(CAPACITY, LARGEST)
    library.evict(copy(b"bad").sha256, 5.0)
    for validated in (4.0, 5.0):
        library.put(VARIANTS[0], copy(b"bad", validated=validated))
        assert library.get(VARIANTS[0]) is None
    library.put(VARIANTS[0], copy(b"good", validated=4.0))
    assert library.get(VARIANTS[0]) is not None
    library.put(VARIANTS[1], copy(b"bad", validated=6.0))
    assert library.get(VARIANTS[1]) is not None


def test_what_is_larger_than_the_largest_is_not_taken(make: Make) -> None:
    """The largest size is exact."""
    library = make(CAPACITY, LARGEST)
    assert library.largest == LARGEST
    library.put(key(0), copy(bytes(LARGEST)))
    library.put(key(1), copy(bytes(LARGEST + 1)))
    assert library.get(key(0)) is not None
    assert library.get(key(1)) is None


@pytest.mark.parametrize("capacity", [0, 1, 100, 2000])
def test_the_smallest_libraries(make: Make, capacity: int) -> None:
    """Room for none holds none, and what is said to fit in an empty library does."""
    library = make(capacity, LARGEST)
    assert library.largest <= capacity
    library.put(key(0), copy(b""))
    library.put(key(1), copy(bytes(capacity + 1)))
    assert library.get(key(1)) is None
    if capacity < 1000:
        assert library.get(key(0)) is None


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), max_size=60))
def test_never_anything_old(puts: list[tuple[int, int]]) -> None:
    """Whatever is asked, put, evicted and pushed out: a key gives its last copy, or none."""
    for made in LIBRARIES.values():
        library = made(60_000, 20_000)
        last: dict[int, StoredCopy] = {}
        for number, content in puts:
            stored = copy(bytes([content]) * 4000 * (content + 1), validated=len(last))
            library.put(key(number), stored)
            last[number] = stored
            assert library.get(key(number)) == stored
            if content == 3:
                library.evict(stored.sha256, -1.0)
                last = {place: one for place, one in last.items() if one.sha256 != stored.sha256}
        for number in range(21):
            assert library.get(key(number)) in {None, last.get(number)}


def test_a_flood_does_not_wash_out_what_is_asked_for(make: Make) -> None:
    """A thousand files that nobody asks for twice leave the one that is in use where it is."""
    library = make(CAPACITY, LARGEST)
    hot = copy(b"hot" * 1000)
    library.put(key(0), hot)
    assert library.get(key(0)) == hot
    for number in range(1, 1000):
        library.put(key(number), copy(os.urandom(10_000)))
    assert library.get(key(0)) == hot
