"""Tasks that outlive the request that started them, and never the gateway.

Unlike a TaskGroup it takes the errors of its owner's block for what they are, and one task that
fails takes no other with it: what a task leaves unhandled is a bug, and logged as one.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Self

import structlog

log = structlog.get_logger()


class Background:
    """A context that owns its tasks: at its end they are cancelled and waited for."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin the work at the next turn of the loop."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("bug in the background", exc_info=error)

    async def end(self) -> None:
        """Cancel what still runs, and wait until it has ended."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()
