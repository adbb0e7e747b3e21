"""`ostiary scan`: files, folders, standard input and mxc URIs through the same engines and rules.

A file is copied into a blob first, so that what was scanned is one unchanging thing. Folders are
walked without following links. Several files are scanned at once; results come as they are ready.
"""

import asyncio
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from ostiary.app import Parts, parts
from ostiary.blob import MEMORY_LIMIT, Blob
from ostiary.blocking import run_blocking
from ostiary.cli.results import Printer, Scanned, failed
from ostiary.config.settings import Settings, effective_engines
from ostiary.errors import ConfigError, OstiaryError
from ostiary.matrix.identifiers import parse_mxc
from ostiary.model import Declared, MediaRequest, Verdict

AT_ONCE: Final = 8
"""Files that are scanned at the same time, at most: an engine with fewer turns makes it fewer."""


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What the command line asks for."""

    targets: Sequence[str]
    as_json: bool
    access_token_path: Path | None


async def scan_targets(settings: Settings, options: ScanOptions, environ: Mapping[str, str]) -> int:
    """Scan everything, print the results, and return the exit status."""
    token = _token(settings, options, environ)
    async with parts(settings, patient=True) as built:
        found = [target for name in options.targets for target in _expanded(name)]
        targets = [target for target in found if isinstance(target, str)]
        with Printer(as_json=options.as_json, total=len(found)) as printer:
            for unread in found:
                if isinstance(unread, Scanned):
                    printer.show(unread)
            turns = [getattr(engine, "concurrency", None) for engine in effective_engines(settings)]
            at_once = min([AT_ONCE, *(turn or os.cpu_count() or 1 for turn in turns)])
            await _scan_all(_Scanner(built, token), targets, printer.show, at_once)
        return printer.exit_code


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
                os.set_blocking(sys.stdin.fileno(), True)  # or "nothing yet" would look like the end
                return Scanned(target, await self._stream(sys.stdin.buffer, None, Declared()))
            return Scanned(target, await self._file(Path(target)))
        except OstiaryError as error:
            return Scanned(target, failed(str(error)))
        except OSError as error:
            return Scanned(target, failed(error.strerror or str(error)))

    async def _media(self, uri: str) -> Verdict:
        download = self._built.settings.download
        if download.base_homeserver_url is None and not download.direct:
            raise ConfigError("mxc:// URIs need download.base_homeserver_url, or download.allow_direct")
        async with self._built.gateway.media(MediaRequest(parse_mxc(uri), token=self._token)) as outcome:
            return outcome.verdict

    async def _file(self, path: Path) -> Verdict:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not hang us
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return failed("not a regular file")
            os.set_blocking(descriptor, True)
            return await self._stream(file, status.st_size, Declared(filename=path.name))

    async def _stream(self, file: BinaryIO, size: int | None, declared: Declared) -> Verdict:
        gateway = self._built.gateway
        if size is not None and size > gateway.max_size:
            return (await gateway.judge_upload(None, None, declared)).verdict
        async with AsyncExitStack() as held:
            room = gateway.max_size if size is None else size
            await held.enter_async_context(gateway.room(room, encrypted=False))
            blob = await self._blob(file)
            if blob is None:
                return (await gateway.judge_upload(None, None, declared)).verdict
            held.callback(blob.close)
            return (await gateway.judge(blob, declared)).verdict

    async def _blob(self, file: BinaryIO) -> Blob | None:
        """Return the bytes, None if there are more than may be scanned."""
        with self._built.gateway.writer() as writer:
            while chunk := await run_blocking(_read, file):
                await writer.add(chunk)
                if writer.size > self._built.gateway.max_size:
                    return None
            return await writer.finish()


def _read(file: BinaryIO) -> bytes:
    """Return the next bytes, none at the end; OSError where none can be had and it is not the end."""
    chunk: bytes | None = file.read(MEMORY_LIMIT)
    if chunk is None:
        raise BlockingIOError(errno.EAGAIN, "it gives no bytes, and does not end")
    return chunk


async def _scan_all(
    scanner: _Scanner, targets: Sequence[str], show: Callable[[Scanned], None], at_once: int
) -> None:
    """Scan the targets, so many at a time, and show each as it is ready."""
    waiting = iter(targets)

    async def work() -> None:
        for target in waiting:
            show(await scanner.scan(target))

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(targets))):
            group.create_task(work())


def _expanded(name: str) -> Iterator[str | Scanned]:
    """Yield the files under a folder in a stable order, and what of it can't be read; else the name."""
    if name == "-" or name.startswith("mxc://") or not Path(name).is_dir():
        yield name
        return
    unread: list[OSError] = []
    for folder, folders, files in os.walk(name, onerror=unread.append):
        folders.sort()
        for file in sorted(files):
            path = Path(folder, file)
            if not path.is_symlink():
                yield str(path)
    for error in unread:
        yield Scanned(str(error.filename), failed(error.strerror or str(error)))


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
