"""The operator's script, as the existing scanner runs it: `SCRIPT FILE`, judged by its exit code.

0 is clean, `scan.error_exit_codes` (2) "could not scan", anything else not clean. No shell, and
none of our own settings in its environment. The file lies in a folder of its own (0700, the file
0600), which goes away whatever happens: the script ends, crashes, is killed at the deadline, or
the caller is cancelled. Folders that a killed gateway left behind go at the next start.
"""

import asyncio
import fcntl
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from math import inf
from pathlib import Path
from typing import Final

import structlog

from ostiary.blob import Blob
from ostiary.blocking import run_blocking, to_its_end
from ostiary.engines.interface import Sample, Statement
from ostiary.engines.script.removal import PLAIN, installed, removal_words, remove
from ostiary.engines.slots import Slots
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Clean, Infected

log = structlog.get_logger()

_PREFIX: Final = "ostiary-script-"
_OUR_VARIABLES: Final = "OSTIARY_"  # settings given by environment, secrets among them
_COPY: Final = 1 << 20
_NAME: Final = "media"  # of the file that the script reads, in a folder of its own


class ScriptEngine:
    """Runs one script per sample, at most `concurrency` at a time."""

    def __init__(
        self,
        name: str,
        script: Path,
        *,
        temp_directory: Path,
        error_exit_codes: frozenset[int] = frozenset({2}),
        fleeting_exit_codes: frozenset[int] = frozenset(),
        concurrency: int = 4,
        removal_command: str = PLAIN,
    ) -> None:
        self.name = name
        self._script = script.absolute()  # a name without a slash would be looked for in PATH
        self._temp_directory = temp_directory.absolute()
        self._error_exit_codes = error_exit_codes
        self._fleeting_exit_codes = fleeting_exit_codes
        self._removal_command = removal_command
        self._removal: tuple[str, ...] = ()
        self._turns = Slots(concurrency)
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="script")
        self._home: Path | None = None
        self._lock: int | None = None

    async def start(self) -> None:
        """Make the folder that all samples go through; ConfigError if the script can't run."""
        if not os.access(self._script, os.X_OK) or not self._script.is_file():
            raise ConfigError(
                f"engine {self.name}: {self._script} is no executable file: check the path, and chmod +x"
            )
        self._removal = removal_words(self._removal_command)
        if not installed(self._removal):
            log.warning("scan.removal_command is not installed: files are removed without it")
            self._removal = ()
        try:
            await run_blocking(self._make_home)
        except OSError as error:
            raise ConfigError(
                f"scan.temp_directory: {self._temp_directory} can't be used: {error.strerror}"
            ) from None

    async def inspect(self, sample: Sample) -> Statement:
        """Run the script on a copy of the sample; EngineError if it could not scan."""
        version = await self.version()
        await self._turns.acquire(again=sample.again)
        try:
            async with self._file(sample.blob) as path:
                code = await self._run(path)
        finally:
            self._turns.release()
        if code < 0:
            raise EngineError(f"{self._script} was killed by signal {-code} ({signal.strsignal(-code)})")
        if code in self._error_exit_codes:
            raise EngineError(f"{self._script} exited with {code}: it could not scan the file")
        finding = Clean() if code == 0 else Infected(f"exit code {code}")
        return Statement(finding, version, keep=0 if code in self._fleeting_exit_codes else inf)

    async def version(self) -> str:
        """Return the script's path and when it was last changed (nanoseconds), in any way that shows."""
        try:
            found = await run_blocking(self._script.stat)
        except OSError as error:
            raise EngineError(f"{self._script}: {error.strerror}") from None
        return f"{self._script} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino} {found.st_size}"

    async def versions(self) -> frozenset[str]:
        """Return the one version, none where the script is gone."""
        try:
            return frozenset({await self.version()})
        except EngineError:
            return frozenset()

    @property
    def directional(self) -> bool:
        """It does not: bytes are bytes."""
        return False

    @property
    def specimens(self) -> None:
        """What must be found, only its author knows."""
        return

    async def signed_at(self) -> float | None:
        """Return None: a script does not tell."""
        return None

    async def close(self) -> None:
        """Remove the folder."""
        home, self._home = self._home, None
        if home is not None:
            await run_blocking(_remove_home, home)
        self._threads.shutdown(wait=False)
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
            await run_blocking(remove, folder, folder / _NAME, self._removal, _environment())

    async def _run(self, path: Path) -> int:
        """Return the exit code; neither the script nor what it started outlives a wait that is cut short."""
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as held:
            process = await to_its_end(loop.create_task(self._started(path, held)))
            await loop.run_in_executor(self._threads, _wait, process.pid)
        return process.wait()

    async def _started(self, path: Path, held: AsyncExitStack) -> subprocess.Popen[bytes]:
        try:
            process = await run_blocking(self._start, path)
        except OSError as error:
            raise EngineError(f"{self._script} can't be run: {error.strerror}") from error
        held.push_async_callback(_end, process)
        return process

    def _start(self, path: Path) -> subprocess.Popen[bytes]:
        """Start the script by execve, as `subprocess` does; uvloop would use execvp (libuv).

        What the kernel can't execute, that one hands to `/bin/sh`: an empty file, such as a script
        that is just being replaced, would end with 0, and that means clean.
        """
        nothing = subprocess.DEVNULL
        return subprocess.Popen(  # noqa: S603  (the operator's own script, no shell, one argument of ours)
            [self._script, path],
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
            env=_environment(),
            start_new_session=True,
        )

    def _make_home(self) -> None:
        for leftover in self._temp_directory.glob(f"{_PREFIX}*"):
            _remove_if_abandoned(leftover)
        while self._home is None:
            home = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._temp_directory))
            # Another gateway that starts in the same moment may take it for abandoned.
            with suppress(FileNotFoundError):
                lock = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                fcntl.flock(lock, fcntl.LOCK_EX)  # systemd-tmpfiles, too, leaves a locked folder alone
                if home.exists():
                    self._home, self._lock = home, lock
                else:
                    os.close(lock)


def _copy(blob: Blob, folder: Path) -> Path:
    """Copy the bytes to a file that only we and the script can read; it may do to it what it likes."""
    folder.mkdir(mode=0o700)
    path = folder / _NAME
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


def _environment() -> dict[str, str]:
    """Return our environment without our settings, which may hold secrets; the operator's own passes."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(_OUR_VARIABLES)}


def _wait(pid: int) -> None:
    """Wait until a child has ended, and leave its process ID taken: who kills it must not hit another."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


async def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the script if it still runs, with all that it started, and wait until it is gone."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await run_blocking(process.wait)


def _remove_home(home: Path) -> None:
    """Remove the folder of all folders: what is in it was left behind by a gateway that was killed."""
    remove(home, home / _NAME, (), {})


def _remove_if_abandoned(home: Path) -> None:
    """Remove a folder of ours whose gateway is gone: it would hold the lock otherwise."""
    try:
        lock = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        if os.fstat(lock).st_uid == os.geteuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_home(home)
    except BlockingIOError:
        return
    finally:
        os.close(lock)
