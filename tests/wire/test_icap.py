"""A scan by ICAP, without any IO: what is clean, what is not, and what keeps the connection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.errors import EngineError
from ostiary.model import Cause, Clean, Forbidden, Infected, Unscannable
from ostiary.wire.icap import session as icap
from ostiary.wire.icap.head import MAX_HEAD
from ostiary.wire.icap.request import Method
from ostiary.wire.icap.session import OptionsExchange, ScanExchange
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
    answered,
    chunked,
    echo,
    encapsulating,
    question,
    request,
    response,
)


def failed(outcome: object) -> str:
    """Return the text of the error that came out, "" if it was none."""
    text = str(outcome) if isinstance(outcome, EngineError) else ""
    assert text.isprintable()
    return text


def test_204_is_clean_where_we_allowed_it() -> None:
    """RFC 3507, 4.6: outside of a preview 204 needs our Allow: 204."""
    assert answered(question(), UNMODIFIED) == Clean()
    assert "not allowed" in failed(answered(question(allow_204=False), UNMODIFIED))
    assert (
        answered(question(allow_204=False, preview=1024), UNMODIFIED) == Clean()
    )  # the preview was the whole


def test_the_file_back_as_it_was_is_clean() -> None:
    """200 is no finding: a server that sends no 204 gives the file back."""
    assert answered(question(), echo()) == Clean()
    assert answered(question(allow_204=False), echo(size=7)) == Clean()
    assert answered(question(b""), echo(b"")) == Clean()
    assert answered(question(b""), encapsulating(response(0), b"")) == Clean()
    back = encapsulating(request(len(FILE)), chunked(FILE), part="req")
    assert answered(question(method=Method.REQMOD), back) == Clean()


@pytest.mark.parametrize(
    "answer", [UNMODIFIED, echo(), echo(size=5), INFECTED], ids=["204", "200", "small", "bad"]
)
def test_one_byte_at_a_time(answer: bytes) -> None:
    """However an answer is cut, it means the same."""
    whole = answered(question(), answer)
    assert isinstance(whole, Clean | Infected)
    assert answered(question(), *(answer[at : at + 1] for at in range(len(answer)))) == whole


@pytest.mark.parametrize("answer", [UNMODIFIED, echo(), echo(size=5)], ids=["204", "200", "small"])
def test_no_beginning_of_an_answer_is_clean(answer: bytes) -> None:
    """Cut at each byte, there is no outcome: only the very last byte makes it clean."""
    for end in range(len(answer)):
        assert answered(question(), answer[:end]) is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (FILE[:-1], "another length"),
        (FILE + b"x", "another length"),
        (b"", "another length"),
        (FILE[:-1] + b"X", "changed"),
        (b"X" + FILE[1:], "changed"),
    ],
)
def test_another_body_is_never_clean(data: bytes, text: str) -> None:
    """The file that comes back is compared with the one that was sent: each byte, and its length."""
    assert text in failed(answered(question(), echo(data)))


def test_a_cut_body_is_never_clean() -> None:
    """c-icap with SendPercentData sends the beginning of an infected file, and ends it in good order."""
    for end in range(len(FILE)):
        outcome = answered(question(), encapsulating(response(len(FILE)), chunked(FILE[:end])))
        assert "cut" in failed(outcome)
    assert "cut" in failed(answered(question(), encapsulating(response(len(FILE)), b"")))
    longer = encapsulating(response(len(FILE)), chunked(FILE + b"x"))
    assert "longer" in failed(answered(question(), longer))


def test_a_header_that_names_a_threat_decides() -> None:
    """Whatever the status, and whatever comes behind: also with the file given back as it was."""
    assert answered(question(), INFECTED) == Infected("Eicar-Test.UNOFFICIAL")
    assert answered(question(preset="c-icap"), INFECTED) == Infected("Eicar-Test.UNOFFICIAL")
    reported = encapsulating(response(len(FILE)), chunked(FILE), INFECTED_FIELDS)
    assert answered(question(), reported) == Infected("Eicar-Test.UNOFFICIAL")
    assert answered(question(), UNMODIFIED.replace(ISTAG, ISTAG + INFECTED_FIELDS)) == Infected(
        "Eicar-Test.UNOFFICIAL"
    )
    within = response(6, b"403 Forbidden\r\nX-Virus-ID: Eicar")
    assert answered(question(), encapsulating(within, chunked(b"<html>"))) == Infected("Eicar")


def test_a_page_without_a_name_is_an_error_unless_told_otherwise() -> None:
    """A server without a licence, or that blocks by URL, sends pages too: they must not look like malware."""
    assert "block_page: infected" in failed(answered(question(), PAGE))
    assert answered(question(page_is_infected=True), PAGE) == Infected(icap.PAGE)
    redirect = encapsulating(response(0, b"307 Temporary Redirect"), b"")
    assert "HTTP 307" in failed(answered(question(), redirect))
    assert answered(question(page_is_infected=True), redirect) == Infected(icap.PAGE)
    blocked = encapsulating(response(len(FILE)), chunked(FILE))  # a response to a request: a page in any case
    assert "HTTP 200" in failed(answered(question(method=Method.REQMOD), blocked))


def test_a_preset_that_does_not_fit_finds_nothing() -> None:
    """Its known-bad sample is then no finding, and the engine is not trusted."""
    assert "named no threat" in failed(answered(question(preset="f-secure"), INFECTED))
    assert "x-fsecure-scan-result" in failed(answered(question(preset="f-secure"), UNMODIFIED))
    said = UNMODIFIED.replace(ISTAG, ISTAG + b"X-FSecure-Scan-Result: clean\r\n")
    assert answered(question(preset="f-secure"), said) == Clean()


def test_a_preview_that_passes_was_not_scanned() -> None:
    """A 204 after the first bytes says that the server does not care for the rest: that is not clean."""
    exchange = ScanExchange(question(preview=4))
    exchange.part_sent()
    exchange.feed(UNMODIFIED)
    assert isinstance(exchange.finding, Unscannable)
    assert exchange.finding.cause is Cause.LIMIT
    assert not exchange.reusable


def test_preview_and_continue() -> None:
    """100 asks for the rest; after it, 204 is what it is without a preview."""
    exchange = ScanExchange(question(preview=4))
    exchange.part_sent()
    for at in range(len(CONTINUE)):
        assert not exchange.go_on
        exchange.feed(CONTINUE[at : at + 1])
    assert exchange.go_on
    exchange.all_sent()
    exchange.feed(UNMODIFIED)
    assert exchange.finding == Clean()
    assert exchange.reusable


@pytest.mark.parametrize("answer", [UNMODIFIED, echo(), encapsulating(response(0), b"")])
def test_nothing_is_clean_before_it_was_sent(answer: bytes) -> None:
    """An answer that comes early may be about another file; one that names a threat stands."""
    data = b"" if b"null-body" in answer else FILE
    assert "before it had the file" in failed(answered(question(data), answer, sent=False))
    assert answered(question(), INFECTED, sent=False) == Infected("Eicar-Test.UNOFFICIAL")
    exchange = ScanExchange(question(preview=4))
    exchange.part_sent()
    exchange.feed(CONTINUE)
    with pytest.raises(EngineError, match="before it had the file"):
        exchange.feed(UNMODIFIED)


def test_100_where_it_does_not_belong() -> None:
    """Nothing is left to send: without a preview, after all of it, a second time."""
    assert "100 Continue" in failed(answered(question(), CONTINUE))
    assert "100 Continue" in failed(answered(question(preview=4), CONTINUE))
    exchange = ScanExchange(question(preview=4))
    exchange.part_sent()
    with pytest.raises(EngineError, match="100 Continue"):
        exchange.feed(CONTINUE * 2)


def test_other_interim_answers_are_passed_over_up_to_a_bound() -> None:
    """102 and the like mean nothing to us; a server that says it for ever is no server."""
    interim = b"ICAP/1.0 102 Processing\r\n\r\n"
    assert answered(question(), interim * 10 + UNMODIFIED) == Clean()
    assert "again and again" in failed(answered(question(), interim * 11))


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (206, "not asked for"),
        (400, "does not take our request"),
        (403, "access list"),
        (404, "no such service"),
        (405, "reqmod"),
        (500, "could not scan"),
        (503, "overloaded"),
        (539, "licence"),
        (302, "see its log"),
        (201, "see its log"),
        (599, "see its log"),
    ],
)
def test_refusals_say_what_to_do(status: int, advice: str) -> None:
    """No status but 200 and 204 is ever clean; each known one has its advice."""
    whole = echo().replace(b" 200 OK", b" %d X" % status, 1)
    assert advice in failed(answered(question(), whole))
    assert advice in failed(answered(question(), UNMODIFIED.replace(b"204", b"%d" % status)))


def test_413_is_a_limit() -> None:
    """The same file is too large for it the next time, too."""
    outcome = answered(question(), ERROR.replace(b"500", b"413"))
    assert isinstance(outcome, Unscannable)
    assert outcome.cause is Cause.LIMIT


def test_symantec_answers_201_where_it_found_something() -> None:
    """Its preset knows that; without a finding 201 is an error all the same."""
    found = INFECTED.replace(b" 200 OK", b" 201 Created", 1)
    assert answered(question(preset="symantec"), found) == Infected("Eicar-Test.UNOFFICIAL")
    assert "201" in failed(
        answered(question(preset="symantec"), echo().replace(b" 200 OK", b" 201 Created", 1))
    )
    assert "201" in failed(answered(question(preset="c-icap"), found))


@pytest.mark.parametrize("answer", [UNMODIFIED, echo()])
def test_an_istag_is_required(answer: bytes) -> None:
    """RFC 3507, 4.7: without it nothing would show when signatures change."""
    assert "ISTag" in failed(answered(question(), answer.replace(ISTAG, b"")))
    assert "ISTag" in failed(answered(question(), answer.replace(ISTAG, b'ISTag: ""\r\n')))
    assert "more than once" in failed(answered(question(), answer.replace(ISTAG, ISTAG * 2)))
    assert answered(question(), answer.replace(ISTAG, b"ISTag: abc-1\r\n")) == Clean()


@pytest.mark.parametrize(
    "encapsulated",
    [
        b"",
        b"Encapsulated: res-hdr=0\r\n",
        b"Encapsulated: res-body=0\r\n",
        b"Encapsulated: null-body=0\r\n",
        b"Encapsulated: req-hdr=0, req-body=%d\r\n",
        b"Encapsulated: res-hdr=1, res-body=%d\r\n",
        b"Encapsulated: res-hdr=0, req-body=%d\r\n",
        b"Encapsulated: res-hdr=0, res-body=0\r\n",
        b"Encapsulated: res-hdr=0, res-body=-1\r\n",
        b"Encapsulated: res-hdr=0 res-body=%d\r\n",
        b"Encapsulated: req-hdr=0, res-hdr=0, res-body=%d\r\n",
        b"Encapsulated: res-body=%d, res-hdr=0\r\n",
        b"Encapsulated: res-hdr=0, res-body=%d\r\nEncapsulated: res-hdr=0, res-body=%d\r\n",
        b"Encapsulated: res-hdr=0, res-body=999999\r\n",
        b"Encapsulated: res-hdr=0, opt-body=%d\r\n",
        b"Encapsulated: res-hdr=0, res-body=1%d\r\n",
        b"Encapsulated: RES-HDR=0, RES-BODY=%d\r\n",
        b"Encapsulated: res-hdr=0, res-body=%d,\r\n",
        b"Encapsulated: res-hdr=0, res-body=\xb2\r\n",
    ],
)
def test_encapsulated_is_read_strictly(encapsulated: bytes) -> None:
    """RFC 3507, 4.4.1: which parts come, in which order, and just where each begins."""
    http = response(len(FILE))
    line = encapsulated.replace(b"%d", b"%d" % len(http))
    answer = b"ICAP/1.0 200 OK\r\n" + ISTAG + line + b"\r\n" + http + chunked(FILE)
    outcome = answered(question(), answer)
    assert outcome is None or isinstance(outcome, EngineError)


def test_a_204_has_no_body() -> None:
    """It may say so, and say nothing else."""
    assert (
        answered(question(), UNMODIFIED.replace(ISTAG, ISTAG + b"Encapsulated: null-body=0\r\n")) == Clean()
    )
    assert "with a body" in failed(
        answered(question(), UNMODIFIED.replace(ISTAG, ISTAG + b"Encapsulated: res-body=0\r\n"))
    )


@pytest.mark.parametrize(
    "http",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"ICAP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        b"HTTP/1.1 206 Partial\r\n\r\n",
        b"HTTP/1.1 200 OK\nX: y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nX: y\r\n\r\n",
    ],
)
def test_other_encapsulated_heads_are_never_clean(http: bytes) -> None:
    """What comes back is an HTTP response 200 whose length is the file's."""
    assert isinstance(answered(question(), encapsulating(http, chunked(FILE))), EngineError)


