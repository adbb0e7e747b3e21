"""`ostiary check`: look at everything that must work before the first real request comes.

Every engine is asked about a known-bad and a known-good sample, through the same code path as real
media. A failure says what to do about it; a warning is something that an operator should have
decided knowingly. Works beside a running gateway: no port is taken, nothing is changed.
"""

import asyncio
import io
import json
import os
import shutil
import ssl
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from rich.console import Console

from ostiary.app import circumstances, homeserver_of
from ostiary.blob import Blob
from ostiary.config.crypto import CryptoSettings
from ostiary.config.engines import ClamdSettings, EngineSettings, ScriptSettings, YaraSettings
from ostiary.config.settings import Settings, effective_engines, inert, shared_by
from ostiary.engines.interface import Engine, Sample
from ostiary.engines.registry import engine_of
from ostiary.engines.script_removal import installed, removal_words
from ostiary.engines.specimens import EICAR
from ostiary.errors import ConfigError, OstiaryError
from ostiary.inspection import Station, inspect
from ostiary.matrix.envelope import Envelope
from ostiary.model import Clean, Infected, Unscannable
from ostiary.secret_file import LOCKED_OUT, REMOUNT, PrivateKey, read_private_key, readable_by_others
from ostiary.spool_directory import spool_directory, takes_memory

_MANY: Final = 10_100  # members of the archive that must not pass

PATIENCE: Final = 10.0
"""Seconds that each thing gets to answer."""

_KEEP_THE_KEY: Final = (
    "may the gateway read it? A new one (ostiary secret FILE) locks out clients that keep the old public key"
)


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


async def check_everything(settings: Settings, show: Callable[[Finding], None]) -> None:
    """Show each finding as soon as it is made, in the order in which they are worth reading."""
    for line in inert(settings):
        show(Finding(Level.WARNING, "config", line))
    if settings.scan.allowed_mimetypes == ():
        seen = "scan.allowed_mimetypes is an empty list: every file is refused"
        show(Finding(Level.WARNING, "config", seen, "remove the key to allow all types"))
    show(await _homeserver(settings))
    async for finding in _engines(settings):
        show(finding)
    show(_secret(settings))
    show(_disk(settings))


class Examination:
    """Prints findings as they come, or all of them as JSON in the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._findings: list[Finding] = []
        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)

    def show(self, finding: Finding) -> None:
        """Take a finding."""
        self._findings.append(finding)
        if self._as_json:
            return
        self._console.print(f"{finding.level.value:<8} ", style=_STYLES[finding.level], end="")
        self._console.print(f"{finding.what:<14}  {finding.seen}")
        if finding.advice:
            self._console.print(f"{'':<23}  -> {finding.advice}", style="dim")

    def close(self) -> int:
        """Say what failed, and return the exit status: 1 if anything did."""
        failed = [finding.what for finding in self._findings if finding.level is Level.FAILED]
        if self._as_json:
            report = {"ok": not failed, "findings": [asdict(finding) for finding in self._findings]}
            print(json.dumps(report, indent=2))  # noqa: T201
        else:
            self._console.print(f"\nfailed: {', '.join(failed)}" if failed else "\nnothing failed")
        return int(bool(failed))


async def _homeserver(settings: Settings) -> Finding:
    url = settings.download.base_homeserver_url
    if settings.download.direct:
        return _direct_mode()
    if url is None:
        advice = "set download.base_homeserver_url: the gateway can't serve without it"
        return Finding(Level.FAILED, "homeserver", "not configured", advice)
    homeserver = homeserver_of(settings)
    try:
        async with asyncio.timeout(PATIENCE):
            versions = await homeserver.versions()
    except TimeoutError:
        seen = f"{url}: no answer within {PATIENCE:g} s"
        return Finding(Level.FAILED, "homeserver", seen, "is this the right port, and http or https?")
    except OstiaryError as error:
        advice = "is it running, and is download.base_homeserver_url right?"
        return Finding(Level.FAILED, "homeserver", f"{url}: {error}", advice)
    finally:
        await homeserver.close()
    return Finding(Level.OK, "homeserver", f"{url} speaks Matrix {versions[-1] if versions else '(none)'}")


def _direct_mode() -> Finding:
    """Return whether strangers' certificates can be verified: there is no homeserver that could be asked."""
    known = ssl.get_default_verify_paths()
    if not known.cafile and not (known.capath and any(Path(known.capath).iterdir())):
        seen = "direct mode: this system knows no certificate authorities, so no server can be verified"
        return Finding(Level.FAILED, "homeserver", seen, "install the package ca-certificates")
    seen = "direct mode: no homeserver to ask; public media comes from the servers that its URIs name"
    return Finding(Level.OK, "homeserver", seen)


