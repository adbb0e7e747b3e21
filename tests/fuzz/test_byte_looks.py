"""The looks at bytes, over spoilt files of every kind: they never raise, and say only sane types."""

import re
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.file_types.behind import behind, hides_pdf
from ostiary.file_types.isobmff import media_type
from ostiary.file_types.look import UNKNOWN, look
from ostiary.file_types.markup import markup_type
from ostiary.file_types.packages import package_types
from ostiary.file_types.scripts import reads_as_prose, script_type
from ostiary.file_types.signatures import anywhere, at_start
from ostiary.file_types.texts import text_of
from ostiary.file_types.view import View
from ostiary.file_types.zips import directory_of
from tests.file_types.samples import (
    FILMS,
    GIF,
    LNK,
    PACKAGES,
    PDF,
    PLAIN,
    RAR,
    SCRIPTS,
    WEBP,
    bmp,
    jpeg,
    png,
    program,
)
from tests.fuzz.mutations import mutated

_SANE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")
IMAGES: Final = {
    "image/jpeg": jpeg(), "image/png": png(), "image/gif": GIF, "image/webp": WEBP, "image/bmp": bmp(),
    "video/mp4": FILMS[7][1],
}  # fmt: skip
BINARY: Final = (
    *IMAGES.values(), *(data for _, data in FILMS), *(data for _, data in PACKAGES), PDF, RAR, LNK, program(),
)  # fmt: skip
TEXTS: Final = (*(text.encode() for _, text in SCRIPTS), *(text.encode() for text in PLAIN))
BINARY_WORDS: Final = (
    *(
        b"PK\1\2",
        b"PK\3\4",
        b"PK\5\6",
        b"PK\6\6",
        b"PK\6\7",
        b"\xff\xd9",
        b"\xff\xda",
        b"\0;",
        b"IEND\xaeB`\x82",
    ),
    *(
        b"ftyp",
        b"moov",
        b"\0\0\0\1",
        b"\xff\xff\xff\xff",
        b"MZ",
        b"PE\0\0",
        b"\x7fELF\2\1\1",
        b"%PDF-1.4",
        RAR,
        PDF,
    ),
    *(b"[Content_Types].xml", b"word/", b"vbaProject.bin", b"mimetype", b"META-INF/MANIFEST.MF", b"<script>"),
)
TEXT_WORDS: Final = (
    *(
        b"#!/",
        b"env ",
        b"<",
        b"<!--",
        b"-->",
        b"<?",
        b"<script ",
        b"<job>",
        b"[InternetShortcut]",
        b"[Desktop Entry]",
    ),
    *(
        b"function ",
        b"if (",
        b"$a = ",
        b"Set-",
        b"Dim ",
        b"%%a",
        b"@echo off",
        b"def f(",
        b"import ",
        b"/*",
        b'"""',
    ),
    *(b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\0", b"\r", b"; ", b"(" * 50, b"\t" * 60, b"a " * 30),
)
ANY: Final = mutated(st.sampled_from((*BINARY, *TEXTS)), (*BINARY_WORDS, *TEXT_WORDS), most=8)
GUESSES: Final = st.sampled_from(
    [UNKNOWN, "text/plain", "text/html", "text/xml", "text/javascript", "application/zip", *IMAGES]
)


@given(ANY, GUESSES)
def test_any_bytes_have_sane_types(data: bytes, guess: str) -> None:
    """Whatever libmagic guesses: types in lower case, each once, the file's own not among the embedded."""
    found = look(guess, View.of(data))
    kinds = (found.name, *found.embedded)
    assert all(_SANE.fullmatch(kind) for kind in kinds)
    assert len(set(kinds)) == len(kinds)


@given(mutated(st.sampled_from(BINARY), BINARY_WORDS, most=8))
def test_binary_looks_alone(data: bytes) -> None:
    """Each look stands on any bytes by itself, not only on those that come to it."""
    view = View.of(data)
    media_type(data)
    at_start(data)
    anywhere(data)
    hides_pdf(data)
    directory = directory_of(view)
    if directory is not None:
        assert 0 <= directory.end <= len(data)
        assert package_types(view, data, directory)
    for kind in IMAGES:
        behind(view, kind)


@given(mutated(st.sampled_from(TEXTS), TEXT_WORDS, most=8))
def test_text_looks_alone(data: bytes) -> None:
    """Likewise the looks at texts, in whatever encoding the bytes are read."""
    for text in (data.decode("latin-1"), data.decode("utf-16", "replace"), text_of(data) or ""):
        markup_type(text)
        script_type(text)
        reads_as_prose(text)


@pytest.mark.parametrize("kind", [kind for kind in IMAGES if kind != "video/mp4"])  # junk may be a box
@given(
    st.binary(max_size=200),
    st.sampled_from([(RAR, "application/x-rar"), (program(), "application/x-dosexec")]),
)
def test_a_payload_behind_an_image_is_found_behind_any_junk(
    kind: str, junk: bytes, payload: tuple[bytes, str]
) -> None:
    """Some bytes between the image's end and the payload hide nothing."""
    data, name = payload
    assert name in behind(View.of(IMAGES[kind] + junk + data), kind)


@given(st.integers(0, 3000), st.data())
def test_a_short_read_is_no_error(cut: int, data: st.DataObject) -> None:
    """A file that gives fewer bytes than it says is looked at as far as it goes."""
    whole = data.draw(st.sampled_from(BINARY))
    view = View(len(whole), lambda offset, size: whole[:cut][offset : offset + size])
    look(UNKNOWN, view)
