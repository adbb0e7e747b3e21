"""Inspection: ask every engine about one sample, each with its deadline, and collect reports.

Whatever goes wrong with an engine (an error, a deadline, a bug of ours) becomes an Unscannable
finding here: from this room on nothing about an engine raises, and nothing is mistaken for clean.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from ostiary.engines.interface import Engine, Sample
from ostiary.errors import EngineError
from ostiary.model import Cause, Finding, Report, Unscannable

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Station:
    """An engine and the weight that the operator gave it; `timeout` in seconds."""

    engine: Engine
    required: bool = True
    shadow: bool = False
    timeout: float = 30.0


async def inspect(sample: Sample, stations: Sequence[Station], timeout: float) -> tuple[Report, ...]:  # noqa: ASYNC109
    """Return one report per station, in their order, within `timeout` seconds for all of it."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_ask(station, sample, min(station.timeout, timeout))) for station in stations
        ]
    return tuple(
        Report(station.engine.name, task.result(), station.required, station.shadow)
        for station, task in zip(stations, tasks, strict=True)
    )


async def _ask(station: Station, sample: Sample, seconds: float) -> Finding:
    try:
        async with asyncio.timeout(seconds):
            return await station.engine.inspect(sample)
    except TimeoutError:
        return Unscannable(Cause.TIMEOUT, f"{station.engine.name} did not answer within {seconds:g} s")
    except EngineError as error:
        log.warning("engine error", engine=station.engine.name, error=str(error))
        return Unscannable(Cause.ERROR, f"{station.engine.name} could not scan it")
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic in a native library is no Exception
        log.exception("bug in an engine", engine=station.engine.name)
        return Unscannable(Cause.ERROR, f"{station.engine.name} could not scan it")
