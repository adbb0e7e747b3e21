"""The clamd engine: signatures of ClamAV, asked over a Unix socket (FILDES) or TCP (INSTREAM).

On a Unix socket clamd gets a read-only descriptor of the very bytes that will be served, no copy.
Sessions (zIDSESSION) are pooled, each with one scan at a time. A pooled session counts against
clamd's MaxQueue (100) also while it is idle, so idle ones go after some seconds.

Addresses are tried in order, but for those that rest: one that can't be reached, cuts the connection
or falls silent sends us to the next, an answer of any kind never does. Deadlines are the caller's, by
cancellation. clamd finishes also a scan that was cancelled: until then it lingers in its slot, so
that clamd never has more than `concurrency` scans of ours, whoever asks and goes away.

clamd calls OK what it did not look at. What it calls clean is clean only if it saw all of it.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Final, TypeVar

from ostiary.background import Background
from ostiary.blob import Blob
from ostiary.engines.addresses import REST_SECONDS, Addresses
from ostiary.engines.clamd.address import UnixAddress, UnreachableError, parse_address
from ostiary.engines.clamd.config import ClamdConfig
from ostiary.engines.clamd.doubts import PASSES_UNSEEN, crowded, doubts_of
from ostiary.engines.clamd.patience import Attempt, Patience, Question, SilentError
from ostiary.engines.clamd.pool import Lingering, SessionPool
from ostiary.engines.clamd.session import ClamdSession, Said
from ostiary.engines.clamd.sight import Lookout
from ostiary.engines.clamd.site import Clock, Site
from ostiary.engines.clamd.versions import signed_at
from ostiary.engines.interface import Sample, Specimens, Statement
from ostiary.engines.slots import Slots
from ostiary.engines.specimens import EICAR, harmless
from ostiary.engines.unpacking.examiner import Examiner
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Cause, Clean, Unscannable
from ostiary.wire.clamd import SessionCutError

CONCURRENCY: Final = 8
"""Scans at a time in one engine; clamd runs MaxThreads (10) of them and queues the rest."""

CONNECT_SECONDS: Final = 5.0
"""Patience for one address."""

IDLE_SECONDS: Final = 5.0
"""How long a session is kept for the next scan; clamd itself ends it after ReadTimeout (120 s)."""

LINGER_SECONDS: Final = 60.0
"""How long a cancelled scan keeps its slot while clamd works on it; then clamd counts as hung.

clamd itself gives up after MaxScanTime (120 s): a scan that takes longer than this bound, and
only such a one, may be worked on beside `concurrency` others.
"""

VERSION_SECONDS: Final = 1.0
"""Patience for the versions of all addresses: one that is slower does not count as live."""

_DEFAULTS: Final = ClamdConfig()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the operator told of these clamds; times in seconds, sizes in bytes.

    `keep` is for how long their word counts where new signatures would not show; `timeout` the time
    that a file has.
    """

    config_file: Path | None = None
    loose_signatures: bool = True
    max_file_size: int = _DEFAULTS.max_file_size
    max_scan_size: int = _DEFAULTS.max_scan_size
    keep: float = inf
    timeout: float = 30.0


def _wall_clock() -> float:
    return datetime.now(UTC).timestamp()


