"""How a command names what a verdict is about. Pure.

`enc:HEX` is the keyed digest that a list shows, `sha256:HEX` the digest of a file that the operator has,
`mxc://SERVER/ID` a media of which the server holds a stored copy.
"""

import re
from dataclasses import dataclass
from typing import Final

from ostiary.errors import MalformedRequestError
from ostiary.matrix.identifiers import parse_mxc
from ostiary.model import MediaRef

_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class KeyedDigest:
    """What verdicts are kept under, 32 bytes."""

    index: bytes

    def __str__(self) -> str:
        """Return it as operators write it."""
        return f"enc:{self.index.hex()}"


@dataclass(frozen=True, slots=True)
class FileDigest:
    """The SHA-256 of a file, 32 bytes."""

    sha256: bytes


Target = KeyedDigest | FileDigest | MediaRef


def parse_target(text: str) -> Target:
    """Return what the text names; MalformedRequestError, or MalformedMediaError for a bad mxc URI."""
    if text.startswith("mxc://"):
        return parse_mxc(text)
    kind, _, digits = text.partition(":")
    if kind not in {"enc", "sha256"} or not _HEX.fullmatch(digits):
        raise MalformedRequestError("expected enc:HEX or sha256:HEX (64 hex digits), or mxc://SERVER/ID")
    digest = bytes.fromhex(digits)
    return KeyedDigest(digest) if kind == "enc" else FileDigest(digest)
