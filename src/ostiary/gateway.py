"""THE FLOW: from a request for media to a verdict and the very bytes that it speaks of.

`media` is the way in, `_run` the way that bytes go: fetch with the caller's own token, check the
ciphertext's hash before decrypting it, inspect, judge, and only then let go of bytes. A stored copy
or somebody else's run answers only those whom the homeserver would have served. Whatever is held
(room in the budgets, blobs) is let go when the last caller is done with it.
"""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import structlog

from ostiary import policy
from ostiary.access import Access
from ostiary.blob import MEMORY_LIMIT, Blob, BlobWriter
from ostiary.blocking import run_blocking
from ostiary.budget import Room, Spool
from ostiary.fetching import Fetcher, Media
from ostiary.inflight import Flights, Renewals
from ostiary.judging import Judge
from ostiary.library.interface import LibraryKey
from ostiary.matrix import attachment
from ostiary.metrics import Metrics
from ostiary.model import Declared, EncryptedFile, Evidence, MediaRequest, Result, Verdict

log = structlog.get_logger()

FlightKey = tuple[LibraryKey, EncryptedFile | None, bool]
"""Media, key material, and whether there is a token: callers without one never join those with one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict, and the media it was given on; None where its bytes were not even fetched.

    `known`: no engine was asked, the verdict rests on what was found before or by somebody else.
    """

    verdict: Verdict
    media: Media | None
    known: bool = False


