"""Whether an engine saw all of what it calls clean: asked of each such blob, off the event loop.

It looks for what clamd, or who has clamd behind it, cuts or skips in silence, by `walk`. The bytes are
unpacked, so this costs about a fifth of what clamd's own scan of an archive does, and next to
nothing for other files. Whoever cancels waits for the piece in hand, no longer; long walks
and short ones take turns.
"""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from ostiary.blob import Blob
from ostiary.blocking import to_its_end
from ostiary.engines.unpacking.account import Account, Bounds
from ostiary.engines.unpacking.archive import Cut
from ostiary.engines.unpacking.turns import Turns
from ostiary.engines.unpacking.walk import Walker, plain
from ostiary.errors import EngineError
from ostiary.model import Cause, Unscannable

CHUNK: Final = 1 << 18
"""Bytes of a spooled blob read at a time."""

AT_ONCE: Final = 1 << 16
"""Bytes that are looked through on the event loop, some 50 us, if nothing in them is an archive."""

WALKS: Final = 16
"""Walks that are begun, for each that may work; each holds at most an xz decoder, rarely that much."""


class _Stopped(Exception):  # noqa: N818  (no error: nobody waits any more)
    """The caller went away."""


class Examiner:
    """Looks through blobs in threads of its own, so many at a time."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(WALKS, thread_name_prefix="unpacking")
        self._turns = Turns(threads)

    async def unseen(self, blob: Blob, bounds: Bounds) -> Unscannable | None:
        """Return what of the blob a clamd of such bounds does not see; None if it sees all."""
        size = blob.size
        if size > min(bounds.file_size, bounds.scan_size):
            return Unscannable(Cause.LIMIT, f"clamd scans no more than {bounds.file_size} bytes of a file")
        if blob.data is not None and size <= AT_ONCE and plain(blob.data):
            return None
        walk = _Walk(blob, bounds, self._turns)
        try:
            job = self._pool.submit(walk.run)
        except RuntimeError:
            raise EngineError("is closed") from None
        waiting = asyncio.wrap_future(job)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            walk.stop.set()  # the blob is its caller's, who closes it once we are gone
            if not job.cancel():  # it has begun
                with suppress(Exception):
                    await to_its_end(waiting)
            raise

    def close(self) -> None:
        """End the threads after what they have in hand."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Walk:
    """One blob's walk, in a thread."""

    def __init__(self, blob: Blob, bounds: Bounds, turns: Turns) -> None:
        self.stop = threading.Event()
        self._blob = blob
        self._bounds = bounds
        self._turns = turns
        self._until = 0.0

    def run(self) -> Unscannable | None:
        """Walk through the blob when it is its turn."""
        try:
            self._until = self._turns.take(self._check)
        except _Stopped:
            return Unscannable(Cause.ERROR, "nobody waits for it")
        try:
            self._walk()
        except Cut as cut:
            return Unscannable(cut.cause, f"clamd: {cut.detail}")
        except _Stopped:
            return Unscannable(Cause.ERROR, "nobody waits for it")
        finally:
            if self._until:
                self._turns.give()
        return None

    def _walk(self) -> None:
        blob = self._blob
        account = Account(self._bounds, self._going_on)
        account.add_bytes(blob.size)
        walker = Walker(account)
        for offset in range(0, blob.size, CHUNK):
            self._going_on()
            chunk = blob.read(offset, CHUNK)
            if len(chunk) < min(CHUNK, blob.size - offset):
                raise EngineError("could not read all of the spooled bytes")
            walker.feed(chunk)
        walker.finish()

    def _check(self) -> None:
        if self.stop.is_set():
            raise _Stopped

    def _going_on(self) -> None:
        """End the walk if nobody waits for it; let others have a turn after a while."""
        self._check()
        if self._turns.wanted() and time.monotonic() > self._until:
            self._turns.give()
            self._until = 0.0  # no turn is held
            self._until = self._turns.take(self._check)
