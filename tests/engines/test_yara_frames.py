"""Frames between the gateway and its scan processes: what arrives is a frame or an error."""

import os
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.engines.frames import BODY_LIMIT, HEAD_LIMIT, Frame, FrameError, receive_frame, send_frame
from tests.descriptors import open_descriptors


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a connection."""
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_frames_arrive_as_they_were_sent(ends: tuple[socket.socket, socket.socket]) -> None:
    """Head and body come back, frame by frame, then the end of the stream."""
    one, other = ends
    send_frame(one, {"a": 1}, b"body")
    send_frame(one, {})
    one.close()
    assert [receive_frame(other) for _ in range(3)] == [Frame({"a": 1}, b"body"), Frame({}), None]


def test_a_descriptor_arrives_as_another_of_the_same_file(ends: tuple[socket.socket, socket.socket]) -> None:
    """The sender keeps its descriptor, the receiver gets one of its own."""
    one, other = ends
    descriptor = os.memfd_create("test")
    send_frame(one, {}, descriptor=descriptor)
    frame = receive_frame(other)
    assert frame is not None
    assert frame.descriptor is not None
    assert os.path.sameopenfile(descriptor, frame.descriptor)
    os.close(frame.descriptor)
    os.close(descriptor)


def _bytewise(one: socket.socket, data: bytes) -> None:
    for byte in data:
        one.sendall(bytes([byte]))


def test_pieces_make_a_frame(ends: tuple[socket.socket, socket.socket]) -> None:
    """Where the stream is cut into pieces does not matter."""
    one, other = ends
    _bytewise(one, struct.pack(">II", 7, 3) + b'{"a":2}' + b"xyz")
    assert receive_frame(other) == Frame({"a": 2}, b"xyz")


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        struct.pack(">II", 2, 0) + b"{",
        struct.pack(">II", 2, 5) + b"{}abc",
        struct.pack(">II", HEAD_LIMIT + 1, 0),
        struct.pack(">II", 2, BODY_LIMIT + 1),
        struct.pack(">II", 2, 0) + b"[]",
        struct.pack(">II", 2, 0) + b"{]",
        struct.pack(">II", 1, 0) + b"\xff",
        struct.pack(">II", 200_000, 0) + b"[" * 200_000,
    ],
)
def test_what_is_no_frame_is_an_error(ends: tuple[socket.socket, socket.socket], data: bytes) -> None:
    """A cut, oversized or malformed frame is an error, and a descriptor beside it is closed."""
    one, other = ends
    before = open_descriptors()
    with open(os.devnull, "rb") as file:  # noqa: PTH123  (its descriptor is all that counts)
        one.setblocking(False)
        socket.send_fds(one, [data[:1]], [file.fileno()])
    one.settimeout(5)
    one.sendall(data[1:])
    one.shutdown(socket.SHUT_WR)
    with pytest.raises(FrameError):
        receive_frame(other)
    assert open_descriptors() == before


def test_silence_is_a_timeout(ends: tuple[socket.socket, socket.socket]) -> None:
    """A peer that says nothing in time is no frame error: whoever waits decides what it means."""
    _, other = ends
    other.settimeout(0.01)
    with pytest.raises(TimeoutError):
        receive_frame(other)


def test_nobody_reads(ends: tuple[socket.socket, socket.socket]) -> None:
    """Sending to a peer that is gone is an error, with and without a descriptor."""
    one, other = ends
    other.close()
    for descriptor in (None, one.fileno()):
        with pytest.raises(FrameError):
            send_frame(one, {}, descriptor=descriptor)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_an_error(data: bytes) -> None:
    """Whatever arrives, nothing but a frame, the end or FrameError comes out."""
    one, other = socket.socketpair()
    with one, other:
        one.sendall(data)
        one.close()
        try:
            frame = receive_frame(other)
        except FrameError:
            return
        assert frame is None or frame.descriptor is None
