"""Encrypted attachments (Matrix `EncryptedFile` v2): the hash and AES-256-CTR, nothing else.

The second step of the flow after the fetch: `verify` the ciphertext's SHA-256, then decrypt it
for the engines. What this does not promise:

- CTR authenticates nothing. The hash is the client's word, sent beside the key: it proves that we
  judge the bytes that this client will decrypt, not who made them or that they are genuine.
- A wrong key is not noticed. Noise scans clean, so a verdict under one key says nothing about the
  same ciphertext under another; who keeps verdicts, keeps them by key, IV and hash.
- Clients count differently when the low 64 bits of the counter overflow (browsers are told to wrap
  them, native ones carry on): the same file would be two plaintexts, and ours might not be the one
  that is shown. Such files are refused.
"""

import hmac
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES256

from ostiary.errors import AttachmentError

_BLOCK: Final = 16  # bytes that one counter value covers


def verify(expected_sha256: bytes, actual_sha256: bytes) -> None:
    """AttachmentError unless the ciphertext's digest is the one that the client named; constant time."""
    if not hmac.compare_digest(expected_sha256, actual_sha256):
        raise AttachmentError("the file does not match the hash that came with its key")


class Decryptor:
    """Decrypts one attachment from its first byte on. `key` is 32 bytes, `iv` 16 (else ValueError)."""

    __slots__ = ("_context", "_left")

    def __init__(self, key: bytes, iv: bytes) -> None:
        self._context = Cipher(AES256(key), modes.CTR(iv)).decryptor()
        self._left = ((1 << 64) - int.from_bytes(iv[8:])) * _BLOCK  # bytes until the low half overflows

    def update(self, data: bytes) -> bytes:
        """Return the plaintext of the next bytes, as many; AttachmentError if the counter overflows."""
        self._left -= len(data)
        if self._left < 0:
            raise AttachmentError("the file's counter overflows: clients decrypt it in different ways")
        return self._context.update(data)
