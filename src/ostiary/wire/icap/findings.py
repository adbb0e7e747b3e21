"""What the headers mean in which ICAP products name what they found. Pure.

X-Infection-Found, X-Violations-Found and X-Virus-ID are those of draft-stecher-icap-subid-00; the others
are the products' own. A header that is there and can't be read is an EngineError: it may be a finding.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ostiary.errors import EngineError
from ostiary.model import Cause, Finding, Forbidden, Infected, Unscannable
from ostiary.wire.icap.head import Head


@dataclass(frozen=True, slots=True)
class Blocked:
    """The server did not let the file pass, and names nothing that it found; `reason` is its own word."""

    reason: str


Reading = Finding | Blocked | None
"""What one header says; None where it says that there is nothing to say."""

NO_THREATS: Final = frozenset(
    {"", "-", "none", "clean", "no threat", "no threats", "no threats found", "no virus"}
)
"""What products write, in some letter case, into a header that would name a threat."""

# Exact texts only: "Ransom.Encrypted" is a threat, and must not become an encrypted archive.
_CAUSES: Final[dict[str, Cause]] = {
    "encrypted": Cause.ENCRYPTED_ARCHIVE,
    "encrypted archive": Cause.ENCRYPTED_ARCHIVE,
    "encrypted container": Cause.ENCRYPTED_ARCHIVE,
    "encrypted container violation": Cause.ENCRYPTED_ARCHIVE,
    "encrypted file": Cause.ENCRYPTED_ARCHIVE,
    "password protected": Cause.ENCRYPTED_ARCHIVE,
    "password protected archive": Cause.ENCRYPTED_ARCHIVE,
    "password-protected archive": Cause.ENCRYPTED_ARCHIVE,
    "archive not supported": Cause.LIMIT,
    "container depth violation": Cause.LIMIT,
    "container size violation": Cause.LIMIT,
    "container violation": Cause.LIMIT,
    "malformed container violation": Cause.LIMIT,
}

# What clamd calls it where it could not look; nobody's own signature has such a name without .UNOFFICIAL.
_HEURISTICS: Final = (
    ("Heuristics.Limits.Exceeded", Cause.LIMIT),
    ("Heuristics.XZ.DicSizeLimit", Cause.LIMIT),
    ("Heuristics.Encrypted.", Cause.ENCRYPTED_ARCHIVE),
    ("Heuristics.OLE2.ContainsMacros", Cause.MACRO),
)

_MALWARE: Final = frozenset({"infected", "malware", "malware found", "virus", "virus found"})
_PASSED: Final = frozenset({"allowed", "passed", "clean", "ok"})
_INFECTION: Final = re.compile(r"Type=([0-9]);\s*Resolution=[0-9];\s*Threat=(.{1,2000})")
_SPACE: Final = re.compile(r"[ \t\n]+")  # of ASCII alone: what else looks like nothing can't be shown
_COUNT: Final = re.compile(r"[0-9]{1,6}")
_LONGEST_NAME: Final = 1024
_VIRUS, _POLICY, _CONTAINER = "0", "1", "2"  # the types of X-Infection-Found
_NAME_LINE: Final = 2  # of X-Violations-Found: the count, then for each a file, a threat and two numbers


def _text(raw: str) -> str:
    """Return a value as it can be shown; EngineError if it can't be."""
    try:
        text = raw.encode("latin-1").decode()
    except UnicodeDecodeError:
        text = raw
    text = _SPACE.sub(" ", text).strip(' "')
    if not text.isprintable() or len(text) > _LONGEST_NAME:
        raise EngineError("named what it found in a way that can't be shown")
    return text


def _named(text: str) -> Finding:
    """Return the finding of a name, which is not empty."""
    if (cause := _CAUSES.get(text.lower())) is not None:
        return Unscannable(cause, f"the ICAP server: {text}")
    if not text.endswith(".UNOFFICIAL"):
        for prefix, cause in _HEURISTICS:
            if text.startswith(prefix):
                return Unscannable(cause, f"the ICAP server: {text}")
    return Infected(text)


def _name(raw: str, _: Head) -> Reading:
    text = _text(raw)
    return None if text.lower() in NO_THREATS else _named(text)


def _infection(raw: str, _: Head) -> Reading:
    match = _INFECTION.fullmatch(raw)
    text = _text(match[2].rstrip("; ")) if match else ""
    if match is None or not text:
        raise EngineError("sent an X-Infection-Found that can't be read")
    if text.lower() in _CAUSES or match[1] == _VIRUS:
        return _named(text)
    if match[1] == _POLICY:
        return Forbidden(text)
    if match[1] == _CONTAINER:
        return Unscannable(Cause.LIMIT, f"the ICAP server: {text}")
    raise EngineError("sent an X-Infection-Found of a type that we do not know")


def _violations(raw: str, _: Head) -> Reading:
    lines = raw.split("\n")
    if not _COUNT.fullmatch(lines[0]):
        raise EngineError("sent an X-Violations-Found that can't be read")
    if int(lines[0]) == 0:
        return None
    text = _text(lines[_NAME_LINE]) if len(lines) > _NAME_LINE else ""
    return _named(text) if text else Blocked("violations found")


def _reason(raw: str, _: Head) -> Reading:
    text = _text(raw)
    if text.lower() in NO_THREATS:
        return None
    if text.lower() in _MALWARE or text.lower() in _CAUSES:
        return _named(text)
    return Blocked(text)


def _info(raw: str, _: Head) -> Reading:
    text = _text(raw)
    return None if text.lower() in _PASSED | NO_THREATS else Blocked(text)


def _f_secure(raw: str, head: Head) -> Reading:
    result = _text(raw).lower()
    if result in {"infected", "suspected", "riskware", "pua", "spyware"}:
        return _named(_text(head.one("x-fsecure-infection-name") or "") or result)
    if result != "clean":
        raise EngineError("sent an X-FSecure-Scan-Result that we do not know")
    warnings = head.listed("x-fsecure-warnings")
    if not warnings:
        return None
    cause = Cause.ENCRYPTED_ARCHIVE if warnings == {"encrypted"} else Cause.LIMIT
    return Unscannable(cause, f"the ICAP server warns: {_text(', '.join(sorted(warnings)))}")


READERS: Final[dict[str, Callable[[str, Head], Reading]]] = {
    "x-infection-found": _infection,
    "x-virus-id": _name,
    "x-virus-name": _name,
    "x-infection-name": _name,
    "x-violations-found": _violations,
    "x-fsecure-scan-result": _f_secure,
    "x-blocked-reason": _reason,
    "x-block-reason": _reason,
    "x-blocked": _reason,
    "x-response-info": _info,
}
"""Each header that a preset may name, in the order in which they are asked: names before reasons."""


def reading(head: Head, headers: frozenset[str]) -> Reading:
    """Return what those of a head's `headers` say: a finding if one has one, else that it was blocked."""
    blocked: Blocked | None = None
    for name, reader in READERS.items():
        value = head.one(name) if name in headers else None
        said = None if value is None else reader(value, head)
        if isinstance(said, Blocked):
            blocked = blocked or said
        elif said is not None:
            return said
    return blocked
