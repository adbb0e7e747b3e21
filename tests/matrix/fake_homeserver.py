"""A homeserver that answers anything: whole answers, broken ones, endless ones, none at all.

For faults that Synapse does not produce on demand. It reads requests and writes bytes; what it
answers is up to the test, by path. What real answers look like is checked against Synapse in
tests/peers and tests/end_to_end.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ostiary.matrix.download import Download
from ostiary.matrix.homeserver import Homeserver
from ostiary.model import MediaRequest

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Received:
    """A request as it came; header names in lower case, doubled ones kept."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> list[str]:
        """Return all values of a header."""
        return [value for key, value in self.headers if key == name]


Reply = bytes | Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Bytes to send, or what to do with the connection, which is closed afterwards."""


class FakeHomeserver:
    """Listens on a free port while in `async with`; `replies` by path, `otherwise` for all others."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.otherwise: Reply = error(404, "M_UNRECOGNIZED")
        self.received: list[Received] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._tasks)

    @property
    def paths(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [request.path for request in self.received]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._answer(reader, writer):
                    pass
        except asyncio.CancelledError:
            pass  # the end of the test; a raise would be logged by asyncio's streams
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; say whether the connection may be used again."""
        request = _parsed(await reader.readuntil(b"\r\n\r\n"))
        self.received.append(request)
        reply = self.replies.get(request.path, self.otherwise)
        if not isinstance(reply, bytes):
            await reply(reader, writer)
            return False
        writer.write(reply)
        await writer.drain()
        return True


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """Return a whole HTTP answer, with its length."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def media(body: bytes, content_type: str = "image/png", **headers: str) -> bytes:
    """Return an answer with a file in it; `content_disposition="..."` becomes that header."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return answer(200, body, {"Content-Type": content_type, **more})


def error(status: int, errcode: str, message: str = "its words", **more: object) -> bytes:
    """Return a Matrix error."""
    body = json.dumps({"errcode": errcode, "error": message, **more}).encode()
    return answer(status, body, {"Content-Type": "application/json"})


def json_object(**members: object) -> bytes:
    """Return a 200 with a JSON object."""
    return answer(200, json.dumps(members).encode(), {"Content-Type": "application/json"})


def cut(data: bytes) -> Reply:
    """Send these bytes and close the connection."""

    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return reply


def reset(data: bytes = b"") -> Reply:
    """Send these bytes and reset the connection a moment later."""

    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.transport.abort()

    return reply


def silent_after(data: bytes = b"") -> Reply:
    """Send these bytes and then nothing, for as long as the other side waits."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        await reader.read()

    return reply


def endless(head: bytes, piece: bytes) -> Reply:
    """Send the head and then the piece again and again."""

    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()

    return reply


def pieces(*data: bytes) -> Reply:
    """Send each piece in a packet of its own, then close."""

    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in data:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)

    return reply


def _parsed(head: bytes) -> Received:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.split(":", 1) for line in lines)
    return Received(method, target, tuple((name.lower(), value.strip()) for name, value in pairs))


@asynccontextmanager
async def opened(client: Homeserver, request: MediaRequest) -> AsyncIterator[Download]:
    """Open the media for somebody who has no copy of it."""
    async with client.media(request) as download:
        assert download is not None
        yield download
