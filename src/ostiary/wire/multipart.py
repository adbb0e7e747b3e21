"""Multipart bodies (RFC 2046, RFC 7578): bytes in, events out, in linear time and little memory.

Strict, because two readers of one body must find the same parts: lines end in CRLF, a boundary at
the start of any other line is refused (RFC 2046, 5.1.1 forbids it), nothing may stand beside it, and
a part's headers come once each. All but a boundary's length of the input is passed on at once; what
the bytes mean, and two parts of one name, are the caller's matter.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from ostiary.errors import MalformedRequestError

MAX_PARTS: Final = 16
"""Parts of a body."""

MAX_HEADER_BLOCK: Final = 8192
"""Bytes of a part's headers, line ends between them included."""

MAX_HEADERS: Final = 20
"""Headers of a part."""

MAX_FRINGE: Final = 1 << 16
"""Bytes before the first boundary, and again after the last one: nobody reads them."""

_MAX_PADDING: Final = 256  # blanks after a boundary (RFC 2046, transport-padding); nobody sends any

_TCHARS: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, token
_HEADER: Final = re.compile(rf"({_TCHARS}):[ \t]*(.*)")
_KIND: Final = re.compile(rf"[ \t]*({_TCHARS}(?:/{_TCHARS})?)[ \t]*")
_PARAMETER: Final = re.compile(rf';[ \t]*(?:({_TCHARS})=(?:({_TCHARS})|"((?:[^"\\]|\\.)*)"))?[ \t]*')
_BY_BROWSER: Final = re.compile(r'form-data; name="(?P<name>[^"]*)"(?:; filename="(?P<filename>[^"]*)")?')
_ESCAPED: Final = re.compile(r'\\(["\\])')
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046, bchars


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part begins: its `name` and `filename` (Content-Disposition) and `content_type`, unchecked.

    All three are the sender's claims. `name` is None only outside of forms.
    """

    name: str | None
    filename: str | None
    content_type: str | None


@dataclass(frozen=True, slots=True)
class PartData:
    """The next bytes of the part, at least one."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part is complete."""


Event = PartBegin | PartData | PartEnd


class _State(Enum):
    PREAMBLE = auto()
    BOUNDARY_LINE = auto()  # after a boundary: "--" or the end of its line
    HEADERS = auto()
    BODY = auto()
    LAST_LINE = auto()  # after the closing boundary, until the end of its line
    EPILOGUE = auto()
    BROKEN = auto()


def boundary_of(content_type: str, subtype: str = "form-data") -> bytes:
    """Return the boundary that a Content-Type of `multipart/<subtype>` names, 1 to 70 bytes."""
    kind, parameters = _parsed("Content-Type", content_type)
    if kind != f"multipart/{subtype}":
        raise MalformedRequestError(f"the body is not multipart/{subtype}")
    boundary = parameters.get("boundary")
    if boundary is None:
        raise MalformedRequestError("the Content-Type names no boundary")
    if not _BOUNDARY.fullmatch(boundary):
        raise MalformedRequestError("the Content-Type's boundary is not one of RFC 2046, 5.1.1")
    return boundary.encode()


