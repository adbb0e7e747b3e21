"""Blobs: immutable bytes with their digest, in memory or in an anonymous file."""

import asyncio
import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.blob import MEMORY_LIMIT, Blob, BlobWriter, anonymous_file
from ostiary.errors import OverloadedError
from tests.descriptors import open_descriptors


async def _blob(directory: Path, *chunks: bytes) -> Blob:
    with BlobWriter(directory) as writer:
        for chunk in chunks:
            await writer.add(chunk)
        return await writer.finish()


async def _all(blob: Blob, size: int) -> bytes:
    return b"".join([chunk async for chunk in blob.chunks(size)])


@pytest.mark.parametrize("size", [0, 1, *range(MEMORY_LIMIT - 1, MEMORY_LIMIT + 2), 3 * MEMORY_LIMIT + 7])
async def test_a_blob_holds_what_was_written(tmp_path: Path, size: int) -> None:
    """Whatever the size, the bytes, their number and their sha256 come out as they went in."""
    data = os.urandom(size)
    with await _blob(tmp_path, data) as blob:
        assert blob.size == size
        assert blob.sha256 == hashlib.sha256(data).digest()
        assert await _all(blob, 100_000) == data
        assert (blob.data is None) == (size > MEMORY_LIMIT)


@given(st.lists(st.binary(max_size=400_000), max_size=8))
async def test_the_cuts_between_chunks_do_not_matter(chunks: list[bytes]) -> None:
    """However the bytes are cut on their way in, the blob is the same."""
    whole = b"".join(chunks)
    with await _blob(Path("/var/tmp"), *chunks) as blob:  # noqa: S108
        assert blob.sha256 == hashlib.sha256(whole).digest()
        assert blob.read(0, len(whole) + 1) == whole


async def test_a_large_blob_has_no_name_and_lies_on_the_disk_it_was_given(tmp_path: Path) -> None:
    """A spooled blob is an unlinked file in the spool directory, not a memfd."""
    with await _blob(tmp_path, bytes(2 * MEMORY_LIMIT)) as blob:
        assert list(tmp_path.iterdir()) == []
        descriptor = blob.open_descriptor()
        status = os.fstat(descriptor)
        os.close(descriptor)
        assert status.st_nlink == 0
        assert status.st_dev == tmp_path.stat().st_dev


@pytest.mark.parametrize("size", [10, 2 * MEMORY_LIMIT])
async def test_nobody_can_write_to_a_blob(tmp_path: Path, size: int) -> None:
    """The descriptor that engines get is read-only, and each has an offset of its own."""
    with await _blob(tmp_path, bytes(size)) as blob:
        one, other = blob.open_descriptor(), blob.open_descriptor()
        try:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.write(one, b"changed")
            os.read(one, 5)
            assert len(os.read(other, size)) == size
        finally:
            os.close(one)
            os.close(other)


@pytest.mark.parametrize("size", [10, 2 * MEMORY_LIMIT])
async def test_a_closed_blob_is_empty_handed(tmp_path: Path, size: int) -> None:
    """After close there is nothing to read, nothing left open, and closing again does no harm."""
    before = open_descriptors()
    blob = await _blob(tmp_path, bytes(size))
    os.close(blob.open_descriptor())
    blob.close()
    blob.close()
    assert open_descriptors() == before
    with pytest.raises(ValueError, match="closed"):
        blob.read(0, 1)
    with pytest.raises(ValueError, match="closed"):
        blob.open_descriptor()


async def test_an_unfinished_blob_is_thrown_away(tmp_path: Path) -> None:
    """A writer that is left before it was finished keeps no file open."""
    before = open_descriptors()
    with BlobWriter(tmp_path) as writer:
        await writer.add(bytes(2 * MEMORY_LIMIT))
        assert open_descriptors() != before
    assert open_descriptors() == before


async def test_a_cancelled_writer_waits_for_its_thread(tmp_path: Path) -> None:
    """Cancelling during a spill never closes the file under the thread that writes to it."""
    before = open_descriptors()
    for _ in range(20):

        async def write() -> None:
            with BlobWriter(tmp_path) as writer:
                for _ in range(8):
                    await writer.add(bytes(2 * MEMORY_LIMIT))

        async with asyncio.TaskGroup() as group:
            task = group.create_task(write())
            await asyncio.sleep(0.001)
            task.cancel()
    assert open_descriptors() == before


async def test_a_file_that_became_shorter_is_an_error_not_an_end(tmp_path: Path) -> None:
    """A spooled file that loses bytes is never taken for a shorter media."""
    descriptor = anonymous_file(tmp_path)
    os.write(descriptor, b"only ten b")
    with (
        Blob(size=20, sha256=b"", data=None, descriptor=descriptor) as blob,
        pytest.raises(OSError, match="shorter"),
    ):
        await _all(blob, 5)


def test_a_blob_does_not_show_its_digest() -> None:
    """The repr of a blob says how long it is and not which file it is."""
    blob = Blob.of(b"secret")
    assert blob.sha256.hex() not in repr(blob)
    assert "6 bytes" in repr(blob)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
async def test_a_full_disk_is_being_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """No space left means "try again later"; any other fault of the disk is what it is. No file is left."""
    before = open_descriptors()

    def broken(descriptor: int, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", broken)
    with pytest.raises(OSError if number == errno.EIO else OverloadedError):
        await _blob(tmp_path, bytes(MEMORY_LIMIT + 1))
    monkeypatch.undo()
    assert open_descriptors() == before


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL])
async def test_without_anonymous_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """On a file system that has none (NFS) a file is made and unlinked at once: it has no name either."""
    real = os.open

    def without(path: str, flags: int, *more: int, **named: Any) -> int:  # noqa: ANN401  (as os.open has it)
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(number, os.strerror(number))
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", without)
    data = os.urandom(MEMORY_LIMIT + 1)
    with await _blob(tmp_path, data) as blob:
        assert list(tmp_path.iterdir()) == []
        assert await _all(blob, MEMORY_LIMIT) == data


@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 3000), st.integers(1, 1000))
async def test_parts_in_memory_are_what_python_cuts(size: int, start: int, stop: int, step: int) -> None:
    """From `start` up to `stop`, however long the blob is and in whatever steps it is read."""
    data = os.urandom(size)
    with Blob.of(data) as blob:
        assert b"".join([c async for c in blob.chunks(step, start=start, stop=stop)]) == data[start:stop]


@pytest.mark.parametrize("start", [0, 1, MEMORY_LIMIT, 2 * MEMORY_LIMIT, 3 * MEMORY_LIMIT])
@pytest.mark.parametrize("stop", [0, 1, MEMORY_LIMIT + 1, 2 * MEMORY_LIMIT, 3 * MEMORY_LIMIT, None])
async def test_parts_of_a_file_are_what_python_cuts(tmp_path: Path, start: int, stop: int | None) -> None:
    """The same from a file."""
    data = os.urandom(2 * MEMORY_LIMIT)
    with await _blob(tmp_path, data) as blob:
        assert b"".join([c async for c in blob.chunks(start=start, stop=stop)]) == data[start:stop]
