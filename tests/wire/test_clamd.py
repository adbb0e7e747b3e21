"""The clamd protocol core: only the exact answer to the command that is outstanding means anything."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.errors import EngineError
from ostiary.model import Cause, Clean, Infected, Unscannable
from ostiary.wire.clamd import (
    END,
    MAX_CHUNK,
    MAX_REPLY,
    READ_TIMED_OUT,
    Answer,
    Command,
    Session,
    SessionCutError,
    Version,
)


def asked(command: Command, *, before: int = 0) -> Session:
    """Return a session that waits for the answer to the command, after so many answered ones."""
    session = Session()
    for number in range(1, before + 1):
        session.ask(Command.VERSION)
        session.feed(b"%d: ClamAV 1.4.6\0" % number)
    session.ask(command)
    if command is Command.INSTREAM:
        session.chunk(5)
        session.end_of_stream()
    return session


def streaming() -> Session:
    """Return a session that has begun to send a stream."""
    session = Session()
    session.ask(Command.INSTREAM)
    return session


# What clamd 1.4.6 was seen to send, and what it means.
SEEN = [
    (Command.FILDES, b"1: fd[10]: OK\0", Clean()),
    (Command.INSTREAM, b"1: stream: OK\0", Clean()),
    (Command.FILDES, b"1: fd[10]: Eicar-Test.UNOFFICIAL FOUND\0", Infected("Eicar-Test.UNOFFICIAL")),
    (Command.INSTREAM, b"1: stream: Win.Test.EICAR_HDB-1 FOUND\0", Infected("Win.Test.EICAR_HDB-1")),
    (Command.INSTREAM, b"1: stream: Has Space.UNOFFICIAL FOUND\0", Infected("Has Space.UNOFFICIAL")),
    (Command.INSTREAM, b"1: stream: {HEX}x(y) FOUND.1 FOUND\0", Infected("{HEX}x(y) FOUND.1")),
    (Command.INSTREAM, b"1: stream: Uml\xc3\xa4ut.UNOFFICIAL FOUND\0", Infected("Uml\u00e4ut.UNOFFICIAL")),
    (Command.INSTREAM, b"1: stream: (null).UNOFFICIAL FOUND\0", Infected("(null).UNOFFICIAL")),
    (Command.VERSION, b"1: ClamAV 1.4.6\0", Version("ClamAV 1.4.6")),
    (
        Command.VERSION,
        b"1: ClamAV 1.4.6/27000/Fri Nov 20 06:41:00 2026\0",
        Version("ClamAV 1.4.6/27000/Fri Nov 20 06:41:00 2026"),
    ),
]

CAUSES = {
    "Heuristics.Limits.Exceeded": Cause.LIMIT,  # before 0.103
    "Heuristics.Limits.Exceeded.MaxFileSize": Cause.LIMIT,
    "Heuristics.Limits.Exceeded.MaxScanTime": Cause.LIMIT,
    "Heuristics.Limits.Exceeded.EmailLineFoldCnt": Cause.LIMIT,
    "Heuristics.XZ.DicSizeLimit": Cause.LIMIT,
    "Heuristics.Encrypted.Zip": Cause.ENCRYPTED_ARCHIVE,
    "Heuristics.Encrypted.PDF": Cause.ENCRYPTED_ARCHIVE,
    "Heuristics.OLE2.ContainsMacros": Cause.MACRO,
    "Heuristics.OLE2.ContainsMacros.VBA": Cause.MACRO,
    "Heuristics.OLE2.ContainsMacros.XLM": Cause.MACRO,
}

NO_ANSWERS = [
    b"",
    b"OK",
    b"stream: OK",
    b"1:stream: OK",
    b"1:  stream: OK",
    b"01: stream: OK",
    b"+1: stream: OK",
    b"2: stream: OK",
    b"0: stream: OK",
    b"1: ",
    b"1: OK",
    b"1: stream:",
    b"1: stream: ",
    b"1: stream: ok",
    b"1: stream: OK ",
    b"1: stream: OK\n",
    b"1: stream: OK\r\n",
    b"1: stream: OK OK",
    b"1: stream: NOT OK",
    b"1: stream:OK",
    b"1: Stream: OK",
    b"1: stream: stream: OK",
    b"1: fd[10]: OK",
    b"1: /etc/passwd: OK",
    b"1: stream: FOUND",
    b"1: stream:  FOUND",
    b"1: stream: (null) FOUND",
    b"1: stream:  x FOUND",
    b"1: stream: x  FOUND",
    b"1: stream: x\x1b[2J FOUND",
    b"1: stream: x\ny FOUND",
    b"1: stream: \xff FOUND",
    b"1: stream: \xe2\x80\xaex FOUND",  # text from right to left
    b"1: stream: x FOUND ",
    b"1: fd[10]: x FOUND",
    b"1: PONG",
    b"1: ClamAV 1.4.6",
    b"1: UNKNOWN COMMAND",
    b"UNKNOWN COMMAND",
    b"1: INSTREAM size limit exceeded.",
    b"1: Can't allocate memory ERROR",
    b"1: stream: Can't allocate memory ERROR",
    b"1: stream: OK ERROR",
    b"1: ERROR",
    b"1:  ERROR",
    b"1: stream: \xff ERROR",
    b"1: Command invalid inside IDSESSION. ERROR",
    b"1: stream: " + b"x" * MAX_REPLY + b" FOUND",
]

NO_ANSWERS_TO_FILDES = [
    b"1: stream: OK",
    b"1: fd[]: OK",
    b"1: fd[-1]: OK",
    b"1: fd[1x]: OK",
    b"1: fd[12345678901]: OK",
    b"1: fd[\xd9\xa1]: OK",
    b"1: fd[10] OK",
    b"1: fd: OK",
    b"1: fd[10]: fd[11]: OK",
    b"1: stream: Eicar FOUND",
    b"1: fd[10]: Not a regular file ERROR",
    b"1: No file descriptor received. ERROR",
    b"1: INSTREAM size limit exceeded. ERROR",
]


def test_what_is_sent() -> None:
    """The first command opens the session; a chunk follows its length, an empty one ends the stream."""
    session = Session()
    assert session.ask(Command.FILDES) == b"zIDSESSION\0zFILDES\0\0"
    session.feed(b"1: fd[9]: OK\0")
    assert session.ask(Command.INSTREAM) == b"zINSTREAM\0"
    assert session.chunk(258) == b"\0\0\1\2"
    assert session.chunk(MAX_CHUNK) == b"\xff\xff\xff\xff"
    assert session.end_of_stream() == b"\0\0\0\0"
    session.feed(b"2: stream: OK\0")
    assert session.ask(Command.VERSION) == b"zVERSION\0"
    assert END == b"zEND\0"


@pytest.mark.parametrize(("command", "reply", "answer"), SEEN)
def test_answers_whole_and_byte_by_byte(command: Command, reply: bytes, answer: Answer) -> None:
    """An answer means the same in one piece and in many, and leaves the session reusable."""
    whole, pieces = asked(command), asked(command)
    assert whole.feed(reply) == answer
    assert [pieces.feed(reply[i : i + 1]) for i in range(len(reply))] == [None] * (len(reply) - 1) + [answer]
    assert whole.reusable
    assert pieces.reusable


@pytest.mark.parametrize(("command", "reply", "answer"), SEEN)
def test_truncated_answers(command: Command, reply: bytes, answer: Answer) -> None:
    """Cut at any byte, an answer is none, and `midway` says whether there was any of it."""
    for end in range(len(reply)):
        session = asked(command)
        assert session.feed(reply[:end]) is None
        with pytest.raises(SessionCutError) as caught:
            session.eof()
        assert caught.value.midway is (end > 0)
        assert session.over
        assert not session.reusable


@pytest.mark.parametrize(("command", "reply", "answer"), SEEN)
@pytest.mark.parametrize(
    "behind", [b"\0", b"x", b"1: stream: OK\0", b"2: stream: OK\0", READ_TIMED_OUT + b"x"]
)
def test_trailing_bytes(command: Command, reply: bytes, answer: Answer, behind: bytes) -> None:
    """Whatever comes with an answer and is not part of it makes it no answer."""
    session = asked(command)
    with pytest.raises(EngineError):
        session.feed(reply + behind)
    assert session.over


@pytest.mark.parametrize("reply", NO_ANSWERS)
def test_no_answers_to_instream(reply: bytes) -> None:
    """Any deviation from `n: stream: OK` and `n: stream: NAME FOUND` is an error and ends the session."""
    session = asked(Command.INSTREAM)
    with pytest.raises(EngineError):
        session.feed(reply + b"\0")
    assert session.over


@pytest.mark.parametrize("reply", NO_ANSWERS_TO_FILDES)
def test_no_answers_to_fildes(reply: bytes) -> None:
    """For FILDES the subject is `fd[n]`, and nothing else."""
    session = asked(Command.FILDES)
    with pytest.raises(EngineError):
        session.feed(reply + b"\0")
    assert session.over


@pytest.mark.parametrize(
    "reply", [b"1: PONG", b"1: stream: OK", b"1: ClamAV", b"1: ClamAV ", b"1: ClamAV 1/2", b"1: x ClamAV 1"]
)
def test_no_versions(reply: bytes) -> None:
    """A version is `ClamAV` and a version."""
    with pytest.raises(EngineError):
        asked(Command.VERSION).feed(reply + b"\0")


@pytest.mark.parametrize(("name", "cause"), CAUSES.items())
def test_what_could_not_be_looked_into(name: str, cause: Cause) -> None:
    """The heuristics that mean "I could not look" are no infections."""
    answer = asked(Command.FILDES).feed(f"1: fd[10]: {name} FOUND\0".encode())
    assert answer == Unscannable(cause, f"clamd: {name}")


@pytest.mark.parametrize("name", CAUSES)
def test_unofficial_names_are_signatures(name: str) -> None:
    """A signature of a loose file is an infection, whatever name somebody gave it."""
    answer = asked(Command.FILDES).feed(f"1: fd[10]: {name}.UNOFFICIAL FOUND\0".encode())
    assert answer == Infected(f"{name}.UNOFFICIAL")


@pytest.mark.parametrize("name", ["Heuristics.Phishing.Email.SpoofedDomain", "X.Heuristics.Encrypted.Zip"])
def test_other_heuristics_are_infections(name: str) -> None:
    """Only the listed families are taken for "I could not look"."""
    assert asked(Command.FILDES).feed(f"1: fd[10]: {name} FOUND\0".encode()) == Infected(name)


@pytest.mark.parametrize("make", [streaming, lambda: asked(Command.INSTREAM)])
def test_the_size_limit(make: Callable[[], Session]) -> None:
    """Over StreamMaxLength clamd says so before or at the end; it closes then, and so do we."""
    session = make()
    answer = session.feed(b"1: INSTREAM size limit exceeded. ERROR\0")
    assert isinstance(answer, Unscannable)
    assert answer.cause is Cause.LIMIT
    assert not session.reusable
    session.eof()


@pytest.mark.parametrize("reply", [b"1: stream: OK", b"1: stream: Eicar FOUND", b"1: x ERROR"])
def test_nothing_is_found_before_the_end(reply: bytes) -> None:
    """A finding before the stream's end is about something else, also when only its end comes later."""
    with pytest.raises(EngineError):
        streaming().feed(reply + b"\0")
    for cut in range(1, len(reply)):
        session = streaming()
        session.feed(reply[:cut])
        session.end_of_stream()
        with pytest.raises(EngineError):
            session.feed(reply[cut:] + b"\0")


