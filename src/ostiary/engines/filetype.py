"""File types: what the bytes are, whatever anybody declares. libmagic, off the event loop.

The detected type is shown to engines and judged by `ostiary.policy` against the operator's lists.
A libmagic handle may be used by one thread at a time, so each thread of the pool has its own.
"""

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from ostiary.blob import Blob
from ostiary.blocking import run_blocking
from ostiary.engines.libmagic import library

UNKNOWN: Final = "application/octet-stream"
"""What bytes of no detectable type are called; ciphertext looks like that."""

_TYPE: Final = re.compile(
    r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"
)  # RFC 6838, 4.2
_HEAD: Final = 36 << 10  # bytes that libmagic sees: an ISO image says so behind 32 KiB; more is slow on text


class TypeDetector:
    """Detects MIME types; owns its threads and their handles."""

    def __init__(self, threads: int = 2) -> None:
        self._library = library()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="filetype")
        self._local = threading.local()
        self._handles: list[int] = []

    async def detect(self, blob: Blob) -> str:
        """Return the MIME type of the bytes, lower case; UNKNOWN when libmagic can't say.

        The head is read before the thread starts, so the caller may be cancelled and close the
        blob at any time.
        """
        head = blob.data[:_HEAD] if blob.data is not None else await run_blocking(blob.read, 0, _HEAD)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._of, head)

    def close(self) -> None:
        """End the threads, after the few milliseconds that their last looks take, and free the handles."""
        self._pool.shutdown(cancel_futures=True)
        while self._handles:
            self._library.close(self._handles.pop())

    def _of(self, head: bytes) -> str:
        handle: int | None = getattr(self._local, "handle", None)
        if handle is None:
            handle = self._local.handle = self._library.handle()
            self._handles.append(handle)
        found = (self._library.mime_type(handle, head) or UNKNOWN).lower()
        return found if _TYPE.fullmatch(found) else UNKNOWN


def library_version() -> str:
    """Return libmagic's version, which is part of what a verdict depends on."""
    return f"libmagic {library().version / 100:.2f}"
