"""`ostiary scan`: files, folders, standard input and mxc URIs through the same engines and rules.

A file is copied into a blob first, so that what was scanned is one unchanging thing. Folders are
walked without following links. Several files are scanned at once; results come as they are ready.
"""

import asyncio
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ostiary.app import Parts, parts
from ostiary.blob import MEMORY_LIMIT, Blob
from ostiary.blocking import run_blocking
from ostiary.config.settings import Settings
from ostiary.errors import ConfigError, OstiaryError
from ostiary.matrix.identifiers import parse_mxc
from ostiary.model import Declared, MediaRequest, Result, Verdict

AT_ONCE: Final = 8
"""Files that are scanned at the same time."""

_CLEAN, _NOT_CLEAN, _COULD_NOT_SCAN = 0, 1, 2
_STYLES: Final = {Result.CLEAN: "green", Result.INFECTED: "bold red", Result.FORBIDDEN: "red"}


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What the command line asks for."""

    targets: Sequence[str]
    as_json: bool
    access_token_path: Path | None


@dataclass(frozen=True, slots=True)
class Scanned:
    """What became of one target."""

    target: str
    verdict: Verdict

    @property
    def exit_code(self) -> int:
        """What this one alone would make of the exit status."""
        if self.verdict.result is Result.CLEAN:
            return _CLEAN
        known_bad = self.verdict.result in {Result.INFECTED, Result.FORBIDDEN}
        return _NOT_CLEAN if known_bad else _COULD_NOT_SCAN


async def scan_targets(settings: Settings, options: ScanOptions, environ: Mapping[str, str]) -> int:
    """Scan everything, print the results, and return the exit status."""
    token = _token(settings, options, environ)
    codes: set[int] = set()
    async with parts(settings) as built:
        targets = [target for name in options.targets for target in _expanded(name)]
        with _Printer(options, len(targets)) as printer:

            def show(scanned: Scanned) -> None:
                printer.show(scanned)
                codes.add(scanned.exit_code)

            await _scan_all(_Scanner(built, token), targets, show)
    return next((code for code in (_NOT_CLEAN, _COULD_NOT_SCAN) if code in codes), _CLEAN)


class _Scanner:
    """Scans one target of any kind; what goes wrong with it is its result."""

    def __init__(self, built: Parts, token: str | None) -> None:
        self._built = built
        self._token = token

    async def scan(self, target: str) -> Scanned:
        try:
            if target.startswith("mxc://"):
                return Scanned(target, await self._media(target))
            if target == "-":
                return Scanned(target, await self._stream(sys.stdin.buffer, None, Declared()))
            return Scanned(target, await self._file(Path(target)))
        except OstiaryError as error:
            return Scanned(target, _failed(str(error)))
        except OSError as error:
            return Scanned(target, _failed(error.strerror or str(error)))

    async def _media(self, uri: str) -> Verdict:
        if self._built.settings.download.base_homeserver_url is None:
            raise ConfigError("mxc:// URIs need download.base_homeserver_url")
        async with self._built.gateway.media(MediaRequest(parse_mxc(uri), token=self._token)) as outcome:
            return outcome.verdict

    async def _file(self, path: Path) -> Verdict:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not hang us
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return _failed("not a regular file")
            return await self._stream(file, status.st_size, Declared(filename=path.name))

    async def _stream(self, file: BinaryIO, size: int | None, declared: Declared) -> Verdict:
        gateway = self._built.gateway
        if size is not None and size > gateway.max_size:
            return await gateway.judge_upload(None, None, declared)
        async with AsyncExitStack() as held:
            room = gateway.max_size if size is None else size
            await held.enter_async_context(gateway.room(room, encrypted=False))
            blob = await self._blob(file)
            if blob is None:
                return await gateway.judge_upload(None, None, declared)
            held.callback(blob.close)
            return await gateway.judge(blob, declared)

    async def _blob(self, file: BinaryIO) -> Blob | None:
        """Return the bytes, None if there are more than may be scanned."""
        with self._built.gateway.writer() as writer:
            while chunk := await run_blocking(file.read, MEMORY_LIMIT):
                await writer.add(chunk)
                if writer.size > self._built.gateway.max_size:
                    return None
            return await writer.finish()


async def _scan_all(scanner: _Scanner, targets: Sequence[str], show: Callable[[Scanned], None]) -> None:
    """Scan the targets, a bounded number at a time, and show each as it is ready."""
    waiting = iter(targets)

    async def work() -> None:
        for target in waiting:
            show(await scanner.scan(target))

    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, len(targets))):
            group.create_task(work())


def _expanded(name: str) -> Iterator[str]:
    """Yield the files under a folder in a stable order, anything else as it is."""
    if name == "-" or name.startswith("mxc://") or not Path(name).is_dir():
        yield name
        return
    for folder, folders, files in os.walk(name):
        folders.sort()
        for file in sorted(files):
            path = Path(folder, file)
            if not path.is_symlink():
                yield str(path)


def _token(settings: Settings, options: ScanOptions, environ: Mapping[str, str]) -> str | None:
    path = options.access_token_path
    if path is None and "OSTIARY_ACCESS_TOKEN" in environ:
        return environ["OSTIARY_ACCESS_TOKEN"].strip() or None
    path = path or settings.synapse.admin_token_path
    if path is None or not any(target.startswith("mxc://") for target in options.targets):
        return None
    try:
        return path.read_text(encoding="ascii").strip() or None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: the access token can't be read: {error}") from None


def _failed(reason: str) -> Verdict:
    return Verdict(Result.ERROR, release=False, info=f"could not scan: {reason}", detected_type="")


class _Printer:
    """Prints a line per target, and a progress bar where somebody watches."""

    def __init__(self, options: ScanOptions, total: int) -> None:
        self._as_json = options.as_json
        self._out = Console(soft_wrap=True, highlight=False, markup=False)
        screen = Console(stderr=True)
        columns = (TextColumn("scanning"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(
            *columns,
            console=screen,
            transient=True,
            disable=not screen.is_terminal or total < 2,  # noqa: PLR2004
        )
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, scanned: Scanned) -> None:
        verdict = scanned.verdict
        self._progress.advance(self._task)
        if self._as_json:
            line = {
                "target": scanned.target,
                "clean": verdict.result is Result.CLEAN,
                "result": verdict.result.value,
                "info": verdict.info,
                "engine": verdict.engine,
                "name": verdict.name,
                "type": verdict.detected_type or None,
            }
            self._out.print(json.dumps(line))
            return
        self._out.print(f"{verdict.result.value:<11} ", style=_STYLES.get(verdict.result, "yellow"), end="")
        self._out.print(_printable(scanned.target), end="")
        self._out.print("" if verdict.result is Result.CLEAN else f": {_printable(verdict.info)}")


def _printable(text: str) -> str:
    """A file name must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
