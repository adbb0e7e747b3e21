"""The clamd core against a reader written from the manual, and against sessions with a lying clamd.

clamd(8), COMMANDS: in a session each reply is "prefixed with the request number"; a z-command's reply
ends in a NUL; a scan's reply is the subject, then "OK", "NAME FOUND" or "... ERROR". The reader here knows
no regular expression: it takes a reply apart from both ends.
"""

from typing import Final, Literal

from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.errors import EngineError
from ostiary.model import Cause, Clean, Infected, Unscannable
from ostiary.wire.clamd import MAX_REPLY, READ_TIMED_OUT, Answer, Command, Session, SessionCutError, Version
from tests.fuzz.mutations import cut, mutated

Meaning = Literal["clean", "found", "limit", "version"]

NOT_LOOKED: Final = ("Heuristics.Limits.Exceeded", "Heuristics.XZ.DicSizeLimit", "Heuristics.Encrypted.")
LIMIT: Final = b"INSTREAM size limit exceeded. ERROR"


def is_number(text: bytes) -> bool:
    """Say whether it is a number that a descriptor may have."""
    return 0 < len(text) <= 10 and not text.strip(b"0123456789")


def by_the_manual(command: Command, number: int, reply: bytes) -> Meaning | None:
    """Say what a reply without its NUL means; None for an error, and for all that is no reply."""
    prefix = str(number).encode() + b": "
    if reply[: len(prefix)] != prefix:
        return None
    text = reply[len(prefix) :]
    if command is Command.VERSION:
        return "version" if text[:7] == b"ClamAV " and len(text) > 7 else None
    if command is Command.INSTREAM and text == LIMIT:
        return "limit"
    subject, _, verdict = text.partition(b": ")
    if command is Command.INSTREAM:
        if subject != b"stream":
            return None
    elif subject[:3] != b"fd[" or subject[-1:] != b"]" or not is_number(subject[3:-1]):
        return None
    if verdict == b"OK":
        return "clean"
    return "found" if verdict[-6:] == b" FOUND" and len(verdict) > 6 else None


REPLIES: Final = (
    *(b"1: fd[10]: OK\0", b"1: stream: OK\0", b"2: stream: OK\0", b"1: fd[7]: Eicar-Test.UNOFFICIAL FOUND\0"),
    *(
        b"1: stream: Win.Test.EICAR_HDB-1 FOUND\0",
        b"1: stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0",
    ),
    *(b"1: stream: Uml\xc3\xa4ut.UNOFFICIAL FOUND\0", b"1: ClamAV 1.4.6/27000/Fri Nov 20 06:41:00 2026\0"),
    *(b"1: INSTREAM size limit exceeded. ERROR\0", b"1: fd[10]: Can't allocate memory ERROR\0"),
    *(b"1: ClamAV 1.4.6\0", READ_TIMED_OUT, b"1: Not a regular file ERROR\0", b"UNKNOWN COMMAND\n"),
    b"1: stream: (null) FOUND\0",
)
WORDS: Final = (
    *(
        b"OK",
        b"OK\0",
        b" FOUND",
        b" ERROR",
        b"stream: ",
        b"fd[10]: ",
        b"fd[",
        b"]",
        b"1: ",
        b"2: ",
        b"01: ",
        b"1:",
    ),
    *(
        b"\0",
        b"\n",
        b"\r\n",
        b" OK",
        b"OK ",
        b": ",
        b"stream: OK\0",
        b"1: stream: OK\0",
        b"1: fd[1]: OK\0",
        b"(null)",
    ),
    *(
        READ_TIMED_OUT,
        b"COMMAND",
        b"Heuristics.Encrypted.Zip",
        b"\xd9\xa1",
        b"\x1b[2J",
        b"x" * MAX_REPLY,
        b"ok",
        b"Ok",
    ),
)