def test_a_changed_request_is_never_clean() -> None:
    """By REQMOD our own request must come back."""
    for first in (
        b"POST http://other.invalid/file HTTP/1.1",
        b"GET http://scanned.invalid/file HTTP/1.1",
        b"POST",
    ):
        http = request(len(FILE)).replace(b"POST http://scanned.invalid/file HTTP/1.1", first)
        back = encapsulating(http, chunked(FILE), part="req")
        assert "request" in failed(answered(question(method=Method.REQMOD), back))


@pytest.mark.parametrize("answer", [UNMODIFIED, echo()])
def test_a_connection_is_used_again_only_after_an_answer_and_nothing_more(answer: bytes) -> None:
    """What else comes could be taken for the next answer; the server may also say that it closes."""
    for behind, reusable in ((b"", True), (b"\0", False), (UNMODIFIED, False)):
        exchange = ScanExchange(question())
        exchange.all_sent()
        exchange.feed(answer + behind)
        assert exchange.finding == Clean()
        assert exchange.reusable is reusable
        exchange.feed(b"x")
        assert not exchange.reusable
    exchange = ScanExchange(question())
    exchange.all_sent()
    exchange.feed(answer.replace(b"keep-alive", b"Close"))
    assert exchange.finding == Clean()
    assert not exchange.reusable