def test_errors_carry_clamds_words() -> None:
    """The operator reads what clamd said of itself."""
    with pytest.raises(EngineError, match="Can't allocate memory ERROR"):
        asked(Command.FILDES).feed(b"1: fd[10]: Can't allocate memory ERROR\0")


@pytest.mark.parametrize(
    "echo", [b"secret plaintext\0", b"1: secret plaintext\0", b"1: stream: OK\0secret plaintext"]
)
def test_what_is_no_answer_is_not_quoted(echo: bytes) -> None:
    """A peer that sends our own bytes back does not bring them into the log."""
    with pytest.raises(EngineError) as caught:
        asked(Command.INSTREAM).feed(echo)
    assert "secret" not in str(caught.value)


def test_numbers_are_matched() -> None:
    """The n-th command takes the n-th answer: not an older one, a later one, or one twice."""
    for number in (0, 1, 2, 4, 33):
        with pytest.raises(EngineError):
            asked(Command.FILDES, before=2).feed(b"%d: fd[10]: OK\0" % number)
    session = asked(Command.FILDES, before=2)
    assert session.feed(b"3: fd[10]: OK\0") == Clean()
    with pytest.raises(EngineError):
        session.feed(b"3: fd[10]: OK\0")


def test_the_read_timeout() -> None:
    """`COMMAND READ TIMED OUT` ends a session: an error where an answer was due, else none."""
    for session in (asked(Command.FILDES), streaming()):
        with pytest.raises(SessionCutError) as caught:
            session.feed(READ_TIMED_OUT)
        assert not caught.value.midway
        assert session.over
    for idle in (Session(), asked(Command.VERSION)):
        if not idle.reusable:
            assert idle.feed(b"1: ClamAV 1.4.6\0")
        assert idle.feed(READ_TIMED_OUT) is None
        assert idle.over
        idle.eof()


