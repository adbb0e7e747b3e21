"""Removing the file that a script has read, by the operator's own command where there is one.

`scan.removal_command` is the existing scanner's key for commands such as `srm` or `shred -u`. It is
run without a shell, with the file's path as its last argument. Whatever becomes of it, the folder
is removed afterwards.
"""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from ostiary.errors import ConfigError

log = structlog.get_logger()

PLAIN: Final = "rm"
"""The command that means nothing special: we remove the file ourselves."""

PATIENCE: Final = 30.0
"""Seconds that the command may take for one file."""


def removal_words(command: str) -> tuple[str, ...]:
    """Return the command's words, none for a plain `rm`; ConfigError where quotes or words are missing."""
    try:
        words = tuple(shlex.split(command))
    except ValueError:
        words = ()
    if not words:
        raise ConfigError(f"scan.removal_command: {command!r} is no command")
    return () if words == (PLAIN,) else words


def installed(words: tuple[str, ...]) -> bool:
    """Say whether the command is there; samples of the existing scanner name one that few machines have."""
    return not words or shutil.which(words[0]) is not None


def remove(folder: Path, file: Path, words: tuple[str, ...], environment: Mapping[str, str]) -> None:
    """Remove a folder and the file in it; say so where that is impossible. Blocks."""
    with suppress(OSError):
        folder.chmod(0o700)  # a script runs as we do, and may have taken our rights away
    if words and file.is_file() and not file.is_symlink():
        _run(words, file, environment)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        log.error(
            "error", kind="internal", info="a file given to a script can't be removed", path=str(folder)
        )


def _run(words: tuple[str, ...], file: Path, environment: Mapping[str, str]) -> None:
    nothing = subprocess.DEVNULL
    try:
        process = subprocess.Popen(  # noqa: S603  (the operator's own command, no shell, one argument of ours)
            [*words, file],
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
            env=dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        log.warning("the removal command can't be run", error=error.strerror)
        return
    try:
        code = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    if code:
        log.warning("the removal command failed", code=code)
