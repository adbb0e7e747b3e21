"""Names of types: the several that one has, and patterns with wildcards that stand for many.

Which of its names a type gets depends on libmagic's version; operators write whichever they know. A
wildcard goes by the names that are detected alone: `application/x-*` is not meant to hold every ZIP,
though some call it application/x-zip. Kinds that can't be told apart for sure are one where they are
blocked, and each its own where they are allowed.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

_DETECTED: Final = (
    "application/x-dosexec application/vnd.microsoft.portable-executable application/x-msdownload",
    "text/javascript application/javascript",
    "application/x-ole-storage application/cdfv2",
    "image/bmp image/x-ms-bmp",
)
"""Names of which any may be detected: with wildcards each of them is meant."""

_ALIKE: Final = ("application/x-executable application/x-pie-executable application/x-sharedlib",)
"""Kinds that bytes don't tell apart: nearly every Linux program is position-independent (PIE), which is a
shared library by its header, and `file` calls it one or the other by its version and the file's mode. Who
blocks one blocks all; an allowed one lets nothing pass that is called otherwise."""

_WRITTEN: Final = (
    *_DETECTED,
    "text/javascript application/javascript application/x-javascript",
    "text/x-powershell application/x-powershell",
    "text/x-msdos-batch application/x-bat application/bat",
    "text/x-script.python text/x-python application/x-python",
    "text/x-shellscript application/x-sh application/x-shellscript",
    "text/x-php application/x-php application/x-httpd-php",
    "text/vbscript text/vbs text/x-vbscript",
    "application/x-ms-shortcut application/x-lnk",
    "application/x-mswinurl application/internet-shortcut",
    "application/x-wsf text/x-wsf",
    "application/java-archive application/x-java-archive application/x-jar",
    "application/x-rar application/vnd.rar application/x-rar-compressed",
    "application/zip application/x-zip-compressed application/x-zip",
    "application/gzip application/x-gzip",
    "application/x-bzip2 application/x-bzip",
    "application/x-msi application/x-ms-installer application/x-windows-installer",
    "application/vnd.sqlite3 application/x-sqlite3",
    "image/x-icon image/vnd.microsoft.icon",
    "audio/x-wav audio/wav audio/vnd.wave",
    "audio/flac audio/x-flac",
    "audio/x-m4a audio/mp4 audio/m4a",
    "video/x-matroska video/matroska",
    "video/x-m4v video/m4v",
    "text/xml application/xml",
    "text/rtf application/rtf",
)
"""Names that an operator may write for a type; a whole one means the type under any of them."""


def _groups(lines: tuple[str, ...]) -> dict[str, frozenset[str]]:
    return {name: frozenset(line.split()) for line in lines for name in line.split()}


_ANY_OF: Final = _groups(_DETECTED)
_SAME_AS: Final = _groups(_WRITTEN)
_LIKE: Final = _groups(_ALIKE)


def matches(kind: str, patterns: Iterable[str]) -> bool:
    """Say whether a type is meant by one of the patterns; `*` in them stands for any letters."""
    return any(_matches(kind, pattern) for pattern in patterns)


def blocks(kind: str, patterns: Iterable[str]) -> bool:
    """Say whether a type, or one that can't be told from it, is meant by one of the patterns."""
    return any(_matches(name, pattern) for pattern in patterns for name in _LIKE.get(kind, (kind,)))


@lru_cache(maxsize=4096)
def _matches(kind: str, pattern: str) -> bool:
    if "*" not in pattern:
        return pattern == kind or pattern in _SAME_AS.get(kind, ())
    return any(fnmatchcase(name, pattern) for name in _ANY_OF.get(kind, (kind,)))


def refused(
    kinds: Iterable[str], *, only: Iterable[str] | None = None, never: Iterable[str] | None = None
) -> str | None:
    """Return the first type that the lists do not let pass: all must be among `only`, none among `never`.

    None: all pass. `never` holds for types that can't be told apart as well.
    """
    for kind in kinds:
        if only is not None and not matches(kind, only):
            return kind
        if never is not None and blocks(kind, never):
            return kind
    return None
