"""Evidence: found out once, kept for as long as it is worth, and never beyond what made it."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from ostiary import judging
from ostiary.blob import Blob
from ostiary.engines.filetype.detector import FileType
from ostiary.engines.interface import Sample, Statement
from ostiary.errors import EngineError
from ostiary.inspection import Station, inspect
from ostiary.judging import HELD, worth_keeping
from ostiary.model import (
    Cause,
    Clean,
    Declared,
    Finding,
    Forbidden,
    Infected,
    Report,
    Result,
    Unscannable,
)
from ostiary.policy import DISGUISE_RULE, Rules
from tests.flow.fakes import House, ScriptedEngine, finding, hang, serving
from tests.flow.samples import IV, KEY, LARGE, PICTURE, SMALL, encrypted, key_of

TTL: Final = 3600.0
"""How long tests.flow.fakes keeps verdicts."""

CLEAN, BAD, RULE = Clean(), Infected("x"), Forbidden("x")
PERMANENT: Final = [cause for cause in Cause if cause.permanent]
TEMPORARY: Final = [Cause.ERROR, Cause.UNTRUSTED]


def said(what: Finding, **details: Any) -> Report:  # noqa: ANN401  (fields of a Report)
    """Return an engine's word."""
    return Report("a", what, version="1", **details)


def silent(cause: Cause, **details: Any) -> Report:  # noqa: ANN401  (likewise)
    """Return what stands for an engine that did not get to say anything."""
    return Report("b", Unscannable(cause, ""), keep=0, **details)


@pytest.mark.parametrize(
    "what", [CLEAN, BAD, RULE, *(Unscannable(cause, "") for cause in PERMANENT)], ids=str
)
def test_an_engines_word_is_kept(what: Finding) -> None:
    """Clean, infected, forbidden and every permanent cause, with the operator's `ttl`."""
    for required in (True, False):
        assert worth_keeping([said(what, required=required)], TTL) == TTL


@pytest.mark.parametrize("cause", TEMPORARY)
@pytest.mark.parametrize("other", [CLEAN, BAD, Unscannable(Cause.LIMIT, "")], ids=str)
def test_what_is_temporary_is_not_kept(cause: Cause, other: Finding) -> None:
    """An engine that is needed and was out of order is asked again, whatever the others said."""
    assert worth_keeping([said(other), silent(cause)], TTL) == 0
    assert worth_keeping([silent(cause), said(other)], TTL) == 0


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("others", [[], [said(CLEAN)], [silent(Cause.ERROR)], [silent(Cause.UNTRUSTED)]])
def test_a_timeout_is_held_for_a_minute(others: Sequence[Report], *, required: bool) -> None:
    """One archive bomb can't eat the engines, not even one that breaks another engine meanwhile."""
    reports = [silent(Cause.TIMEOUT, required=required), *others]
    assert worth_keeping(reports, TTL) == worth_keeping(reports[::-1], TTL) == HELD == 60
    assert worth_keeping(reports, 5.0) == 5.0


@pytest.mark.parametrize("cause", [*TEMPORARY, Cause.TIMEOUT])
def test_without_an_engine_that_is_not_needed(cause: Cause) -> None:
    """The others' word counts for a minute, and then all are asked again."""
    for word in (CLEAN, BAD):
        assert worth_keeping([said(word), silent(cause, required=False)], TTL) == HELD


@pytest.mark.parametrize("cause", TEMPORARY)
def test_nobodys_word_is_not_kept(cause: Cause) -> None:
    """Where all engines are dispensable and none spoke, the error is the moment's, not the file's."""
    assert worth_keeping([silent(cause, required=False)] * 2, TTL) == 0


@pytest.mark.parametrize("other", [[], [said(BAD)], [silent(Cause.TIMEOUT)]])
def test_a_fleeting_word_is_not_kept(other: Sequence[Report]) -> None:
    """What the operator wants to be asked each time (`exit_codes_to_ignore`) is."""
    for word in (CLEAN, BAD, Unscannable(Cause.LIMIT, "")):
        assert worth_keeping([said(word, keep=0), *other], TTL) == 0


@pytest.mark.parametrize("shadow", [silent(Cause.ERROR, shadow=True), said(BAD, shadow=True, keep=0)])
def test_shadows_decide_nothing_here_either(shadow: Report) -> None:
    """An engine in shadow mode neither shortens nor prevents what the others' word is worth."""
    assert worth_keeping([said(CLEAN), shadow], TTL) == TTL
    assert worth_keeping([silent(Cause.ERROR), shadow], TTL) == 0


async def inspections(house: House, *blobs: Blob) -> list[bool]:
    """Judge them one after another; say of each whether it was known."""
    return [(await house.gateway.judge(blob, Declared())).known for blob in blobs]


