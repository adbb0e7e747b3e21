"""Proof of scan, all the time: every engine must keep finding what it must find.

At start and every `proof.interval` each engine is asked about a known-bad and a known-good sample.
The dear samples (the bad one in an archive, in a document, and in a file of the size limit) come
after the first proof, on new signatures, and hourly, one engine at a time. What comes of it stands
in each engine's Trust. What an engine found before its trust ended, or under other signatures that
nothing else showed, is forgotten.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final

import structlog

from ostiary.background import Background
from ostiary.budget import Spool
from ostiary.currency import LiveVersions
from ostiary.engines.interface import Addressed, Engine, Sample, Specimens, Statement
from ostiary.errors import OstiaryError
from ostiary.inspection import Station
from ostiary.metrics import Metrics
from ostiary.proof import proved, reach
from ostiary.trust import Trust

HOURLY: Final = 3600.0
"""Seconds between the dear samples."""

SOON: Final = 2.0
"""Seconds after which an engine that is not trusted gets the next chance, at most."""

PATIENCE: Final = 10.0
"""Seconds that one of several addresses has for a proof."""

RECENT: Final = 5
"""Intervals for which a name of the bad sample is remembered."""

_LATER: Final = 20.0  # seconds until dear samples that got no answer, or no room, are tried again
_DAY: Final = 86400

log = structlog.get_logger()


class Wear(IntEnum):
    """How old an engine's signatures are: past half of what is allowed, or past it. Unknown is fresh."""

    FRESH = 0
    OLD = 1
    STALE = 2


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often proof is asked for, and how old signatures may be; seconds, None: as old as they like."""

    interval: float
    max_signature_age: float | None


class _At:
    """An engine at one of its addresses alone, as far as a proof asks it."""

    def __init__(self, engine: Engine, addressed: Addressed, place: str) -> None:
        self._engine = engine
        self._addressed = addressed
        self._place = place

    async def inspect(self, sample: Sample) -> Statement:
        """Ask that address."""
        return await self._addressed.inspect_at(self._place, sample)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (whatever an engine has)
        return getattr(self._engine, name)


def at(station: Station, place: str) -> Station:
    """Return the station of an engine with several addresses, such that one alone is asked."""
    engine = station.engine
    if not isinstance(engine, Addressed):
        raise TypeError("the engine has no addresses")
    return replace(station, engine=_At(engine, engine, place), timeout=min(station.timeout, PATIENCE))


class Prover:
    """Keeps one engine's Trust up to date. `specimens` None: it can't be proved, and is believed."""

    def __init__(
        self,
        station: Station,
        specimens: Specimens | None,
        schedule: Schedule,
        live: LiveVersions,
        metrics: Metrics,
    ) -> None:
        self.station = station
        self.signature_age: float | None = None
        self._specimens = specimens
        self._schedule = schedule
        self._live = live
        self._proofs = {result: metrics.proofs.labels(self.name, result) for result in ("passed", "failed")}
        self._canaries: dict[str | None, float] = {}  # names of the bad sample, and when each was heard
        self._signed: float | None = None
        self._versions: frozenset[str] = frozenset()
        self._refused: set[str] = set()
        engine = station.engine
        several = isinstance(engine, Addressed) and len(engine.places) > 1
        self._addressed = engine if several and isinstance(engine, Addressed) else None
        if self._addressed is not None and specimens is not None:
            self._addressed.require_vouching()
        self.wear = Wear.FRESH
        self.reach_due = float("-inf")

    @property
    def name(self) -> str:
        """The engine's name."""
        return self.station.engine.name

    @property
    def trust(self) -> Trust:
        """What comes of it."""
        return self.station.trust

    @property
    def gating(self) -> bool:
        """Whether the engine decides what is served."""
        return self.station.required and not self.station.shadow

    async def run(self) -> None:
        """Prove, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self.once()
            pause = self._schedule.interval * random.uniform(0.8, 1)  # noqa: S311  (replicas must not prove in step)
            due = loop.time() + pause
            while (left := due - loop.time()) > 0:
                await asyncio.sleep(min(left, SOON))
                if not self.trust.trusted:
                    break
                await self._prove_places(unvouched=True)

    async def once(self) -> None:
        """Prove once, and look at versions and dates."""
        if self._specimens is not None:
            await self._prove_places()
            await self._prove(self._specimens)
        await self._look()

    async def _prove_places(self, *, unvouched: bool = False) -> None:
        """Prove each of several addresses by itself, or those alone that nobody vouches for.

        One that answers wrongly is not asked until it proves itself, whatever becomes of the others: the only
        one that is left may be the one that finds nothing.
        """
        engine, specimens = self._addressed, self._specimens
        if engine is None or specimens is None:
            return
        places = engine.unvouched() if unvouched else engine.places
        async with asyncio.TaskGroup() as group:
            tasks = {place: group.create_task(proved(at(self.station, place), specimens)) for place in places}
        outcomes = {place: task.result() for place, task in tasks.items()}
        for place, outcome in outcomes.items():
            if not outcome.why:
                engine.vouch(place, good=True)
                self._refused.discard(place)
            elif outcome.wrong:
                self._refuse(engine, place, outcome.why)

    def _refuse(self, engine: Addressed, place: str, why: str) -> None:
        if place not in engine.unvouched():
            self._live.forget(self.name)  # what it called clean before
        engine.vouch(place, good=False)
        if place not in self._refused:
            log.error("address is not trusted", engine=self.name, address=place, reason=why)
            self._refused.add(place)

    async def _prove(self, specimens: Specimens) -> None:
        answers = self.trust.answers
        outcome = await proved(self.station, specimens)
        if outcome.timed_out and self.trust.answers > answers:
            log.info("no proof: the engine is busy", engine=self.name)  # it answered others meanwhile
            return
        self._proofs["failed" if outcome.why else "passed"].inc()
        if outcome.why:
            if self.trust.failed(outcome.why) and outcome.wrong:
                self._live.forget(self.name)
            return
        self.trust.passed()
        self._hear(outcome.found)

    def _hear(self, name: str | None) -> None:
        """Take another name of the bad sample for other signatures; several clamds may take turns."""
        now, recent = asyncio.get_running_loop().time(), RECENT * self._schedule.interval
        if self._canaries and now - self._canaries.get(name, float("-inf")) > recent:
            log.info("new epoch: the known-bad sample has another name", engine=self.name, name=name)
            self._live.forget(self.name)
            self.reach_due = float("-inf")
        self._canaries = {**self._canaries, name: now}

    async def _look(self) -> None:
        versions = await self.station.engine.versions()
        if versions and versions != self._versions:
            if self._versions:
                log.info("new epoch", engine=self.name, versions=sorted(versions))
                self.reach_due = float("-inf")
            self._versions = versions
        if versions:
            self._signed = await self.station.engine.signed_at()
        self.signature_age = None if self._signed is None else max(0.0, _now() - self._signed)
        self._note_age()

    def _note_age(self) -> None:
        wear = _wear(self.signature_age, self._schedule.max_signature_age)
        if wear > self.wear:
            say = log.error if wear is Wear.STALE else log.warning
            days = round((self.signature_age or 0) / _DAY, 1)
            say("old signatures: is their updater running?", engine=self.name, days=days, wear=wear.name)
        self.wear = wear

    def due(self, now: float) -> bool:
        """Say whether the dear samples are due, at this time of the loop."""
        dear = self._specimens is not None and self._specimens.unpacks
        return dear and self.trust.trusted and now >= self.reach_due

    async def prove_reach(self, spool: Spool, max_size: int, now: float) -> None:
        """Ask about the dear samples; a failure does not end trust but bounds it."""
        if self._specimens is None:
            return
        seen = await reach(self.station, self._specimens, spool, max_size)
        if seen is None:
            self.reach_due = now + _LATER
            return
        self.reach_due = now + HOURLY
        if self.trust.reaches(archives=seen.archives, largest=seen.largest):
            self._live.forget(self.name)


class Proofs:
    """The provers of all engines, and what `/ready` tells of them."""

    def __init__(self, provers: Sequence[Prover], spool: Spool, max_size: int) -> None:
        self.provers = tuple(provers)
        self._spool = spool
        self._max_size = max_size

    def start(self, background: Background, *, dear: bool = True) -> None:
        """Begin; `dear`: with the dear samples."""
        for prover in self.provers:
            background.start(prover.run())
        if dear:
            background.start(self._reaches())

    async def _reaches(self) -> None:
        """Ask about the dear samples of one engine at a time."""
        time: Callable[[], float] = asyncio.get_running_loop().time
        while True:
            for prover in self.provers:
                if prover.due(time()):
                    try:
                        await prover.prove_reach(self._spool, self._max_size, time())
                    except (OstiaryError, OSError) as error:
                        prover.reach_due = time() + _LATER
                        log.info("no large sample now", engine=prover.name, reason=str(error))
            await asyncio.sleep(SOON / 2)

    @property
    def settled(self) -> bool:
        """Whether the first proof of every engine that decides has ended."""
        return all(prover.trust.settled for prover in self.provers if prover.gating)

    @property
    def untrusted(self) -> tuple[str, ...]:
        """The engines that decide and are not trusted."""
        return tuple(one.name for one in self.provers if one.gating and not one.trust.trusted)

    @property
    def stale(self) -> tuple[str, ...]:
        """The engines that decide and whose signatures are too old."""
        return tuple(one.name for one in self.provers if one.gating and one.wear is Wear.STALE)


def _wear(age: float | None, most: float | None) -> Wear:
    if age is None or most is None or age <= most / 2:
        return Wear.FRESH
    return Wear.STALE if age > most else Wear.OLD


def _now() -> float:
    return datetime.now(UTC).timestamp()
