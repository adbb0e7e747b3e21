"""After new signatures: what was known is inspected again, behind first scans, within the grace."""

import asyncio
from pathlib import Path

import pytest

from ostiary.blob import Blob
from ostiary.engines.interface import Sample, Statement
from ostiary.inspection import Station
from ostiary.model import Cause, Clean, Declared, Evidence, Infected, Unscannable
from ostiary.trust import Trust
from tests.engines.asking import until
from tests.flow.fakes import ScriptedEngine, finding
from tests.flow.samples import PICTURE, SMALL, encrypted, key_of, request
from tests.flow.shop import GOOD, Server, Shop, house_empty


def noting(samples: list[Sample], word: object = None) -> ScriptedEngine:
    """Return an engine that keeps the samples it was shown."""

    async def script(sample: Sample) -> object:
        samples.append(sample)
        await asyncio.sleep(0)
        return word or Clean()

    return ScriptedEngine(script)


async def evidence(house: Shop) -> Evidence:
    """Return what is remembered of the one file that was asked for."""
    ((index, _),) = house.verdicts._entries.items()
    found = await house.verdicts.get(index)
    assert found is not None
    return found


async def test_who_comes_again_waits_behind_others(tmp_path: Path) -> None:
    """A first scan is told from one that only repeats what was known under older signatures."""
    samples: list[Sample] = []
    engine = noting(samples)
    with Shop(tmp_path, Server({"id": SMALL}), [engine]) as house:
        await house.got(request(token=GOOD))
        house.new_signatures(engine)
        await house.got(request(token=GOOD))
        house.live.forget()
        house.clock.now += 1
        await house.got(request(token=GOOD))
    assert [sample.again for sample in samples] == [False, True, True]


@pytest.mark.parametrize("which", [None, "scripted"])
async def test_what_is_forgotten_is_inspected_again(tmp_path: Path, which: str | None) -> None:
    """Of one engine, or of all; what is found afterwards counts."""
    engine = ScriptedEngine()
    with Shop(tmp_path, Server({"id": SMALL}), [engine]) as house:
        for _ in range(2):
            await house.got(request(token=GOOD))
        house.clock.now += 1
        house.live.forget(which)
        house.clock.now += 1
        for _ in range(2):
            await house.got(request(token=GOOD))
    assert len(engine.seen) == 2


async def test_an_inspection_under_way_is_forgotten_too(tmp_path: Path) -> None:
    """It may have begun under the signatures that are to be forgotten."""

    async def script(_: Sample) -> object:
        if len(engine.seen) == 1:
            house.live.forget()
            house.clock.now += 1
            return Clean()
        return Infected("new")

    engine = ScriptedEngine(script)
    with Shop(tmp_path, Server({"id": SMALL}), [engine]) as house:
        assert await house.got(request(token=GOOD)) == "new"


@pytest.mark.parametrize("grace", [0.0, 60.0])
async def test_old_verdicts_serve_within_the_grace(tmp_path: Path, grace: float) -> None:
    """While one inspection runs behind it; what that finds counts from the next request on."""
    engine = ScriptedEngine()
    with Shop(tmp_path, Server({"id": SMALL}), [engine], grace=grace) as house:
        assert await house.got(request(token=GOOD)) == SMALL
        house.new_signatures(engine)
        await house.live.count(await evidence(house))
        engine._script = finding(Infected("new"))
        async with house.gateway.media(request(token=GOOD)) as outcome:
            assert outcome.verdict.release == bool(grace)
        await until(lambda: len(engine.seen) == 2 and house.held == (0, 0))
        assert await house.got(request(token=GOOD)) == "new"
        assert len(engine.seen) == 2
        await house_empty(house)


async def test_after_the_grace_nobody_is_served_by_it(tmp_path: Path) -> None:
    """The old verdict is good for so long, and no longer."""
    engine = ScriptedEngine()
    with Shop(tmp_path, Server({"id": SMALL}), [engine], grace=60) as house:
        assert await house.got(request(token=GOOD)) == SMALL
        house.new_signatures(engine)
        await house.live.count(await evidence(house))
        engine._script = finding(Infected("new"))
        house.clock.now += 61
        assert await house.got(request(token=GOOD)) == "new"


async def test_the_grace_begins_when_the_signatures_changed(tmp_path: Path) -> None:
    """Not when somebody asks next: what nobody asked for meanwhile has none left."""
    engine = ScriptedEngine()
    with Shop(tmp_path, Server({"id": SMALL}), [engine], grace=60) as house:
        assert await house.got(request(token=GOOD)) == SMALL
        house.clock.now += 61  # in which they may have changed at any time
        house.new_signatures(engine)
        engine._script = finding(Infected("new"))
        assert await house.got(request(token=GOOD)) == "new"


