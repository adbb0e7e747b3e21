"""Which addresses of an engine are worth asking now: those that do not rest.

Only a failed connect, a timeout or a cut connection makes an address doubtful, never a reply; and
what decides then is a probe of ours, a small question that any living server answers at once, so
that no file, however slow, can have an engine taken for dead. An address that fails a few probes
rests. It is probed now and then while nobody waits for that, and is back when it answers.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

import structlog

from ostiary.background import Background
from ostiary.errors import EngineError

PROBE_SECONDS: Final = 1.0
"""Patience for the answer to a probe."""

PAUSES: Final = (0.0, 0.1, 0.3)
"""Seconds before each of the probes that must all fail until a doubtful address rests."""

REST_SECONDS: Final = 2.0
"""How long an address rests between probes, at most, while no other one answers."""

LONGEST_REST: Final = 60.0
"""How long it rests at most while another one answers; doubled from REST_SECONDS on."""

log = structlog.get_logger()

T = TypeVar("T")


class _Watched(Generic[T]):
    """One address: whether it rests, is vouched for, and whether its last failure took long to show."""

    def __init__(self, address: T) -> None:
        self.address = address
        self.resting = False
        self.vouched = False
        self.silent = False
        self.watch: asyncio.Task[None] | None = None


class Addresses(Generic[T]):
    """The addresses of `engine` in their order; `probe` asks one, and raises if it does not answer.

    `rest` is in seconds: between probes of an address that rests, while no other one answers.
    """

    def __init__(
        self,
        engine: str,
        addresses: Sequence[T],
        probe: Callable[[T], Awaitable[object]],
        *,
        rest: float = REST_SECONDS,
    ) -> None:
        self._engine = engine
        self._all = [_Watched(address) for address in addresses]
        self._probe = probe
        self._rest = min(rest, REST_SECONDS)
        self._background = Background()
        self._vouching = False

    def awake(self) -> tuple[T, ...]:
        """Return the addresses to try now, in order.

        If all rest, those are tried all the same where a failure shows at once: a server that was
        just started is found by the first who asks, and nobody waits for one that is silent.
        """
        fit = [one for one in self._all if one.vouched or not self._vouching]
        found = [one.address for one in fit if not one.resting]
        return tuple(found or [one.address for one in fit if not one.silent])

    def require_vouching(self) -> None:
        """Have only those asked from now on that somebody vouches for, and again after each rest."""
        self._vouching = True

    def vouch(self, address: T, *, good: bool) -> None:
        """Note that an address is fit to be asked, or is not."""
        self._one(address).vouched = good

    def unvouched(self) -> tuple[T, ...]:
        """Return those that nobody vouches for."""
        return tuple(one.address for one in self._all if not one.vouched)

    def _one(self, address: T) -> _Watched[T]:
        return next(watched for watched in self._all if watched.address == address)

    def resting(self) -> tuple[T, ...]:
        """Return the addresses that rest."""
        return tuple(one.address for one in self._all if one.resting)

    def doubt(self, address: T) -> None:
        """Note that a question to it got no reply; it is probed in the background."""
        one = self._one(address)
        if one.watch is None or one.watch.done():
            one.watch = self._background.start(self._watch(one))

    async def answers(self, address: T) -> bool:
        """Say whether it answers a probe now."""
        return await self._answers(self._one(address))

    async def close(self) -> None:
        """End all probes."""
        await self._background.end()

    async def _watch(self, one: _Watched[T]) -> None:
        for pause in PAUSES:
            await asyncio.sleep(pause)
            if await self._answers(one):
                return
        one.resting, one.vouched = True, False
        log.warning("address rests: it does not answer", engine=self._engine, address=str(one.address))
        rest = self._rest
        while True:
            await asyncio.sleep(rest * random.uniform(0.5, 1))  # noqa: S311  (replicas must not probe in step)
            if await self._answers(one):
                break
            alone = all(other.resting for other in self._all)
            rest = self._rest if alone else min(rest * 2, LONGEST_REST)
        one.resting = False
        log.info("address is back", engine=self._engine, address=str(one.address))

    async def _answers(self, one: _Watched[T]) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._probe(one.address)
        except (EngineError, OSError) as error:  # a TimeoutError is an OSError
            one.silent = isinstance(error, TimeoutError)
            return False
        one.silent = False
        return True
