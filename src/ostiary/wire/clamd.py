"""The clamd protocol (clamd(8), COMMANDS), the client's side of one session, without any IO.

zIDSESSION opens a session; the n-th command in it is answered by one line `n: text`, ended by a
NUL as the command was. We keep one command at a time in a session, so an answer belongs to the
command that is outstanding, or to none. The states, with what may happen in each:

    IDLE       we ask: FILDES, VERSION -> WAITING, INSTREAM -> STREAMING; clamd says nothing
    STREAMING  we send chunks, then an empty one -> WAITING; clamd may give up early, in an ERROR
    WAITING    clamd answers -> IDLE
    OVER       after an end of file, a reply that is no answer, or any answer that ends in ERROR

Who sends one thing more or one thing else is not believed: EngineError, never "clean". The
grammar of all answers is the table `ANSWERS`. It says what clamd 1.4.6 was seen to send; what
clamd sends unframed, outside of any answer, is READ_TIMED_OUT alone.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NoReturn

from ostiary.errors import EngineError
from ostiary.model import Cause, Clean, Finding, Infected, Unscannable

MAX_REPLY: Final = 4096
"""Bytes of one reply: a signature's name is far shorter."""

MAX_CHUNK: Final = (1 << 32) - 1
"""Bytes of one INSTREAM chunk: its length is sent in four."""

LAST_NUMBER: Final = 1_000_000
"""Commands of one session; clamd counts them in an unsigned int, and drops the number at 0."""

END: Final = b"zEND\0"
"""Ends a session in good order; clamd answers by closing the connection."""

READ_TIMED_OUT: Final = b"COMMAND READ TIMED OUT\n"
"""What clamd says, without a number or a NUL, when it heard nothing for `ReadTimeout` (default 120 s).

It says so also when the scan itself takes longer than that, and then drops the answer.
"""

_OPENING: Final = b"zIDSESSION\0"


class Command(Enum):
    """What may be asked in a session, with the bytes that ask it."""

    FILDES = b"zFILDES\0\0"  # the second NUL is the byte that the descriptor travels with
    INSTREAM = b"zINSTREAM\0"
    VERSION = b"zVERSION\0"


class SessionCutError(EngineError):
    """clamd ended the session instead of answering; `midway`: after some bytes of an answer."""

    def __init__(self, reason: str, *, midway: bool = False) -> None:
        super().__init__(reason)
        self.midway = midway


@dataclass(frozen=True, slots=True)
class Version:
    """The answer to VERSION: `ClamAV 1.4.6`, or with official signatures `ClamAV 1.4.6/27000/<date>`."""

    text: str


Answer = Finding | Version

_STREAM: Final = rb"stream: "
_FD: Final = rb"fd\[[0-9]{1,10}\]: "  # the number is clamd's own descriptor and says nothing to us
_CLEAN: Final = rb"(?P<clean>OK)"
_FOUND: Final = rb"(?P<signature>[^\0\n]{1,1024}) FOUND"
_TOO_LONG: Final = rb"(?P<too_long>INSTREAM size limit exceeded\.) ERROR"  # over StreamMaxLength
_VERSION: Final = rb"(?P<version>ClamAV [!-.0-~]{1,64}(?:/[0-9]{1,10}/[ -.0-~]{1,64})?)"
_ERROR: Final = rb"(?P<error>[ -~]{1,512}) ERROR"

ANSWERS: Final = {
    "FILDES": re.compile(b"%s(?:%s|%s)|%s" % (_FD, _CLEAN, _FOUND, _ERROR)),
    "INSTREAM": re.compile(b"%s(?:%s|%s)|%s|%s" % (_STREAM, _CLEAN, _FOUND, _TOO_LONG, _ERROR)),
    "INSTREAM before its end": re.compile(b"%s|%s" % (_TOO_LONG, _ERROR)),
    "VERSION": re.compile(b"%s|%s" % (_VERSION, _ERROR)),
}
"""What may follow `n: `, all of it, for each command; the one group that matches names the meaning."""

_LAST_WORDS: Final = {"too_long", "error"}  # clamd closes after most errors; we do after all

# Names that clamd gives where it could not look, not where it found something. A signature
# from a loose file always ends in .UNOFFICIAL, so nobody's database can borrow these names.
_CAUSES: Final = (
    ("Heuristics.Limits.Exceeded", Cause.LIMIT),
    ("Heuristics.XZ.DicSizeLimit", Cause.LIMIT),
    ("Heuristics.Encrypted.", Cause.ENCRYPTED_ARCHIVE),
    ("Heuristics.OLE2.ContainsMacros", Cause.MACRO),
)


class _State(Enum):
    IDLE = auto()
    STREAMING = auto()
    WAITING = auto()
    OVER = auto()


