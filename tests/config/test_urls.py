"""URLs: what can be asked, and what a lenient parser would let pass."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ostiary.config.urls import BaseUrl, HttpUrl, LedgerUrl, RedisUrl

ANY = st.text() | st.from_regex(r"(http|https|redis|sqlite|unix|x):?/{0,3}hunter2[!-~]{0,12}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("http://synapse:8008", "http://synapse:8008"),
        ("https://matrix.org/", "https://matrix.org"),
        ("HTTP://h/prefix/", "HTTP://h/prefix"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("http://[::1]:8008", "http://[::1]:8008"),
        ("http://my_service.local", "http://my_service.local"),
    ],
)
def test_base_urls(text: str, value: str) -> None:
    """A base URL keeps its path and loses the slash at its end."""
    assert TypeAdapter(BaseUrl).validate_python(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "", "synapse:8008", "//h", "ftp://h", "http:h", "http:/h", "http:///path", "http://", "http://:80",
        "http://h:0", "http://h:65536", "http://h:x", "http://[::1", "http://[zz]", "http://h h", "http://h\n",
        "http://\th", "http://h\\@evil", "http://h%2f", "http://münchen.example", "http://<h>", None, 5, ["http://h"],
        "http://" + "h" * 3000, "file:///etc/passwd", "https:evil",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [BaseUrl, HttpUrl])
def test_what_is_no_url(kind: Any, text: object) -> None:  # noqa: ANN401  (a type form)
    """Odd schemes, hosts, ports and characters are refused before anybody asks them."""
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(text)


@pytest.mark.parametrize(
    "text", ["http://u@h", "http://u:p@h", "http://@h", "http://h?a", "http://h#a", "http://h?"]
)
def test_a_base_url_has_a_host_and_a_path(text: str) -> None:
    """A user name, a query or a fragment would end up in the middle of what is asked."""
    with pytest.raises(ValidationError):
        TypeAdapter(BaseUrl).validate_python(text)


def test_a_proxy_may_have_a_password() -> None:
    """Where credentials are in place they are kept."""
    assert TypeAdapter(HttpUrl).validate_python("http://u:p@h:3128") == "http://u:p@h:3128"


@given(ANY)
def test_urls_never_raise_anything_else(text: str) -> None:
    """Any text is a URL or a validation error, whose message does not repeat it."""
    for kind in (BaseUrl, HttpUrl, RedisUrl, LedgerUrl):
        try:
            value = TypeAdapter(kind).validate_python(text)
        except ValidationError as error:
            (details,) = error.errors()
            assert "hunter2" not in details["msg"]
        else:
            assert text.startswith(value)
