"""HTTP headers in the configuration: names and values that can be sent as they are. Pure.

Refuses what would break the framing of our requests (RFC 9112), make the homeserver answer with
less than the whole file, or put somebody else's token in the place of the caller's. Error texts
never repeat a value, nor a name that can't be one: an operator may have pasted a token there.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import AfterValidator, PlainSerializer

from ostiary.config.section import Kind, complaint

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_VISIBLE: Final = r"[!-~\xa0-\ud7ff\ue000-\U0010ffff]"  # no controls, and no half of a pair: UTF-8 holds none
_VALUE: Final = re.compile(rf"{_VISIBLE}(?:(?:[ \t]|{_VISIBLE})*{_VISIBLE})?")

_CONNECTION: Final = frozenset({
    "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
    "upgrade",
})  # fmt: skip
_CONDITIONAL: Final = frozenset({
    "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
})  # fmt: skip


def _name(value: str) -> str:
    lowered = value.lower()
    if not _NAME.fullmatch(value):
        raise complaint("a header's name has letters, digits and '-' only")
    if lowered in _CONNECTION:
        raise complaint(f"{lowered} belongs to each connection and can't be set")
    if lowered in _CONDITIONAL:
        raise complaint(f"{lowered} would make the homeserver answer without the file")
    return value


def _names(values: tuple[str, ...]) -> tuple[str, ...]:
    if len({value.lower() for value in values}) != len(values):
        raise complaint("a header is named twice")
    return values


def _headers(values: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in values.items():
        if _name(name).lower() == "authorization":
            raise complaint("authorization would replace the caller's own token")
        if not _VALUE.fullmatch(value):
            raise complaint("a header's value is one line without control characters, and not empty")
    _names(tuple(values))
    return MappingProxyType(dict(values))


HeaderNames = Annotated[
    tuple[Annotated[str, AfterValidator(_name)], ...], AfterValidator(_names), Kind("list of header names")
]

Headers = Annotated[
    Mapping[str, str],
    AfterValidator(_headers),
    PlainSerializer(dict),
    Kind("mapping of header names to values"),
]
"""Headers as they are sent, read-only. A value may be a secret: keep it out of `repr`."""
