"""Blob: the bytes of one media, immutable, with their sha256.

Up to 1 MiB lives in memory, more in an anonymous file on disk: unlinked from birth, so a crash
leaves nothing behind. The bytes that engines see and the bytes that are sent come from the same
Blob (principle 2 of the design). **Who makes a blob closes it**; engines and responses borrow it.
"""

import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Self

from ostiary.blocking import run_blocking
from ostiary.errors import OverloadedError

MEMORY_LIMIT: Final = 1 << 20
"""Bytes that a blob may hold in memory; a larger one is a file."""

CHUNK: Final = 1 << 18
"""Bytes read from a spooled blob at a time."""

_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_HASH_ON_LOOP: Final = 1 << 16  # sha256 of 64 KiB takes some 40 us; more goes to a thread


def anonymous_file(directory: Path) -> int:
    """Return the descriptor of a new, unlinked, readable and writable file, mode 0600."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}:
            raise
    descriptor, name = tempfile.mkstemp(dir=directory, prefix="ostiary-")  # no O_TMPFILE here (NFS)
    os.unlink(name)  # noqa: PTH108  (mkstemp gives a string)
    return descriptor


def _reopened(descriptor: int) -> int:
    """Return a read-only descriptor of the same file, with an offset of its own."""
    return os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)


def _sealed(data: bytes) -> int:
    """Return the descriptor of a memfd with these bytes, which nobody can change any more.

    A read-only descriptor of a memfd can be opened anew for writing, by an engine that was taken over
    too: the next engine would scan other bytes.
    """
    descriptor = os.memfd_create("ostiary", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        _write_all(descriptor, data)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _write_all(descriptor: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class Blob:
    """Immutable bytes: `size`, `sha256` (32 bytes), and ways to read them. Made by BlobWriter."""

    __slots__ = ("_data", "_descriptor", "sha256", "size")

    def __init__(self, *, size: int, sha256: bytes, data: bytes | None, descriptor: int | None) -> None:
        self.size = size
        self.sha256 = sha256
        self._data = data
        self._descriptor = descriptor

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Return a blob of a few bytes that are in memory anyhow."""
        return cls(size=len(data), sha256=hashlib.sha256(data).digest(), data=data, descriptor=None)

    @property
    def data(self) -> bytes | None:
        """All bytes, where they are in memory; None where they are a file."""
        return self._data

    def open_descriptor(self) -> int:
        """Return a new read-only descriptor at offset 0, which the caller closes."""
        if self._descriptor is None:
            if self._data is None:
                raise ValueError("the blob is closed")
            self._descriptor = _sealed(self._data)
        return _reopened(self._descriptor)

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`; blocks where the blob is a file."""
        if self._data is not None:
            return self._data[offset : offset + size]
        if self._descriptor is None:
            raise ValueError("the blob is closed")
        return os.pread(self._descriptor, size, offset)

    async def chunks(
        self, size: int = CHUNK, *, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield the bytes in order, all or those from `start` up to `stop`; off the event loop from a file.

        OSError if the file became shorter than it was: a short read must not look like the end.
        """
        stop = self.size if stop is None else min(stop, self.size)
        if self._data is not None:
            whole = (start, stop) == (0, self.size)
            if start < stop:
                yield self._data if whole else self._data[start:stop]
            return
        offset = start
        while offset < stop:
            chunk = await run_blocking(self.read, offset, min(size, stop - offset))
            if not chunk:
                raise OSError(errno.EIO, "a spooled file became shorter")
            offset += len(chunk)
            yield chunk

    def close(self) -> None:
        """Let go of the bytes. Safe to call twice."""
        descriptor, self._descriptor, self._data = self._descriptor, None, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        """Show the size alone: a digest would say which file somebody sent."""
        return f"<Blob of {self.size} bytes>"


class BlobWriter:
    """Collects bytes into a Blob, hashing them while they arrive.

    A context manager: what was not finished is thrown away on the way out.
    """

    __slots__ = ("_descriptor", "_digest", "_directory", "_pending", "size")

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._digest = hashlib.sha256()
        self._pending = bytearray()
        self._descriptor: int | None = None
        self.size = 0

    async def add(self, chunk: bytes) -> None:
        """Take the next bytes; OverloadedError when the disk is full."""
        self._pending += chunk
        self.size += len(chunk)
        if len(self._pending) > MEMORY_LIMIT:
            await run_blocking(self._spill)

    async def finish(self) -> Blob:
        """Return the blob, which the caller closes; the writer is empty afterwards."""
        if self._descriptor is not None:
            await run_blocking(self._spill)
            writable, self._descriptor = self._descriptor, None
            try:
                readable = _reopened(writable)  # nobody can write to it any more, us included
            finally:
                os.close(writable)
            return Blob(size=self.size, sha256=self._digest.digest(), data=None, descriptor=readable)
        data = bytes(self._pending)
        self._pending.clear()
        if len(data) > _HASH_ON_LOOP:
            await run_blocking(self._digest.update, data)
        else:
            self._digest.update(data)
        return Blob(size=self.size, sha256=self._digest.digest(), data=data, descriptor=None)

    def close(self) -> None:
        """Throw away what was not finished."""
        self._pending = bytearray()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _spill(self) -> None:
        try:
            if self._descriptor is None:
                self._descriptor = anonymous_file(self._directory)
            self._digest.update(self._pending)
            _write_all(self._descriptor, self._pending)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise OverloadedError("no space for spooled files") from None
            raise
        self._pending = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
