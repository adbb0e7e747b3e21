"""Content-Disposition, read with mistrust and written anew (RFC 6266, Matrix content repository).

What a homeserver sends was chosen by an uploader. So nothing of it is passed on: the file name is
taken out, cleaned, and put into a header of our own; `inline` only for the types that the Matrix
spec calls safe to show ("Serving inline content").
"""

import re
import unicodedata
from contextlib import suppress
from email.message import Message
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

_EXTENDED: Final = re.compile(
    r";\s*filename\*\s*=\s*utf-8'[^'\"]*'([\w!#$&+.^`|~%-]+)\s*(?:;|$)", re.ASCII | re.IGNORECASE
)
_LONGEST_NAME: Final = 200
_MISREAD: Final = frozenset('"\\;%')  # RFC 6266, appendix D; some split at any `;`, or decode `%`
_INLINE: Final = frozenset({
    "text/css", "text/plain", "text/csv", "application/json", "application/ld+json",
    "image/jpeg", "image/gif", "image/png", "image/apng", "image/webp", "image/avif",
    "video/mp4", "video/webm", "video/ogg", "video/quicktime",
    "audio/mp4", "audio/webm", "audio/aac", "audio/mpeg", "audio/ogg", "audio/wave", "audio/wav",
    "audio/x-wav", "audio/x-pn-wav", "audio/flac", "audio/x-flac",
})  # fmt: skip


@lru_cache(1024)  # the same few media are asked for again and again, and the parser is slow
def filename_of(header: str | None) -> str | None:
    """Return the file name that the header gives, cleaned; None where it gives none."""
    if not header:
        return None
    extended = _EXTENDED.search(header)
    if extended is not None:  # RFC 6266, 4.3: it goes before a plain one
        with suppress(UnicodeDecodeError):
            return _cleaned(unquote(extended[1], errors="strict"))
    message = Message()
    message["Content-Disposition"] = header
    try:
        name = message.get_filename()
    except (ValueError, LookupError, TypeError):  # CPython sorts numbered and unnumbered pieces together
        return None
    return _cleaned(name) if name else None


def safe_disposition(header: str | None, content_type: str, requested_name: str | None = None) -> str:
    """Return the header to send: the requested name counts before the homeserver's."""
    name = (_cleaned(requested_name) if requested_name else None) or filename_of(header)
    asked = (header or "inline").partition(";")[0].strip().lower()
    kind = "inline" if asked == "inline" and _type_of(content_type) in _INLINE else "attachment"
    if not name:
        return kind
    plain = "".join(c if c.isascii() and c not in _MISREAD else "_" for c in name)
    if plain == name:
        return f'{kind}; filename="{name}"'
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _type_of(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _cleaned(name: str) -> str | None:
    """Drop control, format (bidirectional overrides!) and surrogate characters; no path separators."""
    kept = (c for c in name if unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"})
    return "".join("_" if c in "/\\" else c for c in kept)[:_LONGEST_NAME].strip() or None