def test_after_a_threat_the_connection_is_not_used_again() -> None:
    """The page behind it was not read."""
    exchange = ScanExchange(question())
    exchange.all_sent()
    exchange.feed(INFECTED)
    assert not exchange.reusable


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"x",
        b"\0",
        b"ICAP/2.0 200 OK\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"icap/1.0 204 \r\n\r\n",
    ],
)
def test_what_is_no_icap_is_refused_at_once(answer: bytes) -> None:
    """Also without the end of a head: nobody waits for it."""
    assert "ICAP" in failed(answered(question(), answer))


def test_heads_are_bounded() -> None:
    """A head without an end is not collected for ever."""
    assert "without an end" in failed(answered(question(), b"ICAP/1.0 200 " + b"x" * MAX_HEAD))
    many = b"ICAP/1.0 204 X\r\n" + ISTAG + b"A: b\r\n" * 199 + b"\r\n"
    assert "too many" in failed(answered(question(), many))


def test_options() -> None:
    """c-icap's answer, whole and one byte at a time; the connection stays."""
    for size in (1, len(OPTIONS)):
        exchange = OptionsExchange()
        for start in range(0, len(OPTIONS), size):
            assert not exchange.over
            exchange.feed(OPTIONS[start : start + size])
        assert exchange.reusable
        assert exchange.options is not None
        assert exchange.options.methods == {"RESPMOD", "REQMOD"}
        exchange.feed(b"x")
        assert not exchange.reusable