class Gateway:
    """Puts the parts in their order; knows nothing of HTTP servers and responses."""

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        spool: Spool,
        judge: Judge,
        access: Access,
        flights: Flights[FlightKey, Outcome],
        renewals: Renewals[bytes],
        metrics: Metrics,
    ) -> None:
        self._fetcher = fetcher
        self._spool = spool
        self._judge = judge
        self._access = access
        self._flights = flights
        self._renewals = renewals
        self._metrics = metrics

    @asynccontextmanager
    async def media(self, request: MediaRequest) -> AsyncIterator[Outcome]:
        """Give the media and the verdict on it; both are good inside the context."""
        started = time.monotonic()
        async with AsyncExitStack() as held:
            outcome = await self._stored(request, held) or await self._fresh(request, held)
            self.record(outcome, str(request.ref), started, encrypted=request.encrypted is not None)
            yield outcome

    async def _stored(self, request: MediaRequest, held: AsyncExitStack) -> Outcome | None:
        """Return a stored copy with a current verdict, for a caller who may have it; else None."""
        media = self._fetcher.stored(request)
        if media is None or not await self._access.vouches(request):
            return None
        index = self._index(media, request.encrypted)
        evidence = await self._judge.known(index)
        if evidence is None and request.encrypted is None and (evidence := await self._judge.graced(index)):
            self._renewals.start(index, lambda: self._renewed(media))
        if evidence is None:
            return None
        await held.enter_async_context(self._fetcher.lent(media))
        return Outcome(self._verdict(evidence, media, request.encrypted), media, known=True)

    async def _renewed(self, media: Media) -> None:
        """Inspect a stored copy again, behind all that nobody has seen yet."""
        async with self._fetcher.lent(media):
            await self._judge.evidence(media.blob)

    async def _fresh(self, request: MediaRequest, held: AsyncExitStack) -> Outcome:
        """Join the run for the same media where that is allowed, start one where there is none."""
        key = ((request.ref, request.thumbnail), request.encrypted, request.token is not None)
        shared = self._access.shares(request)
        if not shared or (key in self._flights and not await self._access.vouches(request)):
            return await held.enter_async_context(self._run(request))
        flight = self._flights.join(key, lambda: self._run(request))
        outcome, ours = await held.enter_async_context(flight)
        return outcome if ours else replace(outcome, known=True)

    @asynccontextmanager
    async def _run(self, request: MediaRequest) -> AsyncIterator[Outcome]:
        """Fetch, decrypt, inspect, judge, and keep what is clean."""
        async with AsyncExitStack() as held:
            media, room = await self._fetcher.fetch(request, held)
            if media is None:
                yield Outcome(policy.oversize(self.max_size, self._judge.rules), None)
                return
            evidence, known = await self._evidence(media, request.encrypted)
            room.shrink(media.blob.size, 1)
            verdict = self._verdict(evidence, media, request.encrypted)
            if verdict.result is Result.CLEAN:
                await self._fetcher.keep(request, media)
            yield Outcome(verdict, media, known)

    async def _evidence(self, media: Media, file: EncryptedFile | None) -> tuple[Evidence, bool]:
        """Return what the engines found in the plaintext, and whether they had found it before."""
        if file is None:
            return await self._judge.evidence(media.blob)
        index = self._index(media, file)
        known = await self._judge.known(index)
        if known is not None:
            return known, True
        if media.blob.size > self.max_size:  # served unscanned: no use in decrypting it
            return self._judge.too_large(), False
        with await self.decrypt(media.blob, file) as plaintext:
            evidence, known_before = await self._judge.evidence(plaintext)
        await self._judge.remember(index, evidence)
        return evidence, known_before

    def _index(self, media: Media, file: EncryptedFile | None) -> bytes:
        """Return what evidence on the plaintext is kept under; AttachmentError if the hash differs."""
        if file is None:
            return self._judge.digests.content(media.blob.sha256)
        attachment.verify(file.sha256, media.blob.sha256)
        return self._judge.digests.attachment(file.sha256, file.key, file.iv)

    def _verdict(self, evidence: Evidence, media: Media, file: EncryptedFile | None) -> Verdict:
        """Judge; of an encrypted file nobody but its sender says what it is."""
        return self._judge.verdict(evidence, media.declared if file is None else Declared())

    async def judge(self, blob: Blob, declared: Declared, *, upload: bool = False) -> Outcome:
        """Inspect bytes in hand, whoever they are from, and judge them. `upload`: on their way in."""
        evidence, known = await self._judge.evidence(blob, upload=upload)
        return Outcome(self._judge.verdict(evidence, declared), None, known)

    async def judge_upload(self, file: Blob | None, key: EncryptedFile | None, declared: Declared) -> Outcome:
        """Judge a file that its sender has not uploaded yet; None stands for one that is too large."""
        if file is None:
            return Outcome(policy.oversize(self.max_size, self._judge.rules), None)
        if key is None:
            return await self.judge(file, declared, upload=True)
        with await self.decrypt(file, key) as plaintext:
            return await self.judge(plaintext, Declared(), upload=True)

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
        return self._judge.bounds.max_size

    @property
    def pressed(self) -> bool:
        """Whether somebody waits for room: whoever holds some should not dawdle."""
        return bool(self._spool.memory.waiting or self._spool.disk.waiting)

    def writer(self) -> BlobWriter:
        """Return a writer for a new blob; hold room for it first."""
        return self._spool.writer()

    def room(self, size: int, *, encrypted: bool) -> Room:
        """Return a context that holds room for a media of at most `size` bytes, all the way."""
        return self._fetcher.room(size, encrypted=encrypted)

    def record(self, outcome: Outcome, what: str, started: float, *, encrypted: bool) -> None:
        """Count the judgement and write its one log line; `started` is a time.monotonic().

        Of an `encrypted` file the line does not say what type it is.
        """
        verdict = outcome.verdict
        self._metrics.count(verdict, known=outcome.known)
        if outcome.known:
            log.debug("cache hit", media=what, result=verdict.result.value)
            if verdict.result is Result.CLEAN:
                return
        say = log.info if verdict.result is Result.CLEAN else log.warning
        why = {} if verdict.engine is None else {"engine": verdict.engine, "name": verdict.name}
        if verdict.epoch is not None:
            why["epoch"] = verdict.epoch
        if verdict.name == policy.TYPE_RULE and not encrypted:
            why["type"] = verdict.detected_type
        if verdict.observed:
            why["observed"] = "it would have been refused"
        milliseconds = round((time.monotonic() - started) * 1000, 1)
        say(verdict.result.value, media=what, served=verdict.release, ms=milliseconds, **why)