@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=len)
async def test_the_same_bytes_are_inspected_once(tmp_path: Path, data: bytes) -> None:
    """One blob or another: bytes are what counts, and one byte more is other bytes."""
    engine = ScriptedEngine(finding(BAD))
    with House(tmp_path, serving(), [engine], verdicts=10) as house:
        assert await inspections(house, Blob.of(data), Blob.of(data), Blob.of(data + b"x")) == [
            False,
            True,
            False,
        ]
        assert len(engine.seen) == 2
        value = house.metrics.registry.get_sample_value
        assert value("content_scanner_infected_total") == 2
        assert value("content_scanner_scan_duration_seconds_count") == 2


async def test_the_same_bytes_at_the_same_time_are_inspected_once(tmp_path: Path) -> None:
    """Callers with copies of their own share the engines' work; each holds its own bytes."""
    gate = asyncio.Event()

    async def wait(_: Sample) -> object:
        await gate.wait()
        return BAD

    engine = ScriptedEngine(wait)
    with House(tmp_path, serving(), [engine]) as house:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(inspections(house, Blob.of(SMALL))) for _ in range(5)]
        await engine.arrived.wait()
        gate.set()
        await asyncio.wait(tasks)
        assert sorted(task.result()[0] for task in tasks) == [False, True, True, True, True]
        assert house.metrics.registry.get_sample_value("content_scanner_infected_total") == 1
    assert len(engine.seen) == 1


async def test_whoever_has_it_inspected_may_go_away(tmp_path: Path) -> None:
    """The next caller with the same bytes has them inspected; nobody is left with nothing."""
    gates = [asyncio.Event(), asyncio.Event()]
    turn = iter(gates)

    async def wait(_: Sample) -> object:
        await next(turn).wait()
        return CLEAN

    engine = ScriptedEngine(wait)
    with House(tmp_path, serving(), [engine], verdicts=10) as house:
        loop = asyncio.get_running_loop()
        first, second = (loop.create_task(inspections(house, Blob.of(SMALL))) for _ in range(2))
        await engine.arrived.wait()
        first.cancel()
        await asyncio.wait([first])
        gates[1].set()
        assert await second == [False]
    assert (len(engine.seen), engine.cancelled) == (2, 1)


async def test_encrypted_and_plain_copies_share(tmp_path: Path) -> None:
    """The same malware under two keys and in the clear is inspected once."""
    engine = ScriptedEngine(finding(BAD))
    with House(tmp_path, serving(), [engine], verdicts=10) as house:
        for key in (KEY, bytes(32)):
            ciphertext = encrypted(SMALL, key)
            with Blob.of(ciphertext) as blob:
                outcome = await house.gateway.judge_upload(blob, key_of(ciphertext, key), Declared())
                assert outcome.verdict.result is Result.INFECTED
        assert await inspections(house, Blob.of(SMALL)) == [True]
        assert await inspections(house, Blob.of(encrypted(SMALL))) == [False]
    assert [data for data, _ in engine.seen] == [SMALL, encrypted(SMALL)]


@pytest.mark.parametrize(
    ("script", "later"),
    [(finding(CLEAN), TTL), (finding(BAD), TTL), (finding(Unscannable(Cause.MACRO, "")), TTL), (hang, HELD)],
)
async def test_verdicts_end(tmp_path: Path, script: Callable[[Sample], object], later: float) -> None:
    """What is kept is inspected again when its time is over, counted from the inspection's beginning."""
    engine = ScriptedEngine(script)  # type: ignore[arg-type]
    with House(tmp_path, serving(), [Station(engine, timeout=0.02)], verdicts=10) as house:
        blob = Blob.of(SMALL)
        assert await inspections(house, blob, blob) == [False, True]
        house.clock.now += later - 0.001
        assert await inspections(house, blob) == [True]
        house.clock.now += 0.001
        assert await inspections(house, blob, blob) == [False, True]


async def test_an_engines_error_is_asked_again(tmp_path: Path) -> None:
    """An error is never remembered: the moment the engine is back, the file is judged."""
    faults: list[Exception] = [EngineError("down"), ValueError()]

    async def script(_: Sample) -> object:
        await asyncio.sleep(0)
        if faults:
            raise faults.pop()
        return CLEAN

    with House(tmp_path, serving(), [ScriptedEngine(script)], verdicts=10) as house:
        results = [(await house.gateway.judge(Blob.of(SMALL), Declared())).verdict.result for _ in range(3)]
    assert results == [Result.ERROR, Result.ERROR, Result.CLEAN]


async def test_new_signatures_make_old_evidence_stale(tmp_path: Path) -> None:
    """With another version of one engine everything is inspected anew; going back counts again."""
    engine, other = ScriptedEngine(), ScriptedEngine(name="other")
    with House(tmp_path, serving(), [engine, other], verdicts=10) as house:
        blob = Blob.of(SMALL)
        assert await inspections(house, blob, blob) == [False, True]
        other.release = "2"
        _later(house)
        assert await inspections(house, blob, blob) == [False, True]
        assert len(engine.seen) == len(other.seen) == 2


