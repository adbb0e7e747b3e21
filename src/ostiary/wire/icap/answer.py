"""The beginning of every ICAP answer: its head, what it encapsulates, and what a refusal means. Pure."""

import re
from typing import Final

from ostiary.errors import EngineError
from ostiary.wire.icap.head import END, MAX_HEAD, Head, parse_head

MAX_INTERIM: Final = 10
"""Answers of 1xx at most before the real one."""

_PARTIAL: Final = 206
_PROTOCOL: Final = b"ICAP/1.0 "
_PART: Final = r"[a-z]+-[a-z]+=(?:0|[1-9][0-9]{0,5})"
_ENCAPSULATED: Final = re.compile(rf"{_PART}(?:,[ \t]*{_PART})*")

_ADVICE: Final[dict[int, str]] = {
    400: "it does not take our request",
    403: "it does not serve us: see its access list",
    404: "it has no such service: check the path of `url`",
    405: "the service does not take this method: `upload_url` and `reqmod` say which one is asked",
    407: "it asks for a login",
    408: "it waited too long for us",
    418: "it can't read our request",
    500: "it could not scan: is the engine behind it running?",
    502: "the engine behind it did not answer",
    503: "it is overloaded",
    505: "it does not speak ICAP/1.0",
    506: "it is too busy",
    539: "it has no licence to scan",
}


class AnswerHead:
    """Reads the head of an answer, piece by piece."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._interim = 0
        self.heard = False  # at least one byte came

    def next(self, data: memoryview) -> tuple[Head, memoryview] | None:
        """Take bytes; return the head that they complete, and what comes behind it."""
        self.heard = self.heard or bool(data)
        before = len(self._buffer)
        self._buffer += data[: MAX_HEAD + 1]
        end = self._buffer.find(END, max(0, before - len(END) + 1))
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise EngineError("sent a head without an end")
            if not _PROTOCOL.startswith(self._buffer[: len(_PROTOCOL)]):
                raise EngineError("does not speak ICAP: is it an ICAP server?")
            return None
        end += len(END)
        head = parse_head(bytes(self._buffer[:end]))
        self._buffer.clear()
        return head, data[end - before :]

    def count_interim(self) -> None:
        """Note an answer of 1xx; EngineError if there are too many."""
        self._interim += 1
        if self._interim > MAX_INTERIM:
            raise EngineError("answered 1xx again and again")


def refusal(status: int, method: str) -> EngineError:
    """Return the error for a status that is no answer to what was asked by `method`."""
    if status == _PARTIAL:
        return EngineError("answered 206, which was not asked for")
    advice = _ADVICE.get(status, "see its log")
    return EngineError(f"answered {status} to {method}: {advice}")


def stays_open(head: Head) -> bool:
    """Say whether the server keeps the connection (RFC 3507, 4.3.1, as HTTP/1.1 does)."""
    return "close" not in head.listed("connection")


def encapsulated(head: Head) -> list[tuple[str, int]]:
    """Return the parts of the message with where they begin, in bytes; none where the header is not there."""
    text = head.one("encapsulated")
    if text is None:
        return []
    if not _ENCAPSULATED.fullmatch(text):
        raise EngineError("sent an Encapsulated that can't be read")
    pairs = (part.strip().split("=") for part in text.split(","))
    parts = [(name, int(offset)) for name, offset in pairs]
    if parts[0][1] != 0 or [offset for _, offset in parts] != sorted({offset for _, offset in parts}):
        raise EngineError("sent an Encapsulated that can't be read")
    return parts
