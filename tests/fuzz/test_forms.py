"""Forms: parts as browsers and libraries write them, spoilt, and read in pieces; a second reader agrees."""

import email.message
import email.policy
from pathlib import Path
from typing import Final

import pytest
from hypothesis import example, given, note
from hypothesis import strategies as st

from ostiary.blob import BlobWriter
from ostiary.errors import MalformedRequestError
from ostiary.web.forms import Form, read_form
from ostiary.wire.multipart import Event, MultipartReader, PartBegin, PartData, PartEnd, boundary_of
from tests.fuzz.mutations import cut, fewer, mutated
from tests.web.clients import EDGE, END, FORM, file_of, part

LIMIT: Final = 2000
FILE: Final = part(
    "file", b"\x89PNG\r\n--form-edg\r\n\n--", '; filename="cat.png"\r\nContent-Type: image/png'
)
BODY: Final = part("body", str(file_of(b"x")).replace("'", '"').replace("True", "true").encode())
BASES: Final = st.sampled_from(
    [
        *(
            FILE + END,
            BODY + FILE + END,
            FILE + BODY + part("more", b"x") + END,
            b"before\r\n" + FILE + END + b"behind",
        ),
        part("file", b"") + END,
        part("file", b"x", "\r\n X: folded\r\nContent-Transfer-Encoding: binary") + END,
        part("file", b"x" * LIMIT) + END,
    ]
)
WORDS: Final = (
    *(
        f"--{EDGE}".encode(),
        f"\r\n--{EDGE}\r\n".encode(),
        f"\r\n--{EDGE}--".encode(),
        b"\r\n\r\n",
        b"--",
        b"\r\n",
        b"\n",
        b"\r",
    ),
    *(
        b'; name="file"',
        b"; name=body",
        b'; filename="\\',
        b'\\"',
        b'"',
        b";",
        b"name*=utf-8''x",
        b"filename*=utf-8''%ff",
        b"=",
    ),
    *(
        b"Content-Disposition: form-data",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Type: \xff\r\n",
        b"X:\r\n",
        b" X\r\n",
    ),
    *(
        FILE,
        BODY,
        b"x" * 3000,
        b"\0",
        b"\xc3\xa9",
        b"%22",
        b"\x0b",
        f"--{EDGE} \t\r\n".encode(),
        b"multipart/mixed; boundary=x",
    ),
)

Part = tuple[PartBegin, bytes]


def read(pieces: list[bytes]) -> list[Part] | None:
    """Return the parts; None where the body is refused. Events must come in their order."""
    reader = MultipartReader(EDGE.encode())
    events: list[Event] = []
    try:
        for piece in pieces:
            events += reader.feed(piece)
        events += reader.eof()
    except MalformedRequestError as error:
        assert str(error).isprintable()
        with pytest.raises(MalformedRequestError):
            reader.feed(END)  # refused once is refused for good
        return None
    parts: list[tuple[PartBegin, list[bytes]]] = []
    open_part = False
    for event in events:
        assert isinstance(event, PartBegin) != open_part
        if isinstance(event, PartBegin):
            parts.append((event, []))
            open_part = True
        elif isinstance(event, PartData):
            assert event.data
            parts[-1][1].append(event.data)
        else:
            assert isinstance(event, PartEnd)
            open_part = False
    assert not open_part
    return [(begin, b"".join(data)) for begin, data in parts]


@given(mutated(BASES, WORDS) | mutated(BASES, WORDS, most=1), st.data())
def test_spoilt_forms_are_the_same_in_any_pieces(body: bytes, data: st.DataObject) -> None:
    """Parts or our error, the same however the network cuts it; and no more bytes than came."""
    parts = read([body])
    assert parts == read(cut(body, data.draw))
    if parts is not None:
        assert sum(len(content) for _, content in parts) < len(body)
        assert all(begin.name is not None for begin, _ in parts)


DOUBLED: Final = FILE.replace(b"Content-Type", b'Content-Disposition: form-data; name="body"\r\nContent-Type')


@given(mutated(BASES, WORDS) | mutated(BASES, WORDS, most=1))
@example(DOUBLED + END)
@example(FILE + b"\n" + END)
@example(FILE[:-2] + b"\n" + BODY + END)
@example(END + FILE + END)
def test_another_reader_finds_the_same_parts(body: bytes) -> None:
    """What we accept, Python's mail library reads as the same contents, under the same plain names."""
    note(repr(body))
    parts = read([body])
    if parts is None or b"\r--" + EDGE.encode() in body:
        return  # a CR alone ends a line for the mail library, and for nobody else (RFC 2046, 4.1.1)
    whole = f"Content-Type: {FORM}\r\n\r\n".encode() + body
    message = email.message_from_bytes(whole, policy=email.policy.compat32)
    others = [one for one in message.get_payload() if isinstance(one, email.message.Message)]
    contents = [
        other.get_payload(decode=True) for other in others if other.get_content_maintype() != "multipart"
    ]
    if len(contents) != len(others):
        return  # a part that calls itself multipart: the mail library looks into it, we don't
    assert [content for _, content in parts] == contents
    for (begin, _), other in zip(parts, others, strict=True):
        name = other.get_param("name", header="content-disposition")
        plain = isinstance(name, str) and name.isascii() and not set(name) & set('\\"')
        if plain and "name*" not in str(other["content-disposition"]):
            assert begin.name == name


@fewer(2)
@given(mutated(BASES, WORDS), st.data())
async def test_spoilt_forms_are_a_form_or_our_error(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, data: st.DataObject
) -> None:
    """The whole way into a blob: the `file` part to the byte, and JSON where there was a part for it."""
    form = await formed(tmp_path_factory.getbasetemp(), cut(body, data.draw))
    parts = read([body])
    if form is None:
        return
    if form.file is None:
        assert len(body) > LIMIT
        return
    with form.file as blob:
        content = b"".join([chunk async for chunk in blob.chunks()])
    assert parts is not None
    files = [(begin, found) for begin, found in parts if begin.name == "file"]
    assert [(begin.content_type, begin.filename) for begin, _ in files] == [
        (form.declared.content_type, form.declared.filename)
    ]
    assert [content] == [found for _, found in files]
    assert (form.body is not None) == any(begin.name == "body" for begin, _ in parts)


async def formed(folder: Path, pieces: list[bytes]) -> Form | None:
    """Read the form; None where it is refused."""

    async def arriving() -> object:
        for piece in pieces:
            yield piece

    try:
        return await read_form(arriving(), EDGE.encode(), BlobWriter(folder), LIMIT)  # type: ignore[arg-type]
    except MalformedRequestError:
        return None


TYPES: Final = st.sampled_from(
    [FORM, f'multipart/form-data; boundary="{EDGE}"', f"Multipart/Form-Data;charset=x;BOUNDARY={EDGE}"]
)


@given(
    mutated(
        TYPES.map(str.encode),
        (b"boundary=", b";", b'"', b"\\", b"'", b" ", b"x" * 71, b"\xff", b"boundary*=utf-8''x"),
    )
)
def test_any_content_type_names_a_boundary_or_none(raw: bytes) -> None:
    """A boundary is 1 to 70 of RFC 2046's characters, not ending in a blank; anything else is our error."""
    try:
        boundary = boundary_of(raw.decode("utf-8", "surrogateescape"))
    except MalformedRequestError:
        return
    assert 1 <= len(boundary) <= 70
    assert boundary.isascii()
    assert boundary in raw.replace(b"\\", b"")
    assert not set(boundary) & set(b'\r\n\0"\\;<>@[]')
    assert boundary == boundary.rstrip()
