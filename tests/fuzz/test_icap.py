"""The ICAP core against a reader written from RFC 3507, and against answers that were tampered with.

The reader here knows nothing of the core: it takes an answer apart with `partition` and says whether it may
be called clean. The core may refuse what the reader allows, and never the other way round. Answers of
products that name what they found come too: none of them is ever clean.
"""

from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.errors import EngineError
from ostiary.model import Clean, Finding
from ostiary.wire.icap.findings import READERS
from ostiary.wire.icap.request import Method
from ostiary.wire.icap.session import OptionsExchange, Question, ScanExchange
from tests.fuzz.mutations import cut, mutated
from tests.wire.icap_replies import (
    CONTINUE,
    ERROR,
    FILE,
    INFECTED,
    INFECTED_FIELDS,
    ISTAG,
    OPTIONS,
    PAGE,
    UNMODIFIED,
    chunked,
    echo,
    encapsulating,
    question,
    request,
    response,
)

NAMING: Final = frozenset({"x-infection-found", "x-virus-name", "x-infection-name"})
"""Headers that no clean answer has, whatever they say, but for the words that say nothing."""

REQUEST_BACK: Final = encapsulating(request(len(FILE)), chunked(FILE), part="req")
CLEAN: Final = (UNMODIFIED, echo(), echo(size=9), REQUEST_BACK)
REPLIES: Final = (
    *CLEAN,
    *(INFECTED, PAGE, ERROR, CONTINUE + UNMODIFIED, echo(FILE[:20]), echo(FILE + b"x"), OPTIONS),
    UNMODIFIED.replace(ISTAG, ISTAG + INFECTED_FIELDS),
    encapsulating(response(len(FILE)), chunked(FILE[:7])),
    UNMODIFIED.replace(ISTAG, ISTAG + b"X-Virus-ID: no threats\r\nX-Response-Info: passed\r\n"),
    *(b"ICAP/1.0 102 Processing\r\n\r\n" + one for one in CLEAN),
)
WORDS: Final = (
    *(
        b"ICAP/1.0 204 Unmodified\r\n",
        b"ICAP/1.0 200 OK\r\n",
        b"ICAP/1.0 206 Partial\r\n",
        b"HTTP/1.1 200 OK\r\n",
    ),
    *(
        b"HTTP/1.1 403 Forbidden\r\n",
        b"204",
        b"200",
        b"206",
        b"100",
        b"403",
        b"500",
        ISTAG,
        b"ISTag:",
        b"\r\n\r\n",
    ),
    *(
        b"Encapsulated: res-hdr=0, res-body=0\r\n",
        b"Encapsulated: null-body=0\r\n",
        b"res-body=",
        b"req-body=",
    ),
    *(
        b"res-hdr=0",
        b"req-hdr=0",
        b"null-body=",
        b"opt-body=",
        b"0\r\n\r\n",
        b"0; ieof\r\n\r\n",
        b"0;x\r\n",
        b"1\r\n",
    ),
    *(b"\r\n\t", b"\r\n ", INFECTED_FIELDS, b"X-Virus-ID: Eicar\r\n", b"X-Virus-ID: no threats\r\n", FILE),
    *(
        b"Content-Length: 1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        CONTINUE,
        UNMODIFIED,
    ),
    *(b"ffffffffffffffff\r\n", b"x" * 70_000, b"A: b\r\n" * 250),
)


def fields_of(head: bytes) -> dict[str, list[str]] | None:
    """Return a head's fields by name in lower case; None if a line is none."""
    lines: list[bytes] = []
    for line in head.split(b"\r\n")[1:]:
        if line[:1] in {b" ", b"\t"} and lines:
            lines[-1] += b" " + line
        else:
            lines.append(line)
    found: dict[str, list[str]] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            return None
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())
    return found


def body_of(data: bytes) -> bytes | None:
    """Return a chunked body, None if it has no end."""
    body = b""
    while True:
        line, newline, data = data.partition(b"\r\n")
        digits = line.partition(b";")[0].strip()
        if not newline or not digits or digits.strip(b"0123456789abcdefABCDEF"):
            return None
        size = int(digits, 16)
        if size == 0:
            return body if data.startswith(b"\r\n") else None
        if data[size : size + 2] != b"\r\n":
            return None
        body, data = body + data[:size], data[size + 2 :]


