"""Multipart bodies: whole and in pieces, from independent makers, cut, hostile, at every bound."""

import email.generator
import email.mime.application
import email.mime.multipart
import email.policy
import io
import itertools
from collections.abc import Iterable, Iterator

import aiohttp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.errors import MalformedRequestError
from ostiary.wire.multipart import (
    MAX_FRINGE,
    MAX_HEADER_BLOCK,
    MAX_HEADERS,
    MAX_PARTS,
    Event,
    MultipartReader,
    PartBegin,
    PartData,
    PartEnd,
    boundary_of,
)

B = b"fence"

Part = tuple[PartBegin, bytes]


def read(pieces: Iterable[bytes], boundary: bytes = B, *, form: bool = True) -> list[Part]:
    """Return the parts of a body that arrives in these pieces."""
    reader = MultipartReader(boundary, form=form)
    events: list[Event] = []
    for piece in pieces:
        events += reader.feed(piece)
    assert reader.eof() == []
    return parts_of(events)


def parts_of(events: Iterable[Event]) -> list[Part]:
    """Put the events of complete parts together, checking their order."""
    parts: list[Part] = []
    opened: PartBegin | None = None
    data = b""
    for event in events:
        match event:
            case PartBegin():
                assert opened is None
                opened, data = event, b""
            case PartData():
                assert opened is not None
                assert event.data
                data += event.data
            case PartEnd():
                assert opened is not None
                parts.append((opened, data))
                opened = None
    assert opened is None
    return parts


def outcome(pieces: Iterable[bytes]) -> list[Part] | str:
    """Return the parts, or the error's text."""
    try:
        return read(pieces)
    except MalformedRequestError as error:
        return str(error)


def body(*parts: tuple[bytes, bytes], boundary: bytes = B) -> bytes:
    """Return a body of parts, each a header block (lines, without the last line end) and its bytes."""
    lines = [b"--" + boundary + b"\r\n" + block + b"\r\n\r\n" + data + b"\r\n" for block, data in parts]
    return b"".join(lines) + b"--" + boundary + b"--\r\n"


def form(name: str, data: bytes, more: str = "") -> tuple[bytes, bytes]:
    """Return a part of a form, for `body`."""
    return f'Content-Disposition: form-data; name="{name}"{more}'.encode(), data


def bytewise(data: bytes) -> Iterator[bytes]:
    """Yield the bytes one by one."""
    for at in range(len(data)):
        yield data[at : at + 1]


EXAMPLE = body(
    form("body", b'{"file":{}}', "\r\nContent-Type: application/json"),
    form("file", b"\x00\r\n--fenc\r\n\r\n-\r\n--", '; filename="a b.jpg"'),
    form("empty", b""),
)
EXAMPLE_PARTS = [
    (PartBegin("body", None, "application/json"), b'{"file":{}}'),
    (PartBegin("file", "a b.jpg", None), b"\x00\r\n--fenc\r\n\r\n-\r\n--"),
    (PartBegin("empty", None, None), b""),
]


def test_a_form_is_read_whole() -> None:
    """Names, file names, types and bytes come out as they were sent, boundary-like data included."""
    assert read([EXAMPLE]) == EXAMPLE_PARTS


def test_a_form_is_read_byte_by_byte() -> None:
    """The pieces in which a body arrives make no difference."""
    assert read(bytewise(EXAMPLE)) == EXAMPLE_PARTS


def test_a_form_is_read_in_any_two_pieces() -> None:
    """A cut at any place makes no difference."""
    for cut in range(len(EXAMPLE)):
        assert read([EXAMPLE[:cut], EXAMPLE[cut:]]) == EXAMPLE_PARTS


def test_a_body_cut_anywhere_is_refused() -> None:
    """Only the closing boundary ends a body; what comes behind it may be missing."""
    closed = len(EXAMPLE) - len(b"\r\n")
    for cut in range(closed):
        with pytest.raises(MalformedRequestError, match="ends before its closing boundary"):
            read([EXAMPLE[:cut]])
    assert read([EXAMPLE[:closed]]) == EXAMPLE_PARTS


