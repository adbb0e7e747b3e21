"""What an ICAP service says of itself in its answer to OPTIONS (RFC 3507, 4.10.2). Pure."""

import re
from dataclasses import dataclass
from typing import Final

from ostiary.errors import EngineError
from ostiary.wire.icap.head import Head

DEFAULT_TTL: Final = 3600
"""Seconds that the options count where the service does not say for how long."""

LONGEST_TTL: Final = 86_400
"""Seconds that they count at most."""

LARGEST_PREVIEW: Final = 1 << 16
"""Bytes of a preview at most, whatever the service asks for."""

_ISTAG: Final = re.compile(
    r'"([ -!#-~]{1,254})"|([!#-~]{1,256})'
)  # RFC 3507, 4.7: quoted, up to 32 bytes; products do otherwise
_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_UNSHOWN: Final = re.compile(r"[^ -~]")


@dataclass(frozen=True, slots=True)
class Options:
    """One service: `methods` in capitals; `ttl` in seconds, `preview` in bytes (None: none wanted).

    `preview` already follows the Transfer headers for files without an extension, which ours are.
    `max_connections` is None where it does not say.
    """

    methods: frozenset[str]
    istag: str
    service: str
    ttl: int
    preview: int | None
    allow_204: bool
    max_connections: int | None


def istag_of(head: Head) -> str:
    """Return the ISTag, without its quotes; EngineError where there is none (RFC 3507, 4.7 requires it)."""
    text = head.one("istag")
    if text is None:
        raise EngineError("sent no ISTag, so nothing would show when its signatures change")
    match = _ISTAG.fullmatch(text)
    if match is None:
        raise EngineError("sent an ISTag that can't be read")
    return match[1] or match[2]


def parse_options(head: Head) -> Options:
    """Return what the answer's head says; EngineError if that is no answer, or it wants no media."""
    connections = _number(head, "max-connections")
    ttl = _number(head, "options-ttl")
    return Options(
        methods=frozenset(method.upper() for method in head.listed("methods")),
        istag=istag_of(head),
        service=_UNSHOWN.sub("?", head.one("service") or "")[:200],
        ttl=min(DEFAULT_TTL if ttl is None else ttl, LONGEST_TTL),
        preview=_preview(head),
        allow_204="204" in head.listed("allow"),
        max_connections=None if connections is None else max(1, connections),
    )


def _preview(head: Head) -> int | None:
    """Return how much of a file without an extension goes ahead: "*" stands for all that are not listed."""
    if "*" in head.listed("transfer-ignore"):
        raise EngineError(
            "wants files with certain extensions only (Transfer-Ignore: *): it would scan no media"
        )
    size = _number(head, "preview")
    if size is None or "*" in head.listed("transfer-complete"):
        return None
    return min(size, LARGEST_PREVIEW)


def _number(head: Head, name: str) -> int | None:
    text = head.one(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise EngineError(f"sent a header {name} that is no number")
    return int(text)
