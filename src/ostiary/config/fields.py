"""The plain types of the keys: flags, counts, texts, paths, names, media types.

Strict on purpose: YAML has told numbers, texts and flags apart already, and whoever wrote
`port: "8080"` or `workers: true` is told so rather than guessed at. Types that hold addresses are
in `urls.py`, durations and sizes in `values.py`.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, WithJsonSchema

from ostiary.config.section import Kind, complaint, shown

_PART: Final = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"  # RFC 6838, 4.2
_SUBTYPES: Final = r"(?!\S*\*\*)[A-Za-z0-9*][A-Za-z0-9!#$&^_.+*-]{0,126}"
_MIME_TYPE: Final = re.compile(rf"{_PART}/{_SUBTYPES}|\*/\*")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HOST: Final = re.compile(r"[!-~]{1,255}")


def _readable(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise complaint("must be a text on one line, not empty")
    return value


def _path(value: Any) -> str | Path:  # noqa: ANN401  (whatever a file holds)
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise complaint("expected the path of a file or folder, as a text")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise complaint("no file can have this path") from None
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise complaint(f"{shown(value)} is no name: up to 64 letters, digits, '_', '.' and '-'")
    return value


def _mime_type(value: str) -> str:
    if not _MIME_TYPE.fullmatch(value):
        raise complaint(f"{shown(value)} is no media type: write type/subtype, as image/jpeg, or image/*")
    return value.lower()


def _host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise complaint("expected the name or the IP address of an interface")
    return value


Flag = Annotated[bool, Strict(), Kind("true or false")]

Whole = Annotated[int, Strict(), Kind("number")]
"""A whole number; each key adds its bounds."""

Port = Annotated[int, Strict(), Field(ge=0, le=65535), Kind("port")]
"""A TCP port; 0 lets the system choose."""

Text = Annotated[str, AfterValidator(_readable), Kind("text")]

Host = Annotated[str, AfterValidator(_host), Kind("host")]
"""Where a listener listens: a name, an IPv4 or an IPv6 address."""

FilePath = Annotated[
    Path, BeforeValidator(_path), WithJsonSchema({"type": "string", "minLength": 1}), Kind("path")
]
"""A path, kept as it is given: a relative one counts from where the process starts."""

Name = Annotated[str, AfterValidator(_name), Kind("name")]
"""What logs and metrics call something."""

MimeType = Annotated[str, AfterValidator(_mime_type), Kind("media type")]
"""A media type in lower case; `image/*` stands for all images, `application/vnd.ms-*` for what begins so."""

OnUnscannable = Literal["block", "serve"]
"""What becomes of a file that nobody could scan."""
