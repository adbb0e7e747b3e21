"""The operator's script, as the existing scanner runs it: `SCRIPT FILE`, judged by its exit code.

0 is clean, `scan.error_exit_codes` (2) "could not scan", anything else not clean. No shell. The
file lies in a folder of its own (0700, the file 0600), which goes away whatever happens: the
script ends, crashes, is killed at the deadline, or the caller is cancelled. Folders that a killed
gateway left behind go at the next start.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from ostiary.blob import Blob
from ostiary.blocking import run_blocking
from ostiary.engines.interface import Sample
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Clean, Finding, Infected

_PREFIX: Final = "ostiary-script-"
_COPY: Final = 1 << 20


class ScriptEngine:
    """Runs one script per sample, at most `concurrency` at a time."""

    def __init__(
        self,
        name: str,
        script: Path,
        *,
        temp_directory: Path,
        error_exit_codes: frozenset[int] = frozenset({2}),
        concurrency: int = 4,
    ) -> None:
        self.name = name
        self._script = script
        self._temp_directory = temp_directory
        self._error_exit_codes = error_exit_codes
        self._turns = asyncio.Semaphore(concurrency)
        self._home: Path | None = None
        self._lock: int | None = None

    async def start(self) -> None:
        """Make the folder that all samples go through; ConfigError if the script can't run."""
        if not os.access(self._script, os.X_OK) or not self._script.is_file():
            raise ConfigError(
                f"scan.script: {self._script} is no executable file: check the path and chmod +x"
            )
        await run_blocking(self._make_home)

    async def inspect(self, sample: Sample) -> Finding:
        """Run the script on a copy of the sample; EngineError if it could not scan."""
        async with self._turns, self._file(sample.blob) as path:
            code = await self._run(path)
        if code == 0:
            return Clean()
        if code < 0:
            raise EngineError(f"{self._script} was killed by {signal.Signals(-code).name}")
        if code in self._error_exit_codes:
            raise EngineError(f"{self._script} exited with {code}: it could not scan the file")
        return Infected(f"exit code {code}")

    async def version(self) -> str:
        """Return the script's path and when it was last changed (nanoseconds)."""
        try:
            return f"{self._script} {self._script.stat().st_mtime_ns}"
        except OSError as error:
            raise EngineError(f"{self._script}: {error.strerror}") from None

    async def close(self) -> None:
        """Remove the folder."""
        home, self._home = self._home, None
        if home is not None:
            await run_blocking(shutil.rmtree, home, ignore_errors=True)
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    @asynccontextmanager
    async def _file(self, blob: Blob) -> AsyncIterator[Path]:
        if self._home is None:
            raise EngineError("the script engine is not running")
        folder = self._home / os.urandom(16).hex()
        try:
            yield await run_blocking(_copy, blob, folder)
        except OSError as error:
            raise EngineError(f"{folder}: {error.strerror}: is there space left?") from error
        finally:
            await run_blocking(shutil.rmtree, folder, ignore_errors=True)

    async def _run(self, path: Path) -> int:
        nothing = asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(
                self._script, path, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
            )
        except OSError as error:
            raise EngineError(f"{self._script} can't be run: {error.strerror}") from error
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # the script and what it started
                await asyncio.shield(process.wait())

    def _make_home(self) -> None:
        for leftover in self._temp_directory.glob(f"{_PREFIX}*"):
            _remove_if_abandoned(leftover)
        while self._home is None:
            home = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._temp_directory))
            lock = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)  # systemd-tmpfiles, too, leaves a locked folder alone
            if home.exists():
                self._home, self._lock = home, lock
            else:  # another gateway started in the same moment and took it for abandoned
                os.close(lock)


def _copy(blob: Blob, folder: Path) -> Path:
    """Copy the bytes to a file that only we and the script can read; it may do to it what it likes."""
    folder.mkdir(mode=0o700)
    path = folder / "media"
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if blob.data is not None:
            with os.fdopen(target, "wb", closefd=False) as file:
                file.write(blob.data)
            return path
        source = blob.open_descriptor()
        try:
            while os.sendfile(target, source, None, _COPY):
                pass
        finally:
            os.close(source)
        if os.fstat(target).st_size != blob.size:
            raise EngineError("the copy for the script came out short")
    finally:
        os.close(target)
    return path


def _remove_if_abandoned(home: Path) -> None:
    """Remove a folder of ours whose gateway is gone: it would hold the lock otherwise."""
    try:
        lock = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        if os.fstat(lock).st_uid == os.geteuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(home, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(lock)
