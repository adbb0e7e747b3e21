"""The hash list engine: files that are known by their SHA-256, from a list of the operator's.

The digest was taken while the bytes arrived, so there is nothing to scan: one look into an index on
disk, which a process of ours makes of the list at the start and whenever it changes. Our canary is an
entry among the others: whoever asks for it goes the way of every other digest.
"""

import hashlib
import os
from pathlib import Path
from typing import Final

import structlog

from ostiary.blocking import run_blocking
from ostiary.engines.hashlist.index import HashIndex
from ostiary.engines.hashlist.process import read_list
from ostiary.engines.interface import Sample, Specimens, Statement
from ostiary.engines.specimens import harmless
from ostiary.engines.watched_files import WatchedFiles
from ostiary.errors import EngineError
from ostiary.model import Clean, Infected
from ostiary.spool_directory import spool_directory

LISTED: Final = "Ostiary.Listed"
"""The signature of an entry without a name. Its digest would say which file somebody sent."""

log = structlog.get_logger()


class HashListEngine:
    """Finds what is on the list at `path`; the index lies in `temp_directory`, or where disks are."""

    def __init__(self, name: str, path: Path, *, temp_directory: Path) -> None:
        self.name = name
        self._path = path
        self._temp_directory = temp_directory
        self._canary = b"a known-bad sample " + os.urandom(32).hex().encode()
        self._index: HashIndex | None = None
        self._watched = WatchedFiles(name, lambda: [path], self._read, self._use)

    async def start(self) -> None:
        """Read the list and watch it from now on; ConfigError names the file and the line."""
        await self._watched.start()

    async def inspect(self, sample: Sample) -> Statement:
        """Look the digest up; EngineError if the index can't be read."""
        index = self._current()
        try:
            name = await index.name_of(sample.blob.sha256)
        except OSError as error:
            raise EngineError(f"the index of {self._path} can't be read: {error.strerror}") from error
        return Statement(Clean() if name is None else Infected(name or LISTED), _version_of(index))

    async def version(self) -> str:
        """Return the digest of all that is listed, in whatever order and under whatever names."""
        return _version_of(self._current())

    async def versions(self) -> frozenset[str]:
        """Return the one version, none before the start and after the end."""
        return frozenset() if self._index is None else frozenset({_version_of(self._index)})

    @property
    def directional(self) -> bool:
        """It does not: bytes are bytes."""
        return False

    @property
    def specimens(self) -> Specimens:
        """Bytes of this process, whose digest is in the index beside the list's."""
        return Specimens(self._canary, harmless)

    @property
    def fault(self) -> str | None:
        """What is wrong with the list as it is now, while an older one counts; None while it counts."""
        return self._watched.fault

    async def signed_at(self) -> float | None:
        """Return None: a list has no date."""
        return None

    async def close(self) -> None:
        """Let go of the index; a reading under way is ended. Safe to call twice."""
        await self._watched.close()
        self._index = None

    async def _read(self) -> HashIndex:
        directory = await run_blocking(spool_directory, self._temp_directory) or self._temp_directory
        return await read_list(self._path, directory, hashlib.sha256(self._canary).digest())

    def _use(self, index: HashIndex) -> None:
        log.info("hash list in use", engine=self.name, entries=index.count)
        self._index = index

    def _current(self) -> HashIndex:
        if self._index is None:
            raise EngineError("the hashlist engine is not running")
        return self._index


def _version_of(index: HashIndex) -> str:
    return f"sha256 list {index.version[:32]}"
