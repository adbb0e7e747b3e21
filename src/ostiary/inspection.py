"""Inspection: ask every engine about one sample, each with its deadline, and collect reports.

Whatever goes wrong with an engine (an error, a deadline, a bug of ours) becomes an Unscannable
finding here: from this room on nothing about an engine raises, and nothing is mistaken for clean.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from ostiary.engines.interface import Engine, Sample, Statement
from ostiary.errors import EngineError
from ostiary.model import Cause, Finding, Report, Unscannable
from ostiary.trust import Trust, believed

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Station:
    """An engine and the weight that the operator gave it; `timeout` in seconds.

    Where nobody gives a `trust`, the engine is believed whatever it says.
    """

    engine: Engine
    required: bool = True
    shadow: bool = False
    timeout: float = 30.0
    trust: Trust = field(default_factory=believed)


async def inspect(sample: Sample, stations: Sequence[Station], timeout: float) -> tuple[Report, ...]:  # noqa: ASYNC109
    """Return one report per station, in their order, within `timeout` seconds for all of it."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_ask(station, sample, timeout)) for station in stations]
    return tuple(_report(station, task.result()) for station, task in zip(stations, tasks, strict=True))


def _report(station: Station, said: Statement | Unscannable) -> Report:
    """Weigh what was said; what an engine did not say has no version, and will be asked again."""
    name, required, shadow = station.engine.name, station.required, station.shadow
    if isinstance(said, Statement):
        return Report(name, said.finding, required, shadow, said.version, said.keep)
    return Report(name, said, required, shadow, keep=0)


async def _ask(station: Station, sample: Sample, seconds: float) -> Statement | Unscannable:
    """Ask an engine whose word counts; wait for its first proof, as long as there is time."""
    trust = station.trust
    if not trust.settled:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await trust.settle()
        seconds = max(0.0, end - loop.time())
    if not trust.trusted:
        return Unscannable(Cause.UNTRUSTED, f"{station.engine.name} is not trusted at the moment")
    if trust.largest is not None:
        sample = replace(sample, reach=trust.largest)
    said = await question(station, sample, seconds)
    if isinstance(said, Statement):
        trust.answers += bool(said.version)  # without one it was not asked
        return replace(said, finding=trust.weigh(said.finding, sample))
    return said


async def question(
    station: Station, sample: Sample, seconds: float, *, quiet: bool = False
) -> Statement | Unscannable:
    """Have the engine inspect the sample, trusted or not; what keeps it from an answer becomes a cause.

    It gets so many seconds, and no more than its own timeout. `quiet`: the caller tells of failures, and
    finds in the detail what no client is told.
    """
    warn = log.debug if quiet else log.warning
    seconds = min(seconds, station.timeout)
    name = station.engine.name
    deadline = asyncio.timeout(seconds)
    try:
        async with deadline:
            said: object = await station.engine.inspect(sample)
        if isinstance(said, Statement) and isinstance(said.finding, Finding):
            return said
        log.error("bug in an engine", engine=name, error=f"its finding is a {_kind(said)}")
    except EngineError as error:
        warn("engine error", engine=name, error=str(error))
        if quiet:
            return Unscannable(Cause.ERROR, str(error))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in a native library is no Exception
        if isinstance(error, asyncio.CancelledError) and _cancelled_from_outside():
            raise
        if isinstance(error, TimeoutError) and deadline.expired():
            warn("engine timeout", engine=name, seconds=seconds)
            return Unscannable(Cause.TIMEOUT, f"{name} did not answer within {seconds:g} s")
        log.exception("bug in an engine", engine=name)
    return Unscannable(Cause.ERROR, f"{name} could not scan it")


def _kind(said: object) -> str:
    return type(said.finding if isinstance(said, Statement) else said).__name__


def _cancelled_from_outside() -> bool:
    """Say whether somebody wants this task to end; an engine's own lost task looks alike otherwise."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
