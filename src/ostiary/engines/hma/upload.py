"""One file as a form (RFC 7578), with its length told beforehand: HMA's servers take no chunks.

A file on disk is read piece by piece off the event loop, through a descriptor of its own: when a
request is cancelled, its last read may still be under way while the blob is closed.
"""

import os
import secrets
import weakref
from collections.abc import AsyncIterator
from typing import Final

from ostiary.blob import CHUNK, Blob
from ostiary.blocking import run_blocking
from ostiary.errors import EngineError


class Upload:
    """The body of a request that sends the blob in the form's `field`; EngineError if it can't be read."""

    def __init__(self, field: str, blob: Blob) -> None:
        boundary = secrets.token_hex(16)  # nobody can have put it into the file
        self._start = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="media"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        self._end = f"\r\n--{boundary}--\r\n".encode()
        self._source = blob.data if blob.data is not None else _File(blob)
        self.headers: Final = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self._start) + blob.size + len(self._end)),
        }

    def body(self) -> "bytes | AsyncIterator[bytes]":
        """Return the bytes, or what yields them."""
        if isinstance(self._source, bytes):
            return self._start + self._source + self._end
        return self._pieces(self._source)

    async def _pieces(self, file: "_File") -> AsyncIterator[bytes]:
        yield self._start
        offset = 0
        while offset < file.size:
            piece = await run_blocking(file.read, offset)
            if not piece:
                raise OSError("a spooled file became shorter")
            offset += len(piece)
            yield piece
        yield self._end


class _File:
    """A descriptor that is closed when neither the request nor a thread holds it any more."""

    def __init__(self, blob: Blob) -> None:
        try:
            self._descriptor = blob.open_descriptor()
        except (OSError, ValueError) as error:
            raise EngineError(f"the bytes can't be read: {error}") from error
        weakref.finalize(self, os.close, self._descriptor)
        self.size = blob.size

    def read(self, offset: int) -> bytes:
        """Return the next piece; blocks."""
        return os.pread(self._descriptor, min(CHUNK, self.size - offset), offset)
