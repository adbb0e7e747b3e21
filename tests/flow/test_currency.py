"""Evidence counts while what made it still decides somewhere: no longer, and nobody waits for long."""

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from ostiary import currency
from ostiary.background import Background
from ostiary.currency import FRESH, OLDEST, LiveVersions
from ostiary.model import Cause, Clean, Evidence, Report, Unscannable
from tests.flow.fakes import ScriptedEngine, settled

ERROR = Unscannable(Cause.ERROR, "")


class Versions(ScriptedEngine):
    """An engine with several addresses: `live` is what they say; `gate` keeps them from saying it."""

    def __init__(self, name: str = "scripted", *live: str) -> None:
        super().__init__(name=name)
        self.live = set(live or {"1"})
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = 0

    async def versions(self) -> frozenset[str]:
        """Return them when the gate is open; what they are by then."""
        self.asked += 1
        await self.gate.wait()
        return frozenset(self.live)


class Times:
    """A loop's clock that the test moves, in place of the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)


def evidence(*reports: tuple[str, str]) -> Evidence:
    """Return clean evidence by engines of these names and versions."""
    return Evidence(
        tuple(Report(name, Clean(), version=version) for name, version in reports), "image/png", 0
    )


def live(*engines: Versions) -> LiveVersions:
    """Return what is to be tested."""
    return LiveVersions(engines, Background())


@pytest.mark.parametrize(
    ("reports", "counts"),
    [
        ([Report("a", Clean(), version="1")], True),
        ([Report("a", Clean(), version="2")], True),
        ([Report("a", Clean(), version="3")], False),
        ([Report("a", Clean(), version="1"), Report("b", Clean(), version="9")], True),
        ([Report("a", Clean(), version="1"), Report("b", Clean(), version="1")], False),
        ([Report("gone", Clean(), version="1")], False),
        ([Report("a", ERROR, required=False), Report("b", Clean(), version="9")], True),
        ([Report("a", Clean(), shadow=True, version="3"), Report("b", Clean(), version="9")], True),
        ([Report("a", Clean(), required=False, version="3"), Report("b", Clean(), version="9")], False),
        ([Report("a", Unscannable(Cause.LIMIT, ""), version="3")], False),
    ],
)
async def test_evidence_counts_while_its_makers_do(reports: Sequence[Report], *, counts: bool) -> None:
    """Any live address of each engine that decides; shadows and the silent are not asked."""
    versions = live(Versions("a", "1", "2"), Versions("b", "9"))
    assert await versions.count(Evidence(tuple(reports), "image/png", 0)) == counts


async def test_an_engine_that_is_down_vouches_for_nothing() -> None:
    """With no live address there is no current signature, and old evidence doesn't count."""
    engine = Versions()
    engine.live.clear()
    assert not await live(engine).count(evidence(("scripted", "1")))


async def test_engines_are_asked_once_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many want to know, and only while somebody does."""
    times, engine = Times(monkeypatch), Versions()
    versions = live(engine)
    for _ in range(3):
        assert all(await asyncio.gather(*(versions.count(evidence(("scripted", "1"))) for _ in range(20))))
    assert engine.asked == 1
    times.now += FRESH
    assert await versions.count(evidence(("scripted", "1")))
    assert engine.asked == 1
    times.now += 0.1
    await asyncio.gather(*(versions.count(evidence(("scripted", "1"))) for _ in range(20)))
    assert engine.asked == 2
    times.now += 3600
    await settled()
    assert engine.asked == 2


async def test_nobody_waits_but_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer of a few seconds ago still counts while a new one is on its way; then the new one does."""
    times, engine = Times(monkeypatch), Versions()
    versions = live(engine)
    assert await versions.count(evidence(("scripted", "1")))
    engine.gate.clear()
    engine.live = {"2"}
    times.now += OLDEST - 0.1
    assert await versions.count(evidence(("scripted", "1")))
    engine.gate.set()
    await settled()
    assert not await versions.count(evidence(("scripted", "1")))
    assert await versions.count(evidence(("scripted", "2")))
    assert engine.asked == 2


async def test_a_new_word_is_doubted_by_a_new_answer_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine back a moment ago counts at once: what was known of it before tells nothing."""
    times, engine = Times(monkeypatch), Versions()
    versions = live(engine)
    engine.live.clear()
    assert not await versions.count(evidence(("scripted", "2")))
    times.now += 0.1
    engine.live = {"2"}
    assert not await versions.count(evidence(("scripted", "2")))
    assert await versions.count_still(evidence(("scripted", "2")))
    assert engine.asked == 2
    assert await versions.count_still(evidence(("scripted", "2")))
    assert engine.asked == 2


async def test_an_answer_asked_for_before_does_not_count_as_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way when the word is doubted may have been read before: it is asked once more."""
    times, engine = Times(monkeypatch), Versions()
    versions = live(engine)
    assert await versions.count(evidence(("scripted", "1")))
    engine.gate.clear()
    times.now += FRESH + 0.1
    assert await versions.count(evidence(("scripted", "1")))
    await settled()
    times.now += 0.1
    async with asyncio.TaskGroup() as group:
        doubted = group.create_task(versions.count_still(evidence(("scripted", "2"))))
        await settled()
        assert engine.asked == 2
        engine.gate.set()
    assert not doubted.result()
    assert engine.asked == 3


async def test_nobody_goes_by_an_answer_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """After five seconds everybody waits for a new answer: changed signatures count by then."""
    times, engine = Times(monkeypatch), Versions()
    versions = live(engine)
    assert await versions.count(evidence(("scripted", "1")))
    engine.live = {"2"}
    engine.gate.clear()
    times.now += OLDEST + 0.1
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(versions.count(evidence(("scripted", "1")))) for _ in range(3)]
    await settled()
    assert not any(task.done() for task in tasks)
    tasks[0].cancel()  # who goes away takes the question from nobody
    engine.gate.set()
    await asyncio.wait(tasks)
    assert [task.result() for task in tasks[1:]] == [False, False]
    assert engine.asked == 2


async def test_an_engine_that_breaks_its_promise_makes_nothing_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """If versions can't be asked for at all, no answer is older than five seconds all the same."""
    times, engine = Times(monkeypatch), Versions()
    versions = live(engine)
    assert await versions.count(evidence(("scripted", "1")))

    async def broken() -> frozenset[str]:
        raise ValueError

    monkeypatch.setattr(engine, "versions", broken)
    times.now += OLDEST + 0.1
    with capture_logs() as lines:
        assert not await versions.count(evidence(("scripted", "1")))
    assert [line["event"] for line in lines] == ["bug in the background"]
    monkeypatch.undo()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: times.now)
    assert await versions.count(evidence(("scripted", "1")))


def test_signatures_count_within_five_seconds() -> None:
    """The reference promises it."""
    assert currency.OLDEST <= 5
    assert currency.FRESH < currency.OLDEST
