"""Content-Disposition: the name survives, everything dangerous about it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.matrix.content_disposition import filename_of, safe_disposition

EURO = "inline; filename*=utf-8''%E2%82%AC"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (None, None),
        ("", None),
        ("inline", None),
        ("attachment; filename=a.png", "a.png"),
        ('inline; filename="a b.png"', "a b.png"),
        ("inline; filename*=utf-8''%E2%82%AC.png", "€.png"),
        ("inline; filename*=klingon''%E2", "â"),
        ("inline; filename=\"a.txt\"; filename*=UTF-8''%e2%82%ac.txt", "€.txt"),
        ("inline; filename*=utf-8'de'%e2%82%ac.txt ; filename=a.txt", "€.txt"),
        ("inline; filename=a.txt; filename*=utf-8''%ff", "a.txt"),
        ('inline; filename="../../etc/passwd"', ".._.._etc_passwd"),
        ('inline; filename="photo\u202egnp.exe"', "photognp.exe"),
        ("inline; filename=" + "a" * 1000, "a" * 200),
        ("inline; filename*=a.png; filename*0=b.png", None),
        ("inline; filename*99999999999999999999=a; filename*0=b", "ba"),
    ],
)
def test_the_name_is_found_and_cleaned(header: str | None, name: str | None) -> None:
    """Both spellings of the parameter, path separators and direction overrides, broken charsets."""
    assert filename_of(header) == name


@pytest.mark.parametrize(
    ("header", "content_type", "requested", "safe"),
    [
        ("inline; filename=a.png", "image/png", None, 'inline; filename="a.png"'),
        ("inline; filename=a.svg", "image/svg+xml", None, 'attachment; filename="a.svg"'),
        ("inline", "text/html; charset=utf-8", None, "attachment"),
        ("attachment; filename=a.png", "image/png", None, 'attachment; filename="a.png"'),
        (None, "image/png", None, "inline"),
        (None, "application/octet-stream", "x.bin", 'attachment; filename="x.bin"'),
        ("inline; filename=a.png", "IMAGE/PNG", "mine.png", 'inline; filename="mine.png"'),
        (EURO, "image/png", None, "inline; filename=\"_\"; filename*=UTF-8''%E2%82%AC"),
        (None, "image/png", "a;b%2F", "inline; filename=\"a_b_2F\"; filename*=UTF-8''a%3Bb%252F"),
    ],
)
def test_the_header_is_written_anew(
    header: str | None, content_type: str, requested: str | None, safe: str
) -> None:
    """Only types that the spec calls safe are inline, and the requested name counts first."""
    assert safe_disposition(header, content_type, requested) == safe


@given(st.text(max_size=300), st.text(max_size=50), st.none() | st.text(max_size=300))
def test_no_header_splits_or_breaks(header: str, content_type: str, requested: str | None) -> None:
    """Whatever comes in, what goes out is one line of printable ASCII."""
    safe = safe_disposition(header.replace("\n", "").replace("\r", ""), content_type, requested)
    assert safe.isascii()
    assert safe.isprintable()