def waiting(command: Command) -> Session:
    """Return a session whose first command waits for its answer."""
    session = Session()
    session.ask(command)
    if command is Command.INSTREAM:
        session.chunk(1)
        session.end_of_stream()
    return session


def fed(session: Session, pieces: list[bytes]) -> list[Answer] | None:
    """Feed all pieces and the end of file; return the answers, None where an error came instead."""
    answers: list[Answer] = []
    try:
        for piece in pieces:
            answer = session.feed(piece)
            answers += [] if answer is None else [answer]
        session.eof()
    except EngineError as error:
        assert session.over
        assert not session.reusable
        assert str(error).isprintable()
        return answers or None
    return answers


def replies_to(command: Command) -> st.SearchStrategy[bytes]:
    """Return replies to the command, most of them barely changed, some changed beyond recognition."""
    own = [one for one in REPLIES if by_the_manual(command, 1, one.rstrip(b"\0"))]
    barely = mutated(st.sampled_from(own), WORDS, most=1)
    return st.one_of(barely, barely, mutated(st.sampled_from(REPLIES), WORDS))


@given(
    st.sampled_from(Command).flatmap(lambda one: st.tuples(st.just(one), replies_to(one))),
    st.none() | st.data(),
)
@example((Command.INSTREAM, b"1: stream: OK\0"), None)
@example((Command.FILDES, b"1: fd[10]: OK\0"), None)
@example((Command.INSTREAM, b"1: stream: OK \0"), None)
@example((Command.INSTREAM, b"2: stream: OK\0"), None)
@example((Command.INSTREAM, b"1: stream: OK\0x"), None)
@example((Command.FILDES, b"1: fd[10]: \0OK\0"), None)
@example((Command.INSTREAM, b"1: stream: OK\0" + READ_TIMED_OUT), None)
def test_spoilt_replies_mean_what_the_manual_says(
    asked: tuple[Command, bytes], draw: st.DataObject | None
) -> None:
    """However a reply is cut and whatever was done to it: clean only if the manual says so, to the letter."""
    command, data = asked
    pieces = [data] if draw is None else cut(data, draw.draw)
    reply, nul, behind = data.partition(b"\0")
    meaning = by_the_manual(command, 1, reply) if nul else None
    answers = fed(waiting(command), pieces)
    assert answers != []  # the end of file came while an answer was due
    if answers is None:
        if meaning == "clean":  # only what comes behind it may spoil it
            assert behind, data
            assert not READ_TIMED_OUT.startswith(behind)
        return
    (answer,) = answers
    if len(pieces) == 1:
        assert READ_TIMED_OUT.startswith(behind)  # nothing else may come with an answer
    if isinstance(answer, Clean):
        assert meaning == "clean"
        assert data[: len(reply) + 1] == (
            b"1: stream: OK\0" if command is Command.INSTREAM else reply + b"\0"
        )
    elif isinstance(answer, Version):
        assert meaning == "version"
        assert answer.text.isprintable()
    elif meaning == "limit":
        assert isinstance(answer, Unscannable)
        assert answer.cause is Cause.LIMIT
    else:
        assert meaning == "found"
        check_detection(answer, reply)


def check_detection(answer: Answer, reply: bytes) -> None:
    """Check that a detection carries the name that stands in the reply, and is fit to print."""
    name = reply.partition(b": ")[2].partition(b": ")[2][:-6].decode()
    assert name.isprintable()
    if isinstance(answer, Infected):
        assert answer.signature == name
    else:
        assert isinstance(answer, Unscannable)
        assert answer.detail == f"clamd: {name}"
        assert name.startswith((*NOT_LOOKED, "Heuristics.OLE2.ContainsMacros"))


@given(st.sampled_from(REPLIES), st.sampled_from(Command))
def test_every_truncation_is_no_answer(reply: bytes, command: Command) -> None:
    """Cut at each byte, followed by an end of file, a reply is a cut session and nothing else."""
    for end in range(len(reply)):
        session = waiting(command)
        try:
            assert session.feed(reply[:end]) is None
            session.eof()
        except SessionCutError as error:
            assert error.midway is (end > 0)
        except EngineError:
            assert not b"1: ".startswith(reply[:end])
        else:
            raise AssertionError("an end of file went unnoticed")
        assert session.over


