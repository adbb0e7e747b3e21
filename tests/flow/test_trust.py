"""Trust: earned by a first proof, lost by failures in a row, restored by one good proof."""

import asyncio

import pytest

from ostiary.blob import Blob
from ostiary.engines.interface import Sample
from ostiary.inspection import Station, inspect
from ostiary.model import Cause, Clean, Finding, Infected, Unscannable
from ostiary.trust import Trust, believed
from tests.flow.fakes import ScriptedEngine, settled

ZIP = "application/zip"


def sample(size: int = 3, detected_type: str = "text/plain", *embedded: str) -> Sample:
    """Return a sample of so many bytes."""
    return Sample(Blob.of(bytes(size)), detected_type, embedded)


async def asked(trust: Trust, engine: ScriptedEngine, seconds: float = 5) -> Finding:
    """Return what an inspection by that engine alone finds."""
    (report,) = await inspect(sample(), [Station(engine, trust=trust)], seconds)
    return report.finding


async def test_the_first_proof_decides_alone() -> None:
    """At start one failure is enough, however many are allowed later."""
    trust = Trust("a", failures=3)
    before = trust.settled
    assert not trust.failed("it calls everything clean")
    assert (before, trust.settled, trust.trusted) == (False, True, False)


async def test_so_many_failures_in_a_row_end_trust_and_one_proof_restores_it() -> None:
    """Two failures of three mean nothing if a good proof comes between."""
    trust = Trust("a", failures=3)
    trust.passed()
    assert [trust.failed("x"), trust.failed("x")] == [False, False]
    trust.passed()
    assert [trust.failed("x"), trust.failed("x"), trust.trusted] == [False, False, True]
    course = [(trust.failed("x"), trust.trusted), (trust.failed("x"), trust.trusted)]
    trust.passed()
    course.append((trust.failed("x"), trust.trusted))
    assert course == [(True, False), (False, False), (False, True)]


async def test_an_untrusted_engine_is_not_asked() -> None:
    """Its scans count as errors: not what it would say, whatever that is."""
    engine, trust = ScriptedEngine(), Trust("scripted")
    trust.failed("it finds nothing")
    finding = await asked(trust, engine)
    assert finding == Unscannable(Cause.UNTRUSTED, "scripted is not trusted at the moment")
    assert not engine.seen
    assert not Cause.UNTRUSTED.permanent


async def test_requests_wait_for_the_first_proof() -> None:
    """Whoever comes before it has ended waits for it, and is answered then."""
    engine, trust = ScriptedEngine(), Trust("scripted")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(asked(trust, engine))
        await settled()
        assert not engine.seen
        trust.passed()
    assert waiting.result() == Clean()


async def test_nobody_waits_longer_than_the_whole_inspection_may_take() -> None:
    """Without a proof in time nothing is clean, and no timeout is held against the bytes."""
    finding = await asked(Trust("scripted"), ScriptedEngine(), 0.05)
    assert isinstance(finding, Unscannable)
    assert finding.cause is Cause.UNTRUSTED


async def test_answers_are_counted() -> None:
    """A busy engine that answers others is not taken for a dead one."""
    engine, trust = ScriptedEngine(), believed()
    await asked(trust, engine)
    assert trust.answers == 1


@pytest.mark.parametrize(
    ("size", "types", "archives", "largest", "limited"),
    [
        (10, ("text/plain",), True, None, False),
        (10, (ZIP,), True, None, False),
        (10, (ZIP,), False, None, True),
        (10, ("image/jpeg", ZIP), False, None, True),
        (10, ("text/plain",), False, None, False),
        (10, ("application/vnd.openxmlformats-officedocument.wordprocessingml.document",), False, None, True),
        (10, ("application/vnd.ms-word.document.macroenabled.12",), False, None, True),
        (10, ("application/epub+zip",), False, None, True),
        (10, ("text/plain",), True, 10, False),
        (11, ("text/plain",), True, 10, True),
    ],
)
def test_clean_beyond_its_reach_is_no_word(
    size: int, types: tuple[str, ...], largest: int | None, *, archives: bool, limited: bool
) -> None:
    """What the engine was not seen to look into it can't call clean; what it finds there stands."""
    trust = believed()
    trust.reaches(archives=archives, largest=largest)
    one = sample(size, *types)
    weighed = trust.weigh(Clean(), one)
    assert (isinstance(weighed, Unscannable) and weighed.cause is Cause.LIMIT) == limited
    assert limited or weighed == Clean()
    assert trust.weigh(Infected("x"), one) == Infected("x")
    error = Unscannable(Cause.ERROR, "x")
    assert trust.weigh(error, one) is error


def test_a_change_of_reach_is_told() -> None:
    """Whoever keeps evidence hears of it."""
    trust = believed()
    assert not trust.reaches(archives=True, largest=None)
    assert trust.reaches(archives=False, largest=None)
    assert not trust.reaches(archives=False, largest=None)
    assert trust.reaches(archives=True, largest=5)
    assert trust.reaches(archives=True, largest=None)
