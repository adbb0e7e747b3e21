"""Proof of scan, asked for once: does an engine find what it must find, and pass what it must pass?

The samples go through the same code path as real media, but for the trust that they decide about.
"""

from dataclasses import dataclass
from typing import Final

from ostiary.blob import Blob
from ostiary.budget import Spool
from ostiary.engines.interface import Sample, Specimens
from ostiary.inspection import Station, question
from ostiary.model import Cause, Clean, Finding, Forbidden, Infected, Unscannable, name_of
from ostiary.proof_samples import Maker, document, large, padded, zipped

SMALLEST: Final = 1 << 16
"""Bytes below which no large sample is tried."""

_UNKNOWN_TYPE: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One proof: `why` it failed, "" for a good one; what the bad sample was called.

    `wrong`: the engine did answer, and not what it must. `timed_out`: it did not in time.
    """

    why: str
    found: str | None = None
    wrong: bool = False
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """How far an engine was seen to look: into archives, and at files of how many bytes (None: all)."""

    archives: bool
    largest: int | None


async def proved(station: Station, specimens: Specimens) -> Outcome:
    """Ask about the bad and the good sample; both are few bytes."""
    bad = await _asked(station, specimens.bad)
    if not found(bad):
        return _failed(f"the known-bad sample is not found{_because(bad)}", bad)
    good = await _asked(station, specimens.good())
    if not isinstance(good, Clean):
        return _failed(f"a harmless sample does not pass{_because(good)}", good)
    return Outcome("", name_of(bad))


async def reach(station: Station, specimens: Specimens, spool: Spool, max_size: int) -> Reach | None:
    """Ask about the dear samples; None where no answer could be had.

    The large ones are archives where those are looked into; else the bad sample with padding behind it,
    if it is found like that at all. OverloadedError if there is no room for them now.
    """
    bad, archives = specimens.bad, True
    for make in (zipped, document):
        finding = await _asked(station, make(bad))
        if _temporary(finding):
            return None
        archives = archives and found(finding)
    small = zipped(bad) if archives else bad + bytes(SMALLEST >> 4)
    if not archives:
        finding = await _asked(station, small)
        if _temporary(finding):
            return None
        if not found(finding):
            return Reach(archives=False, largest=None)
    size = max_size
    while size >= SMALLEST:
        finding = await _asked_large(station, large if archives else padded, bad, size, spool)
        if _temporary(finding):
            return None
        if found(finding):
            return Reach(archives, None if size == max_size else size)
        size //= 2
    return Reach(archives, len(small))


def found(finding: Finding) -> bool:
    """Say whether the engine would keep the sample from being served."""
    return isinstance(finding, Infected | Forbidden)


async def _asked(station: Station, data: bytes) -> Finding:
    with Blob.of(data) as blob:
        return await _finding(station, blob)


async def _asked_large(station: Station, make: Maker, bad: bytes, size: int, spool: Spool) -> Finding:
    async with spool.room(size):
        with await make(bad, size, spool) as blob:
            return await _finding(station, blob)


async def _finding(station: Station, blob: Blob) -> Finding:
    said = await question(station, Sample(blob, _UNKNOWN_TYPE), station.timeout, quiet=True)
    return said if isinstance(said, Unscannable) else said.finding


def _temporary(finding: Finding) -> bool:
    return isinstance(finding, Unscannable) and not finding.cause.permanent


def _failed(why: str, finding: Finding) -> Outcome:
    late = isinstance(finding, Unscannable) and finding.cause is Cause.TIMEOUT
    return Outcome(why, wrong=not _temporary(finding), timed_out=late)


def _because(finding: Finding) -> str:
    if isinstance(finding, Unscannable):
        return f" ({finding.detail})"
    name = name_of(finding)
    return "" if name is None else f" ({name})"
