"""The key file of the scanners before us: a libolm PkDecryption pickle and its passphrase. Pure.

Unpadded base64 of AES-256-CBC(version, public key, private key) and 8 bytes of HMAC-SHA256 over the
ciphertext; the keys come from the passphrase by HKDF alone, without a salt and without a cost, so the
passphrase protects the file no better than it resists guessing. Read once, at start or by `migrate`;
made once, at a first start without one. No error text repeats the passphrase or a byte of the key.
"""

import base64
import binascii
import hmac
from typing import Final

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ostiary.errors import ConfigError

MAX_PICKLE: Final = 4096
"""Bytes of a key file; a real one has 118."""

_VERSION: Final = (1).to_bytes(4, "big")  # libolm never had another for this kind of pickle
_KEY_SIZE: Final = 32  # X25519, either half
_BLOCK: Final = 16  # AES
_MAC_SIZE: Final = 8
_SECRET_FILE: Final = 32  # decoded size of a request secret, which is sometimes put in a pickle's place


def read_pickle(text: bytes, passphrase: bytes) -> bytes:
    """Return the private key, 32 bytes; blanks around the text are ignored. ConfigError if there is none.

    The passphrase is the bytes of its UTF-8, as libolm takes it: a line break at its end counts.
    """
    ciphertext, mac = _parts(text)
    key, mac_key, iv = _derived(passphrase)
    if not hmac.compare_digest(_mac(mac_key, ciphertext), mac):
        raise ConfigError("the passphrase is not the one this key file was made with, or the file is damaged")
    return _private_key(_decrypted(ciphertext, key, iv))


def format_pickle(private: bytes, passphrase: bytes) -> bytes:
    """Return the text that `read_pickle` takes, byte by byte libolm's own: no padding, no line break."""
    key, mac_key, iv = _derived(passphrase)
    padder = padding.PKCS7(8 * _BLOCK).padder()
    padded = padder.update(_VERSION + _public_key(private) + private) + padder.finalize()
    encryptor = Cipher(AES256(key), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padded) + encryptor.finalize()
    return base64.b64encode(ciphertext + _mac(mac_key, ciphertext)).rstrip(b"=")


def _derived(passphrase: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the AES key, the MAC's key, and the IV."""
    derived = HKDF(hashes.SHA256(), 80, salt=None, info=b"Pickle").derive(passphrase)
    return derived[:32], derived[32:64], derived[64:]


def _mac(key: bytes, ciphertext: bytes) -> bytes:
    return hmac.digest(key, ciphertext, "sha256")[:_MAC_SIZE]


def _public_key(private: bytes) -> bytes:
    public = X25519PrivateKey.from_private_bytes(private).public_key()
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _parts(text: bytes) -> tuple[bytes, bytes]:
    """Return the ciphertext and its MAC."""
    text = text.strip()
    if not text:
        raise ConfigError("the key file is empty")
    data = _unpadded_base64(text) if len(text) <= MAX_PICKLE else b""
    if len(data) == _SECRET_FILE:
        raise ConfigError(
            "this is a request secret, no legacy key file: name it in crypto.request_secret_path"
        )
    if len(data) < _BLOCK + _MAC_SIZE or (len(data) - _MAC_SIZE) % _BLOCK:
        raise ConfigError("this is no key file of a legacy scanner (a libolm pickle: one line of base64)")
    return data[:-_MAC_SIZE], data[-_MAC_SIZE:]


def _unpadded_base64(text: bytes) -> bytes:
    """Return what the text holds, nothing where no encoder writes it so. Padding may have been added."""
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return b""
    written = base64.b64encode(data)
    return data if text in {written, written.rstrip(b"=")} else b""


def _decrypted(ciphertext: bytes, key: bytes, iv: bytes) -> bytes:
    decryptor = Cipher(AES256(key), modes.CBC(iv)).decryptor()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    unpadder = padding.PKCS7(8 * _BLOCK).unpadder()
    try:
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise ConfigError(
            "the passphrase fits, and what the key file holds does not: it is damaged"
        ) from None


def _private_key(plaintext: bytes) -> bytes:
    """Return the private half, after a look at the rest."""
    if len(plaintext) != len(_VERSION) + 2 * _KEY_SIZE:
        raise ConfigError("this libolm pickle is no scanner's key pair (PkDecryption), but of another kind")
    if not plaintext.startswith(_VERSION):
        raise ConfigError("this key file has a version that no scanner ever wrote")
    public, private = plaintext[4 : 4 + _KEY_SIZE], plaintext[4 + _KEY_SIZE :]
    if _public_key(private) != public:
        raise ConfigError("the two halves of the key in this file do not belong together: it is damaged")
    return private
