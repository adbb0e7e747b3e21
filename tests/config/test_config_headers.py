"""Headers in the configuration: names and values that may be sent, and those that must not be."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ostiary.config.headers import HeaderNames, Headers

NAMES: TypeAdapter[tuple[str, ...]] = TypeAdapter(HeaderNames)
HEADERS: TypeAdapter[Mapping[str, str]] = TypeAdapter(Headers)


@pytest.mark.parametrize("headers", [{}, {"User-Agent": "ostiary/1 (x)"}, {"host": "a"}, {"x": "é \t b"}])
def test_headers(headers: dict[str, str]) -> None:
    """Ordinary headers are kept as they are written."""
    assert HEADERS.validate_python(headers) == headers


@pytest.mark.parametrize(
    "headers",
    [
        {"": "x"}, {"a b": "x"}, {"a:": "x"}, {"a\n": "x"}, {"é": "x"}, {"a" * 300: "x"},
        {"a": ""}, {"a": " x"}, {"a": "x "}, {"a": "x\r\nb: c"}, {"a": "x\0"}, {"a": "\x7f"},
        {"a": "\x85"}, {"a": "\ud800"}, {"a": 5}, {"a": None},
        {"A": "x", "a": "y"}, {"Authorization": "Bearer x"}, {"Content-Length": "5"},
        {"transfer-encoding": "chunked"},
        {"If-None-Match": "*"}, {"Connection": "close"}, ["a"], "a: b",
    ],
)  # fmt: skip
def test_refused_headers(headers: object) -> None:
    """No second header in a value, no broken framing, no borrowed token, no answer without the file."""
    with pytest.raises(ValidationError):
        HEADERS.validate_python(headers)


@pytest.mark.parametrize("names", [["a b"], ["If-Match"], ["TE"], ["A", "a"], "X-Forwarded-For", [5]])
def test_refused_names(names: object) -> None:
    """Conditional and connection headers of a caller never go on; a list is a list."""
    with pytest.raises(ValidationError):
        NAMES.validate_python(names)


def test_names() -> None:
    """Names are kept as they are written, and a range only goes on where it is named."""
    assert NAMES.validate_python(["X-Forwarded-For", "range"]) == ("X-Forwarded-For", "range")


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20).map("hunter2{}".format), max_size=3))
def test_headers_never_break_out(headers: dict[str, str]) -> None:
    """Whatever passes holds no control character and no line end, and no message repeats a value."""
    try:
        found = HEADERS.validate_python(headers)
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        assert "hunter2" not in message
    else:
        assert all(char >= " " or char == "\t" for pair in found.items() for text in pair for char in text)