def may_be_clean(asked: Question, data: bytes) -> bool:
    """Say whether RFC 3507 allows to take this for "nothing was changed, nothing was found"."""
    head, end, rest = data.partition(b"\r\n\r\n")
    while end and head.startswith(b"ICAP/1.0 1"):
        head, end, rest = rest.partition(b"\r\n\r\n")
    fields = fields_of(head)
    if not end or fields is None or len(fields.get("istag", [])) != 1 or NAMING & fields.keys():
        return False
    status = head.split(b"\r\n")[0].split(b" ")[1:2]
    if status == [b"204"]:
        return asked.allow_204 and fields.get("encapsulated", ["null-body=0"]) == ["null-body=0"]
    if status != [b"200"] or len(fields.get("encapsulated", [])) != 1:
        return False
    kind = "res" if asked.method is Method.RESPMOD else "req"
    name, _, offset = fields["encapsulated"][0].rpartition("=")
    if name.replace("\t", " ").replace(" ", "") != f"{kind}-hdr=0,{kind}-body" or not offset.isdigit():
        return False
    http, body = rest[: int(offset)], body_of(rest[int(offset) :])
    first = b"HTTP/1." if kind == "res" else b"POST http://scanned.invalid/file HTTP/1."
    inner = fields_of(http.removesuffix(b"\r\n\r\n"))
    if not http.startswith(first) or not http.endswith(b"\r\n\r\n") or inner is None or NAMING & inner.keys():
        return False
    if kind == "res" and http.split(b"\r\n")[0].split(b" ")[1:2] != [b"200"]:
        return False
    return body == FILE


def outcome(asked: Question, pieces: list[bytes]) -> Finding | None:
    """Feed the pieces to a scan whose file was sent; return its finding, None where there is none."""
    exchange = ScanExchange(asked)
    exchange.all_sent()
    try:
        for piece in pieces:
            exchange.feed(piece)
    except EngineError as error:
        assert str(error).isprintable()
        assert exchange.finding is None
        assert not exchange.reusable
    return exchange.finding


ASKED: Final = st.builds(
    lambda method, allow: question(method=method, allow_204=allow),
    st.sampled_from([Method.RESPMOD, Method.REQMOD]),
    st.booleans(),
)
BARELY: Final = mutated(st.sampled_from(CLEAN), WORDS, most=1)


@given(ASKED, st.one_of(BARELY, BARELY, mutated(st.sampled_from(REPLIES), WORDS)), st.none() | st.data())
@example(question(), UNMODIFIED, None)
@example(question(), echo(), None)
@example(question(method=Method.REQMOD), REQUEST_BACK, None)
@example(question(), UNMODIFIED[:-1], None)
@example(question(), echo()[:-1], None)
@example(question(), echo() + UNMODIFIED, None)
@example(question(), CONTINUE + UNMODIFIED, None)
@example(question(), echo().replace(b"res-hdr=0", b"res-hdr=00"), None)
def test_tampered_answers_are_clean_only_where_the_rfc_says_so(
    asked: Question, data: bytes, draw: st.DataObject | None
) -> None:
    """However an answer is cut and whatever was done to it: clean means that nothing was changed or found."""
    whole = outcome(asked, [data])
    assert whole != Clean() or may_be_clean(asked, data)
    pieces = [data[at : at + 1] for at in range(len(data))] if draw is None else cut(data, draw.draw)
    assert outcome(asked, pieces) == whole
    if whole == Clean():
        for end in {len(data) // 2, max(0, len(data) - 1)}:
            assert outcome(asked, [data[:end]]) != Clean() or may_be_clean(asked, data[:end])


@given(st.sampled_from(CLEAN), st.booleans())
def test_every_truncation_is_no_answer(answer: bytes, allow: bool) -> None:  # noqa: FBT001
    """Cut at each byte, the best answer is none."""
    method = Method.REQMOD if answer is REQUEST_BACK else Method.RESPMOD
    for end in range(len(answer)):
        assert outcome(question(method=method, allow_204=allow), [answer[:end]]) is None


@given(
    st.sampled_from(sorted(READERS)), st.binary(max_size=40).filter(lambda raw: not set(raw) & set(b"\r\n"))
)
def test_a_naming_header_is_never_passed_over(name: str, value: bytes) -> None:
    """Whatever stands in it: the answer is clean only if the same core reads the value as nothing."""
    answer = UNMODIFIED.replace(ISTAG, ISTAG + name.encode() + b": " + value + b"\r\n")
    if outcome(question(), [answer]) == Clean():
        text = value.decode("latin-1").strip(' \t"').lower()
        assert (
            text in {"", "-", "none", "clean", "allowed", "passed", "ok"}
            or text.startswith("no ")
            or (name == "x-violations-found" and not text.strip("0"))
        )
        assert name != "x-infection-found"


@given(mutated(st.just(OPTIONS), WORDS), st.data())
def test_tampered_options(data: bytes, draw: st.DataObject) -> None:
    """An answer to OPTIONS is understood, or our error; its numbers are within their bounds."""
    exchange = OptionsExchange()
    try:
        for piece in cut(data, draw.draw):
            exchange.feed(piece)
    except EngineError as error:
        assert str(error).isprintable()
        return
    if exchange.options is not None:
        assert 0 <= (exchange.options.preview or 0) <= 1 << 16
        assert 0 <= exchange.options.ttl <= 86_400
        assert exchange.options.istag.isprintable()
        assert exchange.options.service.isprintable()
