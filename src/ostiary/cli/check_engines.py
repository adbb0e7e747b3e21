"""What `ostiary check` looks at in each engine: the proofs of scan, and what would make it fail open.

The same samples as a running gateway's, through the same code path, the dear ones included.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

from ostiary.app import circumstances
from ostiary.blob import Blob
from ostiary.budget import Budget, Spool
from ostiary.cli.findings import Finding, Level
from ostiary.config.engines import (
    EngineSettings,
    FileTypeSettings,
    HashListSettings,
    HmaSettings,
    PerceptualSettings,
    YaraSettings,
)
from ostiary.config.settings import Settings, effective_engines
from ostiary.engines.interface import Addressed, Doubtful, Engine, Sample, Specimens
from ostiary.engines.registry import engine_of
from ostiary.engines.specimens import harmless
from ostiary.errors import ConfigError, OstiaryError
from ostiary.inspection import Station, inspect
from ostiary.model import Clean, Forbidden, Unscannable
from ostiary.model import Finding as Said
from ostiary.proof import proved, reach
from ostiary.proof_samples import specimens_of
from ostiary.prover import at
from ostiary.spool_directory import spool_directory

ListSettings = HashListSettings | PerceptualSettings | HmaSettings

PATIENCE: Final = 10.0
"""Seconds that each small thing gets to answer."""

_DAY: Final = 86400


async def check_engines(settings: Settings) -> AsyncIterator[Finding]:
    """Yield what is to be said of every engine, and of all of them."""
    chosen = effective_engines(settings)
    for section in chosen:
        engine = engine_of(section, circumstances(settings))
        what = f"engine {engine.name}"
        try:
            await engine.start()
            async for finding in _engine(engine, what, section, settings):
                yield finding
        except ConfigError as error:
            yield Finding(Level.FAILED, what, str(error), "the gateway does not start with it")
        except (OstiaryError, TimeoutError) as error:
            seen = str(error) or f"no answer within {PATIENCE:g} s"
            yield _of_weight(section, what, seen, "nothing is served while it is away")
        finally:
            await engine.close()
    deciding = [section for section in chosen if section.required and not section.shadow]
    if all(isinstance(section, YaraSettings | FileTypeSettings | ListSettings) for section in deciding):
        kinds = ", ".join(sorted({section.type for section in deciding}))
        seen = f"no antivirus judges what is clean, only {kinds}"
        yield Finding(Level.WARNING, "engines", seen, "they are no antivirus: add clamd, see docs/setup")


def _of_weight(settings: EngineSettings, what: str, seen: str, advice: str) -> Finding:
    """Return a failure, or a warning where this engine's failures decide nothing."""
    if settings.shadow:
        return Finding(Level.WARNING, what, seen, "it is in shadow mode: nothing depends on it")
    if not settings.required:
        return Finding(Level.WARNING, what, seen, "it is not required: the others decide alone")
    return Finding(Level.FAILED, what, seen, advice)


async def _engine(
    engine: Engine, what: str, section: EngineSettings, settings: Settings
) -> AsyncIterator[Finding]:
    async with asyncio.timeout(PATIENCE):
        version = await engine.version()
    station = Station(engine, timeout=section.timeout)
    specimens = specimens_of(section.proof, engine)
    if specimens is None:
        yield await _unproved(station, what, version, section)
    else:
        small = Station(engine, timeout=min(section.timeout, PATIENCE))
        outcome = await proved(small, specimens)
        if outcome.why:
            advice = (
                "are its signatures loaded? its log may say more; until it proves itself nothing is served"
            )
            yield _of_weight(section, what, f"{version}: {outcome.why}", advice)
            return
        yield Finding(Level.OK, what, f"{version}: finds its known-bad sample ({outcome.found})")
        for finding in await _places(small, what, specimens):
            yield finding
        if specimens.unpacks:
            async for finding in _reach(station, what, specimens, settings):
                yield finding
    async for finding in _weaknesses(station, what, settings):
        yield finding


async def _unproved(station: Station, what: str, version: str, section: EngineSettings) -> Finding:
    """Return what is to be said of an engine that has no proof: that it runs, at best."""
    said = await _ask(station, harmless())
    rule = isinstance(section, FileTypeSettings) and isinstance(said, Forbidden)  # a text may be against it
    if not isinstance(said, Clean) and not rule:
        because = f" ({said.detail})" if isinstance(said, Unscannable) else ""
        seen = f"{version}: a harmless sample does not pass{because}"
        return _of_weight(section, what, seen, "it would refuse everything: look at its log")
    seen = f"{version}: runs, but nothing proves that it finds anything"
    return Finding(Level.WARNING, what, seen, "give it proof: {bad: FILE, good: FILE}")


async def _places(station: Station, what: str, specimens: Specimens) -> list[Finding]:
    """Return what is to be said of each of several addresses: only those that prove themselves are asked."""
    engine = station.engine
    if not isinstance(engine, Addressed) or len(engine.places) == 1:
        return []
    found = []
    for place in engine.places:
        outcome = await proved(at(station, place), specimens)
        if outcome.why:
            advice = "it is not asked until it proves itself: the others do its work"
            found.append(Finding(Level.WARNING, what, f"{place}: {outcome.why}", advice))
    return found


async def _reach(
    station: Station, what: str, specimens: Specimens, settings: Settings
) -> AsyncIterator[Finding]:
    most = settings.scan.max_size
    budget = Budget("disk", 2 * most + (16 << 20), None)
    directory = spool_directory(settings.scan.temp_directory) or settings.scan.temp_directory
    seen = await reach(station, specimens, Spool(directory, budget, budget), most)
    if seen is None:
        text = "it gave no answer about a sample in an archive or in a large file"
        yield Finding(Level.WARNING, what, text, "its log may say why")
    elif not seen.archives:
        text = "it finds no sample in an archive: archives that it calls clean are refused as `limit`"
        yield Finding(Level.WARNING, what, text, "have it scan archives")
    elif seen.largest is not None:
        text = f"it finds no sample in files of over {seen.largest} bytes: they are refused as `limit`"
        yield Finding(
            Level.WARNING, what, text, f"raise its limits to scan.max_size ({most} bytes), or lower that"
        )


async def _weaknesses(station: Station, what: str, settings: Settings) -> AsyncIterator[Finding]:
    """Yield what would make the engine fail open, or miss what is new."""
    engine, most = station.engine, settings.proof.max_signature_age
    signed = await engine.signed_at()
    if signed is not None and most is not None:
        age = datetime.now(UTC).timestamp() - signed
        if age > most / 2:
            seen = (
                f"its signatures are {age / _DAY:.1f} days old, of {most / _DAY:g} (proof.max_signature_age)"
            )
            yield Finding(Level.WARNING, what, seen, "is their updater (freshclam) running?")
    if isinstance(engine, Doubtful):
        for doubt in await engine.doubts(settings.scan.max_size):
            yield Finding(Level.WARNING, what, doubt)


async def _ask(station: Station, data: bytes) -> Said:
    with Blob.of(data) as blob:
        seconds = min(station.timeout, PATIENCE)
        (report,) = await inspect(Sample(blob, "application/octet-stream"), [station], seconds)
        return report.finding
