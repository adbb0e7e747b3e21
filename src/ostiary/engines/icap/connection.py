"""One connection to an ICAP server: the IO around `ostiary.wire.icap.session`, plain or over TLS.

It reads whenever there is something to read, also while it sends: a server may answer before it has
all, and then nothing more is sent. What comes back is compared as it comes and never kept. Bytes that
come while nothing is asked end the connection: they could be taken for the next answer. One task at a
time uses it; if that task ends in any exception, the connection is aborted.
"""

import asyncio
import errno
import os
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, cast

from ostiary.blob import CHUNK, Blob
from ostiary.blocking import run_blocking
from ostiary.errors import EngineError
from ostiary.wire.icap import chunks
from ostiary.wire.icap.options import Options
from ostiary.wire.icap.session import OptionsExchange, Question, ScanExchange
from ostiary.wire.icap.url import IcapAddress

_CLOSING_SECONDS: Final = 1.0  # for the goodbyes of TLS, which nobody needs

_HINTS: Final = {
    errno.ECONNREFUSED: "is the ICAP server running?",
    errno.EMFILE: "the limit of open files (LimitNOFILE, ulimit -n) is too low",
}


class UnreachableError(EngineError):
    """No connection could be made."""


class SilentError(UnreachableError):
    """Nobody answered in time when a connection was asked for."""


class CutError(EngineError):
    """The server ended the connection instead of answering; `heard`: after some bytes of an answer."""

    def __init__(self, *, heard: bool) -> None:
        super().__init__("closed the connection before it answered")
        self.heard = heard


