"""What every store of verdicts does, whatever it keeps them in."""

from collections.abc import Callable, Mapping
from typing import Final

import pytest

from ostiary.model import (
    Cause,
    Clean,
    Evidence,
    Finding,
    Forbidden,
    Infected,
    Report,
    Unscannable,
)
from ostiary.verdicts.interface import VerdictStore
from ostiary.verdicts.memory import MemoryVerdicts
from tests.flow.fakes import Clock

STORES: Final[Mapping[str, Callable[[int, Clock], VerdictStore]]] = {
    "memory": MemoryVerdicts,
}
"""How each is made, for so many verdicts and with that clock."""

INDEX: Final = bytes(range(32))
FINDINGS: Final[list[Finding]] = [
    Clean(),
    Infected("Win.Test.EICAR_HDB-1 \u00fc\U0001f600"),
    Forbidden("a rule"),
    *(Unscannable(cause, f"because of {cause}") for cause in Cause),
]


def evidence(*reports: Report, made: float = 1000.0) -> Evidence:
    """Return evidence; of one clean report unless told."""
    return Evidence(reports or (Report("clamd", Clean(), version="ClamAV 1"),), "image/png", made)


class Stored:
    """A store and its clock."""

    def __init__(self, make: Callable[[int, Clock], VerdictStore], most: int = 100) -> None:
        self.clock = Clock()
        self.store = make(most, self.clock)


@pytest.fixture(params=STORES.values(), ids=[*STORES])
def make(request: pytest.FixtureRequest) -> Callable[..., Stored]:
    """Return how to make one."""
    return lambda **details: Stored(request.param, **details)


@pytest.fixture
def stored(make: Callable[..., Stored]) -> Stored:
    """Return an empty one."""
    return make()


async def test_nothing_is_known_at_first(stored: Stored) -> None:
    """An index that nobody put is None."""
    assert await stored.store.get(INDEX) is None


@pytest.mark.parametrize("finding", FINDINGS, ids=str)
async def test_evidence_comes_back_as_it_went(stored: Stored, finding: Finding) -> None:
    """Every finding and every detail of a report, equal and of the same types."""
    reports = (
        Report("clamd", finding, version="ClamAV 1/2/\u00fc"),
        Report("yara", Clean(), required=False, shadow=True, version="", keep=0),
    )
    put = evidence(*reports)
    await stored.store.put(INDEX, put, 60)
    for _ in range(2):
        got = await stored.store.get(INDEX)
        assert got == put
        assert got is not None
        assert [type(report.finding) for report in got.reports] == [type(finding), Clean]


async def test_indexes_do_not_meet(stored: Stored) -> None:
    """One bit is another index."""
    await stored.store.put(INDEX, evidence(), 60)
    for bit in range(256):
        other = (int.from_bytes(INDEX, "big") ^ (1 << bit)).to_bytes(32, "big")
        assert await stored.store.get(other) is None


async def test_time_runs_from_the_inspection(stored: Stored) -> None:
    """Kept until so many seconds after the evidence was made, not after it was put."""
    await stored.store.put(INDEX, evidence(made=stored.clock.now - 50), 60)
    stored.clock.now += 9.9
    assert await stored.store.get(INDEX) is not None
    stored.clock.now += 0.2
    assert await stored.store.get(INDEX) is None
    stored.clock.now -= 0.2
    assert await stored.store.get(INDEX) is None


async def test_what_is_over_before_it_is_put(stored: Stored) -> None:
    """Old evidence, or none worth a second, is not given out."""
    for seconds, made in ((60, stored.clock.now - 60), (0, stored.clock.now), (-1, stored.clock.now)):
        await stored.store.put(INDEX, evidence(made=made), seconds)
        assert await stored.store.get(INDEX) is None


async def test_the_newer_evidence_counts(stored: Stored) -> None:
    """Put again it is in the older one's place, with a time of its own."""
    await stored.store.put(INDEX, evidence(), 60)
    infected = evidence(Report("clamd", Infected("x"), version="2"))
    await stored.store.put(INDEX, infected, 10)
    assert await stored.store.get(INDEX) == infected
    stored.clock.now += 10
    assert await stored.store.get(INDEX) is None


@pytest.mark.parametrize("most", [0, 1, 10])
async def test_verdicts_are_bounded(make: Callable[..., Stored], most: int) -> None:
    """Never more than `result_cache.max_size`; 0 keeps none."""
    stored = make(most=most)
    indexes = [number.to_bytes(32, "big") for number in range(100)]
    for index in indexes:
        await stored.store.put(index, evidence(), 60)
    known = [index for index in indexes if await stored.store.get(index) is not None]
    assert len(known) == most
    assert known == indexes[100 - most :]
