"""Whether an engine saw all of what it calls clean: asked of each such blob, off the event loop.

It looks for what clamd, or who has clamd behind it, cuts or skips in silence, by `walk`. The bytes are
unpacked, so this costs about a fifth of what clamd's own scan of an archive does, and next to
nothing for other files. Whoever cancels waits for the piece in hand, no longer.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from ostiary.blob import Blob
from ostiary.blocking import to_its_end
from ostiary.engines.unpacking.account import Account, Bounds
from ostiary.engines.unpacking.archive import DISAGREE, Cut
from ostiary.engines.unpacking.walk import Walker, plain
from ostiary.errors import EngineError
from ostiary.model import Cause, Unscannable
from ostiary.wire import zip_records as wire

CHUNK: Final = 1 << 18
"""Bytes of a spooled blob read at a time."""

AT_ONCE: Final = 1 << 16
"""Bytes that are looked through on the event loop, some 50 us, if nothing in them is an archive."""


class _Stopped(Exception):  # noqa: N818  (no error: nobody waits any more)
    """The caller went away."""


class Examiner:
    """Looks through blobs in threads of its own, so many at a time."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="unpacking")

    async def unseen(self, blob: Blob, bounds: Bounds) -> Unscannable | None:
        """Return what of the blob a clamd of such bounds does not see; None if it sees all."""
        size = blob.size
        if size > min(bounds.file_size, bounds.scan_size):
            return Unscannable(Cause.LIMIT, f"clamd scans no more than {bounds.file_size} bytes of a file")
        if blob.data is not None and size <= AT_ONCE and plain(blob.data):
            return None
        stop = threading.Event()
        try:
            job = asyncio.get_running_loop().run_in_executor(self._pool, _walk, blob, bounds, stop)
        except RuntimeError:
            raise EngineError("is closed") from None
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            stop.set()  # the blob is its caller's, who closes it once we are gone
            with suppress(Exception):
                await to_its_end(job)
            raise

    def close(self) -> None:
        """End the threads after what they have in hand."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _walk(blob: Blob, bounds: Bounds, stop: threading.Event) -> Unscannable | None:
    def going_on() -> None:
        if stop.is_set():
            raise _Stopped

    try:
        account = Account(bounds, going_on)
        account.add_bytes(blob.size)
        walker = Walker(account)
        for offset in range(0, blob.size, CHUNK):
            going_on()
            chunk = blob.read(offset, CHUNK)
            if len(chunk) < min(CHUNK, blob.size - offset):
                raise EngineError("could not read all of the spooled bytes")
            walker.feed(chunk)
        walker.finish()
        _check_last_end(blob, walker)
    except Cut as cut:
        return Unscannable(cut.cause, f"clamd: {cut.detail}")
    except _Stopped:
        return Unscannable(Cause.ERROR, "nobody waits for it")
    return None


def _check_last_end(blob: Blob, walker: Walker) -> None:
    """Refuse a file whose directory, looked for from its end, was taken for a member's bytes."""
    begin = max(0, blob.size - wire.COMMENT_LIMIT - wire.END_SIZE)
    tail = blob.read(begin, blob.size - begin)
    place = tail.rfind(wire.END)
    if place < 0:
        return
    if walker.zips.hidden(begin + place):
        raise Cut(Cause.LIMIT, DISAGREE)
    if len(tail) < place + wire.END_SIZE:
        return
    offset = wire.end(tail[place : place + wire.END_SIZE]).directory_offset
    if offset is not None and walker.zips.hidden(offset) and blob.read(offset, 4) == wire.ENTRY:
        raise Cut(Cause.LIMIT, DISAGREE)  # some unpackers do not care what stands before an archive
