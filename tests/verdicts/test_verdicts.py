"""What every store of verdicts does, whatever it keeps them in."""

from collections.abc import Callable, Mapping
from typing import Final

import pytest

from ostiary.errors import MalformedRequestError
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


async def indexes(store: VerdictStore, limit: int) -> list[bytes]:
    """Return what all pages hold, in their order."""
    found: list[bytes] = []
    after: bytes | None = None
    while True:
        page = await store.entries(limit, after)
        found += [entry.index for entry in page.entries]
        after = page.after
        if after is None:
            return found


async def test_an_entry_tells_its_time(stored: Stored) -> None:
    """One by its index, or in a list: evidence, and the seconds that it has left."""
    put = evidence(made=stored.clock.now - 50)
    await stored.store.put(INDEX, put, 60)
    (listed,) = (await stored.store.entries(10)).entries
    for entry in (await stored.store.entry(INDEX), listed):
        assert entry is not None
        assert (entry.index, entry.evidence) == (INDEX, put)
        assert entry.left == pytest.approx(10, abs=0.1)
    stored.clock.now += 10
    assert (await stored.store.entries(10)).entries == ()  # before anybody asks for it by its index
    assert await stored.store.entry(INDEX) is None
    assert await stored.store.entry(bytes(32)) is None


@pytest.mark.parametrize("limit", [1, 7, 20, 1000])
async def test_pages_hold_every_entry(stored: Stored, limit: int) -> None:
    """Whatever the limit; the last page says so."""
    wanted = {number.to_bytes(32, "big") for number in range(0, 200, 10)}
    for index in wanted:
        await stored.store.put(index, evidence(), 60)
    assert set(await indexes(stored.store, limit)) == wanted


async def test_pages_amid_changes(stored: Stored) -> None:
    """What is there all the while comes, whatever is used, put, removed or over meanwhile."""
    stays = [number.to_bytes(32, "big") for number in range(0, 60, 2)]
    goes = [number.to_bytes(32, "big") for number in range(1, 60, 2)]
    for index in (*stays, *goes):
        await stored.store.put(index, evidence(), 60)
    found: list[bytes] = []
    after: bytes | None = None
    while True:
        page = await stored.store.entries(7, after)
        found += [entry.index for entry in page.entries]
        after = page.after
        if after is None:
            break
        await stored.store.get(stays[len(found) % len(stays)])
        await stored.store.remove(goes.pop())
        await stored.store.put((1000 + len(found)).to_bytes(32, "big"), evidence(), 60)
    assert set(stays) <= set(found)


async def test_listing_is_no_use(make: Callable[..., Stored]) -> None:
    """It saves nothing from being pushed out: the oldest goes first as before."""
    stored = make(most=3)
    first, *others = (number.to_bytes(32, "big") for number in range(4))
    for index in (first, *others[:2]):
        await stored.store.put(index, evidence(), 60)
    assert len(await indexes(stored.store, 10)) == 3
    await stored.store.put(others[2], evidence(), 60)
    assert set(await indexes(stored.store, 10)) == set(others)


@pytest.mark.parametrize("after", [b"", b"x", bytes(31), bytes(33)])
async def test_a_cursor_of_nobodys(stored: Stored, after: bytes) -> None:
    """Where no page can have ended none begins."""
    with pytest.raises(MalformedRequestError):
        await stored.store.entries(10, after)


async def test_one_is_removed(stored: Stored) -> None:
    """It alone goes; whether there was anything is said, and what was over was nothing."""
    other = bytes(32)
    for index in (INDEX, other):
        await stored.store.put(index, evidence(), 60)
    assert await stored.store.remove(INDEX)
    assert await stored.store.get(INDEX) is None
    assert await stored.store.get(other) is not None
    assert not await stored.store.remove(INDEX)
    stored.clock.now += 60
    assert not await stored.store.remove(other)


async def test_all_is_cleared(stored: Stored) -> None:
    """Nothing is left, and it is said how much that was, without what was over; then it is used as before."""
    await stored.store.put(bytes(32), evidence(), 5)
    for number in range(1, 6):
        await stored.store.put(number.to_bytes(32, "big"), evidence(), 60)
        await stored.store.get(number.to_bytes(32, "big"))
    stored.clock.now += 10
    assert await stored.store.clear() == 5
    assert (await stored.store.entries(10)).entries == ()
    assert await stored.store.clear() == 0
    await stored.store.put(INDEX, evidence(made=stored.clock.now), 60)
    assert await stored.store.get(INDEX) is not None
