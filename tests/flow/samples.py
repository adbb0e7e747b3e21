"""Media for tests of the flow: small and large, plain and encrypted, and what a caller asks for them with."""

import hashlib
import os
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES256

from ostiary.blob import MEMORY_LIMIT
from ostiary.model import EncryptedFile, MediaRef, MediaRequest
from peers.samples import png

REF: Final = MediaRef("example.org", "id")
PICTURE: Final = png(32, 24)
SMALL: Final = PICTURE
"""Fits in memory."""
LARGE: Final = PICTURE + os.urandom(MEMORY_LIMIT * 2)
"""Is spooled to disk."""

KEY: Final = bytes(range(32))
IV: Final = bytes(range(8)) + bytes(8)


def chunks(data: bytes, size: int = 300_000) -> Sequence[bytes]:
    """Cut the data as a network would."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def encrypted(data: bytes, key: bytes = KEY, iv: bytes = IV) -> bytes:
    """Return the ciphertext of an attachment."""
    encryptor = Cipher(AES256(key), modes.CTR(iv)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def key_of(ciphertext: bytes, key: bytes = KEY, iv: bytes = IV) -> EncryptedFile:
    """Return the key material that comes with a ciphertext."""
    return EncryptedFile(REF, key, iv, hashlib.sha256(ciphertext).digest())


def request(
    file: EncryptedFile | None = None, media_id: str = "id", token: str | None = "tok"
) -> MediaRequest:
    """Return a request for the media."""
    return MediaRequest(MediaRef(REF.server_name, media_id), encrypted=file, token=token)