async def _engines(settings: Settings) -> AsyncIterator[Finding]:
    chosen = effective_engines(settings)
    for engine_settings in chosen:
        engine = engine_of(engine_settings, circumstances(settings))
        what = f"engine {engine.name}"
        try:
            await engine.start()
            yield await _engine(engine, what, engine_settings)
        except ConfigError as error:
            yield Finding(Level.FAILED, what, str(error), "the gateway does not start with it")
        except (OstiaryError, TimeoutError) as error:
            seen = str(error) or f"no answer within {PATIENCE:g} s"
            yield _of_weight(engine_settings, what, seen, "nothing is served while it is away")
        finally:
            await engine.close()
    if all(isinstance(engine, YaraSettings) for engine in chosen):
        seen = "YARA rules alone judge what is clean"
        yield Finding(Level.WARNING, "engines", seen, "rules are no antivirus: add clamd, see docs/setup")


def _of_weight(settings: EngineSettings, what: str, seen: str, advice: str) -> Finding:
    """Return a failure, or a warning where this engine's failures decide nothing."""
    if settings.shadow:
        return Finding(Level.WARNING, what, seen, "it is in shadow mode: nothing depends on it")
    if not settings.required:
        return Finding(Level.WARNING, what, seen, "it is not required: the others decide alone")
    return Finding(Level.FAILED, what, seen, advice)


async def _engine(engine: Engine, what: str, settings: EngineSettings) -> Finding:
    async with asyncio.timeout(PATIENCE):
        version = await engine.version()
    bad, good = _samples(settings)
    found = None if bad is None else await _ask(engine, settings, bad)
    passed = await _ask(engine, settings, good)
    if bad is not None and not isinstance(found, Infected):
        seen = f"{version}: the known-bad sample is not found{_cause(found)}"
        return _of_weight(settings, what, seen, "are its signatures loaded?")
    if not isinstance(passed, Clean):
        seen = f"{version}: a harmless sample does not pass{_cause(passed)}"
        return _of_weight(settings, what, seen, "it would refuse everything: look at its log")
    if not isinstance(found, Infected):
        seen = f"{version}: runs, but nothing proves that it finds anything"
        return Finding(Level.WARNING, what, seen, "give it proof: {bad: FILE, good: FILE}")
    if isinstance(settings, ClamdSettings) and isinstance(await _ask(engine, settings, _crowded()), Clean):
        seen = f"{version}: a zip with more members than it looks at passes as clean"
        return Finding(Level.WARNING, what, seen, "set AlertExceedsMax yes in clamd.conf")
    return Finding(Level.OK, what, f"{version}: finds its known-bad sample ({found.signature})")


