"""`encrypted_body`: a request body sealed to the gateway's public key (libolm's PkEncryption).

X25519 with an ephemeral key, HKDF-SHA256, AES-256-CBC; it hides media keys from whoever terminates
TLS for us. What this does not promise:

- The MAC is over the empty string, a historic bug that every implementation keeps: it does not bind
  the ciphertext. Whoever sees an envelope can change it and send it again, so any difference
  between two failures would be a padding oracle. All failures are one BadEnvelopeError; and for what
  a clock may still tell, or a change that leaves a valid request, nobody gets enough tries.
- No sender: anybody can seal a body to the public key. No forward secrecy: who gets the secret
  opens every envelope ever recorded. No freshness: an envelope can be sent again.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Final

from vodozemac import Curve25519PublicKey, Curve25519SecretKey, Message, PkDecryption

from ostiary.errors import BadEnvelopeError, ConfigError, MalformedRequestError
from ostiary.lru import SegmentedLru
from ostiary.matrix.request_body import encrypted_file
from ostiary.model import EncryptedFile
from ostiary.wire.strict_json import parse_object

SECRET_SIZE: Final = 32
"""Bytes of an X25519 private key."""

MAX_CIPHERTEXT: Final = 1 << 16
"""Characters of a ciphertext; a real one has about a thousand."""

_MAX_PART: Final = 64  # characters of a MAC (11) or an ephemeral key (43), padding included
_MAC_SIZE: Final = 8  # vodozemac takes shorter ones, down to one byte

_NOISE: Final = b"\xff"  # no UTF-8

MOST_FAILURES: Final = 2048
"""Failures under one ephemeral key, after which it opens nothing. Honest clients use one once. Whoever makes
an oracle of us needs it as often for one block, could he see any difference at once; by a clock that
tells microseconds he needs it thousands of times for one byte."""

_REMEMBERED: Final = 10_000  # ephemeral keys that something failed under


class Envelope:
    """Opens envelopes with one private key of 32 bytes (else ValueError), which it never shows."""

    __slots__ = ("_decryption", "_failures", "_most_failures", "public_key")

    public_key: str
    """What clients seal to: X25519, unpadded base64."""

    def __init__(self, secret: bytes, *, most_failures: int = MOST_FAILURES) -> None:
        self._decryption = PkDecryption.from_key(Curve25519SecretKey.from_bytes(secret))
        self.public_key = self._decryption.public_key.to_base64()
        self._most_failures = most_failures
        self._failures: SegmentedLru[bytes, int] = SegmentedLru(_REMEMBERED)

    def open(self, ciphertext: str, mac: str, ephemeral: str) -> EncryptedFile:
        """Return the request that the envelope holds. BadEnvelopeError, always the same, if none.

        And if too many with the same ephemeral key held none: those are somebody's experiments.
        """
        index = _index(ephemeral)
        failures = self._failures.get(index) or 0
        file = None if failures >= self._most_failures else self._opened(ciphertext, mac, ephemeral)
        if file is None:
            self._failures.put(index, failures + 1)
            raise BadEnvelopeError  # out here nothing is being handled: no cause hangs on it
        return file

    def __repr__(self) -> str:
        return f"<Envelope of {self.public_key}>"

    def _opened(self, ciphertext: str, mac: str, ephemeral: str) -> EncryptedFile | None:
        plaintext = self._plaintext(ciphertext, mac, ephemeral)
        try:
            return encrypted_file(parse_object(plaintext))
        except MalformedRequestError:
            return None

    def _plaintext(self, ciphertext: str, mac: str, ephemeral: str) -> bytes:
        """Return what was sealed, or noise: bad padding then fails where a garbled block does, as late."""
        if len(ciphertext) > MAX_CIPHERTEXT or len(mac) > _MAX_PART or len(ephemeral) > _MAX_PART:
            return _NOISE
        try:
            # Base64 padding is refused by vodozemac, and sent by some clients.
            message = Message.from_base64(ciphertext.rstrip("="), mac.rstrip("="), ephemeral.rstrip("="))
            return self._decryption.decrypt(message) if len(message.mac) == _MAC_SIZE else _NOISE
        except ValueError:  # all that vodozemac raises are
            return _NOISE


def _index(ephemeral: str) -> bytes:
    """Return what stands for an ephemeral key, in whatever way it is written; bytes of any size for none."""
    try:
        key = bytearray(Curve25519PublicKey.from_base64(ephemeral.rstrip("=")).to_bytes())
    except ValueError:
        return b""
    key[-1] &= 0x7F  # X25519 ignores the last bit (RFC 7748, 5)
    return bytes(key)


def generate_secret(random: Callable[[int], bytes]) -> bytes:
    """Return a new private key; `random` is a cryptographic source such as `secrets.token_bytes`."""
    return random(SECRET_SIZE)


def parse_secret(text: bytes) -> bytes:
    """Return the private key from its file: padded standard base64, blanks around it are ignored."""
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        secret = b""
    if len(secret) != SECRET_SIZE:
        raise ConfigError(
            "the request secret is not padded base64 of 32 bytes: `ostiary secret FILE` makes a new one"
        )
    return secret


def format_secret(secret: bytes) -> bytes:
    """Return what `parse_secret` reads, as one line."""
    return base64.b64encode(secret) + b"\n"
