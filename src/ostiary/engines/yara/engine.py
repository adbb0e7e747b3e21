"""The YARA-X engine: our built-in rules and the operator's own, in scan processes of ours.

Processes, since yara_x holds Python's global lock while it scans: see `worker`. Each is used
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
from ostiary.engines.slots import Slots
from ostiary.engines.specimens import harmless
from ostiary.engines.watched_files import WatchedFiles
from ostiary.engines.yara.canary import Canary
from ostiary.engines.yara.compilation import compiled
from ostiary.engines.yara.job import Job
from ostiary.engines.yara.process import CompiledRules, Process
from ostiary.engines.yara.sources import BUILTIN, digest, read_sources, rule_files
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Clean, Finding

LARGE: Final = 1 << 20
"""Bytes above which files are scanned one at a time."""

CANCEL_GRACE: Final = 0.2
"""Seconds that a cancelled scan gets to end by itself: a new process costs more than most scans."""

_NOT_RUNNING: Final = "the yara engine is not running"
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
        self._turns = Slots(concurrency)
        self._large = Slots(1)
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix=f"yara-{name}")
        self._rules: CompiledRules | None = None
        self._idle: list[Process] = []
        self._jobs: set[Job] = set()
        self._closed = False
        self._canary = Canary()
        self._watched = WatchedFiles(name, lambda: rule_files(self._paths), self._read, self._use)

    async def start(self) -> None:
        """Compile the rules, start the first process, watch the files; ConfigError names what is broken."""
        await self._watched.start()

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
        return await self._scan(sample.blob, again=sample.again)

    @property
    def directional(self) -> bool:
        """It does not: bytes are bytes."""
        return False

    @property
    def specimens(self) -> Specimens:
        """Bytes in which the canary is found, a rule of ours beside the others."""
        return Specimens(self._canary.specimen, harmless)

    @property
    def fault(self) -> str | None:
        """What is wrong with the rules as they are now, while older ones count; None while they count."""
        return self._watched.fault

    async def signed_at(self) -> float | None:
        """Return None: rules have no date."""
        return None

    async def close(self) -> None:
        """End every process; scans under way fail. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        await self._watched.close()
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
            raise EngineError(_NOT_RUNNING)
        return self._rules

    async def _read(self) -> CompiledRules:
        """Return the rules as they are now, compiled and tried out in a process that is kept."""
        sources = await run_blocking(read_sources, self._paths)
        if self._rules is not None and self._rules.digest == await run_blocking(digest, sources):
            return self._rules
        rules = await compiled(sources, self._canary)
        try:
            finding = await self._judged(rules, Blob.of(self._canary.specimen))
        except EngineError as error:
            raise ConfigError(f"the YARA rules can't be used: {error}") from error
        if finding == Clean():
            raise ConfigError("the YARA rules can't be used: what they must find is not found")
        return rules

    def _use(self, rules: CompiledRules) -> None:
        if rules is not self._rules:
            for warning in rules.warnings:
                log.warning("doubtful YARA rule", engine=self.name, warning=warning)
        self._rules = rules

    @asynccontextmanager
    async def _turn(self, size: int, *, again: bool) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for slots in (self._large, self._turns) if size > LARGE else (self._turns,):
                await slots.acquire(again=again)
                stack.callback(slots.release)
            yield

    async def _scan(self, blob: Blob, *, again: bool) -> Statement:
        async with self._turn(blob.size, again=again):
            rules = self._current()
            return Statement(await self._judged(rules, blob), _version_of(rules))

    async def _judged(self, rules: CompiledRules, blob: Blob) -> Finding:
        job = Job(rules, self._timeout, await self._idle_process(rules))
        self._jobs.add(job)
        try:
            if self._closed:  # meanwhile: `close` did not see this job
                raise EngineError(_NOT_RUNNING)
            return await self._finished(job, blob)
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
