"""The parts of ICAP: heads, chunks, options, URLs, requests. Each is read strictly, and bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.errors import EngineError
from ostiary.wire.icap import chunks as icap_chunks
from ostiary.wire.icap.chunks import ChunkedBody
from ostiary.wire.icap.head import MAX_HEAD, MAX_LINE, Head, parse_head
from ostiary.wire.icap.options import LARGEST_PREVIEW, LONGEST_TTL, Options, parse_options
from ostiary.wire.icap.request import Method, Service, options_request, scan_request
from ostiary.wire.icap.url import IcapAddress, parse_url
from tests.wire.icap_replies import OPTIONS, chunked


def test_folded_fields_keep_their_lines() -> None:
    """c-icap folds X-Violations-Found: one line for each part of a violation."""
    head = parse_head(b"ICAP/1.0 200 OK\r\nA:  1 \r\n\t-\r\n \t Name \r\nb:\r\nA: 2\r\n\r\n")
    assert head == Head("ICAP/1.0 200 OK", (("a", "1\n-\nName"), ("b", ""), ("a", "2")))
    assert head.all("a") == ["1\n-\nName", "2"]
    assert head.one("b") == ""
    assert head.one("c") is None
    with pytest.raises(EngineError, match="more than once"):
        head.one("a")


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"\r\n",
        b" x: y\r\n",
        b"x\r\n",
        b"x : y\r\n",
        b": y\r\n",
        b"x: y\nz: w\r\n",
        b"x: y\rz\r\n",
        b"x: \0\r\n",
        b"x: \x7f\r\n",
        b"x\xff: y\r\n",
        b"x: " + b"y" * MAX_LINE + b"\r\n",
        b"x: y\r\n" * 200,
        b"x y: z\r\n",
        b"x" * 101 + b": y\r\n",
    ],
)
def test_heads_that_two_readers_could_understand_differently(lines: bytes) -> None:
    """Bare line ends, spaces before the colon, control characters: all of it is refused."""
    if lines:
        with pytest.raises(EngineError):
            parse_head(b"ICAP/1.0 200 OK\r\n" + lines + b"\r\n")
    for data in (b"\r\n\r\n", b"\r\n", b"", b"ICAP/1.0 200 OK\r\n", b"x" * MAX_HEAD + b"\r\n\r\n"):
        with pytest.raises(EngineError):
            parse_head(data)


def read(data: bytes, size: int, most: int = 1 << 20) -> tuple[bytes, bytes, bool]:
    """Return a body read in pieces of that size, what came behind it, and whether it ended."""
    found = bytearray()
    body = ChunkedBody(found.extend, most)
    rest = b""
    for start in range(0, len(data), size):
        rest += body.feed(memoryview(data[start : start + size]))
    return bytes(found), rest, body.done


@given(st.binary(max_size=200), st.integers(1, 50), st.integers(1, 50), st.binary(max_size=5))
def test_chunks_are_read_as_they_were_written(data: bytes, chunk: int, piece: int, behind: bytes) -> None:
    """Whatever the data, the size of the chunks and of the pieces on the wire; the rest is left alone."""
    assert read(chunked(data, chunk) + behind, piece) == (data, behind, True)


def test_chunks_may_carry_extensions() -> None:
    """RFC 9112, 7.1.1: those that nobody asked for are passed over, but not at the end."""
    assert read(b'3; a="b"\r\nabc\r\n0\r\n\r\n', 1) == (b"abc", b"", True)
    assert read(b"00003\r\nabc\r\n000\r\n\r\n", 100) == (b"abc", b"", True)


@pytest.mark.parametrize(
    "data",
    [
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n",
        b" 3\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"-3\r\nabc\r\n",
        b"\r\n",
        b"g\r\n",
        b"3 \r\nabc\r\n",
        b"0; use-original-body=0\r\n\r\n",
        b"0\r\nA: b\r\n\r\n",
        b"0\r\n\n",
        b"0;ieof\r\n\r\n",
        b"3\r\r\nabc\r\n",
        b"1;" + b"x" * 600,
        b"1234567890abc\r\n",
        b"fffffffffff\r\n",
        b"\xd9\xa3\r\nabc\r\n",
        b"1;\x01\r\na\r\n",
        b"3\r\nabc\n0\r\n\r\n",
    ],
)
def test_chunks_that_lenient_readers_take(data: bytes) -> None:
    """Hexadecimal digits, CRLF, no trailers; a last chunk that refers to our own bytes (206) is refused."""
    for size in (1, len(data)):
        with pytest.raises(EngineError):
            read(data, size)


def test_a_body_is_bounded() -> None:
    """Nothing of a chunk that is too long is taken."""
    assert read(chunked(b"abc"), 100, 3) == (b"abc", b"", True)
    with pytest.raises(EngineError, match="longer"):
        read(b"4\r\n", 100, 3)
    with pytest.raises(EngineError, match="longer"):
        read(b"2\r\nab\r\n2\r\n", 1, 3)


def options(*lines: bytes) -> Options:
    """Return the options of c-icap's answer with some lines exchanged, added, or without those left empty."""
    head = OPTIONS
    for line in lines:
        name = line.partition(b":")[0]
        kept = [one for one in head.split(b"\r\n") if not one.startswith(name + b":")]
        added = [] if line.endswith(b":") else [line]
        head = b"\r\n".join([kept[0], *added, *kept[1:]])
    return parse_options(parse_head(head))


