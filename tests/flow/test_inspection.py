"""Inspection: whatever an engine does, one report each, and never "clean" unless it said so."""

import asyncio

import pytest
from structlog.testing import capture_logs

from ostiary.blob import Blob
from ostiary.engines.interface import Sample
from ostiary.errors import EngineError, HomeserverError, OverloadedError
from ostiary.inspection import Station, inspect
from ostiary.model import Cause, Clean, Finding, Forbidden, Infected, Report, Unscannable
from tests.flow.fakes import ScriptedEngine, cancelled_everywhere, finding, hang, raising, until

SAMPLE = Sample(Blob.of(b"bytes"), "image/png")
LONG = 30.0
SHORT = 0.02


class Panic(BaseException):
    """What a native library's panic looks like: no Exception."""


def cause(report: Report) -> Cause | None:
    """Return why the report could not say, None if it did say."""
    return report.finding.cause if isinstance(report.finding, Unscannable) else None


async def one(engine: ScriptedEngine, seconds: float = LONG) -> Report:
    """Return the only engine's report."""
    (report,) = await inspect(SAMPLE, [Station(engine, timeout=seconds)], LONG)
    return report


@pytest.mark.parametrize(
    "said", [Clean(), Infected("Eicar"), Forbidden("macro"), Unscannable(Cause.LIMIT, "too deep")]
)
async def test_a_finding_is_passed_on_as_it_is(said: Finding) -> None:
    """What an engine says is what the report holds, with the engine's name and weight."""
    station = Station(ScriptedEngine(finding(said), "x"), required=False, shadow=True)
    assert await inspect(SAMPLE, [station], LONG) == (
        Report("x", said, required=False, shadow=True, version="1"),
    )


async def test_no_engines_no_reports() -> None:
    """Nobody asked means no report: it is policy's business not to take that for clean."""
    assert await inspect(SAMPLE, [], LONG) == ()


async def test_reports_come_in_the_order_of_the_stations() -> None:
    """A slow engine's report stands where its station stands, whoever is faster."""

    async def slow(_: Sample) -> Finding:
        await fast.arrived.wait()
        await asyncio.sleep(0.01)
        return Infected("slow")

    fast = ScriptedEngine(finding(Clean()), "fast")
    reports = await inspect(SAMPLE, [Station(ScriptedEngine(slow, "slow")), Station(fast)], LONG)
    assert [report.engine for report in reports] == ["slow", "fast"]
    assert [report.finding for report in reports] == [Infected("slow"), Clean()]


async def test_engines_look_at_the_same_time() -> None:
    """Two engines that wait for each other both answer: nobody stands in a queue."""
    both = asyncio.Barrier(2)

    async def meet(_: Sample) -> Finding:
        await both.wait()
        return Clean()

    stations = [Station(ScriptedEngine(meet, name)) for name in "ab"]
    assert [report.finding for report in await inspect(SAMPLE, stations, LONG)] == [Clean(), Clean()]


