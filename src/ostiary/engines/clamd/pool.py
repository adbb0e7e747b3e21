"""The idle sessions with one clamd, and when a question may be asked a second time.

The last session used is the first one taken, so that those which a quiet hour does not need grow
old and go. A session returns here only after a whole answer; after anything else it is closed,
but for one whose scan was given up while clamd works on it: that is lingering, and keeps its slot.
Here, too, is decided how the bytes travel: by descriptor where clamd takes one, else as a stream.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Final, TypeVar

import structlog

from ostiary.blob import Blob
from ostiary.engines.clamd.address import Address, UnixAddress, connect
from ostiary.engines.clamd.session import ClamdSession, Said, Stamping
from ostiary.engines.clamd.sight import peer_of
from ostiary.wire.clamd import SessionCutError

STREAM_SECONDS: Final = 600.0
"""How long bytes are streamed over a Unix socket whose clamd did not take a descriptor."""

log = structlog.get_logger()

T = TypeVar("T")
Question = Callable[[ClamdSession], Awaitable[T]]
GiveUp = Callable[[ClamdSession], None]


class Lingering:
    """The scans of one engine that nobody waits for any more, while clamd is not done with them.

    Each holds on to its slot, for at most `seconds`: clamd does not end a scan because its asker
    hangs up, and a slot given back before would let anybody pile up work there.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._sessions: dict[ClamdSession, tuple[bytes, asyncio.Future[Said | None]]] = {}
        self._closed = False

    def take(self, session: ClamdSession, content: bytes, slot: ExitStack) -> None:
        """Take over a session that somebody gave up, and the slot if clamd still scans; else close it."""
        if self._closed or not session.scanning:
            session.close()
            return
        said: asyncio.Future[Said | None] = asyncio.get_running_loop().create_future()
        self._sessions[session] = content, said
        slot = slot.pop_all()

        def end(word: Said | None) -> None:
            del self._sessions[session]
            said.set_result(word)
            slot.close()

        session.linger(self._seconds, end)

    async def word(self, content: bytes) -> Said | None:
        """Return what comes of a scan of these bytes that lingers; None if none does, or nothing comes."""
        for scanned, said in self._sessions.values():
            if scanned == content:
                await asyncio.wait([said])
                return said.result()
        return None

    def close(self) -> None:
        """End them all at once, and from now on whatever is given up."""
        self._closed = True
        for session in list(self._sessions):
            session.close()


class SessionPool:
    """Sessions with one address; an idle one is kept `idle_seconds`. How many is the caller's matter."""

    def __init__(
        self, address: Address, connect_seconds: float, idle_seconds: float, lingering: Lingering
    ) -> None:
        self.address = address
        self._lingering = lingering
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._idle: deque[tuple[float, ClamdSession]] = deque()  # with the loop's time of its last use
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        self.peer: int | None = None  # the process behind a Unix socket, since the last connection
        self._stream_until = 0.0  # by the loop's clock; descriptors are passed again from then on

    async def scan(self, blob: Blob, stamping: Stamping, give_up: GiveUp) -> Said:
        """Have the blob scanned, over a Unix socket by descriptor; `give_up` gets a session cancelled in.

        A clamd under AppArmor may not be allowed the descriptor of a file outside its profile
        (Debian's knows /tmp and no /var/tmp); it then hangs up. The same bytes are streamed once,
        and if that gives an answer, all are for a while.
        """

        def streamed(session: ClamdSession) -> Awaitable[Said]:
            return session.scan(blob, stamping, by_descriptor=False)

        if not isinstance(self.address, UnixAddress) or self._loop_time() < self._stream_until:
            return await self.ask(streamed, give_up)
        try:
            return await self.ask(lambda session: session.scan(blob, stamping, by_descriptor=True), give_up)
        except SessionCutError as error:
            if error.midway:
                raise
        said = await self.ask(streamed, give_up)
        self._stream_until = self._loop_time() + STREAM_SECONDS
        log.warning("clamd takes no descriptor (AppArmor?): streaming", address=str(self.address))
        return said

    async def ask(
        self, question: Question[T], give_up: GiveUp = ClamdSession.close, *, anew: bool = False
    ) -> T:
        """Ask in an idle session or a new one (`anew`), which is for `give_up` if we are cancelled meanwhile.

        clamd may end an idle session in the very moment that we use it: then a new one is asked,
        once. A new session that ends without an answer is clamd's trouble, and an error.
        """
        session = None if anew else self._take()
        if session is not None:
            try:
                return await self._use(session, question, give_up)
            except SessionCutError as error:
                if error.midway:
                    raise
        connection = await connect(self.address, self._connect_seconds)
        self.peer = peer_of(connection)
        return await self._use(ClamdSession(connection), question, give_up)

    def close(self) -> None:
        """Close what is idle, and from now on whatever comes back."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        while self._idle:
            self._idle.pop()[1].close()

    async def _use(self, session: ClamdSession, question: Question[T], give_up: GiveUp) -> T:
        try:
            answer = await question(session)
        except asyncio.CancelledError:
            give_up(session)
            raise
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
