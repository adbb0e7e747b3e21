"""`ostiary check`: look at everything that must work before the first real request comes.

Every engine is asked about a known-bad and a known-good sample, through the same code path as real
media. A failure says what to do about it; a warning is something that an operator should have
decided knowingly. Works beside a running gateway: no port is taken, nothing is changed.
"""

import json
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from rich.console import Console

from ostiary.app import engine_of, homeserver_of, spool_directory
from ostiary.blob import Blob
from ostiary.config.engines import ClamdSettings, EngineSettings, YaraSettings
from ostiary.config.settings import Settings, effective_engines, inert
from ostiary.engines.interface import Engine, Sample
from ostiary.errors import ConfigError, OstiaryError
from ostiary.inspection import Station, inspect
from ostiary.matrix.envelope import Envelope
from ostiary.model import Clean, Infected, Unscannable
from ostiary.secret_file import read_secret, readable_by_others

EICAR: Final = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The test file that every antivirus finds, in two halves so that none finds this source."""


class Level(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


_STYLES: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILED: "bold red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination: what was looked at, what was seen, and what to do about it."""

    level: Level
    what: str
    seen: str
    advice: str = ""


async def check_everything(settings: Settings) -> list[Finding]:
    """Return what the examination found, in the order in which it is worth reading."""
    found = [Finding(Level.WARNING, "config", line) for line in inert(settings)]
    found.append(await _homeserver(settings))
    async for finding in _engines(settings):
        found.append(finding)  # noqa: PERF401  (an async comprehension reads worse)
    found += [_secret(settings), *_disk(settings)]
    return found


def print_findings(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Print the findings and return the exit status: 1 if anything failed."""
    failed = [finding.what for finding in findings if finding.level is Level.FAILED]
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if as_json:
        print(json.dumps({"ok": not failed, "findings": [asdict(f) for f in findings]}, indent=2))  # noqa: T201
        return int(bool(failed))
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        console.print(f"{finding.level.value:<8} ", style=_STYLES[finding.level], end="")
        console.print(f"{finding.what:<{width}}  {finding.seen}")
        if finding.advice:
            console.print(f"{'':<{9 + width}}  -> {finding.advice}", style="dim")
    console.print(f"\nfailed: {', '.join(failed)}" if failed else "\nnothing failed")
    return int(bool(failed))


async def _homeserver(settings: Settings) -> Finding:
    url = settings.download.base_homeserver_url
    if url is None:
        advice = "set download.base_homeserver_url: the gateway can't serve without it"
        return Finding(Level.FAILED, "homeserver", "not configured", advice)
    homeserver = homeserver_of(settings)
    try:
        versions = await homeserver.versions()
    except OstiaryError as error:
        advice = "is it running, and is download.base_homeserver_url right?"
        return Finding(Level.FAILED, "homeserver", f"{url}: {error}", advice)
    finally:
        await homeserver.close()
    return Finding(Level.OK, "homeserver", f"{url} speaks Matrix {versions[-1] if versions else '(none)'}")


async def _engines(settings: Settings) -> AsyncIterator[Finding]:
    chosen = effective_engines(settings)
    for engine_settings in chosen:
        engine = engine_of(engine_settings, settings)
        try:
            await engine.start()
            yield await _engine(engine, engine_settings)
        except OstiaryError as error:
            yield Finding(Level.FAILED, f"engine {engine.name}", str(error), "nothing is served without it")
        finally:
            await engine.close()
    if all(isinstance(engine, YaraSettings) for engine in chosen):
        seen = "YARA rules alone judge what is clean"
        yield Finding(Level.WARNING, "engines", seen, "rules are no antivirus: add clamd, see docs/setup")


async def _engine(engine: Engine, settings: EngineSettings) -> Finding:
    what = f"engine {engine.name}"
    version = await engine.version()
    samples = _samples(settings)
    if samples is None:
        seen = f"{version}: runs, but nothing proves that it finds anything"
        return Finding(Level.WARNING, what, seen, "give it proof: {bad: FILE, good: FILE}")
    bad, good = samples
    found, passed = await _ask(engine, settings, bad), await _ask(engine, settings, good)
    if not isinstance(found, Infected):
        seen = f"{version}: the known-bad sample is not found{_cause(found)}"
        return Finding(Level.FAILED, what, seen, "are its signatures loaded?")
    if not isinstance(passed, Clean):
        seen = f"{version}: the known-good sample does not pass{_cause(passed)}"
        return Finding(Level.FAILED, what, seen, "it would refuse everything: look at its log")
    seen = f"{version}: finds its known-bad sample ({found.signature})"
    return Finding(Level.OK, what, seen)


async def _ask(engine: Engine, settings: EngineSettings, data: bytes) -> object:
    with Blob.of(data) as blob:
        station = Station(engine, timeout=settings.timeout)
        (report,) = await inspect(Sample(blob, "application/octet-stream"), [station], settings.timeout)
        return report.finding


def _cause(finding: object) -> str:
    return f" ({finding.detail})" if isinstance(finding, Unscannable) else ""


def _samples(settings: EngineSettings) -> tuple[bytes, bytes] | None:
    """Return a known-bad and a known-good sample, None where this engine has no proof."""
    proof = settings.proof
    if proof == "none":
        return None
    if not isinstance(proof, str):
        try:
            return proof.bad.read_bytes(), proof.good.read_bytes()
        except OSError as error:
            raise ConfigError(f"its proof can't be read: {error}") from None
    knows_eicar = isinstance(settings, ClamdSettings) or (
        isinstance(settings, YaraSettings) and "builtin" in {str(rules) for rules in settings.rules}
    )
    return (EICAR, b"a known-good sample " + os.urandom(64)) if knows_eicar else None


def _secret(settings: Settings) -> Finding:
    path = settings.crypto.request_secret_path
    try:
        secret = read_secret(path)
    except ConfigError as error:
        return Finding(Level.FAILED, "secret", str(error), "ostiary secret FILE makes a new one")
    if secret is not None:
        if readable_by_others(path):
            seen = f"{path} can be read by others than its owner"
            return Finding(Level.WARNING, "secret", seen, f"chmod 600 {path}")
        return Finding(Level.OK, "secret", f"{path}, public key {Envelope(secret).public_key}")
    if os.access(path.parent if path.parent.exists() else path.parent.parent, os.W_OK):
        return Finding(Level.OK, "secret", f"{path} will be made at the first start")
    seen = f"{path} is missing and can't be made"
    return Finding(Level.FAILED, "secret", seen, f"make {path.parent}, or set crypto.request_secret_path")


def _disk(settings: Settings) -> list[Finding]:
    directory = spool_directory(settings.scan.temp_directory)
    if directory is None:
        seen = "every temporary directory is a tmpfs: large files take memory"
        return [Finding(Level.WARNING, "disk", seen, "set scan.temp_directory to a folder on a disk")]
    free = shutil.disk_usage(directory).free
    if free < settings.limits.disk:
        seen = f"{directory} has {free >> 20} MiB free, limits.disk is {settings.limits.disk >> 20} MiB"
        return [Finding(Level.WARNING, "disk", seen, "lower limits.disk, or free some space")]
    return [Finding(Level.OK, "disk", f"{directory} has {free >> 20} MiB free")]
