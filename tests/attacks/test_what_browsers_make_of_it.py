"""Content sniffing and polyglots: what a browser is told to make of bytes that are several things at once."""

from typing import Final

import pytest

from ostiary.matrix.content_disposition import _INLINE
from tests.attacks.house import PLACE, give
from tests.flow.samples import PICTURE
from tests.matrix.fake_homeserver import media
from tests.web.door import V1, Door

POLYGLOT: Final = b"GIF89a/*" + bytes(64) + b"*/=1;<script>alert(document.domain)</script>"

ACTIVE: Final = (
    "text/html", "TEXT/HTML; charset=utf-7", "application/xhtml+xml", "image/svg+xml", "text/xml", "text/xsl",
    "application/javascript", "text/javascript", "application/pdf", "text/html,x",
    "multipart/x-mixed-replace; boundary=x", "text/plain/html", "*/*", "application/octet-stream", "x",
    "text/html\x0b", "image/png, text/html", "image/png;x=y, text/html", "image/png;x=y, text/javascript",
    'image/png; x="y, text/html"', "image/png; x=y; , text/html", 'image/png;charset="\\",text/html"',
    "message/rfc822", "application/manifest+json", "font/woff2",
)  # fmt: skip


async def headers_of(door: Door, content_type: str, path: str = f"download/{PLACE}") -> dict[str, str]:
    """Return the headers that a browser gets for the polyglot, under a declared type."""
    for place in (f"{V1}/download/{PLACE}", f"{V1}/thumbnail/{PLACE}"):
        door.homeserver.replies[place] = media(POLYGLOT, content_type, content_disposition="inline")
    got = await door.ask(path)
    assert (got.status, got.body) == (200, POLYGLOT)
    return dict(got.headers)


@pytest.mark.parametrize("content_type", ACTIVE)
async def test_what_may_be_active_is_never_shown(door: Door, content_type: str) -> None:
    """Whatever is declared: no sniffing, no scripts, no origin, and nothing inline that could do anything."""
    for path in (f"download/{PLACE}", f"download/{PLACE}/x.html", f"thumbnail/{PLACE}?width=1&height=1"):
        headers = await headers_of(door, content_type, path)
        assert headers["Content-Disposition"].startswith("attachment")
        assert headers["X-Content-Type-Options"] == "nosniff"
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("sandbox; default-src 'none'; script-src 'none';")
        assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert "Set-Cookie" not in headers


async def test_what_is_shown_is_not_active(door: Door) -> None:
    """The list of what may be shown inline holds nothing that browsers run; nosniff holds them to it."""
    assert not {
        kind for kind in _INLINE if any(word in kind for word in ("html", "svg", "xml", "script", "pdf"))
    }
    headers = await headers_of(door, "image/gif")
    assert headers["Content-Disposition"] == "inline"
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_the_answers_text_is_no_page(door: Door) -> None:
    """Refusals are JSON that nobody takes for a page, and repeat nothing of the request."""
    give(door.homeserver, media(PICTURE))
    for path in ("<script>alert(1)</script>", f"download/{PLACE}/a/<script>", "thumbnail/x?width=<script>"):
        got = await door.ask(path)
        assert got.headers["Content-Type"] == "application/json"
        assert got.headers["X-Content-Type-Options"] == "nosniff"
        assert b"script" not in got.body
