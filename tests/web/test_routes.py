"""Routes: a method and a raw target become a call, or one of our errors, and nothing else."""

from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.errors import (
    InvalidParameterError,
    MalformedMediaError,
    NoSuchRouteError,
    OstiaryError,
    WrongMethodError,
)
from ostiary.model import MediaRef, ResizeMethod, Thumbnail
from ostiary.web.routes import PREFIX, Call, Route, match

REF = MediaRef("example.org:8448", "AbC-_123")
PLACE = "example.org:8448/AbC-_123"


@pytest.mark.parametrize(
    ("method", "target", "call"),
    [
        ("GET", "/health", Call(Route.HEALTH)),
        ("GET", "/ready", Call(Route.READY)),
        ("GET", PREFIX + "public_key", Call(Route.PUBLIC_KEY)),
        ("GET", PREFIX + "public_key/", Call(Route.PUBLIC_KEY)),
        ("GET", PREFIX + "scan/" + PLACE, Call(Route.SCAN, REF)),
        ("HEAD", PREFIX + "download/" + PLACE, Call(Route.DOWNLOAD, REF)),
        ("GET", PREFIX + f"download/{PLACE}/a%20b.png", Call(Route.DOWNLOAD, REF, "a b.png")),
        ("GET", PREFIX + f"download/{PLACE}?access_token=abc", Call(Route.DOWNLOAD, REF, token="abc")),
        (
            "GET",
            PREFIX + f"thumbnail/{PLACE}?width=64&height=48&method=crop&animated=false",
            Call(Route.THUMBNAIL, REF, thumbnail=Thumbnail(64, 48, ResizeMethod.CROP, animated=False)),
        ),
        ("POST", PREFIX + "download_encrypted", Call(Route.DOWNLOAD_ENCRYPTED)),
        ("POST", PREFIX + "scan_encrypted", Call(Route.SCAN_ENCRYPTED)),
        ("POST", PREFIX + "scan_file", Call(Route.SCAN_FILE)),
    ],
)
def test_what_clients_send_is_understood(method: str, target: str, call: Call) -> None:
    """Each route, as the clients call it, with and without its optional parts."""
    assert match(method, target) == call


@pytest.mark.parametrize(
    ("method", "target", "error"),
    [
        ("GET", "/", NoSuchRouteError),
        ("GET", "/_matrix/client/v3/sync", NoSuchRouteError),
        ("GET", PREFIX, NoSuchRouteError),
        ("GET", PREFIX + "health", NoSuchRouteError),
        ("GET", PREFIX + "public_key/more", NoSuchRouteError),
        ("POST", PREFIX + "public_key", WrongMethodError),
        ("GET", PREFIX + "scan_encrypted", WrongMethodError),
        ("PUT", PREFIX + "download/" + PLACE, WrongMethodError),
        ("GET", PREFIX + "download/example.org", MalformedMediaError),
        ("GET", PREFIX + "download//" + PLACE, MalformedMediaError),
        ("GET", PREFIX + "scan/" + PLACE + "/name", MalformedMediaError),
        ("GET", PREFIX + "scan/example.org/%2E%2E", MalformedMediaError),
        ("GET", PREFIX + "scan/example.org/a%2Fb", MalformedMediaError),
        ("GET", PREFIX + "scan/example.org/..%2f..%2fclient", MalformedMediaError),
        ("GET", PREFIX + "scan/example.org/a%00", MalformedMediaError),
        ("GET", PREFIX + "scan/example.org/a%ff", MalformedMediaError),
        ("GET", PREFIX + "scan/exa mple/abc", MalformedMediaError),
        ("GET", PREFIX + "scan/a@b/abc", MalformedMediaError),
        ("GET", PREFIX + "scan/example.org/" + "a" * 10_000, MalformedMediaError),
        ("GET", PREFIX + f"thumbnail/{PLACE}", InvalidParameterError),
        ("GET", PREFIX + f"thumbnail/{PLACE}?width=0&height=9", InvalidParameterError),
        ("GET", PREFIX + f"thumbnail/{PLACE}?width=9&height=99999999", InvalidParameterError),
        ("GET", PREFIX + f"thumbnail/{PLACE}?width=9&height=9&method=stretch", InvalidParameterError),
        ("GET", PREFIX + f"thumbnail/{PLACE}?width=9&height=9&animated=maybe", InvalidParameterError),
        ("GET", PREFIX + f"thumbnail/{PLACE}?width=%D9%A3&height=9", InvalidParameterError),
        ("GET", PREFIX + f"scan/{PLACE}?" + "a=b&" * 100, InvalidParameterError),
        ("GET", PREFIX + f"scan/{PLACE}?" + "a" * 10_000, InvalidParameterError),
    ],
)
def test_what_makes_no_sense_is_refused(method: str, target: str, error: type[OstiaryError]) -> None:
    """Wrong paths, methods, references and parameters end here, before anything is fetched."""
    with pytest.raises(error):
        match(method, target)


@given(st.text(max_size=200), st.booleans())
def test_no_target_breaks_the_matcher(text: str, under_prefix: bool) -> None:  # noqa: FBT001
    """Any text is a call or one of our errors."""
    target = (PREFIX if under_prefix else "/") + text
    with suppress(OstiaryError):
        match("GET", target)


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_a_reference_that_passes_can_not_leave_its_path(server: str, media: str) -> None:
    """Whatever is percent-encoded into the segments, what comes out holds no path of its own."""
    try:
        call = match("GET", f"{PREFIX}scan/{quote(server, safe='')}/{quote(media, safe='')}")
    except OstiaryError:
        return
    assert call.ref is not None
    assert call.ref.server_name.isascii()
    assert call.ref.server_name not in {".", ".."}
    assert not set(call.ref.server_name + call.ref.media_id) & set("/\\%?#\0 ")


def test_a_token_is_not_shown() -> None:
    """A call can be logged: the token of its query is not in its repr."""
    assert "s3cret" not in repr(match("GET", PREFIX + f"scan/{PLACE}?access_token=s3cret"))


@pytest.mark.parametrize("start", ["http://example.org", "HTTPS://u:p@[::1]:8080"])
def test_absolute_targets_are_read(start: str) -> None:
    """A target may name the server (RFC 9112, 3.2.2): what counts is the path."""
    assert match("GET", start + PREFIX + "public_key").route is Route.PUBLIC_KEY
    assert match("GET", start + PREFIX + "scan/" + PLACE + "?x=1").ref == REF


def test_an_empty_file_name_is_none() -> None:
    """A slash at the end is ignored, and no more than one."""
    assert match("GET", PREFIX + "download/" + PLACE + "/").filename is None
    with pytest.raises(MalformedMediaError):
        match("GET", PREFIX + "download/" + PLACE + "//")
