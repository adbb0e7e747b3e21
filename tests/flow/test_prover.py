"""Proof of scan: what fails it, what it makes forgotten, and how far an engine is seen to look."""

import asyncio
import io
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from ostiary import prover as room
from ostiary.background import Background
from ostiary.blob import Blob
from ostiary.budget import Budget, Spool
from ostiary.currency import LiveVersions
from ostiary.engines.interface import Sample, Specimens, Statement
from ostiary.engines.specimens import harmless
from ostiary.errors import EngineError, OverloadedError
from ostiary.inspection import Station
from ostiary.metrics import Metrics
from ostiary.model import Cause, Clean, Evidence, Infected, Report, Unscannable
from ostiary.proof import Reach, proved, reach
from ostiary.proof_samples import document, large, zipped
from ostiary.prover import Proofs, Prover, Schedule, Wear
from ostiary.trust import Trust
from tests.flow.fakes import ScriptedEngine, finding, raising, settled

BAD = b"the known-bad sample"
KNOWN = Specimens(BAD, harmless, unpacks=True)
MIB = 1 << 20


async def honest(sample: Sample) -> object:
    """Find the bad sample, also in archives, in files of any size."""
    data = b"".join([chunk async for chunk in sample.blob.chunks()])
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return (
                Infected("Bad") if any(archive.read(name) == BAD for name in archive.namelist()) else Clean()
            )
    return Infected("Bad") if data == BAD else Clean()


async def no_archives(sample: Sample) -> object:
    """Find the bad sample, but in no archive."""
    return Infected("Bad") if sample.blob.sha256 == Blob.of(BAD).sha256 else Clean()


def up_to(most: int) -> Callable[[Sample], object]:
    """Return an engine's script that passes larger files unseen."""

    async def script(sample: Sample) -> object:
        return Clean() if sample.blob.size > most else await honest(sample)

    return script


def station(engine: ScriptedEngine, failures: int = 1) -> Station:
    """Return the station of an engine that has to earn trust."""
    return Station(engine, timeout=5, trust=Trust(engine.name, failures))


def spool(folder: Path, room_for: int = 64 * MIB) -> Spool:
    """Return where large samples are made."""
    return Spool(folder, Budget("memory", room_for, 0.01), Budget("disk", room_for, 0.01))


class Proving:
    """A prover of one scripted engine, and the live versions that it may make forget."""

    def __init__(
        self,
        script: object,
        *,
        failures: int = 1,
        specimens: Specimens | None = KNOWN,
        age: float | None = 100,
    ) -> None:
        self.engine = ScriptedEngine(script)  # type: ignore[arg-type]
        self.live = LiveVersions([self.engine], Background())
        self.station = station(self.engine, failures)
        self.metrics = Metrics()
        schedule = Schedule(0.01, age)
        self.prover = Prover(self.station, specimens, schedule, self.live, self.metrics)

    @property
    def trust(self) -> Trust:
        """What came of it."""
        return self.station.trust

    async def counts(self) -> bool:
        """Say whether what the engine said before now still counts."""
        report = Report(self.engine.name, Clean(), version=self.engine.release)
        return await self.live.count(Evidence((report,), "", 0))


async def test_an_engine_that_calls_everything_clean_is_caught_at_once() -> None:
    """The first proof is enough, and the reason names what happened."""
    proving = Proving(finding(Clean()), failures=3)
    await proving.prover.once()
    assert (proving.trust.trusted, proving.trust.why) == (False, "the known-bad sample is not found")


async def test_an_engine_that_calls_everything_infected_is_caught_too() -> None:
    """It would refuse everything."""
    proving = Proving(finding(Infected("X")))
    await proving.prover.once()
    assert (proving.trust.trusted, proving.trust.why) == (False, "a harmless sample does not pass (X)")


@pytest.mark.parametrize(
    "cause", [Cause.LIMIT, Cause.ENCRYPTED_ARCHIVE, Cause.MACRO, Cause.ERROR, Cause.TOO_LARGE]
)
async def test_what_is_not_found_is_not_found(cause: Cause) -> None:
    """No reason for not looking counts as finding."""
    proving = Proving(finding(Unscannable(cause, "why")))
    await proving.prover.once()
    assert proving.trust.why == "the known-bad sample is not found (why)"


