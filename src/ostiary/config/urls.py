"""URLs of other servers. Pure; no error text repeats one, since it may hold a password.

For the same reason a key that holds one that may is left out of its section's `repr`.

Python's parser is lenient (it drops tabs and newlines, and lets odd hosts pass), so the characters
are checked before it and the host after it.
"""

import re
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from ostiary.config.section import Kind, complaint

_CHARACTERS: Final = re.compile(r"[!-~]{1,2000}")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")


def _parts(value: object, schemes: tuple[str, ...]) -> SplitResult:
    expected = f"expected a URL: {' or '.join(f'{scheme}://...' for scheme in schemes)}"
    if not isinstance(value, str) or not _CHARACTERS.fullmatch(value) or "\\" in value:
        raise complaint(expected)
    try:
        parts = urlsplit(value)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise complaint("its host or port can't be read") from None
    if parts.scheme not in schemes or f"{parts.scheme}://" != value[: len(parts.scheme) + 3].lower():
        raise complaint(expected)
    if host and not _HOST.fullmatch(host):
        raise complaint("its host can't be read")
    if port == 0:
        raise complaint("its port can't be 0")
    return parts


def _http_url(value: object) -> object:
    if not _parts(value, ("http", "https")).hostname:
        raise complaint("it names no host")
    return value


def _base_url(value: str) -> str:
    parts = _parts(value, ("http", "https"))
    if "@" in parts.netloc:
        raise complaint("must hold no user name and no password")
    if "?" in value or "#" in value:
        raise complaint("must hold no query and no fragment")
    return value.rstrip("/")


def _redis_url(value: object) -> object:
    _parts(value, ("redis", "rediss", "unix"))
    return value


def _ledger_url(value: object) -> object:
    _parts(value, ("sqlite", "postgresql"))
    return value


_HTTP_SCHEMA: Final = WithJsonSchema({"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://"})

HttpUrl = Annotated[str, BeforeValidator(_http_url), _HTTP_SCHEMA, Kind("URL")]
"""An http(s) URL that may hold a user name and a password."""

BaseUrl = Annotated[str, BeforeValidator(_http_url), AfterValidator(_base_url), _HTTP_SCHEMA, Kind("URL")]
"""An http(s) URL under which paths are put: no user name, no query, no slash at its end."""

RedisUrl = Annotated[str, BeforeValidator(_redis_url), Kind("URL")]

LedgerUrl = Annotated[str, BeforeValidator(_ledger_url), Kind("URL")]
