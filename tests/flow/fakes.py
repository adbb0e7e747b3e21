"""Scripted parts for tests of the flow: engines that do as told, and a caller who goes away.

Only faults are faked here. `StubHomeserver` stands for the client of the homeserver where a test
is about the flow alone; what real answers look like is the business of tests/matrix.
"""

import asyncio
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from ostiary.access import Access
from ostiary.background import Background
from ostiary.budget import Budget, Spool
from ostiary.currency import LiveVersions
from ostiary.digests import Digests
from ostiary.engines.filetype.detector import TypeDetector
from ostiary.engines.interface import Sample, Specimens, Statement
from ostiary.errors import HomeserverRefusalError
from ostiary.fetching import Bounds as FetchBounds
from ostiary.fetching import Fetcher
from ostiary.gateway import FlightKey, Gateway, Outcome
from ostiary.inflight import Flights, Renewals
from ostiary.inspection import Station
from ostiary.judging import Bounds, Judge, Memory
from ostiary.library.memory import MemoryLibrary
from ostiary.metrics import Metrics
from ostiary.model import Cause, Clean, Finding, Forwarded, Identity, MediaRequest, Verdict
from ostiary.policy import Rules
from ostiary.verdicts.memory import MemoryVerdicts
from tests.flow.samples import request

T = TypeVar("T")

MEMORY = 64 << 20
DISK = 256 << 20

_TURNS = 30

Script = Callable[[Sample], Awaitable[Any]]
"""What an engine does with a sample; it may raise, hang, or return nonsense."""


class ScriptedEngine:
    """Does as its script says and remembers what it was shown: `seen` holds (bytes, detected type)."""

    def __init__(self, script: Script | None = None, name: str = "scripted") -> None:
        self.name = name
        self.seen: list[tuple[bytes, str]] = []
        self.arrived = asyncio.Event()
        self.cancelled = 0
        self._script = script
        self.release = "1"
        self.looks_both_ways = False
        self.known: Specimens | None = None
        self.signed: float | None = None

    async def start(self) -> None:
        """Do nothing."""

    async def inspect(self, sample: Sample) -> Statement:
        """Read the whole sample, then follow the script; clean without one."""
        release = self.release
        data = b"".join([chunk async for chunk in sample.blob.chunks()])
        self.seen.append((data, sample.detected_type))
        self.arrived.set()
        try:
            if self._script is None:
                await asyncio.sleep(0)
                return Statement(Clean(), release)
            finding: Finding = await self._script(sample)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Statement(finding, release)

    async def version(self) -> str:
        """Return the version that decides now."""
        return self.release

    async def versions(self) -> frozenset[str]:
        """Return that version alone."""
        return frozenset({self.release})

    @property
    def directional(self) -> bool:
        """What the test says."""
        return self.looks_both_ways

    @property
    def specimens(self) -> Specimens | None:
        """What proves that it works: nothing, unless a test says so."""
        return self.known

    async def signed_at(self) -> float | None:
        """Return what the test says."""
        return self.signed

    async def close(self) -> None:
        """Do nothing."""


def finding(value: object) -> Script:
    """Return a script that says the same of everything."""

    async def script(_: Sample) -> object:
        await asyncio.sleep(0)
        return value

    return script


def raising(error: BaseException) -> Script:
    """Return a script that fails."""

    async def script(_: Sample) -> object:
        await asyncio.sleep(0)
        raise error

    return script


async def hang(_: Sample) -> object:
    """Never answer."""
    return await asyncio.get_running_loop().create_future()


