"""Does evidence still count? It does while whatever made it still decides somewhere.

New signatures, rules or scripts make old evidence stale by themselves: each report holds the version
of the engine that made it, and here stands which versions are live. They are asked for once a second
while somebody wants to know, and nobody waits for that but the first after a quiet while.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from ostiary.background import Background
from ostiary.engines.interface import Engine
from ostiary.model import Evidence, Report

FRESH: Final = 1.0
"""Seconds after which the engines are asked again, in the background."""

MOVES: Final = 1000
"""Versions of yesterday that are remembered."""

OLDEST: Final = 5.0
"""Seconds after which nobody goes by an older answer: changed signatures count by then."""


class LiveVersions:
    """The versions of some engines; they are asked for in the `background`.

    `clock` is the one that dates evidence, in seconds.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        background: Background,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engines = tuple(engines)
        self._background = background
        self._clock = clock
        self._forgotten: dict[str, float] = {}
        self._answered = 0.0
        self._moved: dict[tuple[str, str], float] = {}
        self._versions: dict[str, frozenset[str]] = {}
        self._asked = float("-inf")  # by the loop's clock
        self._refresh: asyncio.Task[None] | None = None

    async def count(self, evidence: Evidence) -> bool:
        """Say whether the engines that made the evidence would say the same today."""
        return self._made_by(evidence, await self._live())

    async def count_still(self, evidence: Evidence) -> bool:
        """Say the same of evidence made just now: an engine may be newer than the answer at hand.

        An engine that was away, or changed, a moment ago is asked anew before its word is doubted.
        """
        now = asyncio.get_running_loop().time()
        if await self.count(evidence):
            return True
        if self._asked < now and self._refresh is not None:
            await asyncio.wait([self._refresh])  # asked before, perhaps, and then it tells nothing new
        if self._asked < now:
            await asyncio.wait([self._refreshed()])
        return self._made_by(evidence, self._versions)

    def forget(self, engine: str | None = None) -> None:
        """Let nothing count any more that the engine (None: any of them) found up to now."""
        for name in [one.name for one in self._engines] if engine is None else [engine]:
            self._forgotten[name] = self._clock()

    def overtaken_for(self, evidence: Evidence) -> float:
        """Return for how many seconds the evidence has not counted, by the newest answer at hand.

        Infinite where an engine that made it does not answer, or what it said was forgotten.
        """
        seconds = 0.0
        for report in evidence.reports:
            if not _speaks(report) or report.version in self._versions.get(report.engine, ()):
                continue
            moved = self._moved.get((report.engine, report.version))
            if moved is None or not self._versions.get(report.engine):
                return inf
            seconds = max(seconds, self._clock() - moved)
        return inf if self._is_forgotten(evidence) else seconds

    def _made_by(self, evidence: Evidence, live: dict[str, frozenset[str]]) -> bool:
        speaking = [report for report in evidence.reports if _speaks(report)]
        current = all(report.version in live.get(report.engine, ()) for report in speaking)
        return current and not self._is_forgotten(evidence)

    def _is_forgotten(self, evidence: Evidence) -> bool:
        if not self._forgotten:
            return False
        return any(
            evidence.made <= self._forgotten.get(report.engine, float("-inf"))
            for report in evidence.reports
            if _speaks(report)
        )

    async def _live(self) -> dict[str, frozenset[str]]:
        age = asyncio.get_running_loop().time() - self._asked
        if age > FRESH:
            refresh = self._refreshed()
            if age > OLDEST:
                await asyncio.wait([refresh])
        return self._versions

    def _refreshed(self) -> asyncio.Task[None]:
        """Return what is asking the engines: only one does at a time."""
        if self._refresh is None or self._refresh.done():
            self._refresh = self._background.start(self._ask())
        return self._refresh

    async def _ask(self) -> None:
        asked = asyncio.get_running_loop().time()
        live: dict[str, frozenset[str]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {engine.name: group.create_task(engine.versions()) for engine in self._engines}
            live = {name: task.result() for name, task in tasks.items()}
            self._note_moves(live)
            self._answered = self._clock()
            self._asked = asked
        finally:
            self._versions = live  # none where an engine broke its promise never to raise

    def _note_moves(self, live: dict[str, frozenset[str]]) -> None:
        """Note when versions that are live no more were last seen to be."""
        for name, versions in self._versions.items():
            for gone in versions - live.get(name, frozenset()):
                self._moved[name, gone] = self._answered
        while len(self._moved) > MOVES:
            del self._moved[next(iter(self._moved))]


def _speaks(report: Report) -> bool:
    """Say whether the report is an engine's word that decides something.

    An engine that was silent has no version; what stands for it is kept for a short time only.
    """
    return bool(report.version) and not report.shadow
