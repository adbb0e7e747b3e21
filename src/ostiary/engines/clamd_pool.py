"""The idle sessions with one clamd, and when a question may be asked a second time.

The last session used is the first one taken, so that those which a quiet hour does not need grow
old and go. A session returns here only after a whole answer; after anything else it is closed.
Here, too, is decided how the bytes travel: by descriptor where clamd takes one, else as a stream.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from ostiary.blob import Blob
from ostiary.engines.clamd_address import Address, UnixAddress, connect
from ostiary.engines.clamd_session import ClamdSession
from ostiary.engines.interface import Statement
from ostiary.wire.clamd import SessionCutError

STREAM_SECONDS: Final = 600.0
"""How long bytes are streamed over a Unix socket whose clamd did not take a descriptor."""

log = structlog.get_logger()

T = TypeVar("T")
Question = Callable[[ClamdSession], Awaitable[T]]


class SessionPool:
    """Sessions with one address; an idle one is kept `idle_seconds`. How many is the caller's matter."""

    def __init__(self, address: Address, connect_seconds: float, idle_seconds: float) -> None:
        self.address = address
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._idle: deque[tuple[float, ClamdSession]] = deque()  # with the loop's time of its last use
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        self._stream_until = 0.0  # by the loop's clock; descriptors are passed again from then on

    async def scan(self, blob: Blob) -> Statement:
        """Have the blob scanned, over a Unix socket by descriptor.

        A clamd under AppArmor may not be allowed the descriptor of a file outside its profile
        (Debian's knows /tmp and no /var/tmp); it then hangs up. The same bytes are streamed once,
        and if that gives an answer, all are for a while.
        """
        if not isinstance(self.address, UnixAddress) or self._loop_time() < self._stream_until:
            return await self.ask(lambda session: session.scan(blob, by_descriptor=False))
        try:
            return await self.ask(lambda session: session.scan(blob, by_descriptor=True))
        except SessionCutError as error:
            if error.midway:
                raise
        statement = await self.ask(lambda session: session.scan(blob, by_descriptor=False))
        self._stream_until = self._loop_time() + STREAM_SECONDS
        log.warning("clamd takes no descriptor (AppArmor?): streaming", address=str(self.address))
        return statement

    async def ask(self, question: Question[T]) -> T:
        """Ask in an idle session or a new one.

        clamd may end an idle session in the very moment that we use it: then a new one is asked,
        once. A new session that ends without an answer is clamd's trouble, and an error.
        """
        session = self._take()
        if session is not None:
            try:
                return await self._use(session, question)
            except SessionCutError as error:
                if error.midway:
                    raise
        connection = await connect(self.address, self._connect_seconds)
        return await self._use(ClamdSession(connection), question)

    def close(self) -> None:
        """Close what is idle, and from now on whatever comes back."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        while self._idle:
            self._idle.pop()[1].close()

    async def _use(self, session: ClamdSession, question: Question[T]) -> T:
        try:
            answer = await question(session)
        except BaseException:
            session.close()
            raise
        self._put(session)
        return answer

    @staticmethod
    def _loop_time() -> float:
        return asyncio.get_running_loop().time()

    def _take(self) -> ClamdSession | None:
        while self._idle:
            session = self._idle.pop()[1]
            if session.reusable:
                return session
            session.close()
        return None

    def _put(self, session: ClamdSession) -> None:
        if self._closed or not session.reusable:
            session.close()
            return
        self._idle.append((self._loop_time(), session))
        self._watch()

    def _watch(self) -> None:
        """Have the session that is idle for the longest time dropped in its time."""
        if self._idle and self._sweep is None:
            due = self._idle[0][0] + self._idle_seconds
            self._sweep = asyncio.get_running_loop().call_at(due, self._drop_old)

    def _drop_old(self) -> None:
        self._sweep = None
        now = self._loop_time()
        while self._idle and self._idle[0][0] + self._idle_seconds <= now:
            self._idle.popleft()[1].close()
        self._watch()
