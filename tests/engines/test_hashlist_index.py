"""The index of a hash list: what was put in is found, nothing else, and memory stays bounded."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.blob import anonymous_file
from ostiary.engines.hashlist import index as hashlist_index
from ostiary.engines.hashlist import worker as hashlist_worker
from ostiary.engines.hashlist.index import HashIndex
from ostiary.engines.hashlist.lines import Batch
from ostiary.engines.hashlist.worker import Names, Reply, make_index
from tests.descriptors import open_descriptors
from tests.engines.watching import eventually

CANARY: Final = bytes(range(32))
HERE: Final = Path(tempfile.gettempdir())

digests = st.binary(min_size=32, max_size=32) | st.builds(
    lambda first, last: first + bytes(30 - len(first)) + last,  # digests that begin alike
    st.sampled_from([b"", b"\0\1", b"\xff\xff\xff"]),
    st.binary(min_size=2, max_size=2),
).map(lambda data: data.ljust(32, b"\0"))
entries = st.lists(
    st.lists(st.tuples(digests, st.sampled_from(["", "", "a", "b", "ü" * 200])), max_size=12), max_size=5
)


def batch(listed: Iterable[tuple[bytes, str]]) -> Batch:
    """Return the entries as the parser does: without names where none has one."""
    listed = list(listed)
    names = [name.encode() for _, name in listed]
    return Batch(b"".join([digest for digest, _ in listed]), names if any(names) else ())


def indexed(listed: Iterable[Batch]) -> HashIndex:
    """Return an index of the entries."""
    index, runs = anonymous_file(HERE), anonymous_file(HERE)
    try:
        return HashIndex(index, make_index(listed, index, runs, CANARY))
    finally:
        os.close(index)
        os.close(runs)


@given(entries, st.booleans(), st.booleans())
async def test_what_is_listed_is_found(
    listed: list[list[tuple[bytes, str]]],
    narrow: bool,  # noqa: FBT001
    cached: bool,  # noqa: FBT001
) -> None:
    """Every digest is found under a name that it has, also the canary; its neighbours are not."""
    before = open_descriptors()
    known: dict[bytes, set[str]] = {}
    for digest, name in [entry for entries in listed for entry in entries]:
        known.setdefault(digest, set()).add(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashlist_index, "_BLOCK", 2 if narrow else 2048)
        if not cached:
            patch.setattr(HashIndex, "_cached", _not_cached)
        if not known:
            with pytest.raises(KeyError, match="version"):
                indexed(map(batch, listed))
            return
        index = indexed(map(batch, listed))
        assert index.count == len(known)
        for digest, names in known.items():
            assert await index.name_of(digest) in (names - {""} or {""})
        assert await index.name_of(CANARY) == "Ostiary.Canary"
        for digest in known:
            number = int.from_bytes(digest, "big")
            for other in (number ^ 1, (number + 1) % (1 << 256), number ^ 1 << 255):
                near = other.to_bytes(32, "big")
                assert (await index.name_of(near) is None) == (near not in known and near != CANARY)
        del index
    await eventually(lambda: open_descriptors() == before)  # a thread lets go a moment after its answer


def _not_cached(_index: HashIndex, _size: int, _offset: int) -> bytes:
    raise BlockingIOError


@pytest.fixture
def null() -> Iterator[int]:
    """Return a descriptor that swallows everything."""
    descriptor = os.open("/dev/null", os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def test_the_version_is_that_of_the_digests() -> None:
    """Order, names and doubles don't count for the version, nor does the canary; each digest does."""
    a, b, c = (bytes([number]) * 32 for number in b"abc")
    versions = [
        indexed(listed).version
        for listed in (
            [batch([(a, ""), (b, "")])],
            [batch([(b, "name"), (a, "")])],
            [batch([(a, "")]), batch([(b, "x"), (a, "")])],
            [batch([(a, ""), (b, ""), (c, "")])],
            [batch([(a, "")])],
        )
    ]
    assert versions[0] == versions[1] == versions[2]
    assert len(set(versions)) == 3


def test_no_entries(null: int) -> None:
    """A list without a digest is an error: a failed download would otherwise empty it."""
    assert make_index([Batch(b"")], null, null, CANARY) == {"error": "holds no digest"}


def test_too_many_entries(null: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the limit is an error, doubles included."""
    monkeypatch.setattr(hashlist_worker, "ENTRIES_LIMIT", 3)
    reply = make_index([Batch(bytes(32 * 3))], null, null, CANARY)
    assert reply == {"error": "holds more than 3 digests"}


def test_no_room() -> None:
    """A full disk is said."""
    full = os.open("/dev/full", os.O_RDWR)
    try:
        reply = make_index([Batch(bytes(32))], full, full, CANARY)
    finally:
        os.close(full)
    assert reply == {"error": "its index can't be made: No space left on device"}


def test_runs_that_became_shorter(null: int) -> None:
    """What was written and can't be read back is an error, not a shorter list."""
    reply = make_index([Batch(bytes(32))], null, null, CANARY)
    assert "its runs became shorter" in str(reply["error"])


def test_no_memory(null: int) -> None:
    """Where memory does not suffice, that is said."""

    def listed(_: int) -> Batch:
        raise MemoryError

    assert "memory" in str(make_index(map(listed, [1]), null, null, CANARY)["error"])


def test_names_are_remembered_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that was written long ago is written again: memory stays bounded, and each place is right."""
    monkeypatch.setattr(hashlist_worker, "_KNOWN_NAMES", 3)
    descriptor = anonymous_file(HERE)
    try:
        names = Names(descriptor)
        wanted = [f"name {number % 5}".encode() for number in range(20)]
        places = [int.from_bytes(names.place(name), "big") for name in wanted]
        names.flush()
        assert len(names._known) <= 5
        assert [os.pread(descriptor, 6, place + 2) for place in places] == wanted
        assert names.size == os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


async def test_a_spoilt_index() -> None:
    """An index whose table makes no sense is refused; one that was cut fails, and finds nothing instead."""
    index, runs = anonymous_file(HERE), anonymous_file(HERE)
    try:
        reply: Reply = make_index([Batch(bytes(32) + b"\xff" * 32)], index, runs, CANARY)
        good = HashIndex(index, reply)
        for changed in ({"table_at": 0}, {"count": 5}, {"table_at": 1 << 40}):
            with pytest.raises((ValueError, OSError)):
                HashIndex(index, {**reply, **changed})
        with pytest.raises(LookupError):
            HashIndex(index, {})
        os.truncate(index, 10)
        with pytest.raises(OSError, match="shorter"):
            await good.name_of(bytes(32))
    finally:
        os.close(index)
        os.close(runs)
