"""The idle connections with one ICAP server, and when a question may be asked a second time.

How many are in use at a time is the caller's matter. The last one used is the first one taken; idle
ones go after some seconds. A server may end an idle connection in the very moment that we use it: then
a new one is asked, once, and only if no byte of an answer came.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from ostiary.blocking import run_blocking
from ostiary.engines.icap.connection import CutError, IcapConnection, connect
from ostiary.errors import ConfigError
from ostiary.wire.icap.url import IcapAddress

T = TypeVar("T")
Question = Callable[[IcapConnection], Awaitable[T]]
Slot = ExitStack
"""What a scan occupies; taken out of there if it is given up while the server works on it."""


class IcapPool:
    """Connections with one address; an idle one is kept `idle_seconds`."""

    def __init__(
        self, address: IcapAddress, *, connect_seconds: float, idle_seconds: float, linger_seconds: float
    ) -> None:
        self.address = address
        self._context: ssl.SSLContext | None = None
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._idle: deque[tuple[float, IcapConnection]] = deque()  # with the loop's time of its last use
        self._open: set[IcapConnection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._lingering: set[IcapConnection] = set()
        self._linger_seconds = linger_seconds
        self._closed = False

    def __str__(self) -> str:
        return str(self.address)

    async def trust(self, ca_path: Path | None) -> None:
        """Make ready for TLS, with the authorities of this machine or of a file; else ConfigError."""
        if self.address.tls:
            try:
                self._context = await run_blocking(ssl.create_default_context, cafile=ca_path)
            except OSError as error:  # an SSLError is one
                raise ConfigError(
                    f"{ca_path}: no certificates can be read: {error.strerror or error}"
                ) from None

    @property
    def used(self) -> int:
        """How many connections are in use."""
        return len(self._open) - len(self._idle)

    async def ask(self, question: Question[T], slot: Slot | None = None) -> T:
        """Ask over an idle connection or a new one; `slot` is what the question occupies."""
        connection = self._take()
        if connection is not None:
            try:
                return await self._use(connection, question, slot)
            except CutError as error:
                if error.heard:
                    raise
        connection = await connect(self.address, self._context, self._connect_seconds)
        self._open.add(connection)
        return await self._use(connection, question, slot)

    async def close(self) -> None:
        """Close what is idle, and from now on whatever comes back. Safe to call twice."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        idle = [connection for _, connection in self._idle]
        self._idle.clear()
        going = [*idle, *self._lingering]
        for connection in going:
            self._drop(connection)
        for connection in going:
            await connection.closed()

    async def _use(self, connection: IcapConnection, question: Question[T], slot: Slot | None) -> T:
        try:
            answer = await question(connection)
        except asyncio.CancelledError:
            self._give_up(connection, slot)
            raise
        except BaseException:
            self._drop(connection)
            raise
        if self._closed or not connection.reusable:
            self._drop(connection)
        else:
            self._idle.append((asyncio.get_running_loop().time(), connection))
            self._watch()
        return answer

    def _give_up(self, connection: IcapConnection, slot: Slot | None) -> None:
        """Close it, unless the server scans on: then it keeps its slot until the server is done.

        A server does not end a scan because its asker hangs up: a slot given back before would let
        anybody pile up work there.
        """
        if slot is None or self._closed or not connection.scanning:
            self._drop(connection)
            return
        kept = slot.pop_all()
        self._lingering.add(connection)

        def end() -> None:
            self._lingering.discard(connection)
            self._open.discard(connection)
            kept.close()

        connection.linger(self._linger_seconds, end)

    def _take(self) -> IcapConnection | None:
        while self._idle:
            connection = self._idle.pop()[1]
            if connection.reusable:
                return connection
            self._drop(connection)
        return None

    def _drop(self, connection: IcapConnection) -> None:
        self._open.discard(connection)
        connection.abort()

    def _watch(self) -> None:
        """Have the connection that is idle for the longest time dropped in its time."""
        if self._idle and self._sweep is None:
            due = self._idle[0][0] + self._idle_seconds
            self._sweep = asyncio.get_running_loop().call_at(due, self._drop_old)

    def _drop_old(self) -> None:
        self._sweep = None
        now = asyncio.get_running_loop().time()
        while self._idle and self._idle[0][0] + self._idle_seconds <= now:
            self._drop(self._idle.popleft()[1])
        self._watch()