def _crowded() -> bytes:
    """Return a zip beyond clamd's MaxFiles (10,000), with the known-bad sample as its last member.

    clamd says OK to what exceeds its limits, unless AlertExceedsMax is set.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(_MANY):
            archive.writestr(zipfile.ZipInfo(f"{number:x}"), b"x")
        archive.writestr("last", EICAR, zipfile.ZIP_DEFLATED)  # stored, it would be seen from outside
    return file.getvalue()


async def _ask(engine: Engine, settings: EngineSettings, data: bytes) -> object:
    with Blob.of(data) as blob:
        seconds = min(settings.timeout, PATIENCE)
        sample = Sample(blob, "application/octet-stream")
        (report,) = await inspect(sample, [Station(engine, timeout=seconds)], seconds)
        return report.finding


def _cause(finding: object) -> str:
    return f" ({finding.detail})" if isinstance(finding, Unscannable) else ""


def _samples(settings: EngineSettings) -> tuple[bytes | None, bytes]:
    """Return a known-bad sample, None where this engine has no proof, and a known-good one."""
    harmless = b"a known-good sample " + os.urandom(64)
    proof = settings.proof
    if proof == "none":
        return None, harmless
    if not isinstance(proof, str):
        try:
            return proof.bad.read_bytes(), proof.good.read_bytes()
        except OSError as error:
            raise ConfigError(f"its proof can't be read: {error}") from None
    knows_eicar = isinstance(settings, ClamdSettings) or (
        isinstance(settings, YaraSettings) and "builtin" in {str(rules) for rules in settings.rules}
    )
    return (EICAR if knows_eicar else None), harmless


def _secret(settings: Settings) -> Finding:
    crypto = settings.crypto
    try:
        key = read_private_key(crypto, shared_by(settings))
    except ConfigError as error:
        return Finding(Level.FAILED, "secret", str(error), _KEEP_THE_KEY)
    if key is not None:
        return _present(key, crypto)
    if crypto.pickle_path is not None:
        return _missing_pickle(crypto.pickle_path)
    path = crypto.request_secret_path
    if os.access(path.parent if path.parent.exists() else path.parent.parent, os.W_OK):
        return Finding(Level.OK, "secret", f"{path} will be made at the first start")
    seen = f"{path} is missing and can't be made"
    return Finding(Level.FAILED, "secret", seen, f"make {path.parent}, or set crypto.request_secret_path")


def _missing_pickle(path: Path) -> Finding:
    """Return what a start would do about a legacy key file that is not there."""
    if os.path.lexists(path):
        seen = f"{path} is a link to nowhere, in the way of the legacy key file"
        return Finding(Level.FAILED, "secret", seen, REMOUNT)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        seen = f"{path} (legacy key file) is not there, and a new one can't be made"
        return Finding(Level.FAILED, "secret", seen, REMOUNT)
    seen = f"{path} (legacy key file) is not there: a new key will be made at the first start"
    return Finding(Level.WARNING, "secret", seen, f"mount the old one if there is one: {LOCKED_OUT}")


def _present(key: PrivateKey, crypto: CryptoSettings) -> Finding:
    """Return what is to be said about a key that can be used."""
    for path in (key.path, crypto.pickle_key_path):
        if path is not None and readable_by_others(path):
            seen = f"{path} can be read by others than its owner"
            return Finding(Level.WARNING, "secret", seen, f"chmod 600 {path}")
    kind = "legacy key file" if key.path == crypto.pickle_path else "request secret"
    return Finding(Level.OK, "secret", f"{key.path} ({kind}), public key {Envelope(key.secret).public_key}")


def _disk(settings: Settings) -> Finding:
    try:
        directory = spool_directory(settings.scan.temp_directory)
    except ConfigError as error:
        return Finding(Level.FAILED, "disk", str(error), "it must exist and be writable for the gateway")
    if directory is None:
        seen = "every temporary directory is a tmpfs: large files take memory"
        return Finding(Level.WARNING, "disk", seen, "set scan.temp_directory to a folder on a disk")
    scripted = any(isinstance(engine, ScriptSettings) for engine in effective_engines(settings))
    if scripted and not installed(removal_words(settings.scan.removal_command)):
        seen = f"{settings.scan.removal_command} is not installed: files for scripts are removed without it"
        return Finding(Level.WARNING, "disk", seen, "install it, or write scan.removal_command: rm")
    if scripted and takes_memory(settings.scan.temp_directory):
        seen = f"{settings.scan.temp_directory} is a tmpfs: the copies for scripts take memory"
        return Finding(Level.WARNING, "disk", seen, "set scan.temp_directory to a folder on a disk")
    free = shutil.disk_usage(directory).free
    if free < settings.limits.disk:
        seen = f"{directory} has {free >> 20} MiB free, limits.disk is {settings.limits.disk >> 20} MiB"
        return Finding(Level.WARNING, "disk", seen, "lower limits.disk, or free some space")
    return Finding(Level.OK, "disk", f"{directory} has {free >> 20} MiB free")