class IcapConnection(asyncio.Protocol):
    """A connection; `connect` makes one. One question at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._exchange: OptionsExchange | ScanExchange | None = None
        self._error: EngineError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._ended = False  # no more bytes will come
        self._on_end: Callable[[], None] | None = None
        self._linger_end: asyncio.TimerHandle | None = None
        self._lost = asyncio.get_running_loop().create_future()

    @property
    def reusable(self) -> bool:
        """Whether another question may be asked."""
        return not (self._ended or self._exchange is not None or self._error is not None)

    @property
    def scanning(self) -> bool:
        """Whether the server has all of a file, and has neither answered nor gone."""
        exchange = self._exchange
        return isinstance(exchange, ScanExchange) and exchange.working and not self._settled()

    async def options(self, request: bytes) -> Options:
        """Ask what the service offers."""
        exchange = OptionsExchange()
        self._begin(exchange)
        self._write(request)
        await self._until(self._settled)
        self._finish(exchange)
        if exchange.options is None:
            raise CutError(heard=exchange.heard)
        return exchange.options

    async def scan(self, request: bytes, question: Question, blob: Blob) -> ScanExchange:
        """Have the blob scanned; return the exchange, which is over."""
        exchange = ScanExchange(question)
        self._begin(exchange)
        if question.preview is None:
            await self._send(exchange, blob, request, 0)
        elif question.whole_preview:
            self._write(request + _chunk(await _beginning(blob, question.size)) + chunks.LAST_OF_ALL)
            exchange.all_sent()
        else:
            self._write(request + _chunk(await _beginning(blob, question.preview)) + chunks.LAST)
            exchange.part_sent()
            await self._until(lambda: exchange.go_on or self._settled())
            if not self._settled():
                await self._send(exchange, blob, b"", question.preview)
        await self._until(self._settled)
        self._finish(exchange)
        return exchange

    def linger(self, seconds: float, on_end: Callable[[], None]) -> None:
        """Stay open while it is `scanning` for nobody, at most so long; then close, and call `on_end`."""
        self._on_end = on_end
        self._linger_end = asyncio.get_running_loop().call_later(seconds, self.abort)

    def abort(self) -> None:
        """Close it at once; what was not sent is dropped. Safe to call twice."""
        self._ended = True
        if self._linger_end is not None:
            self._linger_end.cancel()
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()
        if self._transport is not None:
            self._transport.abort()

    async def closed(self) -> None:
        """Wait until it is closed, after `abort`."""
        await asyncio.wait([self._lost], timeout=_CLOSING_SECONDS)

    async def _send(self, exchange: ScanExchange, blob: Blob, pending: bytes, start: int) -> None:
        """Send the blob from `start` to its end; stop when the server has said enough."""
        if blob.data is not None:
            data = memoryview(blob.data)[start:]
            if len(data) <= CHUNK:
                self._write(b"".join((pending, _chunk(data), chunks.LAST)))
                exchange.all_sent()
                return
            self._write(pending + chunks.begin(len(data)))
            self._write(data)
            self._write(b"\r\n" + chunks.LAST)
            exchange.all_sent()
            return
        reader = cast("AsyncGenerator[bytes, None]", blob.chunks(CHUNK, start=start))
        async with aclosing(reader):
            async for piece in reader:
                await self._until(lambda: not self._paused or self._settled())
                if self._settled():
                    return
                self._write(pending + chunks.begin(len(piece)))
                self._write(piece)
                pending = b"\r\n"
        if not self._settled():
            self._write(pending + chunks.LAST)
            exchange.all_sent()

    def _begin(self, exchange: OptionsExchange | ScanExchange) -> None:
        if not self.reusable:
            raise CutError(heard=False)
        self._exchange = exchange

    def _finish(self, exchange: OptionsExchange | ScanExchange) -> None:
        """End the question: raise what went wrong, keep the connection if it may be used again."""
        if self._error is not None:
            raise self._error
        if not exchange.over:
            raise CutError(heard=exchange.heard)
        self._exchange = None
        if not exchange.reusable:
            self.abort()

    def _settled(self) -> bool:
        """Say whether nothing that still comes can change the outcome."""
        over = self._exchange is not None and self._exchange.over
        return over or self._ended or self._error is not None

    def _write(self, data: bytes | memoryview) -> None:
        if self._transport is not None and not self._ended:
            self._transport.write(data)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _wake(self) -> None:
        if self._on_end is not None and self._settled():
            self.abort()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that the connection is there."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take what the server says."""
        if self._exchange is None:
            self.abort()
            return
        if self._error is not None:
            return
        try:
            self._exchange.feed(data)  # also behind the outcome: then it is not used again
        except EngineError as error:
            self._error = error
        self._wake()

    def eof_received(self) -> bool:
        """Note that the server says no more; the connection closes by itself."""
        self._ended = True
        self._wake()
        return False

    def connection_lost(self, _error: Exception | None) -> None:
        """Note that the connection is gone."""
        self._ended = True
        if not self._lost.done():
            self._lost.set_result(None)
        self._wake()

    def pause_writing(self) -> None:
        """Note that the server is slower than we."""
        self._paused = True

    def resume_writing(self) -> None:
        """Note that it has caught up."""
        self._paused = False
        self._wake()


async def connect(address: IcapAddress, context: ssl.SSLContext | None, seconds: float) -> IcapConnection:
    """Return a new connection; UnreachableError if there is none within so many seconds."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            _, connection = await loop.create_connection(
                IcapConnection, address.host, address.port, ssl=context if address.tls else None
            )
    except TimeoutError:
        raise SilentError(
            f"no connection within {seconds:g} s: is it overloaded, or a firewall between?"
        ) from None
    except ssl.SSLError as error:
        raise UnreachableError(f"TLS failed: {error.reason or error}: see `ca_path`") from None
    except OSError as error:
        hint = _HINTS.get(error.errno or 0)  # asyncio writes texts of its own into strerror
        text = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise UnreachableError(f"{text}{f': {hint}' if hint else ''}") from None
    return connection


async def _beginning(blob: Blob, size: int) -> bytes:
    return blob.data[:size] if blob.data is not None else await run_blocking(blob.read, 0, size)


def _chunk(data: bytes | memoryview) -> bytes:
    return b"".join((chunks.begin(len(data)), data, b"\r\n")) if data else b""