def test_the_read_timeout_behind_an_answer() -> None:
    """An answer counts that the timeout follows at once (seen with a short ReadTimeout): the session ends."""
    session = asked(Command.FILDES)
    assert session.feed(b"1: fd[10]: OK\0" + READ_TIMED_OUT) == Clean()
    assert session.over


def test_an_idle_session_may_end() -> None:
    """An end of file while nothing is outstanding is no error."""
    session = asked(Command.VERSION)
    session.feed(b"1: ClamAV 1.4.6\0")
    session.eof()
    assert session.over
    assert not session.reusable


@pytest.mark.parametrize("unasked", [b"\0", b"1: fd[1]: OK\0", b"1: fd[1]", b"COMMAND READ TIMED OUT\n\n"])
def test_an_idle_session_hears_nothing(unasked: bytes) -> None:
    """An answer that waits for its question is not one: the session is over."""
    session = Session()
    with pytest.raises(EngineError):
        session.feed(unasked)
    assert session.over
    with pytest.raises(EngineError):
        session.feed(unasked)


@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 400 Bad Request\r\n", b"-ERR unknown command", b"2", b"COMMANDO"]
)
def test_another_protocol_is_known_at_once(greeting: bytes) -> None:
    """A peer that never sends a NUL is found out by its first bytes, not by the deadline."""
    with pytest.raises(EngineError, match="is it a clamd"):
        asked(Command.FILDES).feed(greeting)