async def test_only_what_was_clean_is_graced(tmp_path: Path) -> None:
    """What was refused is looked at again at once: it may be served now, or still not."""
    engine = ScriptedEngine(finding(Infected("old")))
    with Shop(tmp_path, Server({"id": SMALL}), [engine], grace=60) as house:
        assert await house.got(request(token=GOOD)) == "old"
        house.new_signatures(engine)
        engine._script = None
        assert await house.got(request(token=GOOD)) == SMALL


async def test_what_is_forgotten_has_no_grace(tmp_path: Path) -> None:
    """Neither a liar's word nor what somebody told us to forget serves for another moment."""
    engine = ScriptedEngine()
    with Shop(tmp_path, Server({"id": SMALL}), [engine], grace=60) as house:
        assert await house.got(request(token=GOOD)) == SMALL
        house.live.forget()
        house.clock.now += 1
        engine._script = finding(Infected("new"))
        assert await house.got(request(token=GOOD)) == "new"


async def test_no_grace_without_a_living_engine(tmp_path: Path) -> None:
    """Nobody is there to inspect it again."""
    engine = ScriptedEngine()
    with Shop(tmp_path, Server({"id": SMALL}), [engine], grace=60) as house:
        assert await house.got(request(token=GOOD)) == SMALL

        async def none() -> frozenset[str]:
            return frozenset()

        engine.versions = none  # type: ignore[method-assign]
        house.new_signatures(engine)
        engine._script = finding(Unscannable(Cause.ERROR, "x"))
        assert await house.got(request(token=GOOD)) == "error"


async def test_encrypted_attachments_have_no_grace(tmp_path: Path) -> None:
    """Their keys live as long as the request: nothing can inspect them behind it."""
    engine = ScriptedEngine()
    ciphertext = encrypted(PICTURE)
    with Shop(tmp_path, Server({"id": ciphertext}), [engine], grace=60) as house:
        wanted = request(key_of(ciphertext), token=GOOD)
        assert await house.got(wanted) == ciphertext
        house.new_signatures(engine)
        engine._script = finding(Infected("new"))
        assert await house.got(wanted) == "new"


async def test_statements_that_count_for_a_while(tmp_path: Path) -> None:
    """Where nothing would show new signatures, an engine's word counts for as long as it says."""
    engine = ScriptedEngine()
    inspected = engine.inspect

    async def briefly(sample: Sample) -> Statement:
        said = await inspected(sample)
        return Statement(said.finding, said.version, keep=10)

    engine.inspect = briefly  # type: ignore[method-assign]
    with Shop(tmp_path, Server({"id": SMALL}), [engine]) as house:
        for seconds in (0, 9, 2, 7, 4):
            house.clock.now += seconds
            assert await house.got(request(token=GOOD)) == SMALL
    assert len(engine.seen) == 3  # at 0, at 11, at 22 seconds


@pytest.mark.parametrize("both_ways", [True, False])
async def test_uploads_are_known_apart_where_an_engine_looks_both_ways(
    tmp_path: Path, *, both_ways: bool
) -> None:
    """What a service for uploads calls clean says nothing of downloads, if it is another service."""
    samples: list[Sample] = []
    engine = noting(samples)
    engine.looks_both_ways = both_ways
    with Shop(tmp_path, Server({"id": SMALL}), [engine]) as house:
        for _ in range(2):
            with Blob.of(SMALL) as blob:
                await house.gateway.judge_upload(blob, None, Declared())
        await house.got(request(token=GOOD))
    assert [sample.upload for sample in samples] == ([True, False] if both_ways else [False])


async def test_an_engine_that_lies_is_out_and_what_it_said_with_it(tmp_path: Path) -> None:
    """From the moment that trust ends nothing is served on its word, not even what is stored."""
    engine = ScriptedEngine()
    trust = Trust(engine.name)
    trust.passed()
    with Shop(tmp_path, Server({"id": SMALL}), [Station(engine, trust=trust)]) as house:
        assert await house.got(request(token=GOOD)) == SMALL
        assert trust.failed("it calls everything clean")
        house.live.forget(engine.name)
        assert await house.got(request(token=GOOD)) == "untrusted"
        trust.passed()
        house.clock.now += 1
        assert await house.got(request(token=GOOD)) == SMALL
    assert len(engine.seen) == 2
