"""The engine for images that look like known ones: PDQ hashes, compared with the operator's list.

Images are decoded in processes of ours that can be killed, up to `concurrency` of them; this process
never decodes a byte, and holds neither the list nor the libraries. What is no image is clean, for
it is none of this engine's business; an image that can't be decoded or compared as a whole is
unscannable, and what people see of it is compared all the same.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Final, TypeVar

import structlog

from ostiary.blob import Blob
from ostiary.blocking import run_blocking
from ostiary.engines.image_types import HEAD, is_surely_image, may_be_image
from ostiary.engines.interface import Sample, Specimens, Statement
from ostiary.engines.perceptual.canary import random_image
from ostiary.engines.perceptual.process import Index, Process, open_list
from ostiary.engines.slots import Slots
from ostiary.engines.watched_files import WatchedFiles
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Cause, Clean, Finding, Unscannable

PACKAGES: Final = ("pdqhash", "Pillow", "pillow-heif", "numpy")
"""What the extra `perceptual` brings, and what a hash depends on."""

CANCEL_GRACE: Final = 0.2
"""Seconds that a cancelled look gets to end by itself: a new process costs more than most looks."""

T = TypeVar("T")

log = structlog.get_logger()


class PerceptualEngine:
    """Finds images within `distance` bits of one on the list at `path`; `timeout` is seconds an image."""

    def __init__(
        self, name: str, path: Path, *, distance: int = 31, concurrency: int = 2, timeout: float = 30.0
    ) -> None:
        self.name = name
        self._path = path
        self._distance = distance
        self._timeout = timeout
        self._slots = Slots(concurrency)
        self._concurrency = concurrency
        self._threads = ThreadPoolExecutor(concurrency + 1, thread_name_prefix=f"perceptual-{name}")
        self._watched = WatchedFiles(name, lambda: (path,), self._read, self._use)
        self._canary = random_image()
        self._libraries = ""
        self._index: Index | None = None
        self._idle: list[Process] = []
        self._busy: set[Process] = set()
        self._closed = False

    async def start(self) -> None:
        """Read the list and start the first process; ConfigError names what is missing or broken."""
        self._libraries = _libraries(self.name)
        await self._watched.start()
        try:
            with Blob.of(self._canary) as blob:
                await self._judged(blob, image=True, again=False)
        except EngineError as error:
            raise ConfigError(f"engine {self.name}: images can't be compared: {error}") from error

    async def version(self) -> str:
        """Return the libraries' versions, the distance and the digest of the list."""
        return self._version_of(self._current())

    async def versions(self) -> frozenset[str]:
        """Return the one version, none before the start and after the end."""
        try:
            return frozenset({self._version_of(self._current())})
        except EngineError:
            return frozenset()

    async def inspect(self, sample: Sample) -> Statement:
        """Compare the image; EngineError if that could not be done. Ends only when the look has."""
        blob, index = sample.blob, self._current()
        try:
            head = blob.read(0, HEAD) if blob.data is not None else await run_blocking(blob.read, 0, HEAD)
        except (OSError, ValueError) as error:
            raise EngineError(f"the bytes can't be read: {error}") from error
        if not may_be_image(sample.detected_type, sample.embedded, head):
            return Statement(Clean(), self._version_of(index))
        image = is_surely_image(sample.detected_type, head)
        return await self._judged(blob, image=image, again=sample.again)

    @property
    def directional(self) -> bool:
        """Whether uploads and downloads are different questions: no."""
        return False

    @property
    def specimens(self) -> Specimens | None:
        """An image of our own that the list is given beside what it holds."""
        return Specimens(self._canary, random_image)

    async def signed_at(self) -> float | None:
        """Return None: a list has no date."""
        return None

    async def close(self) -> None:
        """End every process; looks under way fail. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        await self._watched.close()
        for process in self._busy:
            process.kill()
        for _ in range(self._concurrency):
            await self._slots.acquire()
        for _ in range(self._concurrency):
            self._slots.release()  # who still waits is told that we are closed
        while self._idle:
            await run_blocking(self._idle.pop().end)
        await run_blocking(self._threads.shutdown)
        self._index = None

    def _current(self) -> Index:
        if self._index is None or self._closed:
            raise EngineError(f"the engine {self.name} is not running")
        return self._index

    def _version_of(self, index: Index) -> str:
        return f"{self._libraries} distance {self._distance} list {index.digest}"

    async def _read(self) -> Index:
        """Have a process of its own make the index of the list."""
        process = Process()
        return await self._in_thread(process, partial(self._indexed, process))

    def _indexed(self, process: Process) -> Index:
        descriptor = open_list(self._path)
        try:
            return process.make_index(descriptor, self._canary)
        except (ConfigError, EngineError) as error:
            raise ConfigError(f"{self._path}: {error}") from error
        except TimeoutError as error:
            raise ConfigError(f"{self._path}: reading it takes too long") from error
        finally:
            os.close(descriptor)
            process.end()

    def _use(self, index: Index) -> None:
        self._index = index
        log.info("list of images read", engine=self.name, entries=index.entries)

    async def _judged(self, blob: Blob, *, image: bool, again: bool) -> Statement:
        await self._slots.acquire(again=again)
        try:
            index = self._current()
            process = await self._process(index)
            try:
                self._current()  # closed meanwhile: `close` did not see this process
                job = partial(self._look, process, index, blob, image=image)
                return Statement(await self._in_thread(process, job), self._version_of(index))
            finally:
                await self._give_back(process)
        finally:
            self._slots.release()

    async def _process(self, index: Index) -> Process:
        """Take an idle process that has mapped just this index; end those that have another or died."""
        idle, self._idle = self._idle, []
        fit = [process for process in idle if process.index is index and process.alive]
        taken = fit.pop() if fit else Process()
        self._idle += fit
        for process in idle:
            if process is not taken and process not in fit:
                await run_blocking(process.end)
        return taken

    def _look(self, process: Process, index: Index, blob: Blob, *, image: bool) -> Finding:
        """Look at one image; blocks. What went wrong with a process ends it."""
        try:
            if process.index is None:
                process.load(index, self._distance)
            return process.judge(blob, self._timeout, image=image)
        except TimeoutError:
            process.end()
            return Unscannable(Cause.TIMEOUT, "an image that takes too long to decode")
        except BaseException:
            process.end()
            raise

    async def _in_thread(self, process: Process, job: Callable[[], T]) -> T:
        """Run the job in a thread, which has ended when this returns or raises."""
        self._busy.add(process)
        work = asyncio.get_running_loop().run_in_executor(self._threads, job)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            with suppress(asyncio.CancelledError):
                await asyncio.wait([work], timeout=CANCEL_GRACE)
            if not work.done():
                process.kill()
            while not work.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([work])
            work.exception()  # retrieved: nobody is left to hear of it
            raise
        finally:
            self._busy.remove(process)

    async def _give_back(self, process: Process) -> None:
        if process.alive and not self._closed:
            self._idle.append(process)
        else:
            await run_blocking(process.end)


def _libraries(engine: str) -> str:
    """Return the versions of what decodes and hashes; ConfigError says how to get what is missing."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {installed_version(package)}")
        except PackageNotFoundError:
            raise ConfigError(
                f"engine {engine}: {package} is missing: run `pip install 'ostiary[perceptual]'`, for which "
                "pdqhash needs a C++ compiler and Python's headers (Debian: g++ and python3-dev)"
            ) from None
    return " ".join(found)