def test_replies_are_bounded() -> None:
    """A reply without an end is refused after MAX_REPLY bytes, however it comes."""
    session = asked(Command.INSTREAM)
    session.feed(b"1: stream: ")
    for _ in range((MAX_REPLY - 11) // 5):
        session.feed(b"x" * 5)
    with pytest.raises(EngineError, match="4096"):
        session.feed(b"x" * 5)
    with pytest.raises(EngineError, match="4096"):
        asked(Command.INSTREAM).feed(b"1: " + b"x" * (1 << 20))


def test_misuse() -> None:
    """Out of order calls are bugs of ours and raise ValueError."""
    with pytest.raises(ValueError, match="idle"):
        asked(Command.FILDES).ask(Command.FILDES)
    with pytest.raises(ValueError, match="idle"):
        streaming().ask(Command.FILDES)
    for size in (0, -1, MAX_CHUNK + 1):
        with pytest.raises(ValueError, match="chunk"):
            streaming().chunk(size)
    with pytest.raises(ValueError, match="chunk"):
        Session().chunk(1)
    with pytest.raises(ValueError, match="stream"):
        asked(Command.INSTREAM).end_of_stream()


def test_a_session_is_not_used_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before clamd's counter could overflow, the session is given up."""
    monkeypatch.setattr("ostiary.wire.clamd.LAST_NUMBER", 3)
    session = asked(Command.FILDES, before=1)
    session.feed(b"2: fd[10]: OK\0")
    assert session.reusable
    session.ask(Command.FILDES)
    assert session.feed(b"3: fd[10]: OK\0") == Clean()
    assert not session.reusable


pieces_of_replies = st.sampled_from(
    [
        b"1: ",
        b"2: ",
        b"stream: ",
        b"fd[10]: ",
        b"OK",
        b"x",
        b" FOUND",
        b" ERROR",
        b"\0",
        b"\n",
        READ_TIMED_OUT,
    ]
)
hostile = st.binary(max_size=64) | st.lists(pieces_of_replies, max_size=8).map(b"".join)


@given(data=hostile, command=st.sampled_from(Command), cuts=st.lists(st.integers(0, 64), max_size=6))
@example(data=b"1: fd[10]: OK\0", command=Command.FILDES, cuts=[])
@example(data=b"1: fd[10]: OK\0", command=Command.FILDES, cuts=[3, 5])
def test_any_bytes(data: bytes, command: Command, cuts: list[int]) -> None:
    """However they are cut, bytes that are not exactly the answer are EngineError or nothing, never clean."""
    clean = {Command.FILDES: b"1: fd[10]: OK\0", Command.INSTREAM: b"1: stream: OK\0"}.get(command)
    session, answers = asked(command), []
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    try:
        for start, end in pairwise(bounds):
            if start < end and (answer := session.feed(data[start:end])) is not None:
                answers.append(answer)
        session.eof()
    except EngineError:
        assert session.over
    assert len(answers) <= 1
    if Clean() in answers:
        assert clean is not None
        assert data.startswith(clean)


@given(name=st.text(max_size=40))
def test_any_signature(name: str) -> None:
    """A detection is a detection or an error, whatever the name; never clean, and always fit to print."""
    raw = name.encode("utf-8", "surrogatepass")
    try:
        answer = asked(Command.FILDES).feed(b"1: fd[10]: " + raw + b" FOUND\0")
    except EngineError:
        return
    assert answer == Infected(name)
    assert name.isprintable()