@dataclass
class StubDownload:
    """What `Download` is to the flow; `chunks` fails with `error` after what it holds."""

    size: int | None
    body: Sequence[bytes]
    content_type: str | None = None
    content_disposition: str | None = None
    etag: str | None = None
    error: BaseException | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body, each piece after a pause."""
        for chunk in self.body:
            await asyncio.sleep(0)
            yield chunk
        if self.error is not None:
            await asyncio.sleep(0)
            raise self.error


@dataclass
class StubHomeserver:
    """Gives one download to whoever asks, or fails at once; `asked` counts, `open` must come back to 0.

    With an ETag it answers those who have that copy that nothing changed. `users` are whose tokens
    it knows; `whoami` counts in `tokens`.
    """

    download: StubDownload
    refusal: BaseException | None = None
    asked: list[MediaRequest] = field(default_factory=list)
    open: int = 0
    users: dict[str, Identity] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    unchanged: int = 0

    async def whoami(self, token: str, _: Forwarded = ()) -> Identity:
        """Return whose token it is."""
        self.tokens.append(token)
        await asyncio.sleep(0)
        if token not in self.users:
            raise HomeserverRefusalError(401, "M_UNKNOWN_TOKEN", "who?", soft_logout=False)
        return self.users[token]

    @asynccontextmanager
    async def media(
        self, request: MediaRequest, etag: str | None = None
    ) -> AsyncIterator[StubDownload | None]:
        """Open the download."""
        self.asked.append(request)
        await asyncio.sleep(0)
        if self.refusal is not None:
            raise self.refusal
        if etag is not None and etag == self.download.etag:
            self.unchanged += 1
            yield None
            return
        self.open += 1
        try:
            yield self.download
        finally:
            self.open -= 1


def serving(*body: bytes, size: int | None = -1, **details: Any) -> StubHomeserver:  # noqa: ANN401
    """Return a homeserver that serves these pieces; `size` is announced truly unless given."""
    announced = sum(map(len, body)) if size == -1 else size
    return StubHomeserver(StubDownload(announced, body, **details))


class Clock:
    """A clock that the test moves: `now` in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


async def _nobody(_: str, __: Forwarded) -> Identity:
    raise AssertionError("nobody should have asked about a token")


class House:
    """A real Gateway with real budgets, around engines and a homeserver of the test's choice."""

    def __init__(
        self,
        directory: Path,
        homeserver: Any,  # noqa: ANN401  (the real one or a stub)
        engines: Sequence[ScriptedEngine | Station],
        *,
        rules: Rules | None = None,
        max_size: int = 8 << 20,
        timeout: float = 30,
        wait: float = 5,
        memory: int = MEMORY,
        disk: int = DISK,
        check: Literal["token", "media", "none"] = "token",
        revalidate: float = 300,
        library: int = 0,
        verdicts: int = 0,
        grace: float = 0,
    ) -> None:
        self.metrics = Metrics()
        self.detector = TypeDetector()
        self.spool = Spool(directory, Budget("memory", memory, wait), Budget("disk", disk, wait))
        self.clock = Clock()
        stations = [one if isinstance(one, Station) else Station(one) for one in engines]
        rules = rules or Rules()
        background = Background()
        digests = Digests(b"k" * 32)
        self.live = LiveVersions([station.engine for station in stations], background, self.clock)
        self.verdicts = MemoryVerdicts(verdicts, self.clock)
        self.library = MemoryLibrary(library, library)
        self.judge = Judge(
            detector=self.detector,
            stations=stations,
            rules=rules,
            bounds=Bounds(max_size, timeout),
            memory=Memory(self.verdicts, self.live, digests, 3600, self.clock, grace),
            metrics=self.metrics,
        )
        self.access = Access(getattr(homeserver, "whoami", _nobody), check, 60, self.clock)
        fetcher = Fetcher(
            source=homeserver,
            library=self.library,
            access=self.access,
            spool=self.spool,
            digests=digests,
            bounds=FetchBounds(
                max_size=max_size,
                serve_larger=rules.serves(Cause.TOO_LARGE),
                engine_copies=0,
                revalidate=revalidate,
            ),
            clock=self.clock,
        )
        self.flights: Flights[FlightKey, Outcome] = Flights(background)
        self.gateway = Gateway(
            fetcher=fetcher,
            spool=self.spool,
            judge=self.judge,
            access=self.access,
            flights=self.flights,
            renewals=Renewals(background),
            metrics=self.metrics,
        )

    @property
    def held(self) -> tuple[int, int]:
        """The bytes of memory and disk that somebody holds: (0, 0) when all is over."""
        return self.spool.memory.used, self.spool.disk.used

    async def ask(self, wanted: MediaRequest | None = None) -> tuple[Verdict, bytes | None]:
        """Walk one request through the flow; afterwards nothing may be held any more."""
        async with self.gateway.media(wanted or request()) as outcome:
            result = outcome.verdict, await taken(outcome)
        assert self.held == (0, 0)
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.detector.close()