def test_all_but_a_boundary_is_passed_on_at_once() -> None:
    """The reader holds back the length of a delimiter and few bytes more."""
    reader = MultipartReader(B)
    sent = EXAMPLE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    reader.feed(sent)
    passed = 0
    for count, byte in enumerate(bytewise(b"\r\n--fenc" * 1000), start=1):
        passed += sum(len(event.data) for event in reader.feed(byte) if isinstance(event, PartData))
        assert count - passed <= len(B) + len(b"\r\n--") + 2


# Data made of what boundaries are made of, with some that is not.
near_misses = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"-", b"--", b"\r\n", b"\r\n--", b"fence", b"fenc", b"\r\n--fenc", b"x", b"\0"]
    )
    | st.binary(max_size=5)
).map(b"".join)


@given(st.lists(near_misses, min_size=1, max_size=4), st.data())
def test_parts_round_trip_in_any_pieces(payloads: list[bytes], data: st.DataObject) -> None:
    """Whatever holds no line that begins with the boundary comes out as it went in, however it is cut."""
    whole = body(*(form(str(number), payload) for number, payload in enumerate(payloads)))
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=8).map(sorted))
    pieces = [whole[start:stop] for start, stop in itertools.pairwise([0, *cuts, len(whole)])]
    if any(b"\n--fence" in b"\r\n" + payload for payload in payloads):
        assert outcome(pieces) == outcome([whole])
    else:
        assert [part[1] for part in read(pieces)] == payloads


@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    b"\r\n",
                    b"\n",
                    b"\r",
                    b"--fence",
                    b"--",
                    b" ",
                    b":",
                    b";",
                    b"=",
                    b'"',
                    b"\\",
                    b"\xff",
                    b"x",
                ),
                *(b"Content-Disposition: form-data; name=a", b"Content-Transfer-Encoding", b"\r\n\r\n"),
            ]
        )
    ).map(b"".join)
    | st.binary(),
    st.integers(1, 7),
)
@example(EXAMPLE, 1)
def test_any_bytes_are_parts_or_our_error_in_any_pieces(data: bytes, size: int) -> None:
    """No input raises anything but MalformedRequestError, and its pieces decide nothing."""
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert outcome(pieces) == outcome([data])


@given(st.data())
def test_a_spoilt_body_is_parts_or_our_error(data: st.DataObject) -> None:
    """One changed byte makes other parts or our error, the same in any pieces."""
    spoilt = bytearray(EXAMPLE)
    spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    assert outcome(bytewise(bytes(spoilt))) == outcome([bytes(spoilt)])


lines = st.lists(
    st.sampled_from(
        [
            *(b"\r\n", b"\n", b"--fence", b"--", b" ", b"x", b"-", b"\r\n--fence\r\n", b"\r\n\r\n"),
            *(form("a", b"")[0] + b"\r\n\r\n", form("b", b"", "; filename=c")[0] + b"\r\n\r\n"),
        ]
    ),
    max_size=10,
).map(b"".join)


@given(lines)
@example(b"\r\n")
@example(b"\n--fence\r\n" + form("b", b"")[0] + b"\r\n\r\n")
def test_another_reader_finds_the_same_parts(data: bytes) -> None:
    """What is accepted means the same to Python's mail library, which also takes LF for a line's end."""
    whole = b"--fence\r\n" + form("a", b"")[0] + b"\r\n\r\n" + data + b"\r\n--fence--"
    found = outcome([whole])
    if isinstance(found, str):
        return
    head = b"Content-Type: multipart/form-data; boundary=fence\r\n\r\n"
    others = list(email.message_from_bytes(head + whole).walk())[1:]
    assert [part[1] for part in found] == [other.get_payload(decode=True) for other in others]
    names = [other.get_param("name", header="content-disposition") for other in others]
    assert [part[0].name for part in found] == names


@pytest.mark.parametrize("payload", [b"", b"\r\n", b"--", bytes(range(256)) * 50, b"\r\n--" * 400])
async def test_what_aiohttp_writes_is_read(payload: bytes) -> None:
    """A form from another implementation, with a quote and an umlaut in its file name, is read."""
    written = aiohttp.FormData(quote_fields=False)
    written.add_field("body", '{"file": {}}', content_type="application/json")
    written.add_field("file", payload, filename='an "Ä".bin', content_type="application/octet-stream")
    writer = written()
    parts = read([await writer.as_bytes()], boundary_of(writer.headers["Content-Type"]))
    assert [(part[0].name, part[0].content_type, part[1]) for part in parts] == [
        ("body", "application/json", b'{"file": {}}'),
        ("file", "application/octet-stream", payload),
    ]
    assert parts[1][0].filename == 'an "Ä".bin'


