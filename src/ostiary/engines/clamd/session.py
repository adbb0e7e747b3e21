"""One connection to a clamd and the session in it: the IO around `ostiary.wire.clamd`.

It reads whenever there is something to read, also while it sends or lies idle: clamd may refuse a
stream before its end, and a session that clamd ended while it lay idle must not be asked again.
Raw non-blocking sockets, since a transport can't pass descriptors. One task at a time uses it;
if that task ends in any exception, the session is closed and nothing of it used again. A session
whose scan was given up may linger before: open for nobody, until clamd is done with that scan.
"""

import array
import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Final, cast

from ostiary.blob import Blob
from ostiary.engines.unpacking.account import Bounds
from ostiary.errors import EngineError
from ostiary.model import Finding
from ostiary.wire import clamd as wire

CHUNK: Final = 1 << 18
"""Bytes of a spooled blob that are read, and sent over TCP, at a time."""

VERSION_SECONDS: Final = 1.0
"""How long a session counts its version as just read: it makes a scan look older, never newer."""

_READ: Final = wire.MAX_REPLY


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a scan depends on, read before it: the `version`, and what that clamd looks at (`bounds`).

    `keep` is for how many seconds its word counts at most; after `gives_up` seconds it calls a file OK
    that it has not seen to its end.
    """

    version: str
    keep: float
    bounds: Bounds
    gives_up: float = inf


@dataclass(frozen=True, slots=True)
class Said:
    """What clamd found, under what; `seconds` is how long it took."""

    finding: Finding
    stamp: Stamp
    seconds: float


Stamping = Callable[["ClamdSession"], Awaitable[Stamp]]
"""Reads what a scan in that session depends on."""

_Ancillary = Sequence[tuple[int, int, "array.array[int]"]]


class ClamdSession:
    """A session over a connected socket, which it owns; made inside the running loop that it uses."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._descriptor = connection.fileno()
        self._loop = asyncio.get_running_loop()
        self._session = wire.Session()
        self._outcome: wire.Answer | EngineError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._version = ""
        self._version_asked = -inf  # monotonic
        self._stamp: Stamp | None = None
        self._began = 0.0
        self._scan_sent = False
        self._on_end: Callable[[Said | None], None] | None = None
        self._linger_end: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._descriptor, self._readable)

    @property
    def reusable(self) -> bool:
        """Whether the last answer was whole, nothing came after it, and clamd is still there."""
        return self._session.reusable and self._outcome is None

    @property
    def scanning(self) -> bool:
        """Whether clamd got all of a scan's bytes, and has neither answered nor gone."""
        return self._scan_sent and self._outcome is None

    async def scan(self, blob: Blob, stamping: Stamping, *, by_descriptor: bool) -> Said:
        """Have the blob scanned; EngineError (SessionCutError) if that gives no answer."""
        self._stamp = await stamping(self)
        self._began = self._loop.time()
        self._scan_sent = await (self._pass_descriptor(blob) if by_descriptor else self._stream(blob))
        answer = await self._answer()
        self._scan_sent = False
        if isinstance(answer, wire.Version):
            raise EngineError("told its version instead of a finding")
        return self._said(answer, self._stamp)

    async def version(self) -> str:
        """Return clamd's VERSION reply."""
        asked = monotonic()  # a loop's clock may stand still for a millisecond
        await self._send([self._session.ask(wire.Command.VERSION)])
        answer = await self._answer()
        if not isinstance(answer, wire.Version):
            raise EngineError("told a finding instead of its version")
        self._version, self._version_asked = answer.text, asked
        return answer.text

    async def recent_version(self) -> tuple[float, str]:
        """Return VERSION as it was a second ago at most, and when it was asked (monotonic)."""
        if monotonic() >= self._version_asked + VERSION_SECONDS:
            await self.version()
        return self._version_asked, self._version

    def linger(self, seconds: float, on_end: Callable[[Said | None], None]) -> None:
        """Stay open while clamd is `scanning` for nobody, at most so long; then close, and call `on_end`.

        It is called once, with what clamd found; with None if clamd ended the session, said what
        is no answer, or was not done in time, or if somebody closed the session.
        """
        self._on_end = on_end
        self._linger_end = self._loop.call_later(seconds, self.close)

    def close(self) -> None:
        """Close the connection, in good order if nothing is outstanding. Safe to call twice."""
        if self._connection.fileno() < 0:  # its number may be somebody else's by now
            return
        self._disconnect()
        if self._linger_end is not None:
            self._linger_end.cancel()
        if self._on_end is not None:
            found = self._outcome if isinstance(self._outcome, Finding) else None
            self._on_end(self._said(found, self._stamp) if found and self._stamp else None)

    def _said(self, finding: Finding, stamp: Stamp) -> Said:
        return Said(finding, stamp, self._loop.time() - self._began)

    def _disconnect(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        if self.reusable:
            with suppress(OSError):
                self._connection.send(wire.END)
        self._connection.close()

    async def _pass_descriptor(self, blob: Blob) -> bool:
        question = self._session.ask(wire.Command.FILDES)
        descriptor = blob.open_descriptor()
        try:
            rights = array.array("i", [descriptor])
            return await self._send([question], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        finally:
            os.close(descriptor)

    async def _stream(self, blob: Blob) -> bool:
        session = self._session
        pending = session.ask(wire.Command.INSTREAM)
        chunks = cast("AsyncGenerator[bytes, None]", blob.chunks(CHUNK))
        async with aclosing(chunks):
            async for chunk in chunks:
                if self._outcome is not None:  # clamd refused while we waited for the disk
                    return False
                if not await self._send([pending + session.chunk(len(chunk)), chunk]):
                    return False
                pending = b""
        return self._outcome is None and await self._send([pending + session.end_of_stream()])

    async def _send(self, parts: Sequence[bytes], ancillary: _Ancillary = ()) -> bool:
        """Send all of it; return False if clamd does not listen to the end: its reason can be read."""
        left = [memoryview(part) for part in parts]
        while left:
            if self._outcome is not None:
                return False
            try:
                sent = self._connection.sendmsg(left, ancillary)
            except (BlockingIOError, InterruptedError):
                await self._writable()
            except (BrokenPipeError, ConnectionResetError):
                return False
            else:
                left, ancillary = _rest(left, sent), ()
        return True

    async def _answer(self) -> wire.Answer:
        while self._outcome is None:
            await self._change()
        outcome = self._outcome
        if isinstance(outcome, EngineError):
            raise outcome
        self._outcome = None
        return outcome

    async def _writable(self) -> None:
        self._loop.add_writer(self._descriptor, self._wake)
        try:
            await self._change()
        finally:
            self._loop.remove_writer(self._descriptor)

    async def _change(self) -> None:
        """Wait until something was read, or the socket takes bytes again if that is watched."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _readable(self) -> None:
        # All that is there, each time: when a connection breaks, uvloop calls a last time, also if
        # there are still bytes before the break.
        while not self._session.over:
            try:
                data = self._connection.recv(_READ)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                data = b""  # a reset ends a session as much as an end of file
            self._take(data)
        if self._session.over:
            self._loop.remove_reader(self._descriptor)
        self._wake()
        if self._on_end is not None and self._outcome is not None:
            self.close()

    def _take(self, data: bytes) -> None:
        try:
            if data:
                answer = self._session.feed(data)
                self._outcome = self._outcome if answer is None else answer
            else:
                self._session.eof()
        except EngineError as error:
            self._outcome = error  # also in place of an answer: what came behind it makes it doubtful


def _rest(parts: list[memoryview], sent: int) -> list[memoryview]:
    """Return what is left of the parts after so many bytes of them."""
    while parts and sent >= len(parts[0]):
        sent -= len(parts[0])
        parts = parts[1:]
    return [parts[0][sent:], *parts[1:]] if parts else []
