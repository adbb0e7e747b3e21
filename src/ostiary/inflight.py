"""Single flight: identical work is done once, and nobody is harmed by who else wanted it.

`Flights` share a run whose result is held open (spooled bytes) until its last caller has gone: the
run is a task of its own, so a leader that disconnects, is cancelled or fails takes nobody with it.
`Once` shares a plain result. Whoever followed somebody that failed does the work for itself.
`Renewals` do in the background what nobody waits for.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Final, Generic, TypeVar

import structlog

from ostiary.background import Background
from ostiary.errors import OstiaryError

MOST_RENEWALS: Final = 64
"""Renewals at a time; what is asked for beyond them is asked for again with the next request."""

log = structlog.get_logger()

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

Run = Callable[[], AbstractAsyncContextManager[T]]


class _Flight(Generic[K, T]):
    """One run: its task, what came of it, and how many callers use that."""

    def __init__(self, key: K) -> None:
        self.key = key
        self.landed: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.abandoned = asyncio.Event()
        self.callers = 0
        self.task: asyncio.Task[None] | None = None


class Flights(Generic[K, T]):
    """Runs by key; their tasks belong to the `background`, which outlives every caller."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._flights: dict[K, _Flight[K, T]] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._flights

    @asynccontextmanager
    async def join(self, key: K, run: Run[T]) -> AsyncIterator[tuple[T, bool]]:
        """Give the run's result, which stays open inside the context, and whether it is our own run.

        The first caller's run counts for all who come before it has a result. Its error is the first
        caller's alone: what it may be tied to (a token, an address) is not the others'.
        """
        flight = self._flights.get(key)
        if flight is None:
            async with self._aboard(self._started(key, run)) as flight:
                yield await asyncio.shield(flight.landed), True
            return
        async with self._aboard(flight):
            await asyncio.wait([flight.landed])
            if flight.landed.exception() is None:
                yield flight.landed.result(), False
                return
        async with run() as own:
            yield own, True

    def _started(self, key: K, run: Run[T]) -> _Flight[K, T]:
        flight = self._flights[key] = _Flight[K, T](key)
        flight.task = self._background.start(self._fly(flight, run))
        return flight

    async def _fly(self, flight: _Flight[K, T], run: Run[T]) -> None:
        try:
            async with run() as result:
                self._forget(flight)  # who comes from now on gets a verdict of its own
                flight.landed.set_result(result)
                await flight.abandoned.wait()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            if not flight.landed.done():
                flight.landed.set_exception(RuntimeError("the run was cancelled") if cancelled else error)
                flight.landed.exception()  # retrieved, should nobody be left to hear of it
            elif not cancelled:
                raise  # while closing what all had: nobody's error but ours, and the background logs it
        finally:
            self._forget(flight)

    def _forget(self, flight: _Flight[K, T]) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    @asynccontextmanager
    async def _aboard(self, flight: _Flight[K, T]) -> AsyncIterator[_Flight[K, T]]:
        """Count among the callers; the last one to leave ends the run, and sees it end."""
        flight.callers += 1
        try:
            yield flight
        finally:
            flight.callers -= 1
            if not flight.callers and flight.task is not None:
                self._forget(flight)
                flight.abandoned.set()
                if not flight.landed.done():
                    flight.task.cancel()
                await _ended(flight.task)


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait until the task has ended; a cancellation meanwhile counts afterwards."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


class Once(Generic[K, T]):
    """Results by key, each worked out by one caller at a time."""

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Future[T]] = {}

    async def result(self, key: K, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return what the work gives, and whether it was our own work."""
        while (running := self._running.get(key)) is not None:
            await asyncio.wait([running])
            with suppress(asyncio.CancelledError):  # whoever did it went away, or failed
                return running.result(), False
        running = self._running[key] = asyncio.get_running_loop().create_future()
        try:
            result = await work()
            running.set_result(result)
            return result, True
        finally:
            del self._running[key]
            running.cancel()  # of no effect on a result


class Renewals(Generic[K]):
    """Work by key that nobody waits for; its tasks belong to the `background`."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._running: set[K] = set()

    def start(self, key: K, work: Callable[[], Awaitable[None]]) -> None:
        """Begin the work, unless it is under way or too much else is."""
        if key not in self._running and len(self._running) < MOST_RENEWALS:
            self._running.add(key)
            self._background.start(self._run(key, work))

    async def _run(self, key: K, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except OstiaryError as error:
            log.info("not renewed", reason=str(error))
        finally:
            self._running.discard(key)
