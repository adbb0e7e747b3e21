"""The headers that every answer, and every media, carries. A closed list: nothing is relayed.

CORS and the content security policy are the Matrix spec's ("Web Browser Clients", "Content
repository"), `nosniff` is ours: a browser must not see another type than the one that was judged.
"""

from collections.abc import Mapping
from typing import Final

EVERYWHERE: Final[Mapping[str, str]] = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": (
        "X-Requested-With, Content-Type, Authorization, Date, Range, If-Range, If-None-Match"
    ),
    "Access-Control-Expose-Headers": "Content-Disposition, Retry-After, ETag, Accept-Ranges, Content-Range",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Server": "ostiary",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; "
        "style-src 'unsafe-inline'; media-src 'self'; object-src 'self';"
    ),
}

NOT_STORED: Final[Mapping[str, str]] = {**EVERYWHERE, "Cache-Control": "no-store"}
"""For refusals and scan results: the next answer may be another one."""

MEDIA: Final[Mapping[str, str]] = {**EVERYWHERE, "Cache-Control": "private"}
"""For media: the caller may keep it, a shared cache between us may not."""