class MultipartReader:
    """Reads one body whose boundary is known; any fault is a MalformedRequestError, and final.

    `form`: every part needs `Content-Disposition: form-data` with a name (RFC 7578); otherwise
    (multipart/mixed) that header is not read.
    """

    def __init__(self, boundary: bytes, *, form: bool = True) -> None:
        # Only the LF and what follows is searched for; what must stand before it is looked at then.
        # As no LF recurs in it, a partial match costs only the bytes that it covers: linear time.
        self._needle = b"\n--" + boundary
        self._form = form
        self._state = _State.PREAMBLE
        self._buffer = b"\r\n"  # so that a boundary on the first line follows a line end like any other
        self._at = 0  # what is before it in the buffer was dealt with
        self._body_start = False  # the CRLF before the body is still in the buffer
        self._scanned = 0  # no end of the headers begins before it in the buffer
        self._fringe = -2  # bytes of the preamble, then of the epilogue; that line end is not counted
        self._parts = 0

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes; return what they complete. Holds back at most a boundary line's start."""
        self._buffer += data
        events: list[Event] = []
        try:
            while self._step(events):
                pass
        except MalformedRequestError:
            self._state, self._buffer, self._at = _State.BROKEN, b"", 0
            raise
        self._buffer = self._buffer[self._at :]
        self._scanned = max(0, self._scanned - self._at)
        self._at = 0
        return events

    def eof(self) -> list[Event]:
        """Say that no more bytes come: MalformedRequestError unless the closing boundary was there.

        The list is always empty, since whatever is held back then is a fault.
        """
        if self._state not in {_State.LAST_LINE, _State.EPILOGUE} or self._buffer.strip(b" \t"):
            self._state = _State.BROKEN
            raise MalformedRequestError("the multipart body ends before its closing boundary")
        return []

    def _step(self, events: list[Event]) -> bool:
        """Go on by one state; return whether more can be done with the bytes at hand."""
        match self._state:
            case _State.PREAMBLE:
                return self._preamble()
            case _State.BOUNDARY_LINE:
                return self._boundary_line()
            case _State.HEADERS:
                return self._headers(events)
            case _State.BODY:
                return self._body(events)
            case _State.LAST_LINE:
                return self._last_line()
            case _State.EPILOGUE:
                return self._epilogue()
            case _State.BROKEN:
                raise MalformedRequestError("the multipart body was refused already")

    def _preamble(self) -> bool:
        delimiter = self._delimiter()
        stop = self._safe_end() if delimiter is None else delimiter
        self._skip_fringe(stop, "preamble")
        if delimiter is None:
            return False
        self._begin_boundary_line(delimiter)
        return True

    def _boundary_line(self) -> bool:
        if self._buffer.startswith(b"--", self._at):
            self._at += 2
            self._state = _State.LAST_LINE
            return True
        end = None if self._buffer[self._at : self._at + 2] == b"-" else self._line_end()
        if end is None:
            return False
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise MalformedRequestError(f"the multipart body has more than {MAX_PARTS} parts")
        self._at = self._scanned = end  # its CRLF stays: with the next it may end empty headers
        self._state = _State.HEADERS
        return True

    def _headers(self, events: list[Event]) -> bool:
        end = self._buffer.find(b"\r\n\r\n", self._scanned)
        size = (len(self._buffer) - 3 if end < 0 else end) - self._at - 2
        if size > MAX_HEADER_BLOCK:
            raise MalformedRequestError(f"a part's headers are longer than {MAX_HEADER_BLOCK} bytes")
        if end < 0:
            self._scanned = max(self._at, len(self._buffer) - 3)
            return False
        if self._buffer.find(self._needle, self._at, end) >= 0:
            raise MalformedRequestError("a boundary stands among a part's headers")
        events.append(_begin(self._buffer[self._at + 2 : end], form=self._form))
        self._at = end + 2  # the CRLF of the empty line stays: a boundary may follow at once
        self._body_start = True
        self._state = _State.BODY
        return True

    def _body(self, events: list[Event]) -> bool:
        delimiter = self._delimiter()
        stop = self._safe_end() if delimiter is None else delimiter
        start = self._at + 2 if self._body_start else self._at
        if stop > start:
            events.append(PartData(self._buffer[start:stop]))
            self._at = stop
            self._body_start = False
        if delimiter is None:
            return False
        events.append(PartEnd())
        self._begin_boundary_line(delimiter)
        return True

    def _last_line(self) -> bool:
        end = self._line_end()
        if end is None:
            return False
        self._at = end + 2
        self._fringe = 0
        self._state = _State.EPILOGUE
        return True

    def _epilogue(self) -> bool:
        self._skip_fringe(len(self._buffer), "epilogue")
        return False

    def _delimiter(self) -> int | None:
        """Return where the next delimiter's CRLF begins; None while there is none."""
        found = self._buffer.find(self._needle, self._at)
        if found < 0:
            return None
        if self._buffer[found - 1] != ord("\r"):  # what is held back always has the byte before it
            raise MalformedRequestError("a boundary follows a bare LF: lines of multipart end in CRLF")
        return found - 1

    def _safe_end(self) -> int:
        """Return where a delimiter that has not arrived whole may begin, at the earliest."""
        return max(self._at, len(self._buffer) - len(self._needle))

    def _begin_boundary_line(self, delimiter: int) -> None:
        self._at = delimiter + 1 + len(self._needle)
        self._state = _State.BOUNDARY_LINE

    def _line_end(self) -> int | None:
        """Return where the CRLF of a boundary's line begins: nothing but blanks may stand before it."""
        line = self._buffer[self._at : self._at + _MAX_PADDING + 2]
        rest = line.lstrip(b" \t")
        if rest.startswith(b"\r\n"):
            return self._at + len(line) - len(rest)
        if rest in {b"", b"\r"} and len(line) < _MAX_PADDING + 2:
            return None
        raise MalformedRequestError("a boundary's line holds more or does not end in CRLF (RFC 2046, 5.1.1)")

    def _skip_fringe(self, stop: int, name: str) -> None:
        self._fringe += stop - self._at
        self._at = stop
        if self._fringe > MAX_FRINGE:
            raise MalformedRequestError(f"the multipart body's {name} is longer than {MAX_FRINGE} bytes")


