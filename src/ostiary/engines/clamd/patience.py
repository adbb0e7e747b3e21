"""How long one clamd is waited for while another could be asked.

A slow file is no fault, and a clamd that is busy with it still tells its VERSION. So after a short
while a probe decides: what does not answer that is given up, and the next address asked. A caller
who runs out of patience makes the address doubtful, and nothing more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ostiary.background import Background
from ostiary.engines.addresses import Addresses
from ostiary.engines.clamd.site import Site
from ostiary.errors import EngineError

PATIENCE: Final = 2.0
"""Seconds without an answer until a clamd is probed, and between such probes."""

DOUBT: Final = 1.0
"""Seconds without an answer after which a caller's going away makes an address doubtful."""

T = TypeVar("T")


class SilentError(EngineError):
    """A clamd neither answers nor tells its version, while another one is there."""


class Attempt:
    """One question to one clamd; `abandoned` once that clamd was found silent."""

    def __init__(self) -> None:
        self.abandoned = False


Question = Callable[[Site, Attempt], Awaitable[T]]


class Patience:
    """Asks clamds at some addresses; its probes end with the `background`."""

    def __init__(self, addresses: Addresses[Site], background: Background) -> None:
        self._addresses = addresses
        self._background = background

    async def ask(self, site: Site, question: Question[T]) -> T:
        """Return the answer; SilentError if none comes, a probe fails, and another address is awake."""
        loop = asyncio.get_running_loop()
        began, attempt = loop.time(), Attempt()
        deadline = asyncio.timeout(None)
        watches: list[asyncio.Task[None]] = []
        timer = loop.call_later(
            PATIENCE, lambda: watches.append(self._background.start(self._watch(site, attempt, deadline)))
        )
        try:
            async with deadline:
                try:
                    return await question(site, attempt)
                finally:
                    timer.cancel()
                    for watch in watches:
                        watch.cancel()
        except TimeoutError:
            if attempt.abandoned:
                raise SilentError("neither answers nor tells its version") from None
            raise
        except asyncio.CancelledError:
            if loop.time() - began >= DOUBT:
                self._addresses.doubt(site)
            raise

    async def _watch(self, site: Site, attempt: Attempt, deadline: asyncio.Timeout) -> None:
        while True:
            others = [other for other in self._addresses.awake() if other is not site]
            if others and (site in self._addresses.resting() or not await self._addresses.answers(site)):
                attempt.abandoned = True
                deadline.reschedule(asyncio.get_running_loop().time())
                return
            await asyncio.sleep(PATIENCE)
