"""The chunked coding (RFC 9112, 7.1), in which every ICAP body travels: written, and read strictly. Pure.

Lenient readers of chunks are how bodies are smuggled and ends are invented: hexadecimal digits alone,
CRLF alone, no trailers, and the end is the last chunk and nothing else.
"""

import re
from collections.abc import Callable
from typing import Final

from ostiary.errors import EngineError

MAX_LINE: Final = 512
"""Bytes of a line that begins a chunk, extensions included."""

LEAN: Final = 64
"""Bytes that chunks must have on average, but for MANY of them: each costs as much as a thousand bytes do."""

MANY: Final = 10_000

LAST: Final = b"0\r\n\r\n"
"""Ends a body."""

LAST_OF_ALL: Final = b"0; ieof\r\n\r\n"
"""Ends a preview that is the whole body (RFC 3507, 4.5)."""

_BEGIN: Final = re.compile(rb"([0-9A-Fa-f]{1,12})(?:[ \t]*;[ -~\t]*)?")
_LAST: Final = re.compile(rb"0{1,12}")  # an extension here would be a 206's (use-original-body)


def begin(size: int) -> bytes:
    """Return what goes before a chunk of so many bytes, more than none; CRLF goes behind it."""
    return b"%x\r\n" % size


class ChunkedBody:
    """Reads one body; each piece goes to `sink`. More than `most` bytes are an EngineError."""

    def __init__(self, sink: Callable[[memoryview], None], most: int) -> None:
        self._sink = sink
        self._left = most
        self._chunks = most // LEAN + MANY
        self._chunk = 0  # bytes of the present chunk that are still to come
        self._line = bytearray()  # of the line that began
        self._expect = self._begin
        self.done = False

    def feed(self, data: memoryview) -> memoryview:
        """Take bytes; return those that come behind the end, none before it."""
        while data and not self.done:
            if self._chunk:
                piece = data[: self._chunk]
                self._chunk -= len(piece)
                data = data[len(piece) :]
                self._sink(piece)
            else:
                data = self._feed_line(data)
        return data

    def _feed_line(self, data: memoryview) -> memoryview:
        """Add to the line that began; once its CRLF is there, let it mean what it means here."""
        head = bytes(data[: MAX_LINE + 2])
        newline = head.find(b"\n")
        taken = head if newline < 0 else head[: newline + 1]
        self._line += taken
        if len(self._line) > MAX_LINE or b"\r" in self._line[:-2]:
            raise EngineError("sent a body whose chunks can't be read")
        if newline >= 0:
            if not self._line.endswith(b"\r\n"):
                raise EngineError("sent a body whose chunks can't be read")
            line = bytes(self._line[:-2])
            self._line.clear()
            self._expect(line)
        return data[len(taken) :]

    def _begin(self, line: bytes) -> None:
        match = _BEGIN.fullmatch(line)
        if match is None:
            raise EngineError("sent a body whose chunks can't be read")
        size = int(match[1], 16)
        self._chunks -= 1
        if self._chunks < 0:
            raise EngineError("sent a body in far too many chunks")
        if size > self._left:
            raise EngineError("sent a body that is longer than the one it got")
        if size == 0 and not _LAST.fullmatch(line):
            raise EngineError("ended a body in a way that we did not ask for")
        self._chunk = size
        self._left -= size
        self._expect = self._end_of_chunk if size else self._end

    def _end_of_chunk(self, line: bytes) -> None:
        if line:
            raise EngineError("sent a chunk that is longer than it said")
        self._expect = self._begin

    def _end(self, line: bytes) -> None:
        if line:
            raise EngineError("sent trailers, which we did not ask for")
        self.done = True
