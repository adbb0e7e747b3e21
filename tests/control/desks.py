"""What tests of the control socket share: a server with its own actions, raw peers, other users."""

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from ostiary.blocking import run_blocking
from ostiary.control.client import ask
from ostiary.control.protocol import Actions, Arguments, Result, action
from ostiary.control.server import listen_control

NOBODY: Final = 65534


class Text(Arguments):
    """What `echo` takes."""

    text: str


class Said(Result):
    """What `echo` gives."""

    text: str


async def _echo(wanted: Text) -> Said:
    return Said(text=wanted.text)


ECHO: Final[Actions] = {"echo": action(Text, _echo)}


@asynccontextmanager
async def listening(path: Path, actions: Actions = ECHO, *, required: bool = True) -> AsyncIterator[bool]:
    """Answer commands at the path, and say whether that is so."""
    async with AsyncExitStack() as stack:
        yield await listen_control(stack, path, required=required, actions=actions)


async def echoed(path: Path, text: str = "hello") -> str:
    """Ask the server for an echo, as a command would."""
    said = await run_blocking(ask, path, "echo", Text(text=text), Said)
    return said.text


async def answered(path: Path, data: bytes, *, end: bool = True) -> bytes:
    """Send bytes of any kind, and return all that comes back; nothing where the connection is cut."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(data)
        await writer.drain()
        if end:
            writer.write_eof()
        return await reader.read()
    except (ConnectionResetError, BrokenPipeError):
        return b""
    finally:
        writer.close()


@contextmanager
def open_folder() -> Iterator[Path]:
    """Give a folder that every user may go through, and write into."""
    folder = Path(tempfile.mkdtemp(prefix="ostiary-control-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


async def as_nobody(program: str, *arguments: str | Path) -> asyncio.subprocess.Process:
    """Start a Python program that becomes another user before anything else; its output is piped.

    It has `os`, `socket` and `sys`: the other user may not be able to read any more of Python.
    """
    become = f"import os, socket, sys\nos.setgroups([])\nos.setgid({NOBODY})\nos.setuid({NOBODY})\n"
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-I", "-c", become + program, *map(str, arguments))
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd="/")


def dead_socket(path: Path) -> None:
    """Leave a socket behind, as a server that was killed does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(os.fsencode(path))
        listener.listen()
