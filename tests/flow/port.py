"""Flights whose runs the test lands or fails, and callers that it sends and calls back."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from ostiary.background import Background
from ostiary.inflight import Flights
from tests.flow.fakes import settled


class FaultError(Exception):
    """What a run failed with; the number says whose run."""


class Run:
    """A run that the test lands or fails; it is `open` from its result on until nobody wants it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.gate: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.started = self.open = self.ended = False

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[int]:
        """Run, once."""
        assert not self.started, "done twice"
        self.started = True
        try:
            await self.gate
            self.open = True
            yield self.number
        finally:
            self.open = False
            await asyncio.sleep(0)  # to close files takes a moment
            self.ended = True

    def land(self) -> None:
        """Have a result."""
        self.gate.set_result(self.number)

    def fail(self) -> None:
        """Have none."""
        self.gate.set_exception(FaultError(self.number))


class Caller:
    """Somebody who wants what a key stands for, and stays until told to leave."""

    def __init__(self, flights: Flights[str, int], key: str, run: Run) -> None:
        self.run = run
        self.got: tuple[int, bool] | None = None
        self.leave = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(self._call(flights, key))

    async def _call(self, flights: Flights[str, int], key: str) -> None:
        async with flights.join(key, self.run) as self.got:
            await self.leave.wait()
        self.got = None


class Port:
    """Flights with their background, and a list of what the loop complains about."""

    def __init__(self) -> None:
        self.background = Background()
        self.flights: Flights[str, int] = Flights(self.background)
        self.complaints: list[dict[str, Any]] = []
        self.runs: list[Run] = []

    def call(self, key: str = "key") -> Caller:
        """Let a caller come."""
        run = Run(len(self.runs))
        self.runs.append(run)
        return Caller(self.flights, key, run)

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().set_exception_handler(lambda _, about: self.complaints.append(about))
        return self

    async def __aexit__(self, *_: object) -> None:
        await settled()
        self.runs.clear()
        gc.collect()
        asyncio.get_running_loop().set_exception_handler(None)
        assert self.complaints == []
        assert self.background._tasks == set()
        assert self.flights._flights == {}
