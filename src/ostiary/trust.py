"""What the proof of scan says of one engine: whether its word counts, and how far it goes.

Antivirus fails silently in the unsafe direction, so an engine's "clean" counts only while that
engine keeps finding what it must find. `ostiary.proof` writes here, `ostiary.inspection` asks.
"""

import asyncio
from typing import Final

import structlog

from ostiary.engines.interface import Sample
from ostiary.file_families import holds_files
from ostiary.model import Cause, Clean, Finding, Unscannable

log = structlog.get_logger()

UNPROVED: Final = "it has not proved yet that it finds anything"


class Trust:
    """Trust in the engine of that name. `failures` failed proofs in a row end it; at first one is enough."""

    def __init__(self, engine: str, failures: int = 1) -> None:
        self._engine = engine
        self._failures = failures
        self._first = asyncio.Event()
        self._failed = 0
        self.trusted = False
        self.why = UNPROVED
        self.archives = True
        self.largest: int | None = None
        self.answers = 0

    def give(self) -> None:
        """Trust an engine that nothing can prove."""
        self.trusted, self.why = True, ""
        self._first.set()

    @property
    def settled(self) -> bool:
        """Whether the first proof has ended."""
        return self._first.is_set()

    async def settle(self) -> None:
        """Wait until the first proof has ended."""
        await self._first.wait()

    def passed(self) -> None:
        """Note a good proof: one restores trust."""
        if not self.trusted and self.settled:
            log.warning("engine is trusted again", engine=self._engine)
        self.trusted, self.why, self._failed = True, "", 0
        self._first.set()

    def failed(self, why: str) -> bool:
        """Note a failed proof; return whether it ended the trust."""
        self._failed += 1
        ends = self.trusted and self._failed >= self._failures
        if not self.trusted or ends:
            if ends or self.why != why:
                log.error("engine is not trusted", engine=self._engine, failures=self._failed, reason=why)
            self.trusted, self.why = False, why
        else:
            log.warning("failed proof", engine=self._engine, failures=self._failed, reason=why)
        self._first.set()
        return ends

    def reaches(self, *, archives: bool, largest: int | None) -> bool:
        """Note how far its word goes: into archives or not, to how many bytes (None: to all).

        Return whether that changed.
        """
        if (self.archives, self.largest) == (archives, largest):
            return False
        self.archives, self.largest = archives, largest
        if archives and largest is None:
            log.warning("engine finds its samples in archives and in large files again", engine=self._engine)
        if not archives:
            log.error("engine does not look into archives: they count as limit", engine=self._engine)
        if largest is not None:
            log.error(
                "engine does not look at large files: they count as limit",
                engine=self._engine,
                largest=largest,
            )
        return True

    def weigh(self, finding: Finding, sample: Sample) -> Finding:
        """Return what the engine's finding is worth: clean, beyond its reach, is no word at all."""
        if not isinstance(finding, Clean):
            return finding
        if not self.archives and holds_files((sample.detected_type, *sample.embedded)):
            return Unscannable(Cause.LIMIT, f"{self._engine} did not find its sample inside an archive")
        if self.largest is not None and sample.blob.size > self.largest:
            return Unscannable(
                Cause.LIMIT, f"{self._engine} found its sample in files of up to {self.largest} bytes only"
            )
        return finding


def believed() -> Trust:
    """Return trust that is given."""
    trust = Trust("")
    trust.give()
    return trust