def test_what_python_s_email_writes_is_read() -> None:
    """A message from a mail library is read: folded headers, MIME-Version, a preamble and an epilogue."""
    message = email.mime.multipart.MIMEMultipart("form-data", boundary="=== fence ===")
    message.preamble = "This is a multi-part message in MIME format."
    message.epilogue = "That was it."
    part = email.mime.application.MIMEApplication(
        b"one line, 8bit: \xc3\xa4", "octet-stream", lambda made: made.add_header("X-Made", "by hand")
    )
    part["Content-Transfer-Encoding"] = "8bit"
    part.add_header("Content-Disposition", "form-data", name="file", filename="x" * 60 + " " + "y" * 60)
    message.attach(part)
    written = io.BytesIO()
    policy = email.policy.compat32.clone(linesep="\r\n")
    email.generator.BytesGenerator(written, policy=policy).flatten(message)
    head, _, whole = written.getvalue().partition(b"\r\n\r\n")
    assert b"\r\n filename" in whole
    boundary = boundary_of(message["Content-Type"])
    assert boundary in head
    begin = PartBegin("file", "x" * 60 + " " + "y" * 60, "application/octet-stream")
    assert read([whole], boundary) == [(begin, b"one line, 8bit: \xc3\xa4")]


def test_a_federation_answer_is_read() -> None:
    """multipart/mixed begins with an empty line, and its parts need no Content-Disposition."""
    whole = b"\r\n" + body(
        (b"Content-Type: application/json", b"{}"), (b"Content-Type: image/png", b"\x89PNG")
    )
    boundary = boundary_of("multipart/mixed; boundary=fence", "mixed")
    assert read([whole], boundary, form=False) == [
        (PartBegin(None, None, "application/json"), b"{}"),
        (PartBegin(None, None, "image/png"), b"\x89PNG"),
    ]


def test_parts_without_headers_or_body() -> None:
    """RFC 2046's grammar lets a part lack headers, and its body with the line end before it."""
    whole = b"--fence\r\n\r\nbare\r\n--fence\r\nContent-Type: a/b\r\n\r\n--fence\r\n\r\n--fence--"
    assert read([whole], form=False) == [
        (PartBegin(None, None, None), b"bare"),
        (PartBegin(None, None, "a/b"), b""),
        (PartBegin(None, None, None), b""),
    ]
    assert read(bytewise(whole), form=False) == read([whole], form=False)


def test_a_form_without_parts() -> None:
    """Browsers send an empty form as a closing boundary alone."""
    assert read([b"--fence--\r\n"]) == []


def test_blanks_behind_boundaries_and_what_stands_around_the_parts_are_skipped() -> None:
    """Transport padding, preamble and epilogue are legal and mean nothing."""
    whole = (
        b"before\r\n--fence \t\r\n" + form("a", b"")[0] + b"\r\n\r\nx\r\n--fence-- \r\nbehind\r\n--fence\r\n"
    )
    assert read([whole]) == [(PartBegin("a", None, None), b"x")]
    assert read(bytewise(whole)) == read([whole])


