"""One address of a clamd: its sessions, what can be seen of it here, the versions that answer there.

The version of a clamd is its VERSION and, where its signatures can be seen, their digest. Where they
can't, or may not be loaded yet, nothing would show that a new one counts: what it says is then kept for
`keep` seconds at most.
"""

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final

from ostiary.blocking import run_blocking
from ostiary.engines.clamd.address import Address, TcpAddress
from ostiary.engines.clamd.config import ClamdConfig
from ostiary.engines.clamd.pool import SessionPool
from ostiary.engines.clamd.session import ClamdSession, Stamp
from ostiary.engines.clamd.sight import Lookout, Sight
from ostiary.engines.clamd.versions import LiveVersions
from ostiary.engines.unpacking.account import Bounds

FRESH: Final = 1.0
"""Seconds until a folder of signatures is looked at again: an older look makes a scan look older."""

Clock = Callable[[], float]


class Site:
    """An address; `assumed` stands for a configuration that can't be seen."""

    def __init__(
        self,
        pool: SessionPool,
        lookout: Lookout,
        *,
        assumed: ClamdConfig,
        loose: bool,
        keep: float,
        clock: Clock,
    ) -> None:
        self.pool = pool
        self.assumed = assumed
        self._lookout = lookout
        self._loose = loose
        self._keep = keep
        self._clock = clock
        self._versions = LiveVersions()
        self._sight = Sight(None)
        self._looked = -inf
        self._looking = asyncio.Lock()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self.pool.address

    def __str__(self) -> str:
        return str(self.pool.address)

    async def sight(self) -> Sight:
        """Return what can be seen of it, a second old at most."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._looked < FRESH:
            return self._sight
        async with self._looking:
            began = loop.time()
            if began - self._looked >= FRESH:
                self._sight = await run_blocking(self._lookout.look, self.pool.peer)
                self._looked = began
        return self._sight

    async def stamp(self, session: ClamdSession) -> Stamp:
        """Return what a scan that begins now in the session depends on; read before it."""
        asked, version = await session.recent_version()
        sight = await self.sight()
        config = sight.config or self.assumed
        mark = f" signatures {sight.mark}" if self._loose and sight.mark else ""
        self._versions.note(version + mark, asked, monotonic())
        keep = inf if not self._loose or sight.settled(self._clock()) else self._keep
        return Stamp(version + mark, keep, _bounds(config), _give_up_time(config))

    async def version(self) -> str:
        """Return its version now; EngineError if it can't be asked."""

        async def ask(session: ClamdSession) -> str:
            await session.version()
            return (await self.stamp(session)).version

        # A session of its own over TCP: of several clamds behind one address, each is met in time.
        return await self.pool.ask(ask, anew=isinstance(self.address, TcpAddress))

    async def live(self) -> frozenset[str]:
        """Return the versions that count there; EngineError if none can be asked."""
        await self.version()
        return self._versions.live()


def _give_up_time(config: ClamdConfig) -> float:
    """Return after how many seconds clamd calls a file OK that it has not seen to its end."""
    return inf if config.alert_exceeds_max else config.max_scan_time


def _bounds(config: ClamdConfig) -> Bounds:
    """Return what a clamd of that configuration looks at of archives."""
    return Bounds(config.max_file_size, config.max_scan_size, config.max_files, config.max_recursion)