async def test_a_dead_engine_is_not_trusted_and_comes_back() -> None:
    """Its errors are failed proofs; one good proof restores trust."""
    proving = Proving(raising(EngineError("away")))
    trusted = []
    for script in (raising(EngineError("away")), honest):
        proving.engine._script = script
        await proving.prover.once()
        trusted.append(proving.trust.trusted)
    assert trusted == [False, True]
    counted = proving.metrics.exposition().decode()
    assert 'proofs_total{engine="scripted",result="failed"} 1.0' in counted
    assert 'proofs_total{engine="scripted",result="passed"} 1.0' in counted


async def test_what_a_liar_called_clean_is_forgotten() -> None:
    """When trust ends because the bad sample passed, nothing that the engine said before counts."""
    proving = Proving(honest, failures=2)
    await proving.prover.once()
    assert await proving.counts()
    proving.engine._script = finding(Clean())
    await proving.prover.once()
    assert await proving.counts()
    await proving.prover.once()
    assert not await proving.counts()


async def test_what_a_dead_engine_said_is_not_forgotten() -> None:
    """It was true, and counts again when the engine is back."""
    proving = Proving(honest)
    await proving.prover.once()
    proving.engine._script = raising(EngineError("away"))
    await proving.prover.once()
    assert not proving.trust.trusted
    assert await proving.counts()


async def test_a_busy_engine_is_not_taken_for_a_liar() -> None:
    """A proof that came too late, while others got their answers, says nothing."""
    proving = Proving(honest)
    await proving.prover.once()

    async def slow(_: Sample) -> object:
        proving.trust.answers += 1
        await asyncio.sleep(3600)
        return Clean()

    proving.engine._script = slow
    object.__setattr__(proving.station, "timeout", 0.01)
    await proving.prover.once()
    assert proving.trust.trusted


async def test_a_hanging_engine_is_not_trusted() -> None:
    """A proof that came too late while nobody got an answer is a failed one."""
    proving = Proving(honest)
    await proving.prover.once()

    async def hang(_: Sample) -> object:
        await asyncio.sleep(3600)
        return Clean()

    proving.engine._script = hang
    object.__setattr__(proving.station, "timeout", 0.01)
    await proving.prover.once()
    assert not proving.trust.trusted


async def test_a_canary_with_another_name_is_a_new_epoch() -> None:
    """Signatures changed, though the engine's version did not."""
    proving = Proving(honest)
    await proving.prover.once()
    assert await proving.counts()

    async def renamed(sample: Sample) -> object:
        said = await honest(sample)
        return Infected("Other") if isinstance(said, Infected) else said

    proving.engine._script = renamed
    await proving.prover.once()
    assert proving.trust.trusted
    assert not await proving.counts()


async def test_without_a_proof_an_engine_is_believed() -> None:
    """`proof: none`, or nothing that we know it must find."""
    proving = Proving(finding(Clean()), specimens=None)
    proving.trust.give()
    await proving.prover.once()
    assert proving.trust.trusted
    assert not proving.engine.seen
    assert not proving.prover.due(0)


@pytest.mark.parametrize(
    ("age", "most", "wear"),
    [
        (None, 100, Wear.FRESH),
        (10, 100, Wear.FRESH),
        (49, 100, Wear.FRESH),
        (60, 100, Wear.OLD),
        (110, 100, Wear.STALE),
        (10**9, None, Wear.FRESH),
        (-50, 100, Wear.FRESH),
    ],
)
async def test_old_signatures(age: float | None, most: float | None, wear: Wear) -> None:
    """Half of the bound is a warning, past it they are stale; a date in the future is fresh."""
    proving = Proving(honest, age=most)
    proving.engine.signed = None if age is None else room._now() - age
    await proving.prover.once()
    assert proving.prover.wear is wear
    proofs = Proofs([proving.prover], spool(Path("/nonexistent")), MIB)
    assert proofs.stale == (("scripted",) if wear is Wear.STALE else ())


async def test_a_dead_engine_does_not_become_fresh() -> None:
    """What is known of its signatures' age stays until it tells another."""
    proving = Proving(honest)
    proving.engine.signed = room._now() - 1000
    await proving.prover.once()
    assert proving.prover.wear is Wear.STALE

    async def none() -> frozenset[str]:
        return frozenset()

    proving.engine.versions = none  # type: ignore[method-assign]
    proving.engine.signed = None
    await proving.prover.once()
    assert proving.prover.wear is Wear.STALE


