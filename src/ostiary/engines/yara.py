"""The YARA-X engine: our built-in rules and the operator's own, in scan processes of ours.

Processes, since yara_x holds Python's global lock while it scans: see `yara_worker`. Each is used
by one thread of a small pool; they start when needed, up to `concurrency`. What is in a file is
handed over by descriptor and mapped there, never read into this process; files over LARGE are
scanned one at a time, so that memory stays bounded however many are in flight, and slow large files
never take every process from the small ones.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Final

import structlog

from ostiary.blob import Blob
from ostiary.blocking import run_blocking
from ostiary.engines.interface import Sample, Specimens, Statement
from ostiary.engines.yara_job import Job
from ostiary.engines.yara_process import CompiledRules, Process, compile_sources
from ostiary.engines.yara_sources import BUILTIN, read_sources
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Finding

LARGE: Final = 1 << 20
"""Bytes above which files are scanned one at a time."""

CANCEL_GRACE: Final = 0.2
"""Seconds that a cancelled scan gets to end by itself: a new process costs more than most scans."""

_YARA_X: Final = installed_version("yara-x")

log = structlog.get_logger()


class YaraEngine:
    """Scans with YARA rules: `rules` holds "builtin", files and folders; `timeout` is seconds a scan."""

    def __init__(
        self,
        name: str,
        rules: Sequence[str | Path] = (BUILTIN,),
        *,
        concurrency: int = 2,
        timeout: float = 30.0,
    ) -> None:
        self.name = name
        self._paths = tuple(rules)
        self._timeout = max(1, int(timeout))  # YARA-X counts whole seconds
        self._concurrency = concurrency
        self._turns = asyncio.Semaphore(concurrency)
        self._large = asyncio.Semaphore(1)
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix=f"yara-{name}")
        self._rules: CompiledRules | None = None
        self._idle: list[Process] = []
        self._jobs: set[Job] = set()
        self._closed = False

    async def start(self) -> None:
        """Compile the rules and start the first process; ConfigError names what is broken."""
        self._rules = await run_blocking(lambda: compile_sources(read_sources(self._paths)))
        for warning in self._rules.warnings:
            log.warning("doubtful YARA rule", engine=self.name, warning=warning)
        try:
            await self._scan(Blob.of(b""))
        except EngineError as error:
            raise ConfigError(f"the YARA rules can't be used: {error}") from error

    async def version(self) -> str:
        """Return YARA-X's version and the digest of the rules that decide."""
        return _version_of(self._current())

    async def versions(self) -> frozenset[str]:
        """Return the one version, none before the start and after the end."""
        try:
            return frozenset({_version_of(self._current())})
        except EngineError:
            return frozenset()

    async def inspect(self, sample: Sample) -> Statement:
        """Scan all bytes; EngineError if that could not be done. Ends only when the scan has."""
        return await self._scan(sample.blob)

    @property
    def specimens(self) -> Specimens | None:
        """A canary that the rules find."""
        return None

    async def signed_at(self) -> float | None:
        """Return None: rules have no date."""
        return None

    async def close(self) -> None:
        """End every process; scans under way fail. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        for job in self._jobs:
            job.stop()
        for _ in range(self._concurrency):
            await self._turns.acquire()
        for _ in range(self._concurrency):
            self._turns.release()  # who still waits is told that we are closed
        while self._idle:
            await run_blocking(self._idle.pop().end)
        await run_blocking(self._threads.shutdown)

    def _current(self) -> CompiledRules:
        if self._rules is None or self._closed:
            raise EngineError("the yara engine is not running")
        return self._rules

    @asynccontextmanager
    async def _turn(self, size: int) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if size > LARGE:
                await stack.enter_async_context(self._large)
            await stack.enter_async_context(self._turns)
            yield

    async def _scan(self, blob: Blob) -> Statement:
        async with self._turn(blob.size):
            rules = self._current()
            job = Job(rules, self._timeout, await self._idle_process(rules))
            self._jobs.add(job)
            try:
                self._current()  # closed meanwhile: `close` did not see this job
                return Statement(await self._finished(job, blob), _version_of(rules))
            finally:
                self._jobs.remove(job)
                await self._give_back(job)

    async def _idle_process(self, rules: CompiledRules) -> Process | None:
        """Take an idle process that holds just these rules; end those that hold others or have died."""
        while self._idle:
            process = self._idle.pop()
            if process.digest == rules.digest and process.alive:
                return process
            await run_blocking(process.end)
        return None

    async def _finished(self, job: Job, blob: Blob) -> Finding:
        """Run the job in a thread, which has ended when this returns or raises."""
        work = asyncio.get_running_loop().run_in_executor(self._threads, job.run, blob)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            with suppress(asyncio.CancelledError):
                await asyncio.wait([work], timeout=CANCEL_GRACE)
            if not work.done():
                job.stop()
            while not work.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([work])
            work.exception()  # retrieved: nobody is left to hear of it
            raise

    async def _give_back(self, job: Job) -> None:
        process = job.process
        if process is not None and self._closed:
            await run_blocking(process.end)
        elif process is not None:
            self._idle.append(process)


def _version_of(rules: CompiledRules) -> str:
    return f"yara-x {_YARA_X} rules {rules.digest}"
