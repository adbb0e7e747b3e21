"""`ostiary check`: look at everything that must work before the first real request comes.

Every engine is asked about a known-bad and a known-good sample, through the same code path as real
media. A failure says what to do about it; a warning is something that an operator should have
decided knowingly. Works beside a running gateway: no port is taken, nothing is changed.
"""

import asyncio
import os
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ostiary.app import homeserver_of
from ostiary.cli.check_engines import check_engines
from ostiary.cli.findings import Finding, Level
from ostiary.config.crypto import CryptoSettings
from ostiary.config.engines import ScriptSettings
from ostiary.config.settings import Settings, effective_engines, inert, shared_by
from ostiary.engines.script.removal import installed, removal_words
from ostiary.errors import ConfigError, OstiaryError
from ostiary.matrix.envelope import Envelope
from ostiary.secret_file import LOCKED_OUT, REMOUNT, PrivateKey, read_private_key, readable_by_others
from ostiary.spool_directory import spool_directory, takes_memory

PATIENCE: Final = 10.0
"""Seconds that the homeserver gets to answer."""

_KEEP_THE_KEY: Final = (
    "may the gateway read it? A new one (ostiary secret FILE) locks out clients that keep the old public key"
)


async def check_everything(settings: Settings, show: Callable[[Finding], None]) -> None:
    """Show each finding as soon as it is made, in the order in which they are worth reading."""
    for line in inert(settings):
        show(Finding(Level.WARNING, "config", line))
    if settings.scan.allowed_mimetypes == ():
        seen = "scan.allowed_mimetypes is an empty list: every file is refused"
        show(Finding(Level.WARNING, "config", seen, "remove the key to allow all types"))
    show(await _homeserver(settings))
    async for finding in check_engines(settings):
        show(finding)
    show(_secret(settings))
    show(_disk(settings))


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
