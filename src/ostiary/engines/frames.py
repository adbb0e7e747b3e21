"""The frames between the gateway and its scan processes, over a Unix stream socket.

A frame is two lengths (big-endian), a JSON object, a body of bytes, and maybe one descriptor
beside it. Both ends are ours, but a scan process reads hostile bytes: what it says is bounded and
checked like any peer's. Here is no event loop and no YARA-X: both ends import this.
"""

import json
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_LENGTHS: Final = struct.Struct(">II")

HEAD_LIMIT: Final = 8 << 20
"""Bytes of JSON in one frame: a rule list of some ten thousand names."""

BODY_LIMIT: Final = 256 << 20
"""Bytes of a frame's body: rules, compiled or to be compiled, or a sample of up to 1 MiB."""


class FrameError(Exception):
    """The other end went away or said something that is no frame."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What came: whoever receives it closes the descriptor."""

    head: Mapping[str, Any]
    body: bytes = b""
    descriptor: int | None = None


def send_frame(
    connection: socket.socket,
    head: Mapping[str, Any],
    body: bytes = b"",
    descriptor: int | None = None,
) -> None:
    """Send one frame; the descriptor is lent and stays open here. FrameError if nobody reads."""
    text = json.dumps(head, separators=(",", ":")).encode()
    start = _LENGTHS.pack(len(text), len(body))
    try:
        if descriptor is None:
            connection.sendall(start)
        elif socket.send_fds(connection, [start], [descriptor]) != len(start):
            raise FrameError("a frame's start was cut")
        connection.sendall(text)
        connection.sendall(body)
    except OSError as error:
        raise FrameError(f"could not send: {error}") from error


def receive_frame(connection: socket.socket) -> Frame | None:
    """Return the next frame; None where the other end closed between two frames.

    TimeoutError when the socket has a timeout and it passes.
    """
    descriptors: list[int] = []
    try:
        start = _start(connection, descriptors)
        if not start:
            return None
        head_size, body_size = _LENGTHS.unpack(start)
        if head_size > HEAD_LIMIT or body_size > BODY_LIMIT or len(descriptors) > 1:
            raise FrameError("a frame over the limits")
        head = json.loads(_exactly(connection, head_size))
        if not isinstance(head, dict):
            raise FrameError("a frame's head is no object")
        frame = Frame(head, _exactly(connection, body_size), descriptors[0] if descriptors else None)
    except BaseException as error:
        for descriptor in descriptors:
            os.close(descriptor)
        if isinstance(error, (ValueError, RecursionError)) or (
            isinstance(error, OSError) and not isinstance(error, TimeoutError)
        ):
            raise FrameError(f"no frame: {error}") from error
        raise
    return frame


def _start(connection: socket.socket, descriptors: list[int]) -> bytes:
    """Read the two lengths and what came beside them; empty at the end of the stream."""
    start = b""
    while len(start) < _LENGTHS.size:
        data, received, _flags, _address = socket.recv_fds(connection, _LENGTHS.size - len(start), 1)
        descriptors += received
        if not data and start:
            raise FrameError("a frame's start was cut")
        if not data:
            break
        start += data
    return start


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise FrameError("a frame was cut")
        view = view[count:]
    return bytes(data)
