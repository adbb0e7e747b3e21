"""Programs under other names: what a request declares against what the bytes are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.file_types.disguise import disguised
from ostiary.model import Declared

EXE, JS, TEXT, PNG = "application/x-dosexec", "text/javascript", "text/plain", "image/png"
UNKNOWN = "application/octet-stream"
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("kind", "content_type", "filename", "refused"),
    [
        (EXE, "image/png", None, True),
        (EXE, "text/plain; charset=utf-8", None, True),
        (EXE, None, "notes.txt", True),
        (EXE, None, "photo.jpg. . ", True),
        (EXE, None, "photo.jpg\u200b", True),
        (EXE, None, "photo.jpg.exe", True),
        (EXE, None, "photo.jpg      .exe", True),
        (EXE, None, "photo\u202egpj.exe", True),
        (EXE, None, "setup.exe", False),
        (EXE, "application/octet-stream", "setup", False),
        (EXE, None, "setup-1.2.exe", False),
        ("application/java-archive", None, "photo.png", True),
        ("application/java-archive", "application/java-archive", "tool.jar", False),
        ("application/x-ms-shortcut", None, "report.pdf.lnk", True),
        (JS, "image/png", None, True),
        (JS, "application/pdf", "a.js", True),
        (JS, None, "report.docx", True),
        (JS, WORD, None, True),
        (JS, "text/plain", "snippet.txt", False),
        (JS, "text/plain", None, False),
        (JS, "text/javascript", "jquery.min.js", False),
        (JS, "text/javascript", "pdf.js", False),
        (JS, None, "invoice.pdf.js", True),
        (JS, None, "notes.txt.js", True),
        (JS, "video/mp2t", "module.ts", False),
        ("application/x-mswinurl", None, "photo.jpg.url", True),
        ("text/x-shellscript", "text/x-sh", "build.sh", False),
        (TEXT, None, "invoice.pdf.vbs", True),
        (UNKNOWN, None, "photo.jpg.scr", True),
        (UNKNOWN, None, "photo\u202egpj.scr", True),
        (TEXT, None, "notes.txt.bat", False),
        (TEXT, None, "photo.jpg.txt", False),
        (TEXT, "image/png", "photo.jpg", False),
        (PNG, None, "photo.jpg.exe", False),
        (PNG, "image/png", "\u202ephoto.png", False),
        (PNG, "image/png", "photo.png", False),
    ],
)
def test_what_is_a_disguise(
    kind: str,
    content_type: str | None,
    filename: str | None,
    refused: bool,  # noqa: FBT001
) -> None:
    """A program as an image, a document or a text; a script as an image or a document; names that deceive."""
    assert disguised((kind,), Declared(content_type, filename)) == (kind if refused else None)


def test_what_lies_behind_an_image_is_in_disguise_too() -> None:
    """An honest image with a program behind it comes under an image's name all the same."""
    assert disguised((PNG, EXE), Declared("image/png", "a.png")) == EXE
    assert disguised((PNG, "application/zip"), Declared("image/png", "a.png")) is None
    assert disguised((PNG, EXE), Declared()) is None


@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from([EXE, JS, TEXT, PNG, ""]))
def test_any_name_has_an_answer(content_type: str, filename: str, kind: str) -> None:
    """Names come from strangers: whatever they hold, the answer is the type or None."""
    assert disguised((kind,), Declared(content_type, filename)) in {kind, None}


@pytest.mark.parametrize("suffix", ["jpg", "PDF", "DocX"])
@given(st.text(alphabet=" .\u200b\u200f\u2066\u00ad\t", max_size=5))
def test_what_is_not_seen_hides_no_suffix(suffix: str, trailing: str) -> None:
    """Dots, spaces and invisible letters at the end change nothing: systems drop them, nobody sees them."""
    assert disguised((EXE,), Declared(None, f"a.{suffix}{trailing}")) == EXE