def _begin(block: bytes, *, form: bool) -> PartBegin:
    """Return what a part's headers say; `block` is without the line ends around it."""
    headers = _parsed_headers(block)
    encoding = headers.get("content-transfer-encoding", "binary").lower()
    if encoding not in {"7bit", "8bit", "binary"}:
        raise MalformedRequestError("a part has a Content-Transfer-Encoding, which RFC 7578, 4.7 forbids")
    content_type = headers.get("content-type")
    if not form:
        return PartBegin(None, None, content_type)
    kind, parameters = _disposition(headers.get("content-disposition", "none"))
    if kind != "form-data" or "name" not in parameters:
        raise MalformedRequestError("a part is not form-data with a name (RFC 7578, 4.2)")
    return PartBegin(parameters["name"], parameters.get("filename"), content_type)


def _parsed_headers(block: bytes) -> dict[str, str]:
    """Return the headers by their lower-case names; each may come once, folded lines are joined."""
    try:
        text = block.decode()  # RFC 7578, 5.1: names and file names are UTF-8
    except UnicodeDecodeError:
        raise MalformedRequestError("a part's headers are not UTF-8") from None
    text = re.sub(r"\r\n(?=[ \t])", "", text)  # RFC 5322, 2.2.3
    lines = text.split("\r\n") if text else []
    if len(lines) > MAX_HEADERS:
        raise MalformedRequestError(f"a part has more than {MAX_HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None or _CONTROL.search(line):
            raise MalformedRequestError("a part has a header that is none")
        name = match[1].lower()
        if name in headers:
            raise MalformedRequestError("a part has the same header twice")
        headers[name] = match[2].rstrip(" \t")
    return headers


def _disposition(value: str) -> tuple[str, dict[str, str]]:
    r"""Return a Content-Disposition's word and parameters.

    Browsers escape quotes as `%22` and nothing else (HTML, "Multipart form data"): a name that ends in
    a backslash is no quoted string, and is then read as they wrote it.
    """
    try:
        return _parsed("Content-Disposition", value)
    except MalformedRequestError:
        written = _BY_BROWSER.fullmatch(value)
        if written is None:
            raise
        return "form-data", {name: text for name, text in written.groupdict().items() if text is not None}


def _parsed(header: str, value: str) -> tuple[str, dict[str, str]]:
    r"""Return a structured header's first word and parameters, names and word in lower case.

    Only `\"` and `\\` are escapes: browsers send the backslashes of a path as they are. Extended
    parameters (`filename*`) stand under their own names: RFC 7578, 4.2 knows none, nobody reads them.
    """
    kind = _KIND.match(value)
    if kind is None:
        raise MalformedRequestError(f"{header} can't be read")
    parameters: dict[str, str] = {}
    at = kind.end()
    while at < len(value):
        match = _PARAMETER.match(value, at)
        if match is None:
            raise MalformedRequestError(f"{header} can't be read")
        at = match.end()
        if match[1] is None:
            continue  # an empty parameter (RFC 9110, 5.6.6)
        name = match[1].lower()
        if name in parameters:
            raise MalformedRequestError(f"{header} has the same parameter twice")
        parameters[name] = match[2] if match[3] is None else _ESCAPED.sub(r"\1", match[3])
    return kind[1].lower(), parameters