@pytest.mark.parametrize(
    "fault",
    [
        EngineError("it is down"),
        ValueError("a bug"),
        OSError("a broken pipe"),
        AssertionError(),
        HomeserverError("from somewhere else"),
        OverloadedError("memory"),
        TimeoutError("a timeout of its own"),
        asyncio.CancelledError("a task of its own was lost"),
        ExceptionGroup("several", [ValueError("a bug")]),
        Panic("unreachable code in Rust"),
        GeneratorExit(),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_an_engine_that_fails_has_not_scanned(fault: BaseException) -> None:
    """Any error, a bug, a panic, a cancellation out of nowhere: Unscannable, and the others' reports stay."""
    stations = [
        Station(ScriptedEngine(finding(Infected("Eicar")), "first")),
        Station(ScriptedEngine(raising(fault), "broken")),
        Station(ScriptedEngine(finding(Clean()), "last")),
    ]
    reports = await inspect(SAMPLE, stations, LONG)
    assert [report.engine for report in reports] == ["first", "broken", "last"]
    assert reports[0].finding == Infected("Eicar")
    assert cause(reports[1]) is Cause.ERROR
    assert reports[2].finding == Clean()


@pytest.mark.parametrize("nonsense", [None, True, "clean", Clean, Cause.ERROR, 0])
async def test_what_is_no_finding_is_no_finding(nonsense: object) -> None:
    """An engine that returns anything but a finding has not scanned: least of all is None clean."""
    assert cause(await one(ScriptedEngine(finding(nonsense)))) is Cause.ERROR


async def test_each_engine_has_its_own_deadline() -> None:
    """An engine that does not answer in its time is a timeout; the others are not touched by that."""
    slow = ScriptedEngine(hang, "slow")
    stations = [Station(slow, timeout=SHORT), Station(ScriptedEngine(None, "good"), timeout=LONG)]
    reports = await inspect(SAMPLE, stations, LONG)
    assert [cause(report) for report in reports] == [Cause.TIMEOUT, None]
    assert slow.cancelled == 1


async def test_all_engines_share_the_whole_deadline() -> None:
    """`scan.timeout` ends every engine's look, however patient its own settings are."""
    engines = [ScriptedEngine(hang, name) for name in "abc"]
    reports = await inspect(SAMPLE, [Station(engine, timeout=LONG) for engine in engines], SHORT)
    assert [cause(report) for report in reports] == [Cause.TIMEOUT] * 3
    assert [engine.cancelled for engine in engines] == [1, 1, 1]


async def test_an_engine_that_breaks_at_its_deadline_is_not_clean() -> None:
    """An engine that fails while it is told to stop is unscannable all the same."""

    async def stubborn(_: Sample) -> Finding:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            raise ValueError("while cleaning up")

    assert cause(await one(ScriptedEngine(stubborn), SHORT)) is not None


@pytest.mark.parametrize("fault", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_process_is_not_swallowed(fault: type[BaseException]) -> None:
    """Ctrl-C and exit inside an engine end the process: they are nobody's finding."""
    with pytest.raises(fault):
        asyncio.run(one(ScriptedEngine(raising(fault()))))


async def test_a_caller_that_goes_away_stops_every_engine() -> None:
    """Cancelling the inspection reaches each engine, once, and nobody goes on in the background."""
    engines = [ScriptedEngine(hang, name) for name in "abc"]
    task = asyncio.get_running_loop().create_task(inspect(SAMPLE, [Station(one) for one in engines], LONG))
    await until(lambda: all(engine.arrived.is_set() for engine in engines))
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert [engine.cancelled for engine in engines] == [1, 1, 1]


async def test_a_cancelled_caller_hears_of_it_even_if_an_engine_fails_then() -> None:
    """An engine whose clean-up fails does not turn a cancellation into another error."""

    async def sore_loser(_: Sample) -> Finding:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            raise ValueError("while cleaning up")

    engine = ScriptedEngine(sore_loser)
    task = asyncio.get_running_loop().create_task(inspect(SAMPLE, [Station(engine)], LONG))
    await engine.arrived.wait()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_cancelled_at_any_moment_nothing_runs_on() -> None:
    """Wherever the inspection is cancelled, no task of it is left."""
    tasks = len(asyncio.all_tasks())

    async def check() -> None:
        await until(lambda: len(asyncio.all_tasks()) == tasks)

    async def run() -> None:
        engines = [ScriptedEngine(None, name) for name in "ab"]
        await inspect(SAMPLE, [Station(engine) for engine in engines], LONG)

    assert await cancelled_everywhere(run, check) >= 1


async def test_the_operator_is_told_and_the_user_is_not() -> None:
    """The log names the engine and its error; the finding, which reaches users, names the engine only."""
    with capture_logs() as lines:
        report = await one(
            ScriptedEngine(raising(EngineError("/run/clamd.ctl: connection refused")), "clamd")
        )
    assert isinstance(report.finding, Unscannable)
    assert "clamd" in report.finding.detail
    assert "/run" not in report.finding.detail
    (line,) = lines
    assert line["engine"] == "clamd"
    assert "connection refused" in line["error"]
