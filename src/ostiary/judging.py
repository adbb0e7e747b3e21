"""From bytes in hand to evidence: known already, or found out by the engines now.

The same bytes are inspected once, however many callers hold a copy of them at the same time and
under whatever media ID. What is known counts while the engines that said it would still say it.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from ostiary import policy
from ostiary.blob import Blob
from ostiary.currency import LiveVersions
from ostiary.digests import Digests
from ostiary.engines.filetype.detector import UNKNOWN, FileType, TypeDetector
from ostiary.engines.interface import Sample
from ostiary.inflight import Once
from ostiary.inspection import Station, inspect
from ostiary.metrics import Metrics
from ostiary.model import Cause, Clean, Declared, Evidence, Infected, Report, Unscannable, Verdict, name_of
from ostiary.verdicts.interface import VerdictStore

log = structlog.get_logger()

HELD: Final = 60.0
"""Seconds that a timeout is held against the bytes: one archive bomb can't eat the engines."""

TRIES: Final = 2
"""Inspections of bytes whose engines get new signatures meanwhile; what is overtaken again is no verdict."""

_OVERTAKEN: Final = Report(
    "gateway", Unscannable(Cause.ERROR, "signatures changed while it was inspected"), keep=0
)
_NO_TYPE: Final = Report("file type", Unscannable(Cause.TIMEOUT, "its type was not found out in time"))


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes that one media may have, and seconds that its whole inspection may take."""

    max_size: int
    timeout: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of inspections: where, for how many seconds, under which digests.

    `clock` dates evidence, in seconds; it must be the one that the store goes by. `grace` is for how
    many seconds what was clean may serve on, once it no longer counts, while it is inspected again.
    """

    store: VerdictStore
    live: LiveVersions
    digests: Digests
    ttl: float
    clock: Callable[[], float]
    grace: float = 0.0


@dataclass(frozen=True, slots=True)
class _Visit:
    """Bytes to inspect: on their way in or not, for the first time or again."""

    blob: Blob
    upload: bool
    again: bool


