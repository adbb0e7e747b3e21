"""Answers of ICAP servers for tests: those of c-icap as they were measured, and what they are about."""

import hashlib
from typing import Final

from ostiary.errors import EngineError
from ostiary.model import Finding
from ostiary.wire.icap.presets import PRESETS
from ostiary.wire.icap.request import Method
from ostiary.wire.icap.session import Question, ScanExchange

FILE: Final = b"hello, this is a file\r\n0\r\n\r\n that looks like chunks"
"""What the answers below are about."""

ISTAG: Final = b'ISTag: "CI0001-L5CkDhq+qWNs+PZ5DxxXsAAA"\r\n'
CONTINUE: Final = b"ICAP/1.0 100 Continue\r\n\r\n"
UNMODIFIED: Final = (
    b"ICAP/1.0 204 Unmodified\r\nServer: C-ICAP/0.5.10\r\nConnection: keep-alive\r\n" + ISTAG + b"\r\n"
)
ERROR: Final = (
    b"ICAP/1.0 500 Server error\r\nServer: C-ICAP/0.5.10\r\nConnection: close\r\n" + ISTAG + b"\r\n"
)
OPTIONS: Final = (
    b"ICAP/1.0 200 OK\r\nMethods: RESPMOD, REQMOD\r\nService: C-ICAP/0.5.10 server - Antivirus service\r\n"
    + ISTAG
    + b"Transfer-Preview: *\r\nOptions-TTL: 3600\r\nDate: Fri, 20 Nov 2026 13:01:19 GMT\r\nPreview: 1024\r\n"
    b"Allow: 204\r\nEncapsulated: null-body=0\r\n\r\n"
)
INFECTED_FIELDS: Final = (
    b"X-Infection-Found: Type=0; Resolution=2; Threat=Eicar-Test.UNOFFICIAL;\r\n"
    b"X-Violations-Found: 1\r\n\t-\r\n\tEicar-Test.UNOFFICIAL\r\n\t0\r\n\t0\r\n"
)


def chunked(data: bytes, size: int = 1 << 20) -> bytes:
    """Return the data in chunks of that size."""
    pieces = (data[start : start + size] for start in range(0, len(data), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def encapsulating(
    message: bytes, body: bytes, fields: bytes = b"", *, part: str = "res", status: int = 200
) -> bytes:
    """Return an answer with a message in it: its head, and its body as it travels; none if that is empty."""
    names = f"{part}-hdr=0, {part}-body={len(message)}" if body else f"{part}-hdr=0, null-body={len(message)}"
    head = f"ICAP/1.0 {status} OK\r\nServer: C-ICAP/0.5.10\r\nConnection: keep-alive\r\n".encode()
    return head + ISTAG + fields + f"Encapsulated: {names}\r\n\r\n".encode() + message + body


def response(size: int, status: bytes = b"200 OK") -> bytes:
    """Return the head of an HTTP response with a body of that size."""
    return b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nVia: ICAP/1.0 vm\r\n\r\n" % (
        status,
        size,
    )


def request(size: int) -> bytes:
    """Return the head of the HTTP request that we send by REQMOD."""
    return (
        b"POST http://scanned.invalid/file HTTP/1.1\r\nHost: scanned.invalid\r\nContent-Length: %d\r\n\r\n"
        % size
    )


def echo(data: bytes = FILE, size: int = 1 << 20) -> bytes:
    """Return the answer that gives a file back as it was, in chunks of that size."""
    return encapsulating(response(len(data)), chunked(data, size))


INFECTED: Final = encapsulating(response(6, b"403 Forbidden"), chunked(b"<html>"), INFECTED_FIELDS)
PAGE: Final = encapsulating(response(6, b"403 Forbidden"), chunked(b"<html>"))


def question(
    data: bytes = FILE,
    *,
    preset: str = "generic",
    method: Method = Method.RESPMOD,
    preview: int | None = None,
    allow_204: bool = True,
    page_is_infected: bool = False,
) -> Question:
    """Return a question about some bytes."""
    digest = hashlib.sha256(data).digest()
    return Question(method, PRESETS[preset], len(data), digest, preview, allow_204, page_is_infected)


def answered(asked: Question, *pieces: bytes, sent: bool = True) -> Finding | EngineError | None:
    """Feed an answer to a scan; return its outcome, None if there is none yet."""
    exchange = ScanExchange(asked)
    if sent:
        exchange.all_sent()
    try:
        for piece in pieces:
            exchange.feed(piece)
    except EngineError as error:
        return error
    return exchange.finding