class Session:
    """One session: `ask` and the stream's parts give bytes to send, `feed` takes what came back.

    ValueError for what the caller may not do in the present state.
    """

    def __init__(self) -> None:
        self._state = _State.IDLE
        self._grammar = ""
        self._number = 0
        self._buffer = b""

    @property
    def reusable(self) -> bool:
        """Whether another command may be asked in it."""
        return self._state is _State.IDLE and self._number < LAST_NUMBER

    @property
    def over(self) -> bool:
        """Whether nothing that clamd may still say would be listened to."""
        return self._state is _State.OVER

    def ask(self, command: Command) -> bytes:
        """Return the bytes that ask the command; FILDES' last one must carry the descriptor."""
        if not self.reusable:
            raise ValueError("the session is not idle")
        streaming = command is Command.INSTREAM
        self._state = _State.STREAMING if streaming else _State.WAITING
        self._grammar = "INSTREAM before its end" if streaming else command.name
        self._number += 1
        return (_OPENING if self._number == 1 else b"") + command.value

    def chunk(self, size: int) -> bytes:
        """Return what goes before the next `size` bytes of the stream."""
        if self._state is not _State.STREAMING or not 0 < size <= MAX_CHUNK:
            raise ValueError("no such chunk can be sent now")
        return size.to_bytes(4, "big")

    def end_of_stream(self) -> bytes:
        """Return what ends the stream, and makes clamd scan it."""
        if self._state is not _State.STREAMING:
            raise ValueError("no stream is being sent")
        self._state = _State.WAITING
        if not self._buffer:  # a reply that began before can't be about all of the stream
            self._grammar = Command.INSTREAM.name
        return b"\0\0\0\0"

    def feed(self, data: bytes) -> Answer | None:
        """Take bytes from clamd; return the answer that they complete.

        SessionCutError when clamd ends the session, EngineError for all else that is no answer.
        """
        if self._state in {_State.IDLE, _State.OVER}:
            self._unasked(data)
            return None
        self._buffer += data
        if self._buffer.startswith(READ_TIMED_OUT):
            self._cut("said COMMAND READ TIMED OUT (see its ReadTimeout) instead of an answer")
        reply, nul, rest = self._buffer.partition(b"\0")
        if len(reply) > MAX_REPLY:
            self._distrust(f"sent a reply of more than {MAX_REPLY} bytes")
        if not nul:
            self._check_beginning(reply)
            return None
        if not READ_TIMED_OUT.startswith(rest):  # the timeout may strike right behind an answer
            self._distrust("sent more than an answer")
        match = self._parsed(reply)
        self._state, self._buffer = _State.OVER, b""
        answer = _meaning(match)
        if not rest and match.lastgroup not in _LAST_WORDS:
            self._state = _State.IDLE
        return answer

    def eof(self) -> None:
        """Note that clamd closed the connection; SessionCutError if an answer was outstanding."""
        idle, midway = self._state in {_State.IDLE, _State.OVER}, bool(self._buffer)
        self._state = _State.OVER
        if not idle:
            self._cut("closed the connection before it answered: its log may say why", midway=midway)

    def _unasked(self, data: bytes) -> None:
        """End the session: nothing was asked. Only that clamd grew tired of waiting is no fault."""
        if self._state is _State.OVER or not READ_TIMED_OUT.startswith(data):
            self._distrust("spoke without being asked")
        self._state = _State.OVER

    def _parsed(self, reply: bytes) -> re.Match[bytes]:
        number = b"%d: " % self._number
        if not reply.startswith(number):
            self._distrust("answered a command that was not asked")
        match = ANSWERS[self._grammar].fullmatch(reply, len(number))
        if match is None:
            self._distrust(f"sent a reply to {self._grammar} that its protocol does not have")
        return match

    def _check_beginning(self, reply: bytes) -> None:
        """Refuse at once what can't become a reply: a peer that speaks in lines never sends the NUL."""
        number = b"%d: " % self._number
        if not (reply.startswith(number) or number.startswith(reply) or READ_TIMED_OUT.startswith(reply)):
            self._distrust("does not speak clamd's protocol: is it a clamd?")

    def _distrust(self, reason: str) -> NoReturn:
        # What was sent is not quoted: a peer that echoes would bring the media into our log.
        self._state = _State.OVER
        raise EngineError(reason)

    def _cut(self, reason: str, *, midway: bool = False) -> NoReturn:
        self._state = _State.OVER
        raise SessionCutError(reason, midway=midway)


def _meaning(match: re.Match[bytes]) -> Answer:
    """Return what a reply of the grammar says; EngineError where clamd says that it failed."""
    group = match.lastgroup or ""
    if group == "clean":
        return Clean()
    if group == "signature":
        return _detection(match[group])
    if group == "too_long":
        return Unscannable(Cause.LIMIT, "clamd takes no stream longer than its StreamMaxLength")
    if group == "version":
        return Version(match[group].decode("ascii"))
    raise EngineError(f"answered: {match[group].decode('ascii')} ERROR")


def _detection(raw: bytes) -> Finding:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise EngineError("named a signature in bytes that are no UTF-8") from None
    if not name.isprintable() or name != name.strip() or name == "(null)":
        raise EngineError("named no signature that can be shown")
    if not name.endswith(".UNOFFICIAL"):
        for prefix, cause in _CAUSES:
            if name.startswith(prefix):
                return Unscannable(cause, f"clamd: {name}")
    return Infected(name)
