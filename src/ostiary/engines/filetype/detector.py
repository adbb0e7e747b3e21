"""File types: what the bytes are, whatever anybody declares. libmagic and our own looks, off the event loop.

The detected types are shown to engines and judged by `ostiary.policy` against the operator's lists.
The looks themselves are in `ostiary.file_types`; here are the threads and the reading. A libmagic
handle may be used by one thread at a time, so each thread of the pool has its own.
"""

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from ostiary.blob import Blob
from ostiary.blocking import to_its_end
from ostiary.engines.filetype.libmagic import library
from ostiary.file_types.look import RULES, UNKNOWN, FileType, look
from ostiary.file_types.view import HEAD, View

__all__ = ["UNKNOWN", "FileType", "TypeDetector", "library_version"]

_TYPE: Final = re.compile(
    r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"
)  # RFC 6838, 4.2


class TypeDetector:
    """Detects MIME types; owns its threads and their handles."""

    def __init__(self, threads: int = 2) -> None:
        self._library = library()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="filetype")
        self._local = threading.local()
        self._handles: list[int] = []

    async def detect(self, blob: Blob) -> FileType:
        """Return what the bytes are, and what else lies in them; UNKNOWN when nobody can say.

        The caller may be cancelled and close the blob at any time: bytes in memory stay, and a
        look at a file is waited for.
        """
        loop = asyncio.get_running_loop()
        if blob.data is not None:
            return await loop.run_in_executor(self._pool, self._of, View.of(blob.data))
        view = View(blob.size, blob.read)
        return await to_its_end(loop.run_in_executor(self._pool, self._of, view))

    def close(self) -> None:
        """End the threads, after the few milliseconds that their last looks take, and free the handles."""
        self._pool.shutdown(cancel_futures=True)
        while self._handles:
            self._library.close(self._handles.pop())

    def _of(self, view: View) -> FileType:
        handle: int | None = getattr(self._local, "handle", None)
        if handle is None:
            handle = self._local.handle = self._library.handle()
            self._handles.append(handle)
        guess = (self._library.mime_type(handle, view.piece(0, HEAD)) or UNKNOWN).lower()
        return look(guess if _TYPE.fullmatch(guess) else UNKNOWN, view)


def library_version() -> str:
    """Return what decides about types, a part of what a verdict depends on."""
    return f"libmagic {library().version / 100:.2f}, rules {RULES}"