def test_options_of_c_icap() -> None:
    """As it was measured."""
    name = "C-ICAP/0.5.10 server - Antivirus service"
    assert options() == Options(
        frozenset({"RESPMOD", "REQMOD"}), "CI0001-L5CkDhq+qWNs+PZ5DxxXsAAA", name, 3600, 1024, True, None
    )


def test_options_are_bounded() -> None:
    """A preview of gigabytes, a connection too few, a time without an end: each has its bound."""
    assert options(b"Preview: 999999999").preview == LARGEST_PREVIEW
    assert options(b"Preview: 0").preview == 0
    assert options(b"Options-TTL: 9999999999").ttl == LONGEST_TTL
    assert options(b"Options-TTL:").ttl == 3600
    assert options(b"Max-Connections: 0").max_connections == 1
    assert options(b"Max-Connections: 20").max_connections == 20


def test_options_say_how_files_without_an_extension_travel() -> None:
    """Ours have none, so it is the asterisk that tells (RFC 3507, 4.10.2)."""
    assert options(b"Transfer-Preview:").preview == 1024
    assert options(b"Transfer-Preview:", b"Transfer-Complete: *").preview is None
    assert options(b"Preview:").preview is None
    with pytest.raises(EngineError, match="would scan no media"):
        options(b"Transfer-Ignore: jpg, *")


def test_urls() -> None:
    """The ports of the schemes, arguments of a service, IPv6."""
    assert str(parse_url("icap://av.example/avscan")) == "icap://av.example:1344/avscan"
    assert str(parse_url("icaps://av/x?a=b&c")) == "icaps://av:11344/x?a=b&c"
    assert parse_url("icap://[::1]:99").address == IcapAddress("::1", 99, False)
    assert str(parse_url("icap://[::1]:99")) == "icap://[::1]:99/"
    added = parse_url("icap://av/x?force=off").with_arguments((("force", "on"), ("mode", "simple")))
    assert added.query == "force=off&mode=simple"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "av:1344/x",
        "http://av/x",
        "ICAP://av/x",
        "icap://",
        "icap:///x",
        "icap://u:p@av/x",
        "icap://av:0/x",
        "icap://av:65536/x",
        "icap://av/x y",
        "icap://av/x#y",
        "icap://av/x\r\nHost: y",
        "icap://a..b/x",
        "icap://[x]/y",
        "icap://[::1::]/",
        "icap://av:/x",
        "icap://av/\xe4",
        "icap://" + "a." * 130 + "b/x",
        "icap://av:\u0663/x",
    ],
)
def test_refused_urls(text: str) -> None:
    """Nothing that could end up as a second line of a request, and no password."""
    with pytest.raises(ValueError, match=r"expected|can't be read"):
        parse_url(text)


SERVICE = Service("icap://av:1344/x", "av:1344")


def test_requests_encapsulate_neutral_messages() -> None:
    """An absolute URL without an extension, our type, the true offsets; never 206."""
    head, _, message = scan_request(
        Method.RESPMOD, SERVICE, "image/png", 5, preview=1024, allow_204=True
    ).partition(b"\r\n\r\n")
    http_request, _, http_response = message.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"RESPMOD icap://av:1344/x ICAP/1.0"
    assert {b"Host: av:1344", b"Allow: 204", b"Preview: 1024"} < set(lines)
    offset = len(http_request) + 4
    assert lines[-1] == b"Encapsulated: req-hdr=0, res-hdr=%d, res-body=%d" % (offset, len(message))
    assert http_request.startswith(b"GET http://scanned.invalid/file HTTP/1.1\r\n")
    assert http_response == b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 5\r\n\r\n"


def test_uploads_and_options() -> None:
    """REQMOD encapsulates one request; OPTIONS nothing; what was not offered is not asked for."""
    head, _, message = scan_request(
        Method.REQMOD, SERVICE, "text/plain", 5, preview=None, allow_204=False
    ).partition(b"\r\n\r\n")
    assert b"Allow" not in head
    assert b"Preview" not in head
    assert head.endswith(b"Encapsulated: req-hdr=0, req-body=%d" % len(message))
    assert message.startswith(b"POST http://scanned.invalid/file HTTP/1.1\r\nHost: scanned.invalid\r\n")
    assert options_request(SERVICE).startswith(b"OPTIONS icap://av:1344/x ICAP/1.0\r\nHost: av:1344\r\n")


@given(st.text())
def test_no_type_can_break_a_request(content_type: str) -> None:
    """A type is ours, and yet: one that is no printable ASCII is not sent."""
    sent = scan_request(Method.REQMOD, SERVICE, content_type, 5, preview=None, allow_204=True)
    assert sent.count(b"\r\n") == options_request(SERVICE).count(b"\r\n") + 6


def test_written_chunks_are_what_is_read() -> None:
    """The pieces that we send make a body, with a preview's end too."""
    assert icap_chunks.begin(255) + b"x" * 255 + b"\r\n" + icap_chunks.LAST == chunked(b"x" * 255)
    assert icap_chunks.LAST_OF_ALL == b"0; ieof\r\n\r\n"
