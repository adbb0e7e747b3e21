"""The body of a request about an encrypted attachment: a JSON object in, its key material out.

Stands between `ostiary.wire.strict_json` and the flow, and inside the envelope. Strict on what
decides how the file is decrypted, silent about members that it does not know. Errors name the
member and never its value, which may be a key.
"""

import base64
import re
from dataclasses import dataclass, field
from typing import Final

from ostiary.errors import MalformedMediaError, MalformedRequestError
from ostiary.matrix.identifiers import parse_mxc
from ostiary.model import EncryptedFile, MediaRef
from ostiary.wire.strict_json import JsonValue

JsonObject = dict[str, JsonValue]

_STANDARD: Final = "+/"
_URL_SAFE: Final = "-_"

_KEY_SIZE: Final = 32  # AES-256
_IV_SIZE: Final = 16
_SHA256_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class Plain:
    """The body named the attachment and its key openly."""

    file: EncryptedFile


@dataclass(frozen=True, slots=True)
class Enveloped:
    """The body is an `encrypted_body`, unopened: three strings of base64, unchecked."""

    ciphertext: str = field(repr=False)
    mac: str = field(repr=False)
    ephemeral: str = field(repr=False)


def request_object(body: JsonObject, *, needs_url: bool = True) -> Plain | Enveloped:
    """Return what a request body holds; with both `encrypted_body` and `file` the former counts.

    MalformedRequestError if it is neither. `needs_url` is for plain bodies, see `encrypted_file`.
    """
    if "encrypted_body" not in body:
        return Plain(encrypted_file(body, needs_url=needs_url))
    sealed = _object(body, "encrypted_body")
    return Enveloped(
        ciphertext=_string(sealed, "encrypted_body.ciphertext"),
        mac=_string(sealed, "encrypted_body.mac"),
        ephemeral=_string(sealed, "encrypted_body.ephemeral"),
    )


def encrypted_file(body: JsonObject, *, needs_url: bool = True) -> EncryptedFile:
    """Return the EncryptedFile (v2) of a plain request body `{"file": {...}}`.

    `needs_url` is False before an upload: no URI exists then, and none that is there is read
    (clients whose type demands one send a placeholder).
    """
    file = _object(body, "file")
    _expect(file, "file.v", "v2")
    hashes = _object(file, "file.hashes")
    return EncryptedFile(
        ref=_ref(file) if needs_url else None,
        key=_key(_object(file, "file.key")),
        iv=_bytes(file, "file.iv", _IV_SIZE),
        sha256=_bytes(hashes, "file.hashes.sha256", _SHA256_SIZE),
    )


def _key(jwk: JsonObject) -> bytes:
    """Return the bytes of a JSON Web Key as Matrix and W3C WebCrypto want it."""
    _expect(jwk, "file.key.kty", "oct")
    _expect(jwk, "file.key.alg", "A256CTR")
    if jwk.get("ext") is not True:
        raise MalformedRequestError("`file.key.ext` is not true")
    operations = jwk.get("key_ops")
    if not isinstance(operations, list) or "encrypt" not in operations or "decrypt" not in operations:
        raise MalformedRequestError("`file.key.key_ops` is not a list with encrypt and decrypt")
    return _bytes(jwk, "file.key.k", _KEY_SIZE, _URL_SAFE)


def _ref(file: JsonObject) -> MediaRef:
    try:
        return parse_mxc(_string(file, "file.url"))
    except MalformedMediaError:
        raise MalformedRequestError("`file.url` is not an mxc URI") from None


def _bytes(parent: JsonObject, member: str, size: int, alphabet: str = _STANDARD) -> bytes:
    """Return exactly `size` bytes from base64, padded or not, that holds no other characters.

    Unused bits of the last character may be set: decoders that take them (matrix-spec issue 838)
    all drop them, so they can't make two readers see two keys.
    """
    text = _string(parent, member)
    digits = -(-size * 8 // 6)
    padding = -digits % 4 * "="
    if not re.fullmatch(f"[0-9A-Za-z{re.escape(alphabet)}]{{{digits}}}(?:{padding})?", text):
        raise MalformedRequestError(f"`{member}` is not {size} bytes in base64 with {alphabet}")
    return base64.b64decode(text[:digits] + padding, altchars=alphabet)


# Below, `member` is the path of a member in the body, for the error; its last word is its name.


def _object(parent: JsonObject, member: str) -> JsonObject:
    value = _member(parent, member)
    if not isinstance(value, dict):
        raise MalformedRequestError(f"`{member}` is not an object")
    return value


def _string(parent: JsonObject, member: str) -> str:
    value = _member(parent, member)
    if not isinstance(value, str):
        raise MalformedRequestError(f"`{member}` is not a string")
    return value


def _expect(parent: JsonObject, member: str, value: str) -> None:
    if _member(parent, member) != value:
        raise MalformedRequestError(f"`{member}` is not {value}")


def _member(parent: JsonObject, member: str) -> JsonValue:
    return parent.get(member.rpartition(".")[2])
