"""The gateway's end of the process that makes an index of a hash list: start it, hear it, kill it.

The list is opened here, with the gateway's rights, and handed over by descriptor, as are two files
without a name: the index, and room to sort in. Whatever happens, process and descriptors are gone
when `read_list` ends; the index that it returns has its own.
"""

import asyncio
import json
import os
import socket
import stat
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ostiary.blob import anonymous_file
from ostiary.blocking import run_blocking
from ostiary.engines.child_process import command, environment
from ostiary.engines.hashlist.index import HashIndex
from ostiary.errors import ConfigError

SIZE_LIMIT: Final = 4 << 30
"""Bytes in one list."""

READ_SECONDS: Final = 600.0
"""Patience for one list: five million entries take 4 to 20 s."""

_REPLY_LIMIT: Final = 1 << 16
_CHUNK: Final = 1 << 12


async def read_list(path: Path, directory: Path, canary: bytes) -> HashIndex:
    """Return an index of the list and of the canary, a digest that we add; its file is in `directory`.

    ConfigError names the file, and the line where one is at fault.
    """
    held = ExitStack()
    try:
        async with asyncio.timeout(READ_SECONDS):
            index, ours = await run_blocking(_start, path, directory, canary, held)
            reply = await _reply(ours)
            return await run_blocking(_index, path, index, reply)
    except TimeoutError:
        raise ConfigError(f"{path}: not read within {READ_SECONDS:.0f} s") from None
    finally:
        await run_blocking(held.close)


def _start(path: Path, directory: Path, canary: bytes, held: ExitStack) -> tuple[int, socket.socket]:
    """Start the process; return the descriptor of its index, and our end of its standard output."""
    source = _opened(path, held)
    try:
        index, runs = _room(directory, held), _room(directory, held)
        ours, theirs = socket.socketpair()
        held.callback(ours.close)
        with theirs:
            process = subprocess.Popen(  # noqa: S603  (our own module, no shell)
                command("ostiary.engines.hashlist.worker", str(index), str(runs), canary.hex()),
                stdin=source,
                stdout=theirs.fileno(),
                env=environment(),
                pass_fds=(index, runs),
                process_group=0,
            )
    except OSError as error:
        raise ConfigError(f"{path}: its index can't be made in {directory}: {error.strerror}") from None
    held.callback(_end, process)
    return index, ours


async def _reply(ours: socket.socket) -> bytes:
    """Return all that the process says until it ends, or closes its standard output."""
    loop = asyncio.get_running_loop()
    ours.setblocking(False)
    said = b""
    while (chunk := await loop.sock_recv(ours, _CHUNK)) and len(said) < _REPLY_LIMIT:
        said += chunk
    return said


def _index(path: Path, descriptor: int, said: bytes) -> HashIndex:
    """Take the index that the process made; ConfigError says what it found wrong."""
    try:
        reply = json.loads(said)
        if "error" not in reply:
            return HashIndex(descriptor, reply)
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise ConfigError(f"{path}: the process that read it failed") from error
    separator = ", " if str(reply["error"]).startswith("line ") else ": "
    raise ConfigError(f"{path}{separator}{reply['error']}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _room(directory: Path, held: ExitStack) -> int:
    descriptor = anonymous_file(directory)
    held.callback(os.close, descriptor)
    return descriptor


def _opened(path: Path, held: ExitStack) -> int:
    try:
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hold us
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    held.callback(os.close, source)
    found = os.fstat(source)
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{path}: no regular file")
    if found.st_size > SIZE_LIMIT:
        raise ConfigError(f"{path}: over {SIZE_LIMIT} bytes")
    return source
