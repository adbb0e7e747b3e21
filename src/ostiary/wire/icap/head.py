"""Heads of ICAP and HTTP messages: a first line, then fields, each line ended by CRLF. Pure.

Read strictly, for a field that two readers understand differently can hide a finding: a bare CR or LF,
a control character, a space before the colon or a byte too many is an EngineError. Folded fields
(RFC 2822, 2.2.3, which RFC 3507 builds on) are read, since c-icap writes them: their lines stay apart.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ostiary.errors import EngineError

MAX_HEAD: Final = 1 << 16
"""Bytes of one head, its empty line included."""

MAX_LINE: Final = 8192
"""Bytes of one line of a head."""

MAX_LINES: Final = 200
"""Lines of one head; a folded field may have many."""

END: Final = b"\r\n\r\n"
"""What ends a head."""

_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110, 5.6.2: token
_UNFIT: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # control characters but HTAB
_STATUS: Final = re.compile(r"(ICAP/1\.0|HTTP/1\.[01]) ([1-5][0-9]{2})(?: [ -~\x80-\xff]*)?")
_REQUEST: Final = re.compile(r"([A-Z]{1,20}) ([!-~]{1,2000}) HTTP/1\.[01]")


@dataclass(frozen=True, slots=True)
class Head:
    """The first line, and the fields in their order: a name in lower case, and a value.

    The lines of a folded value are separated by a newline; there is no other one in it.
    """

    first: str
    fields: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        """Return the values of each field of this name (in lower case)."""
        return [value for found, value in self.fields if found == name]

    def one(self, name: str) -> str | None:
        """Return the value of the only field of this name, None without one; EngineError if it has twins."""
        values = self.all(name)
        if len(values) > 1:
            raise EngineError(f"sent the header {name} more than once")
        return values[0] if values else None

    def listed(self, name: str) -> frozenset[str]:
        """Return the members of a comma-separated list, in lower case, over all fields of this name."""
        members = ",".join(self.all(name)).replace("\n", ",").split(",")
        return frozenset(member.strip().lower() for member in members) - {""}


def parse_head(data: bytes) -> Head:
    """Return the head that these bytes are, all of them, the empty line at the end included."""
    if len(data) > MAX_HEAD or not data.endswith(END):
        raise EngineError("sent a head that does not end where it should")
    lines = data[: -len(END)].split(b"\r\n")
    if len(lines) > MAX_LINES or any(len(line) > MAX_LINE for line in lines):
        raise EngineError("sent a head with too many or too long lines")
    if any(not line or _UNFIT.search(line) for line in lines):
        raise EngineError("sent a head with an empty line or a control character in it")
    return Head(lines[0].decode("latin-1"), tuple(_fields(lines[1:])))


def status_of(head: Head, protocol: str) -> int:
    """Return the status code of a response's head; EngineError if it is none of this protocol."""
    match = _STATUS.fullmatch(head.first)
    if match is None or not match[1].startswith(f"{protocol}/"):
        raise EngineError(f"sent no {protocol} status line: is it an ICAP server?")
    return int(match[2])


def request_of(head: Head) -> tuple[str, str]:
    """Return the method and the target of an HTTP request's head; EngineError if it is none."""
    match = _REQUEST.fullmatch(head.first)
    if match is None:
        raise EngineError("sent no HTTP request line where one belongs")
    return match[1], match[2]


def _fields(lines: Sequence[bytes]) -> Iterator[tuple[str, str]]:
    name, value = "", b""
    for line in lines:
        if line[:1] in b" \t":
            if not name:
                raise EngineError("sent a head that begins with a folded line")
            value += b"\n" + line.strip(b" \t")
            continue
        if name:
            yield name, value.decode("latin-1")
        raw, colon, rest = line.partition(b":")
        if not colon or not _NAME.fullmatch(raw):
            raise EngineError("sent a line in its head that is no header")
        name, value = raw.decode("ascii").lower(), rest.strip(b" \t")
    if name:
        yield name, value.decode("latin-1")
