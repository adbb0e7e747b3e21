"""The clamd engine: signatures of ClamAV, asked over a Unix socket (FILDES) or TCP (INSTREAM).

On a Unix socket clamd gets a read-only descriptor of the very bytes that will be served, no copy.
Sessions (zIDSESSION) are pooled, each with one scan at a time. A pooled session counts against
clamd's MaxQueue (100) also while it is idle, so idle ones go after some seconds.

Addresses are tried in order, each scan anew: one that can't be reached or cuts the connection
sends us to the next, an answer of any kind never does. Deadlines are the caller's, by
cancellation. clamd finishes also a scan that was cancelled: until then it lingers in its slot,
so that clamd never has more than `concurrency` scans of ours, whoever asks and goes away.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import Final, TypeVar

from ostiary.engines.clamd_address import UnreachableError, parse_address
from ostiary.engines.clamd_pool import Lingering, SessionPool
from ostiary.engines.interface import Sample, Specimens, Statement
from ostiary.engines.specimens import EICAR, harmless
from ostiary.errors import ConfigError, EngineError
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

T = TypeVar("T")


class ClamdEngine:
    """Asks the first of several clamds that answers; `addresses` as in `engines[].address`."""

    def __init__(
        self,
        name: str,
        addresses: Sequence[str],
        *,
        concurrency: int = CONCURRENCY,
        connect_seconds: float = CONNECT_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        if not addresses:
            raise ConfigError(f"engine {name}: at least one address of a clamd is needed")
        self.name = name
        self._lingering = Lingering(linger_seconds)
        self._pools = [
            SessionPool(parse_address(text), connect_seconds, idle_seconds, self._lingering)
            for text in addresses
        ]
        self._slots = asyncio.Semaphore(concurrency)
        self._version_slot = asyncio.Semaphore(1)  # health must not wait behind scans, nor pile up

    async def start(self) -> None:
        """Do nothing: the first scan connects."""

    async def inspect(self, sample: Sample) -> Statement:
        """Have clamd scan the sample; EngineError if no address gives an answer.

        If a cancelled scan of the same bytes lingers, it is not asked again meanwhile, and that
        scan's answer counts if a clamd still has the version that gave it.
        """
        said = await self._lingering.word(sample.blob.sha256)
        if said is not None and said.version in await self.versions():
            return said
        await self._slots.acquire()
        with ExitStack() as slot:
            slot.callback(self._slots.release)
            return await self._ask(lambda pool: pool.scan(sample.blob, slot))

    async def version(self) -> str:
        """Return clamd's reply to VERSION, such as `ClamAV 1.4.6/27000/<date of the signatures>`.

        It does not change with signatures in loose files.
        """
        async with self._version_slot:
            return await self._ask(lambda pool: pool.ask(lambda session: session.version()))

    async def versions(self) -> frozenset[str]:
        """Return the VERSION of each clamd that tells it within a second."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_version_at(pool)) for pool in self._pools]
        return frozenset(version for task in tasks if (version := task.result()) is not None)

    @property
    def specimens(self) -> Specimens:
        """EICAR, which every signature database of ClamAV knows."""
        return Specimens(EICAR, harmless, unpacks=True)

    async def signed_at(self) -> float | None:
        """Return None: not read yet."""
        return None

    async def close(self) -> None:
        """Close the idle and lingering sessions; one in use is closed when its scan ends or is cancelled."""
        self._lingering.close()
        for pool in self._pools:
            pool.close()

    async def _ask(self, question: Callable[[SessionPool], Awaitable[T]]) -> T:
        failures = []
        for pool in self._pools:
            try:
                return await question(pool)
            except (UnreachableError, SessionCutError) as error:
                failures.append(f"clamd at {pool.address}: {error}")
            except EngineError as error:
                raise EngineError(f"clamd at {pool.address} {error}") from error
            except OSError as error:  # no descriptor left, or the spooled bytes can't be read
                raise EngineError(f"could not hand the bytes to clamd: {error.strerror or error}") from error
        raise EngineError("; ".join(failures))


async def _version_at(pool: SessionPool) -> str | None:
    try:
        async with asyncio.timeout(VERSION_SECONDS):
            return await pool.ask(lambda session: session.version())
    except (EngineError, UnreachableError, OSError):  # a TimeoutError is an OSError
        return None