async def test_names_in_turn_are_no_new_epoch() -> None:
    """Several servers behind one address may each have their name for the bad sample."""
    proving = Proving(honest)
    object.__setattr__(proving.prover._schedule, "interval", 60)
    names = ["A", "B", "A", "B", "A"]
    forgotten: list[str | None] = []
    proving.live.forget = forgotten.append  # type: ignore[method-assign,assignment]
    for name in names:
        proving.prover._hear(name)
    assert forgotten == ["scripted"]


class Twins(ScriptedEngine):
    """An engine with several addresses; `scripts` says what each does."""

    def __init__(self, **scripts: object) -> None:
        super().__init__(honest)
        self.scripts = scripts
        self.fit: dict[str, bool] = dict.fromkeys(scripts, False)
        self.gated = False

    @property
    def places(self) -> Sequence[str]:
        """Its addresses."""
        return tuple(self.scripts)

    def require_vouching(self) -> None:
        """Note that it was asked for."""
        self.gated = True

    def unvouched(self) -> Sequence[str]:
        """Return those that nobody vouches for."""
        return [place for place, fit in self.fit.items() if not fit]

    def vouch(self, place: str, *, good: bool) -> None:
        """Note it."""
        self.fit[place] = good

    async def inspect_at(self, place: str, sample: Sample) -> Statement:
        """Follow the script of that address."""
        finding = await self.scripts[place](sample)  # type: ignore[operator]
        return Statement(finding, "1")


def twins(**scripts: object) -> tuple[Twins, Prover]:
    """Return such an engine, and its prover."""
    engine = Twins(**scripts)
    live = LiveVersions([engine], Background())
    return engine, Prover(station(engine), KNOWN, Schedule(60, None), live, Metrics())


async def test_each_address_has_to_prove_itself() -> None:
    """One that finds nothing is not asked, from before the first request on; one that is dead neither."""
    engine, prover = twins(a=honest, b=finding(Clean()), c=raising(EngineError("away")))
    assert engine.gated
    await prover.once()
    assert engine.fit == {"a": True, "b": False, "c": False}
    engine.scripts |= {"b": honest, "c": honest, "a": finding(Clean())}
    await prover._prove_places(unvouched=True)
    assert engine.fit == {"a": True, "b": True, "c": True}
    await prover.once()
    assert engine.fit == {"a": False, "b": True, "c": True}


async def test_a_blind_spare_is_not_asked_when_the_others_die() -> None:
    """Nor is anything served on the word of one that was good and is not any more."""
    engine, prover = twins(a=honest, b=finding(Clean()))
    await prover.once()
    assert engine.fit == {"a": True, "b": False}
    engine.scripts["a"] = raising(EngineError("away"))
    await prover.once()
    assert not engine.fit["b"]
    forgotten: list[str | None] = []
    prover._live.forget = forgotten.append  # type: ignore[method-assign,assignment]
    engine.scripts["a"] = finding(Clean())
    await prover.once()
    assert engine.fit == {"a": False, "b": False}
    assert forgotten == ["scripted"]


async def test_the_dear_samples(tmp_path: Path) -> None:
    """Who finds them all reaches everywhere."""
    one = station(ScriptedEngine(honest))
    assert await reach(one, KNOWN, spool(tmp_path), 4 * MIB) == Reach(archives=True, largest=None)


async def test_an_engine_that_does_not_unpack(tmp_path: Path) -> None:
    """Then archives are out of reach; padded, the sample is not found either, and nothing large is tried."""
    engine = ScriptedEngine(no_archives)
    assert await reach(station(engine), KNOWN, spool(tmp_path), 4 * MIB) == Reach(
        archives=False, largest=None
    )
    assert len(engine.seen) == 3


async def test_an_engine_that_neither_unpacks_nor_looks_far(tmp_path: Path) -> None:
    """Its reach in plain files is found by padding, where it finds padded samples at all."""

    def begins(most: int) -> Callable[[Sample], Awaitable[object]]:
        async def script(sample: Sample) -> object:
            data = b"".join([chunk async for chunk in sample.blob.chunks()])
            return Infected("Bad") if data.startswith(BAD) and len(data) <= most else Clean()

        return script

    one = station(ScriptedEngine(begins(2 * MIB)))
    assert await reach(one, KNOWN, spool(tmp_path), 4 * MIB) == Reach(archives=False, largest=2 * MIB)
    one = station(ScriptedEngine(begins(4 * MIB)))
    assert await reach(one, KNOWN, spool(tmp_path), 4 * MIB) == Reach(archives=False, largest=None)


