"""The requests that we send to an ICAP server (RFC 3507, 4.4 to 4.10). Pure.

What they encapsulate is a neutral HTTP message: one made-up absolute URL without an extension (many
servers skip by extension, and many refuse a relative one), and the type that we detected. Nothing
that a user declares goes out.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

TARGET: Final = "http://scanned.invalid/file"
"""The URL of every file; `.invalid` never resolves (RFC 2606)."""

_USER_AGENT: Final = "Ostiary"
_REQUEST: Final = f"GET {TARGET} HTTP/1.1\r\nHost: scanned.invalid\r\nAccept: */*\r\n\r\n".encode()


class Method(StrEnum):
    """What may be asked."""

    OPTIONS = "OPTIONS"
    REQMOD = "REQMOD"
    RESPMOD = "RESPMOD"


@dataclass(frozen=True, slots=True)
class Service:
    """A service: its whole URL, as it is asked for, and the `Host` that goes with it."""

    url: str
    host: str


def options_request(service: Service) -> bytes:
    """Return the request for what the service offers."""
    return _head(Method.OPTIONS, service, ["Encapsulated: null-body=0"])


def scan_request(
    method: Method, service: Service, content_type: str, size: int, *, preview: int | None, allow_204: bool
) -> bytes:
    """Return all that goes before the first chunk of a body of `size` bytes; `preview` in bytes, None: none.

    206 is never asked for: then a server could refer to bytes that it did not send back.
    """
    if method is Method.RESPMOD:
        message = _http("HTTP/1.1 200 OK", content_type, size)
        where = f"req-hdr=0, res-hdr={len(_REQUEST)}, res-body={len(_REQUEST) + len(message)}"
        message = _REQUEST + message
    else:
        message = _http(f"POST {TARGET} HTTP/1.1\r\nHost: scanned.invalid", content_type, size)
        where = f"req-hdr=0, req-body={len(message)}"
    lines = ["Allow: 204"] if allow_204 else []
    lines += [] if preview is None else [f"Preview: {preview}"]
    return _head(method, service, [*lines, f"Encapsulated: {where}"]) + message


def _head(method: Method, service: Service, lines: list[str]) -> bytes:
    first = [f"{method} {service.url} ICAP/1.0", f"Host: {service.host}", f"User-Agent: {_USER_AGENT}"]
    return "\r\n".join([*first, *lines, "", ""]).encode("ascii")


def _http(first: str, content_type: str, size: int) -> bytes:
    kind = (
        content_type if content_type.isascii() and content_type.isprintable() else "application/octet-stream"
    )
    return f"{first}\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n".encode("ascii")