@pytest.mark.parametrize(
    ("block", "name", "filename"),
    [
        ("form-data; name=a", "a", None),
        ('FORM-DATA;NAME="a";FileName="b"', "a", "b"),
        ('form-data; name="a;b=c"', "a;b=c", None),
        ('form-data; name="say \\"a\\" \\\\"', 'say "a" \\', None),
        ('form-data; name="a"; filename="C:\\tmp\\x"', "a", "C:\\tmp\\x"),
        ('form-data; name="ä"; filename="%22"', "ä", "%22"),
        ('form-data; name="file"; filename="a\\"', "file", "a\\"),
        ('form-data; name="a\\"', "a\\", None),
        ('form-data; name="a"; ; filename="b";', "a", "b"),
        ("form-data; name=\"a\"; filename*=UTF-8''b", "a", None),
        ('form-data; name=""', "", None),
        ('form-data;\r\n name="a";\r\n\tfilename="b\r\n c"', "a", "b c"),
    ],
)
def test_names_and_file_names(block: str, name: str, filename: str | None) -> None:
    """Content-Disposition is read as browsers and libraries write it."""
    whole = body((b"content-disposition:" + block.encode(), b""))
    assert read([whole]) == [(PartBegin(name, filename, None), b"")]


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"", "form-data with a name"),
        (b"Content-Type: a/b", "form-data with a name"),
        (b"Content-Disposition: form-data", "form-data with a name"),
        (b'Content-Disposition: attachment; name="a"', "form-data with a name"),
        (b'Content-Disposition: form-data; name="a"; name="b"', "same parameter twice"),
        (b'Content-Disposition: form-data; name="a"; NAME="a"', "same parameter twice"),
        (b'Content-Disposition: form-data; name="a', "can't be read"),
        (b'Content-Disposition: form-data; name="a\\"; x', "can't be read"),
        (b"Content-Disposition: form-data; name=a b", "can't be read"),
        (b"Content-Disposition: form-data; name = a", "can't be read"),
        (b"Content-Disposition: form-data, name=a", "can't be read"),
        (b"Content-Disposition: ; name=a", "can't be read"),
        (b"Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b", "header twice"),
        (b"Content-Disposition: form-data; name=a\r\ncontent-type: a/b\r\nContent-Type: a/b", "header twice"),
        (b"Content-Disposition: form-data; name=a\r\nno colon", "a header that is none"),
        (b"Content-Disposition : form-data; name=a", "a header that is none"),
        (b"Content-Disposition: form-data; name=a\r\n--fence: x", "boundary stands among"),
        (b"--fence\r\nContent-Disposition: form-data; name=a", "boundary stands among"),
        (b"Content-Disposition: form-data; name=a\r\n--fence--", "boundary stands among"),
        (b" Content-Disposition: form-data; name=a", "a header that is none"),
        (b"Content-Disposition: form-data; name=a\nX: y", "a header that is none"),
        (b"Content-Disposition: form-data; name=a\rX: y", "a header that is none"),
        (b"Content-Disposition: form-data; name=a\0", "a header that is none"),
        (b'Content-Disposition: form-data; name="\xff"', "not UTF-8"),
        (b"Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64", "Encoding"),
        (b"Content-Disposition: form-data; name=a\r\ncontent-transfer-encoding:", "Encoding"),
        (b"Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: 8bit, base64", "Encoding"),
    ],
)
def test_headers_that_are_refused(block: bytes, reason: str) -> None:
    """What can be read in two ways, or would have to be decoded, is refused."""
    with pytest.raises(MalformedRequestError, match=reason):
        read([body((block, b"x"))])


@pytest.mark.parametrize("encoding", ["7bit", "8BIT", "binary", "Binary "])
def test_encodings_that_change_nothing_pass(encoding: str) -> None:
    """Some makers name the encoding that leaves the bytes alone."""
    whole = body(form("a", b"x", f"\r\nContent-Transfer-Encoding: {encoding}"))
    assert read([whole]) == [(PartBegin("a", None, None), b"x")]


@pytest.mark.parametrize(
    ("whole", "reason"),
    [
        (EXAMPLE.replace(b"\r\n", b"\n"), "does not end in CRLF"),
        (body(form("a", b"x\n--fence\ny")), "bare LF"),
        (body(form("a", b"x\n--fence--\r\n")), "bare LF"),
        (body(form("a", b"x\r\n--fence2\r\n")), "line holds more"),
        (body(form("a", b"x\r\n--fence-\r\n")), "line holds more"),
        (body(form("a", b"--fence2\r\n")), "line holds more"),
        (b"--fence" + b" " * 1000, "line holds more"),
        (EXAMPLE.strip() + b"x\r\n", "line holds more"),
        (EXAMPLE.strip() + b"x", "line holds more"),
        (EXAMPLE.strip() + b"\r", "ends before"),
        (b"no boundary at all", "ends before"),
        (b"", "ends before"),
        (b"--fenc\r\n" + EXAMPLE, None),
    ],
)
def test_lines_that_are_no_boundaries(whole: bytes, reason: str | None) -> None:
    """The boundary begins a line that ends in CRLF and stands there alone, or the body is refused."""
    if reason is None:
        assert read([whole]) == EXAMPLE_PARTS
        return
    with pytest.raises(MalformedRequestError, match=reason):
        read([whole])