class Judge:
    """Finds evidence on bytes, and turns it into verdicts by the operator's rules."""

    def __init__(
        self,
        *,
        detector: TypeDetector,
        stations: Sequence[Station],
        rules: policy.Rules,
        bounds: Bounds,
        memory: Memory,
        metrics: Metrics,
    ) -> None:
        self.rules = rules
        self.bounds = bounds
        self._detector = detector
        self._stations = tuple(stations)
        self._directional = any(station.engine.directional for station in stations)
        self._memory = memory
        self._metrics = metrics
        self._once: Once[bytes, Evidence] = Once()

    @property
    def digests(self) -> Digests:
        """The digests that evidence is remembered under."""
        return self._memory.digests

    def verdict(self, evidence: Evidence, declared: Declared) -> Verdict:
        """Judge the evidence for one request."""
        return policy.judge(
            evidence.reports, evidence.detected_type, declared, self.rules, embedded=evidence.embedded
        )

    def too_large(self) -> Evidence:
        """Return what stands for evidence on bytes that nobody looked at."""
        return Evidence((policy.too_large(self.bounds.max_size),), "", self._memory.clock())

    async def evidence(self, blob: Blob, *, upload: bool = False) -> tuple[Evidence, bool]:
        """Return the evidence on these bytes, and whether it was there without asking the engines.

        `upload`: they are on their way in, which some engines look at in another way.
        """
        way_in = upload and self._directional
        index = self.digests.content(blob.sha256, upload=way_in)
        known = await self._memory.store.get(index)
        if known is not None and await self.counts(known):
            return known, True
        visit = _Visit(blob, upload=way_in, again=known is not None)
        for _ in range(TRIES):
            evidence, inspected = await self._once.result(index, lambda: self._inspected(index, visit))
            if await self._memory.live.count_still(evidence):
                return evidence, not inspected
        return Evidence((_OVERTAKEN,), UNKNOWN, self._memory.clock()), False

    async def known(self, index: bytes) -> Evidence | None:
        """Return what is remembered under an index and still counts."""
        evidence = await self._memory.store.get(index)
        if evidence is None or not await self.counts(evidence):
            return None
        return evidence

    async def graced(self, index: bytes) -> Evidence | None:
        """Return what was clean until a moment ago, and may serve while it is inspected again."""
        if self._memory.grace <= 0:
            return None
        evidence = await self._memory.store.get(index)
        if evidence is None or not all(
            isinstance(report.finding, Clean) for report in evidence.reports if not report.shadow
        ):
            return None
        memory = self._memory
        overtaken = max(memory.live.overtaken_for(evidence), memory.clock() - evidence.until)
        return evidence if overtaken <= memory.grace else None

    async def counts(self, evidence: Evidence) -> bool:
        """Say whether the evidence still counts: not too old, and its engines would say the same."""
        return self._memory.clock() < evidence.until and await self._memory.live.count(evidence)

    async def remember(self, index: bytes, evidence: Evidence) -> None:
        """Keep the evidence under an index, if it is worth keeping.

        It is kept for longer than it counts: whoever comes again is known by it, and waits behind others.
        """
        memory = self._memory
        if evidence.until > evidence.made:
            await memory.store.put(index, evidence, memory.ttl + memory.grace)

    async def _inspected(self, index: bytes, visit: _Visit) -> Evidence:
        made = self._memory.clock()
        reports, found = await self._reports(visit)
        self._note(reports)
        until = made + worth_keeping(reports, self._memory.ttl)
        evidence = Evidence(tuple(reports), found.name, made, found.embedded, until=until)
        await self.remember(index, evidence)
        return evidence

    async def _reports(self, visit: _Visit) -> tuple[Sequence[Report], FileType]:
        blob = visit.blob
        loop = asyncio.get_running_loop()
        end = loop.time() + self.bounds.timeout
        try:
            async with asyncio.timeout_at(end):
                found = await self._detector.detect(blob)
        except TimeoutError:
            return (_NO_TYPE,), FileType(UNKNOWN)
        if blob.size > self.bounds.max_size:
            return (policy.too_large(self.bounds.max_size),), found
        with self._metrics.scan_duration.time():
            sample = Sample(blob, found.name, found.embedded, upload=visit.upload, again=visit.again)
            return await inspect(sample, self._stations, max(0.0, end - loop.time())), found

    def _note(self, reports: Sequence[Report]) -> None:
        """Count what was found; what engines found that don't decide is logged here, and only here."""
        if any(isinstance(report.finding, Infected) for report in reports if not report.shadow):
            self._metrics.infected.inc()
        for report in reports:
            if isinstance(report.finding, Unscannable) and not report.finding.cause.permanent:
                self._metrics.engine_errors.labels(report.engine, report.finding.cause.value).inc()
            if report.shadow and not isinstance(report.finding, Clean):
                kind = type(report.finding).__name__.lower()
                self._metrics.shadow_findings.labels(kind).inc()
                log.warning("shadow", engine=report.engine, finding=kind, name=name_of(report.finding))


def worth_keeping(reports: Sequence[Report], ttl: float) -> float:
    """Return for how many seconds evidence is kept: what was no engine's word is not, or not for long.

    A timeout is held against the bytes for a while, whatever else broke meanwhile. Where an engine
    that is not required was out of order, the others' word counts for as long, and then all are
    asked again.
    """
    counting = [report for report in reports if not report.shadow]
    spoken = [report for report in counting if _trouble(report) is None]
    ttl = min([ttl, *(report.keep for report in spoken)])
    if ttl <= 0 or len(spoken) == len(counting):
        return ttl
    timed_out = any(_trouble(report) is Cause.TIMEOUT for report in counting)
    dispensable = spoken and not any(report.required for report in counting if _trouble(report))
    return min(ttl, HELD) if timed_out or dispensable else 0.0


def _trouble(report: Report) -> Cause | None:
    """Return the temporary cause for which an engine did not get to say anything of the bytes."""
    finding = report.finding
    if isinstance(finding, Unscannable) and not finding.cause.permanent:
        return finding.cause
    return None
