"""Rules and lists that are read again when their files change: within seconds, and never half.

Files are looked at by `stat` once a second, in a thread: polling sees what inotify does not (network
file systems, the links that a Kubernetes ConfigMap swaps) and can't overflow. What changed is read
once two looks in a row agree, and taken only if a third, after the reading, still does: an editor that
truncates and writes is waited for. What can't be read leaves the last good set in use, and says so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from math import inf
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog

from ostiary.background import Background
from ostiary.blocking import run_blocking
from ostiary.errors import ConfigError, OstiaryError

INTERVAL: Final = 1.0
"""Seconds between two looks: a change is read after one to two of them."""

RETRY: Final = 60.0
"""Seconds after which what can't be read is tried again though no file changed: the machine may have."""

RESTLESS: Final = 30.0
"""Seconds of change upon change after which that is said: nothing can be taken meanwhile."""

_TRIES: Final = 5  # at start, of a file that changes while it is read

Look = tuple[tuple[str | int, ...], ...]
"""What a look saw: of each file its path, device, inode, size, mtime and ctime (ns), or the error."""

T = TypeVar("T")

log = structlog.get_logger()


def look_at(files: Callable[[], Iterable[Path]]) -> Look:
    """Look at the files, links followed. Blocks, and never raises: what can't be seen is seen as that."""
    try:
        return tuple(_seen(files()))
    except (OSError, OstiaryError) as error:
        return ((str(error),),)


class WatchedFiles(Generic[T]):
    """Reads files at the start and after every change, and hands what they hold to `use`.

    `files` lists them, in a thread, and is asked at each look: a folder's files come and go. `read`
    reads and checks them off the event loop; a ConfigError (naming file and line) or OSError says that
    they can't be used. `close` cancels it, and it must leave nothing behind. `use` puts the new value
    in the old one's place, for good. A value that came too late is dropped without a word: what it
    holds must go with it, as by `weakref.finalize`.
    """

    def __init__(
        self,
        engine: str,
        files: Callable[[], Iterable[Path]],
        read: Callable[[], Awaitable[T]],
        use: Callable[[T], None],
    ) -> None:
        self._engine = engine
        self._files = files
        self._read = read
        self._use = use
        self._used: Look | None = None
        self._refused: Look | None = None
        self._refused_at = -inf
        self._fault: str | None = None
        self._background = Background()

    @property
    def fault(self) -> str | None:
        """Why the files as they are now are not in use; None while they are."""
        return self._fault

    async def start(self) -> None:
        """Read the files and watch them from now on; ConfigError if they can't be used."""
        for _ in range(_TRIES):
            seen = await self._look()
            fault = await self._taken(seen)
            if seen == self._used:
                self._background.start(self._watch())
                return
            if fault is not None:
                raise ConfigError(fault)
            await asyncio.sleep(INTERVAL)
        raise ConfigError(f"engine {self._engine}: its files change while they are read, again and again")

    async def close(self) -> None:
        """Watch no longer; a reading under way is cancelled. Safe to call twice."""
        await self._background.end()

    async def _look(self) -> Look:
        return await run_blocking(look_at, self._files)

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        before, settled = self._used, clock()
        while True:
            await asyncio.sleep(INTERVAL)
            seen = await self._look()
            if seen == before and await self._settled(seen):
                settled = clock()
            elif clock() - settled > RESTLESS:
                self._blame("the files change faster than they can be read", self._refused)
            before = seen

    async def _settled(self, seen: Look) -> bool:
        """See to it that the files count as they are; False where they changed meanwhile."""
        now = asyncio.get_running_loop().time()
        if seen != self._used and (seen != self._refused or now - self._refused_at > RETRY):
            fault = await self._taken(seen)
            if fault is not None:
                self._blame(fault, seen)
                self._refused_at = now
            elif seen == self._used:
                log.info("changed files were read", engine=self._engine)
        if seen == self._used and self._fault is not None:
            self._fault = None
            log.info("the files can be used again", engine=self._engine)
        return seen in {self._used, self._refused}

    async def _taken(self, seen: Look) -> str | None:
        """Read the files and use what they hold; return what is wrong with them.

        Neither is the case where they are not any more what was seen.
        """
        try:
            value = await self._read()
        except (OSError, OstiaryError) as error:
            return str(error) if await self._look() == seen else None
        except Exception as error:
            log.exception("bug while files were read", engine=self._engine)
            return f"a bug of ours: {type(error).__name__}"
        if await self._look() == seen:
            self._use(value)
            self._used = seen
        return None

    def _blame(self, fault: str, seen: Look | None) -> None:
        """Say what is wrong, once for each change."""
        if (fault, seen) != (self._fault, self._refused):
            log.warning("files can't be used: the last good ones count", engine=self._engine, fault=fault)
        self._fault, self._refused = fault, seen


def _seen(files: Iterable[Path]) -> Iterator[tuple[str | int, ...]]:
    for file in files:
        try:
            found = file.stat()
        except OSError as error:
            yield str(file), str(error.strerror)
        else:
            yield (
                str(file),
                found.st_dev,
                found.st_ino,
                found.st_size,
                found.st_mtime_ns,
                found.st_ctime_ns,
            )