STEPS: Final = st.lists(
    st.sampled_from(
        ["ask", "ask", "ask", "answer", "answer", "answer", "half", "rest", "lie", "stale", "timeout", "end"]
    ),
    max_size=14,
)


class LyingClamd:
    """The other side of a session: answers the command that is outstanding, or does something else.

    `due` is what an honest clamd would send now; `said` what was sent since the command was complete.
    """

    def __init__(self) -> None:
        self.session = Session()
        self.number = 0
        self.command: Command | None = None
        self.due = b""
        self.half = b""
        self.early = False

    def ask(self, command: Command, chunks: int, early: bytes) -> None:
        """Ask, if one may; a stream is sent in chunks, and clamd may say something before its end."""
        if not self.session.reusable:
            return
        self.session.ask(command)
        self.number += 1
        self.command, self.half, self.early = command, b"", False
        if command is Command.INSTREAM:
            for _ in range(chunks):
                self.session.chunk(5)
            self.early = early != b""
            if early:
                answer = self.session.feed(early)
                if answer is not None:  # it gave up on the stream, which ends the session
                    assert isinstance(answer, Unscannable)
                    assert self.session.over
                    self.command, self.due = None, b""
                    return
            self.session.end_of_stream()
        subject = {Command.FILDES: b"fd[9]: OK", Command.INSTREAM: b"stream: OK"}.get(
            command, b"ClamAV 1.4.6"
        )
        self.due = b"%d: %b\0" % (self.number, subject)
        self.half = early if command is Command.INSTREAM and self.due.startswith(early) else b""

    def say(self, data: bytes) -> None:
        """Send bytes; whatever is said clean must have been due, to the byte, and no lie before it."""
        answer = self.session.feed(data)
        self.half += data
        if answer is None:
            return
        assert self.command is not None, "an answer to nothing"
        reply, _, behind = self.half.partition(b"\0")
        assert READ_TIMED_OUT.startswith(behind)
        meaning = by_the_manual(self.command, self.number, reply)
        assert not (self.early and isinstance(answer, Clean)), "clean was begun before the end of the stream"
        assert isinstance(answer, Clean) == (meaning == "clean")
        assert isinstance(answer, Version) == (meaning == "version")
        self.command, self.due, self.half = None, b"", b""


@given(STEPS, st.data())
def test_sessions_with_a_lying_clamd(steps: list[str], data: st.DataObject) -> None:
    """Questions, answers, halves, lies in any order: clean is only said of the file asked about."""
    peer = LyingClamd()
    older = b"1: fd[9]: OK\0"
    try:
        for step in steps:
            if step == "ask":
                honest = b"%d: stream: OK\0" % (peer.number + 1)
                begun = honest[: data.draw(st.integers(0, len(honest)))]
                early = data.draw(st.sampled_from([b"", b"", begun, honest]) | replies_to(Command.INSTREAM))
                peer.ask(data.draw(st.sampled_from(Command)), data.draw(st.integers(1, 3)), early)
            elif step == "answer" and peer.due:
                older = peer.due
                peer.say(peer.due[len(peer.half) :])
            elif step == "half" and peer.due:
                peer.say(peer.due[len(peer.half) : data.draw(st.integers(0, len(peer.due)))])
            elif step == "lie":
                peer.say(data.draw(mutated(st.sampled_from([*REPLIES, peer.due or b"\0"]), WORDS)))
            elif step == "stale":
                peer.say(older)
            elif step == "timeout":
                peer.say(READ_TIMED_OUT)
            elif step == "end":
                peer.session.eof()
    except EngineError:
        assert peer.session.over
        assert not peer.session.reusable