async def test_signatures_that_come_in_the_middle_of_a_scan(tmp_path: Path) -> None:
    """The version is from before the scan: what old ones found is not the new ones' word, who ask at once."""

    class Updating(ScriptedEngine):
        async def inspect(self, sample: Sample) -> Statement:
            statement = await super().inspect(sample)
            self.release = "2"
            return statement

    engine = Updating()
    with House(tmp_path, serving(), [engine], verdicts=10) as house:
        blob = Blob.of(SMALL)
        assert await inspections(house, blob) == [False]
        assert len(engine.seen) == 2
        _later(house)
        assert await inspections(house, blob) == [True]


async def test_rules_count_at_every_request(tmp_path: Path) -> None:
    """What a request declares is judged anew each time, also of bytes that are known."""
    program = Path("/bin/true").read_bytes()
    with House(tmp_path, serving(), [ScriptedEngine()], verdicts=10) as house:
        names = [
            (await house.gateway.judge(Blob.of(program), declared)).verdict.name
            for declared in (Declared(), Declared("image/png"), Declared(), Declared(filename="a.jpg"))
        ]
    assert names == [None, DISGUISE_RULE, None, DISGUISE_RULE]


async def test_a_shadows_finding_is_told_once(tmp_path: Path) -> None:
    """It is logged and counted with the inspection, and decides nothing, then or later."""
    shadow = Station(ScriptedEngine(finding(BAD), "dark"), shadow=True)
    with (
        House(tmp_path, serving(), [ScriptedEngine(), shadow], verdicts=10) as house,
        capture_logs() as lines,
    ):
        for _ in range(3):
            assert (await house.gateway.judge(Blob.of(SMALL), Declared())).verdict.result is Result.CLEAN
        value = house.metrics.registry.get_sample_value
        assert value("content_scanner_shadow_findings_total", {"finding": "infected"}) == 1
        assert value("content_scanner_infected_total") == 0
    assert [line["engine"] for line in lines if line["event"] == "shadow"] == ["dark"]


async def test_a_type_not_found_out_in_time_is_held_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that hang the look at their type are a bomb like any other."""
    looks = 0

    async def never(_: Blob) -> str:
        nonlocal looks
        looks += 1
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    with House(tmp_path, serving(), [ScriptedEngine()], verdicts=10, timeout=0.02) as house:
        monkeypatch.setattr(house.detector, "detect", never)
        assert await inspections(house, Blob.of(SMALL), Blob.of(SMALL)) == [False, True]
        house.clock.now += HELD
        assert await inspections(house, Blob.of(SMALL)) == [False]
    assert looks == 2


async def test_one_time_limit_for_the_whole_inspection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the look at the type takes is taken from the engines' time (`scan.timeout`)."""
    loop, given = asyncio.get_running_loop(), []
    now = loop.time()

    async def slow(_: Blob) -> FileType:
        monkeypatch.setattr(loop, "time", lambda: now + 20)
        return FileType("image/png")

    async def spy(sample: Sample, stations: Sequence[Station], timeout: float) -> tuple[Report, ...]:  # noqa: ASYNC109
        given.append(timeout)
        return await inspect(sample, stations, 30)

    monkeypatch.setattr(judging, "inspect", spy)
    with House(tmp_path, serving(), [ScriptedEngine()], timeout=30) as house:
        monkeypatch.setattr(house.detector, "detect", slow)
        monkeypatch.setattr(loop, "time", lambda: now)
        await inspections(house, Blob.of(SMALL))
    assert given == [pytest.approx(10)]


@pytest.mark.parametrize("serve", [True, False])
async def test_what_is_too_large_is_known_as_such(tmp_path: Path, *, serve: bool) -> None:
    """Nobody looks at it, today or later; the rules of the moment say whether it leaves."""
    rules = Rules(serve=frozenset({Cause.TOO_LARGE}) if serve else frozenset())
    engine = ScriptedEngine()
    with House(tmp_path, serving(), [engine], max_size=10, rules=rules, verdicts=10) as house:
        for known in (False, True):
            outcome = await house.gateway.judge(Blob.of(bytes(11)), Declared())
            assert (outcome.verdict.name, outcome.verdict.release, outcome.known) == (
                "too_large",
                serve,
                known,
            )
    assert engine.seen == []


async def test_another_iv_is_other_bytes(tmp_path: Path) -> None:
    """What one key and IV make of a ciphertext says nothing about another's plaintext."""
    ciphertext = encrypted(PICTURE)
    other_iv = bytes([IV[0] ^ 1]) + IV[1:]
    engine = ScriptedEngine()
    with House(tmp_path, serving(), [engine], verdicts=10) as house, Blob.of(ciphertext) as blob:
        for key, iv in ((KEY, IV), (KEY, other_iv), (bytes(32), IV)):
            outcome = await house.gateway.judge_upload(blob, key_of(ciphertext, key, iv), Declared())
            assert not outcome.known
    assert len({data for data, _ in engine.seen}) == 3


def _later(house: House) -> None:
    """Have the engines' versions asked for again, as they are after a few seconds."""
    house.judge._memory.live._asked = float("-inf")
