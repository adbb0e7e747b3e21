"""What every engine is: something that looks at a Sample and returns a Finding.

A Statement is a finding together with the version that made it: signatures and rules change, and
a verdict counts as long as what made it still decides somewhere.

An engine never raises for a bad file and never guesses. It raises EngineError when it could not
be asked or its answer lies outside its protocol; `ostiary.inspection` turns that, and every
deadline, into an Unscannable finding. Cancelling `inspect` must leave nothing behind: no
process, no file, no half-used connection in a pool.
"""

from dataclasses import dataclass
from typing import Protocol

from ostiary.blob import Blob
from ostiary.model import Finding


@dataclass(frozen=True, slots=True)
class Sample:
    """What an engine may know: the bytes, and the type that we detected (a MIME type).

    The blob belongs to the caller, stays open for the whole of `inspect`, and is never written.
    """

    blob: Blob
    detected_type: str


@dataclass(frozen=True, slots=True)
class Statement:
    """What an engine says of a sample.

    `version` was read before the scan, in the same session with the engine: what it found is at
    least as new. `lasting` is False where the operator wants it asked again each time.
    """

    finding: Finding
    version: str
    lasting: bool = True


class Engine(Protocol):
    """One engine of any kind; safe to ask from many tasks at once."""

    @property
    def name(self) -> str:
        """Its name in logs, metrics and verdicts: unique in a configuration."""
        ...

    async def start(self) -> None:
        """Load what it needs (rules, lists); ConfigError if that is broken. Never waits for a peer."""
        ...

    async def inspect(self, sample: Sample) -> Statement:
        """Judge the sample. The caller sets the deadline by cancelling."""
        ...

    async def version(self) -> str:
        """Say what decides here: engine, signatures, rules. EngineError if it can't be asked."""
        ...

    async def versions(self) -> frozenset[str]:
        """Return what decides now at each address that answers; none where none does. Never raises."""
        ...

    async def close(self) -> None:
        """Let go of connections, processes and threads. Safe to call twice."""
        ...
