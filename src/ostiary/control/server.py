"""The server's end of the control socket: reads one command a connection, acts, answers, hangs up.

A little server of its own: what happens at the public port does not touch it, nor it the public port.
Every connection is bounded in bytes and in time, and there are few at once. The socket's mode keeps
other users away; who it is that got through is asked of the kernel all the same.
"""

import asyncio
import os
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

import structlog

from ostiary.background import Background
from ostiary.control.peer import peer_user
from ostiary.control.protocol import (
    ACTING,
    MAX_REQUEST,
    READING,
    WRITING,
    Actions,
    format_answer,
    format_error,
    parse_request,
)
from ostiary.control.socket_file import SocketFile
from ostiary.errors import ConfigError, MalformedRequestError, OstiaryError

log = structlog.get_logger()

MOST: Final = 8
"""Connections at the same time."""

_ROOT: Final = 0


async def listen_control(stack: AsyncExitStack, path: Path, *, required: bool, actions: Actions) -> bool:
    """Answer commands until the stack unwinds, and say whether we do.

    Where the path can't be had: ConfigError if it is `required`, else a warning.
    """
    try:
        place = SocketFile.claim(path)
    except ConfigError as error:
        if required:
            raise
        log.warning("no control socket: commands can't reach this server", reason=str(error))
        return False
    stack.callback(place.release)
    background = await stack.enter_async_context(Background())
    desk = _Desk(actions, background)
    server = await asyncio.start_unix_server(desk.connected, sock=place.listener, limit=MAX_REQUEST)
    stack.callback(server.close)
    return True


class _Desk:
    """Attends to connections; each is a task of the background's."""

    def __init__(self, actions: Actions, background: Background) -> None:
        self._actions = actions
        self._background = background
        self._open = 0

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let the connection in, or cut it."""
        user = peer_user(writer.get_extra_info("socket"))
        stranger = user not in {os.geteuid(), _ROOT}
        if stranger:
            log.warning("control socket: refused", user=user)
        if stranger or self._open >= MOST:
            writer.transport.abort()
            return
        self._open += 1
        task = self._background.start(self._attend(reader, writer))
        task.add_done_callback(lambda _: self._left(writer))

    def _left(self, writer: asyncio.StreamWriter) -> None:
        self._open -= 1
        writer.transport.abort()  # what was written is on its way: it had to be taken first

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError):
            answer = await self._answer(reader)
            writer.transport.set_write_buffer_limits(high=0)  # drained means: the kernel has it all
            async with asyncio.timeout(WRITING):
                writer.write(answer)
                await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            command, arguments = parse_request(await _request(reader))
            action = self._actions.get(command)
            if action is None:
                known = ", ".join(sorted(self._actions))
                return format_error(f"this server knows no such command; it knows {known}")
            log.debug("command", command=command)
            async with asyncio.timeout(ACTING):
                return format_answer(await action(arguments))
        except OstiaryError as error:
            return format_error(str(error))
        except OSError as error:  # TimeoutError is one: the peer's, the action's, or ours
            return format_error(f"the command failed: {error.strerror or 'it took too long'}")
        except Exception:
            log.exception("bug in a command")
            return format_error("the command failed: the server's log says how")


async def _request(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the stream ends; MalformedRequestError if that is too much or too slow."""
    data = bytearray()
    try:
        async with asyncio.timeout(READING):
            while chunk := await reader.read(MAX_REQUEST):
                data += chunk
                if len(data) > MAX_REQUEST:
                    raise MalformedRequestError(f"a request has at most {MAX_REQUEST} bytes")
    except TimeoutError:
        raise MalformedRequestError(f"the request did not end within {READING:g} s") from None
    return bytes(data)