def test_options_may_have_a_body() -> None:
    """RFC 3507, 4.10.2: opt-body; it is read and not looked at."""
    exchange = OptionsExchange()
    exchange.feed(OPTIONS.replace(b"null-body", b"opt-body") + b"3\r\nabc\r\n")
    assert not exchange.over
    exchange.feed(b"0\r\n\r\n")
    assert exchange.reusable
    without = OptionsExchange()
    without.feed(OPTIONS.replace(b"Encapsulated: null-body=0\r\n", b""))
    assert without.reusable


@pytest.mark.parametrize(
    "answer",
    [
        ERROR,
        b"ICAP/1.0 404 Service not found\r\n\r\n",
        UNMODIFIED,
        OPTIONS.replace(b"null-body", b"res-body"),
        OPTIONS.replace(ISTAG, b""),
        OPTIONS.replace(b"3600", b"-1"),
        OPTIONS.replace(b"1024", b"1k"),
        OPTIONS.replace(b"Transfer-Preview", b"Transfer-Ignore"),
        OPTIONS.replace(b"200 OK", b"100 Continue"),
    ],
)
def test_what_is_no_answer_to_options(answer: bytes) -> None:
    """An error, whatever it is: nothing is sent to a service that does not say what it does."""
    with pytest.raises(EngineError):
        OptionsExchange().feed(answer)


@given(st.binary(max_size=300), st.integers(1, 40), st.booleans())
def test_any_file_comes_back_clean_and_no_other(data: bytes, size: int, reqmod: bool) -> None:  # noqa: FBT001
    """Whatever is in a file, it is what is compared: chunks of any size."""
    method = Method.REQMOD if reqmod else Method.RESPMOD
    http = request(len(data)) if reqmod else response(len(data))
    part = "req" if reqmod else "res"
    back = encapsulating(http, chunked(data, size), part=part)
    assert answered(question(data, method=method), back) == Clean()
    if data:
        other = bytes([data[0] ^ 1]) + data[1:]
        changed = encapsulating(http, chunked(other, size), part=part)
        assert "changed" in failed(answered(question(data, method=method), changed))


def test_a_rule_of_the_server_is_no_malware() -> None:
    """Type=1 is a policy of the server's: forbidden, and not a reason for quarantine."""
    ruled = UNMODIFIED.replace(
        ISTAG, ISTAG + b"X-Infection-Found: Type=1; Resolution=2; Threat=No executables;\r\n"
    )
    assert answered(question(), ruled) == Forbidden("No executables")