class ClamdEngine:
    """Asks the first of several clamds that answers; `addresses` as in `engines[].address`."""

    def __init__(  # noqa: PLR0913  (the patience of tests is shorter)
        self,
        name: str,
        addresses: Sequence[str],
        *,
        concurrency: int = CONCURRENCY,
        knowledge: Knowledge = Knowledge(),
        connect_seconds: float = CONNECT_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        linger_seconds: float = LINGER_SECONDS,
        clock: Clock = _wall_clock,
    ) -> None:
        if not addresses:
            raise ConfigError(f"engine {name}: at least one address of a clamd is needed")
        self.name = name
        self._concurrency = concurrency
        self._knowledge = knowledge
        self._lingering = Lingering(linger_seconds)
        self._sites = [
            _site(
                SessionPool(parse_address(text), connect_seconds, idle_seconds, self._lingering),
                knowledge,
                clock,
            )
            for text in addresses
        ]
        rest = min(knowledge.keep, REST_SECONDS)
        self._addresses = Addresses(name, self._sites, lambda site: site.version(), rest=rest)
        self._background = Background()
        self._patience = Patience(self._addresses, self._background)
        self._slots = Slots(concurrency)
        self._version_slot = asyncio.Semaphore(1)  # health must not wait behind scans, nor pile up
        self._examiner = Examiner(min(concurrency, os.cpu_count() or 1))

    async def start(self) -> None:
        """Do nothing: the first scan connects."""

    async def inspect(self, sample: Sample) -> Statement:
        """Have clamd scan the sample; EngineError if no address gives an answer.

        If a cancelled scan of the same bytes lingers, it is not asked again meanwhile, and that
        scan's answer counts if a clamd still has the version that gave it.
        """
        said = await self._lingering.word(sample.blob.sha256)
        if said is None or said.stamp.version not in await self.versions():
            said = await self._scan(sample)
        statement = Statement(said.finding, said.stamp.version, said.stamp.keep)
        if not isinstance(said.finding, Clean):
            return statement
        if said.seconds >= said.stamp.gives_up:
            detail = "clamd took as long as its MaxScanTime, and then says OK to what it has not seen"
            return replace(statement, finding=Unscannable(Cause.LIMIT, detail), keep=self._knowledge.keep)
        bounds = said.stamp.bounds
        if sample.reach is not None:
            bounds = replace(bounds, file_size=min(bounds.file_size, sample.reach))
        unseen = await self._examiner.unseen(sample.blob, bounds)
        return statement if unseen is None else replace(statement, finding=unseen)

    @property
    def places(self) -> Sequence[str]:
        """The addresses."""
        return tuple(str(site) for site in self._sites)

    def require_vouching(self) -> None:
        """Ask only addresses that somebody vouches for."""
        self._addresses.require_vouching()

    def unvouched(self) -> Sequence[str]:
        """Return the addresses that nobody vouches for."""
        return tuple(str(site) for site in self._addresses.unvouched())

    def vouch(self, place: str, *, good: bool) -> None:
        """Note that an address may be asked, or may not."""
        self._addresses.vouch(self._at(place), good=good)

    async def inspect_at(self, place: str, sample: Sample) -> Statement:
        """Have the clamd at one address scan the sample; EngineError if it tells no version in time."""
        site = self._at(place)
        if not await self._addresses.answers(site):
            raise EngineError(f"clamd at {site} does not answer")
        said = await site.pool.scan(sample.blob, site.stamp, ClamdSession.close)
        return Statement(said.finding, said.stamp.version, 0)

    def _at(self, place: str) -> Site:
        return next(site for site in self._sites if str(site) == place)

    async def version(self) -> str:
        """Return clamd's reply to VERSION, such as `ClamAV 1.4.6/27000/<date of the signatures>`.

        Where its folder of signatures can be seen, a digest of that follows.
        """
        async with self._version_slot:
            return await self._ask(lambda site, _: site.version())

    async def versions(self) -> frozenset[str]:
        """Return the versions at each address that does not rest and tells them within a second."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_live_at(site)) for site in self._addresses.awake()]
        return frozenset[str]().union(*(task.result() for task in tasks))

    @property
    def directional(self) -> bool:
        """It does not: bytes are bytes."""
        return False

    @property
    def specimens(self) -> Specimens:
        """EICAR, which every signature database of ClamAV knows."""
        return Specimens(EICAR, harmless, unpacks=True)

    async def signed_at(self) -> float | None:
        """Return the date in VERSION, the oldest of all addresses; None with loose signatures alone."""
        dates = [signed_at(version) for version in await self.versions()]
        return min((date for date in dates if date is not None), default=None)

    async def doubts(self, max_size: int) -> Sequence[str]:
        """Return what an operator should mend or know, for media of up to so many bytes; never raises."""
        found = []
        for site in self._sites:
            if not await _live_at(site):  # connects, and so shows the process behind a socket
                found.append(f"{site}: does not answer")
                continue
            sight = await site.sight()
            if sight.config is None and await _passes_unseen(site):
                found.append(f"{site}: {PASSES_UNSEEN}")
            found += [
                f"{site}: {doubt}"
                for doubt in doubts_of(
                    sight, site.address, max_size, self._concurrency, self._knowledge.timeout
                )
            ]
        return found

    async def close(self) -> None:
        """Close the idle and lingering sessions; one in use is closed when its scan ends or is cancelled."""
        self._lingering.close()
        await self._addresses.close()
        await self._background.end()
        for site in self._sites:
            site.pool.close()
        self._examiner.close()

    async def _scan(self, sample: Sample) -> Said:
        await self._slots.acquire(again=sample.again)
        with ExitStack() as slot:
            slot.callback(self._slots.release)

            async def scanned(site: Site, attempt: Attempt) -> Said:
                def give_up(session: ClamdSession) -> None:
                    if attempt.abandoned:  # it is silent: its slot is for the next address
                        session.close()
                    else:
                        self._lingering.take(session, sample.blob.sha256, slot)

                return await site.pool.scan(sample.blob, site.stamp, give_up)

            return await self._ask(scanned)

    async def _ask(self, question: Question[T]) -> T:
        failures = []
        for site in self._addresses.awake():
            try:
                return await self._patience.ask(site, question)
            except (UnreachableError, SessionCutError, SilentError) as error:
                self._addresses.doubt(site)
                failures.append(f"clamd at {site}: {error}")
            except EngineError as error:
                raise EngineError(f"clamd at {site} {error}") from error
            except OSError as error:  # no descriptor left, or the spooled bytes can't be read
                raise EngineError(f"could not hand the bytes to clamd: {error.strerror or error}") from error
        if not failures:
            resting = ", ".join(str(site) for site in self._addresses.resting())
            why = (
                f"answers its probes, they rest: {resting}"
                if resting
                else "has proved that it finds anything"
            )
            raise EngineError(f"no clamd {why}")
        raise EngineError("; ".join(failures))


def _site(pool: SessionPool, knowledge: Knowledge, clock: Clock) -> Site:
    path = pool.address.path if isinstance(pool.address, UnixAddress) else None
    assumed = ClamdConfig(max_file_size=knowledge.max_file_size, max_scan_size=knowledge.max_scan_size)
    return Site(
        pool,
        Lookout(path, knowledge.config_file),
        assumed=assumed,
        loose=knowledge.loose_signatures,
        keep=knowledge.keep,
        clock=clock,
    )


async def _passes_unseen(site: Site) -> bool:
    """Say whether the clamd calls a file clean that exceeds its limits."""
    try:
        with Blob.of(crowded()) as blob:
            async with asyncio.timeout(CONNECT_SECONDS):
                said = await site.pool.scan(blob, site.stamp, ClamdSession.close)
    except (EngineError, OSError):
        return False
    return isinstance(said.finding, Clean)


async def _live_at(site: Site) -> frozenset[str]:
    try:
        async with asyncio.timeout(VERSION_SECONDS):
            return await site.live()
    except (EngineError, OSError):  # a TimeoutError is an OSError
        return frozenset()