async def test_an_engine_that_passes_large_files(tmp_path: Path) -> None:
    """The largest sample that it found is the bound."""
    one = station(ScriptedEngine(up_to(MIB + 1)))  # type: ignore[arg-type]
    assert await reach(one, KNOWN, spool(tmp_path), 4 * MIB) == Reach(archives=True, largest=MIB)
    one = station(ScriptedEngine(up_to(1000)))  # type: ignore[arg-type]
    found = await reach(one, KNOWN, spool(tmp_path), 4 * MIB)
    assert found is not None
    assert found.largest is not None
    assert found.largest < 1000


async def test_no_answer_says_nothing_of_the_reach(tmp_path: Path) -> None:
    """An engine that fails just then is asked again later."""
    one = station(ScriptedEngine(raising(EngineError("away"))))
    assert await reach(one, KNOWN, spool(tmp_path), 4 * MIB) is None


async def test_no_room_for_a_large_sample(tmp_path: Path) -> None:
    """Media goes before proof: it is tried again when there is room, and nothing is held meanwhile."""
    small = spool(tmp_path, MIB)
    with pytest.raises(OverloadedError):
        await reach(station(ScriptedEngine(honest)), KNOWN, small, 4 * MIB)
    assert (small.memory.used, small.disk.used) == (0, 0)


async def test_reach_is_proved_after_trust_on_a_new_epoch_and_hourly(tmp_path: Path) -> None:
    """Not before the first proof; then again when the version changed, or an hour has passed."""
    proving = Proving(honest)
    prover = proving.prover
    assert not prover.due(0)
    await prover.once()
    assert prover.due(0)
    await prover.prove_reach(spool(tmp_path), MIB, 0)
    assert not prover.due(room.HOURLY - 1)
    assert prover.due(room.HOURLY)
    proving.engine.release = "2"
    await prover.once()
    assert prover.due(1)


async def test_a_new_reach_makes_forget(tmp_path: Path) -> None:
    """What was called clean beyond it does not count any more."""
    proving = Proving(no_archives)
    await proving.prover.once()
    assert await proving.counts()
    await proving.prover.prove_reach(spool(tmp_path), MIB, 0)
    assert not proving.trust.archives
    assert not await proving.counts()


async def test_proofs_run_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the start on, all the time, until the background ends."""
    monkeypatch.setattr(room, "SOON", 0.01)
    proving = Proving(finding(Clean()))
    proofs = Proofs([proving.prover], spool(tmp_path), MIB)
    assert [proofs.settled, *proofs.untrusted] == [False, "scripted"]
    async with Background() as background:
        proofs.start(background)
        await proving.trust.settle()
        assert proofs.untrusted == ("scripted",)
        proving.engine._script = honest
        async with asyncio.timeout(5):
            while not proving.trust.trusted or proving.prover.due(float("inf")) is False:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert [proofs.settled, *proofs.untrusted] == [True]
    await settled()


@pytest.mark.parametrize("make", [zipped, document])
def test_the_archives_are_archives(make: Callable[[bytes], bytes]) -> None:
    """The sample is compressed inside: who finds it has unpacked it. No two are alike."""
    data = make(BAD * 10)
    assert BAD not in data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert BAD * 10 in {archive.read(name) for name in archive.namelist()}
    assert make(BAD) != make(BAD)


@pytest.mark.parametrize("size", [1 << 16, MIB, 3 * MIB + 17])
async def test_the_large_one_is_as_large_as_it_says(tmp_path: Path, size: int) -> None:
    """A valid zip of exactly that size, whose last member is the sample."""
    with await large(BAD, size, spool(tmp_path)) as blob:
        data = b"".join([chunk async for chunk in blob.chunks()])
    assert len(data) == size
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["filler", "sample.com"]
        assert archive.read("sample.com") == BAD


async def test_proof_goes_through_the_same_path() -> None:
    """The samples are blobs with the type that says nothing, as ciphertext has."""
    engine = ScriptedEngine(honest)
    await proved(station(engine), KNOWN)
    (bad, bad_type), (good, good_type) = engine.seen
    assert bad == BAD
    assert good.startswith(b"a known-good sample ")
    assert {bad_type, good_type} == {"application/octet-stream"}
    await proved(station(engine), KNOWN)
    assert engine.seen[3][0] != good