async def taken(outcome: Outcome) -> bytes | None:
    """Return what would be sent to the caller."""
    if outcome.media is None:
        return None
    return b"".join([chunk async for chunk in outcome.media.blob.chunks()])


@types.coroutine
def _interrupted(
    coroutine: Coroutine[Any, Any, T], at: int, how: Callable[[], object]
) -> Generator[Any, Any, T]:
    """Drive the coroutine, and call `how` just before its n-th suspension (from 1)."""
    count = 0
    send: Callable[[], Any] = lambda: coroutine.send(None)  # noqa: E731  (the next step, replaced below)
    while True:
        try:
            awaited = send()
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        count += 1
        if count == at:
            how()
        try:
            yield awaited
        except BaseException as error:  # noqa: BLE001  (handed on)
            caught = error
            send = lambda: coroutine.throw(caught)  # noqa: B023, E731
        else:
            send = lambda: coroutine.send(None)  # noqa: E731


async def cancelled_everywhere(
    run: Callable[[], Coroutine[Any, Any, T]], check: Callable[[], Awaitable[None]], most: int = 400
) -> int:
    """Run it again and again, cancelling at its first, second, ... suspension, until one run ends by itself.

    Each suspension is tried twice: cancelled at once, and with a step of the loop in between, when
    what was awaited may be there already. `check` is awaited after each. Returns how many there were.
    """
    for at in range(1, most):
        for later in (False, True):
            if await _ended_by_itself(run, at, later=later):
                await check()
                return at - 1
            await check()
    raise AssertionError(f"not through after {most} suspensions")


async def _ended_by_itself(run: Callable[[], Coroutine[Any, Any, T]], at: int, *, later: bool) -> bool:
    loop = asyncio.get_running_loop()
    reached = False

    async def body() -> None:
        task = asyncio.current_task()
        assert task is not None

        def how() -> None:
            nonlocal reached
            reached = True
            if later:
                loop.call_soon(task.cancel)
            else:
                task.cancel()

        await _interrupted(run(), at, how)

    task = loop.create_task(body())
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
        assert later or not reached, "the cancellation got lost"
    return not reached


async def cancelled_at_every_turn(
    run: Callable[[], Coroutine[Any, Any, None]], check: Callable[[], Awaitable[None]], most: int = 400
) -> int:
    """Run it again and again, cancelled a little later each time, until one run is through by then.

    What tasks of its own do meanwhile is thereby interrupted anywhere, too. A little is a turn of
    the loop at first, then half a millisecond. Returns how many runs there were.
    """
    loop = asyncio.get_running_loop()
    for count in range(1, most):
        task = loop.create_task(run())
        for _ in range(min(count, _TURNS)):
            await asyncio.sleep(0)
        if count > _TURNS:
            await asyncio.wait([task], timeout=0.0005 * (count - _TURNS))
        over = task.done()
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()
        await check()
        if over:
            return count
    raise AssertionError(f"not through after {most} runs")


async def settled(turns: int = 12) -> None:
    """Let happen what can happen without anybody else: so many turns of the loop."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait until the condition holds; AssertionError when it does not come true in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not come true"
        await asyncio.sleep(0.005)