def test_a_refused_body_stays_refused() -> None:
    """After a fault the reader takes nothing more."""
    reader = MultipartReader(B)
    with pytest.raises(MalformedRequestError):
        reader.feed(body((b"junk", b"")))
    with pytest.raises(MalformedRequestError, match="refused already"):
        reader.feed(EXAMPLE)
    with pytest.raises(MalformedRequestError):
        reader.eof()


def _padded(size: int) -> bytes:
    """Return a header block of that many bytes."""
    block = form("a", b"")[0] + b"\r\nX: "
    return block + b"y" * (size - len(block))


@pytest.mark.parametrize(
    ("allowed", "refused", "reason"),
    [
        (
            body(*[form("a", b"")] * MAX_PARTS),
            body(*[form("a", b"")] * (MAX_PARTS + 1)),
            "more than 16 parts",
        ),
        (body((_padded(MAX_HEADER_BLOCK), b"")), body((_padded(MAX_HEADER_BLOCK + 1), b"")), "8192 bytes"),
        (
            body(form("a", b"", "".join(f"\r\nX-{n}: y" for n in range(MAX_HEADERS - 1)))),
            body(form("a", b"", "".join(f"\r\nX-{n}: y" for n in range(MAX_HEADERS)))),
            "more than 20 headers",
        ),
        (b"p" * MAX_FRINGE + b"\r\n" + EXAMPLE, b"p" * (MAX_FRINGE + 1) + b"\r\n" + EXAMPLE, "preamble"),
        (EXAMPLE + b"e" * MAX_FRINGE, EXAMPLE + b"e" * (MAX_FRINGE + 1), "epilogue"),
    ],
    ids=["parts", "header block", "headers", "preamble", "epilogue"],
)
def test_bounds_are_exact(allowed: bytes, refused: bytes, reason: str) -> None:
    """Each bound lets its number through and not one more, in one piece and in many."""
    for size in (1, 1000, 1 << 20):
        read([allowed[at : at + size] for at in range(0, len(allowed), size)])
        with pytest.raises(MalformedRequestError, match=reason):
            read([refused[at : at + size] for at in range(0, len(refused), size)])


@pytest.mark.parametrize("start", [b"", b"--fence\r\n", b"--fence\r\nX: ", b"--fence--\r\n"])
def test_what_never_ends_is_refused_early(start: bytes) -> None:
    """An endless preamble, header or epilogue is refused at its bound, not collected."""
    with pytest.raises(MalformedRequestError, match="longer than"):
        read(itertools.chain([start], itertools.repeat(b"x" * 1000)))


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=fence", b"fence"),
        ('Multipart/Form-Data;charset=utf-8; BOUNDARY="a b:c"', b"a b:c"),
        ("multipart/form-data; boundary=" + "x" * 70, b"x" * 70),
        (
            "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
            b"----WebKitFormBoundary7MA4YWxkTrZu0gW",
        ),
        ('multipart/form-data; boundary="\'()+_,-./:=?"', b"'()+_,-./:=?"),
    ],
)
def test_boundaries(content_type: str, boundary: bytes) -> None:
    """The boundary is read from tokens and quoted strings, with RFC 2046's characters."""
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "multipart/form-data",
        "multipart/mixed; boundary=fence",
        "application/json; boundary=fence",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        'multipart/form-data; boundary="a "',
        "multipart/form-data; boundary=" + "x" * 71,
        'multipart/form-data; boundary="a\\"b"',
        'multipart/form-data; boundary="a\r\nb"',
        'multipart/form-data; boundary="ä"',
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=a/b",
        "multipart/form-data boundary=a",
    ],
)
def test_content_types_without_a_usable_boundary(content_type: str) -> None:
    """Anything but one boundary of 1 to 70 legal bytes is refused."""
    with pytest.raises(MalformedRequestError):
        boundary_of(content_type)


@given(st.text())
def test_any_content_type_gives_a_boundary_or_our_error(text: str) -> None:
    """No header raises anything but MalformedRequestError."""
    for content_type in (text, "multipart/form-data;" + text, "multipart/form-data; boundary=" + text):
        try:
            boundary = boundary_of(content_type)
        except MalformedRequestError:
            continue
        assert 1 <= len(boundary) <= 70
