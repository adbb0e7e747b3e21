"""Keyed digests: what stands for content in caches, and in ETags. Pure.

Nobody without the key can ask a cache, or a log, "did someone send this known file?". The key is
derived from the request secret, and from a scope: whatever else a verdict depends on in this
process. The digests of one scope mean nothing in another.
"""

from hashlib import blake2b
from typing import Final

_SIZE: Final = 32
_ETAG_SIZE: Final = 16


class Digests:
    """Makes the digests of one secret (32 bytes) and one scope (any text)."""

    __slots__ = ("_etag_key", "_key")

    def __init__(self, secret: bytes, scope: str = "") -> None:
        self._etag_key = blake2b(key=secret, person=b"ostiary etags", digest_size=_SIZE).digest()
        root = blake2b(scope.encode(), key=secret, person=b"ostiary digests", digest_size=_SIZE)
        self._key = root.digest()

    def content(self, sha256: bytes, *, upload: bool = False) -> bytes:
        """Return what stands for a plaintext, encrypted on its way or not; `sha256` is its digest.

        What was found of an `upload` is kept apart.
        """
        person = b"upload" if upload else b"content"
        return blake2b(sha256, key=self._key, person=person, digest_size=_SIZE).digest()

    def attachment(self, sha256: bytes, key: bytes, iv: bytes) -> bytes:
        """Return what stands for a ciphertext (its digest) under one key and IV, and under no other."""
        return blake2b(
            b"%s%s%s" % (sha256, key, iv), key=self._key, person=b"attachment", digest_size=_SIZE
        ).digest()

    def etag(self, sha256: bytes) -> str:
        """Return the strong ETag (RFC 9110, 8.8.3) of bytes, the same in every scope."""
        return f'"{blake2b(sha256, key=self._etag_key, digest_size=_ETAG_SIZE).hexdigest()}"'
