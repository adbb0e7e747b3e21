"""What every engine is: something that looks at a Sample and returns a Finding.

A Statement is a finding together with the version that made it: signatures and rules change, and
a verdict counts as long as what made it still decides somewhere.

An engine never raises for a bad file and never guesses. It raises EngineError when it could not
be asked or its answer lies outside its protocol; `ostiary.inspection` turns that, and every
deadline, into an Unscannable finding. Cancelling `inspect` must leave nothing behind: no
process, no file, no half-used connection in a pool.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol, runtime_checkable

from ostiary.blob import Blob
from ostiary.model import Finding


@dataclass(frozen=True, slots=True)
class Sample:
    """What an engine may know: the bytes, and the type that we detected (a MIME type).

    The blob belongs to the caller, stays open for the whole of `inspect`, and is never written.
    `embedded` are the types of what else lies in the same bytes. `upload`: the bytes are on their
    way in. `again`: they were inspected before, under other signatures, and let first scans go first.
    `reach` is the size of the largest file in which the engine was seen to find something, where that is
    less than media may have.
    """

    blob: Blob
    detected_type: str
    embedded: tuple[str, ...] = ()
    upload: bool = False
    reach: int | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Specimens:
    """What an engine must find and what it must pass, so that its word counts.

    `good` makes bytes that never were before: an answer kept in some cache proves nothing.
    `unpacks`: the engine is believed to look into archives, and to look at large files to their
    end; both are put to the proof now and then.
    """

    bad: bytes
    good: Callable[[], bytes]
    unpacks: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """What an engine says of a sample.

    `version` was read before the scan, in the same session with the engine: what it found is at
    least as new; "" where none of its signatures made it, so that nothing overtakes it. `keep` is for how
    many seconds the statement counts at most: fewer than for ever where nothing would show that the
    signatures changed, 0 where the operator wants it asked each time.
    """

    finding: Finding
    version: str
    keep: float = inf


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

    @property
    def directional(self) -> bool:
        """Whether it may say something else of the same bytes where they are on their way in."""
        ...

    @property
    def specimens(self) -> Specimens | None:
        """What proves that it works; None where we know nothing that it must find."""
        ...

    async def signed_at(self) -> float | None:
        """Return when its signatures were made (seconds since 1970), the oldest of all live addresses.

        None where nothing tells. Never raises.
        """
        ...

    async def close(self) -> None:
        """Let go of connections, processes and threads. Safe to call twice."""
        ...


@runtime_checkable
class Doubtful(Protocol):
    """An engine that knows what would make it pass what it did not look at."""

    async def doubts(self, max_size: int) -> Sequence[str]:
        """Return a sentence for each reason, with what to do about it; files have up to `max_size` bytes."""
        ...


@runtime_checkable
class Addressed(Protocol):
    """An engine with several addresses, each of which has to prove itself before it is asked."""

    @property
    def places(self) -> Sequence[str]:
        """The addresses, as the operator wrote them."""
        ...

    def require_vouching(self) -> None:
        """Have only addresses asked from now on that somebody vouches for, and again after each rest."""
        ...

    def unvouched(self) -> Sequence[str]:
        """Return the addresses that nobody vouches for."""
        ...

    def vouch(self, place: str, *, good: bool) -> None:
        """Note that an address is fit to be asked, or is not."""
        ...

    async def inspect_at(self, place: str, sample: Sample) -> Statement:
        """Judge the sample at that address alone; EngineError where it can't be asked."""
        ...
