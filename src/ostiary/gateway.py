"""THE FLOW: from a request for media to a verdict and the very bytes that it speaks of.

One plain function, `media`, in the order that makes it safe: fetch with the caller's own token,
check the ciphertext's hash before decrypting it, inspect, judge, and only then let go of bytes.
Whatever it holds (room in the budgets, blobs) is let go when the caller is done with the outcome.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from ostiary import policy
from ostiary.blob import MEMORY_LIMIT, Blob, BlobWriter
from ostiary.blocking import run_blocking
from ostiary.budget import Budget, Spool
from ostiary.engines.filetype import UNKNOWN, TypeDetector
from ostiary.engines.interface import Sample
from ostiary.inspection import Station, inspect
from ostiary.matrix import attachment
from ostiary.matrix.content_disposition import filename_of
from ostiary.matrix.homeserver import Download, Homeserver
from ostiary.metrics import Metrics
from ostiary.model import (
    Cause,
    Clean,
    Declared,
    EncryptedFile,
    MediaRequest,
    Report,
    Result,
    Unscannable,
    Verdict,
    name_of,
)

log = structlog.get_logger()

_STEP: Final = 1 << 26  # room taken at a time for a body that is larger than announced and served anyhow

_NO_TYPE: Final = Report("file type", Unscannable(Cause.TIMEOUT, "its type was not found out in time"))


@dataclass(frozen=True, slots=True)
class Media:
    """What the homeserver gave: its bytes as they came, and what it says they are."""

    blob: Blob
    content_type: str | None
    content_disposition: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict, and the media it was given on; None where its bytes were not even fetched."""

    verdict: Verdict
    media: Media | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes that one media may have, and seconds that its whole inspection may take."""

    max_size: int
    timeout: float


class Gateway:
    """Puts the parts in their order; knows nothing of HTTP servers and responses."""

    def __init__(  # noqa: PLR0913  (the parts of the flow)
        self,
        *,
        homeserver: Homeserver,
        spool: Spool,
        detector: TypeDetector,
        stations: Sequence[Station],
        rules: policy.Rules,
        bounds: Bounds,
        metrics: Metrics,
        engine_copies: int = 0,
    ) -> None:
        self._homeserver = homeserver
        self._spool = spool
        self._detector = detector
        self._stations = tuple(stations)
        self._rules = rules
        self._bounds = bounds
        self._metrics = metrics
        self._engine_copies = engine_copies

    @asynccontextmanager
    async def media(self, request: MediaRequest) -> AsyncIterator[Outcome]:
        """Fetch, decrypt, inspect and judge the media; the outcome is good inside the context."""
        started = time.monotonic()
        async with AsyncExitStack() as held:
            media = await self._fetch(request, held)
            if media is None:
                verdict = policy.oversize(self.max_size, self._rules)
            else:
                verdict = await self._judge_media(media, request.encrypted, held)
            self.record(verdict, str(request.ref), started, encrypted=request.encrypted is not None)
            yield Outcome(verdict, media)

    async def judge(self, blob: Blob, declared: Declared) -> Verdict:
        """Inspect bytes in hand, whoever they are from, and judge them."""
        try:
            async with asyncio.timeout(self._bounds.timeout):
                detected_type = await self._detector.detect(blob)
        except TimeoutError:
            return policy.judge((_NO_TYPE,), UNKNOWN, declared, self._rules)
        if blob.size > self.max_size:
            reports: Sequence[Report] = (policy.too_large(self.max_size),)
        else:
            with self._metrics.scan_duration.time():
                reports = await inspect(Sample(blob, detected_type), self._stations, self._bounds.timeout)
        self._note_shadows(reports)
        verdict = policy.judge(reports, detected_type, declared, self._rules)
        if verdict.result is Result.INFECTED:
            self._metrics.infected.inc()
        return verdict

    async def judge_upload(self, file: Blob | None, key: EncryptedFile | None, declared: Declared) -> Verdict:
        """Judge a file that its sender has not uploaded yet; None stands for one that is too large."""
        if file is None:
            return policy.oversize(self.max_size, self._rules)
        if key is None:
            return await self.judge(file, declared)
        with await self.decrypt(file, key) as plaintext:
            return await self.judge(plaintext, Declared())

    async def decrypt(self, ciphertext: Blob, file: EncryptedFile) -> Blob:
        """Return the plaintext, which the caller closes; AttachmentError if the hash differs.

        The caller holds room for a second copy.
        """
        attachment.verify(file.sha256, ciphertext.sha256)
        decryptor = attachment.Decryptor(file.key, file.iv)
        large = ciphertext.size > MEMORY_LIMIT
        with self._spool.writer() as writer:
            async for chunk in ciphertext.chunks(MEMORY_LIMIT):
                plain = await run_blocking(decryptor.update, chunk) if large else decryptor.update(chunk)
                await writer.add(plain)
            return await writer.finish()

    @property
    def max_size(self) -> int:
        """Bytes that one media may have."""
        return self._bounds.max_size

    @property
    def memory(self) -> Budget:
        """The budget for bytes in memory."""
        return self._spool.memory

    def writer(self) -> BlobWriter:
        """Return a writer for a new blob; hold room for it first."""
        return self._spool.writer()

    def room(self, size: int, *, encrypted: bool) -> AbstractAsyncContextManager[None]:
        """Return a context that holds room for a media of at most `size` bytes, all the way."""
        return self._spool.room(size, 1 + encrypted + self._engine_copies)

    async def _fetch(self, request: MediaRequest, held: AsyncExitStack) -> Media | None:
        """Return the media, None where it is too large and nobody said `serve`."""
        limit = self.max_size
        serve = Cause.TOO_LARGE in self._rules.serve
        async with self._homeserver.media(request) as download:
            expected = limit if download.size is None else download.size
            if expected > limit and not serve:
                return None
            await held.enter_async_context(self.room(expected, encrypted=request.encrypted is not None))
            writer = held.enter_context(self._spool.writer())
            if not await self._receive(download, writer, expected, held if serve else None):
                return None
            blob = await writer.finish()
            held.callback(blob.close)
            return Media(blob, download.content_type, download.content_disposition)

    async def _receive(
        self, download: Download, writer: BlobWriter, room: int, more: AsyncExitStack | None
    ) -> bool:
        """Read the body into the writer; False where it outgrows its room and may not have `more`."""
        async for chunk in download.chunks():
            if writer.size + len(chunk) > room:
                if more is None:
                    return False
                await more.enter_async_context(self._spool.disk.share(_STEP))
                room += _STEP
            await writer.add(chunk)
        return True

    async def _judge_media(self, media: Media, file: EncryptedFile | None, held: AsyncExitStack) -> Verdict:
        if file is None:
            return await self.judge(
                media.blob, Declared(media.content_type, filename_of(media.content_disposition))
            )
        if media.blob.size > self.max_size:  # served unscanned: no use in decrypting it
            return policy.oversize(self.max_size, self._rules)
        plaintext = await self.decrypt(media.blob, file)
        held.callback(plaintext.close)
        return await self.judge(plaintext, Declared())

    def _note_shadows(self, reports: Sequence[Report]) -> None:
        """Count and log what engines found that don't decide: that is what they are there for."""
        for report in reports:
            if report.shadow and not isinstance(report.finding, Clean):
                kind = type(report.finding).__name__.lower()
                self._metrics.shadow_findings.labels(kind).inc()
                log.warning("shadow", engine=report.engine, finding=kind, name=name_of(report.finding))

    def record(self, verdict: Verdict, what: str, started: float, *, encrypted: bool) -> None:
        """Count the judgement and write its one log line; `started` is a time.monotonic().

        Of an `encrypted` file the line does not say what type it is.
        """
        self._metrics.scans.labels(verdict.result.value).inc()
        if verdict.result is Result.ERROR:
            self._metrics.errors.labels("engine").inc()
        if verdict.release and verdict.result is not Result.CLEAN:
            self._metrics.unscanned_served.inc()
        say = log.info if verdict.result is Result.CLEAN else log.warning
        why = {} if verdict.engine is None else {"engine": verdict.engine, "name": verdict.name}
        if verdict.name == policy.TYPE_RULE and not encrypted:
            why["type"] = verdict.detected_type
        milliseconds = round((time.monotonic() - started) * 1000, 1)
        say(verdict.result.value, media=what, served=verdict.release, ms=milliseconds, **why)
