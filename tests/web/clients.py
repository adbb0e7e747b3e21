"""What clients send: the body for an encrypted attachment, plain and sealed, and forms."""

import base64
import hashlib
import json
from typing import Final

from vodozemac import Curve25519PublicKey, PkEncryption

from tests.flow.samples import IV, KEY

EDGE: Final = "form-edge"
FORM: Final = f"multipart/form-data; boundary={EDGE}"


def unpadded(data: bytes) -> str:
    """Return base64 without padding, as Matrix writes it."""
    return base64.b64encode(data).decode().rstrip("=")


def file_of(ciphertext: bytes, url: str = "mxc://example.org/AbC-_1") -> dict[str, object]:
    """Return the body for an encrypted attachment under the key of `tests.flow.samples`."""
    key = {
        "kty": "oct",
        "alg": "A256CTR",
        "ext": True,
        "key_ops": ["encrypt", "decrypt"],
        "k": base64.urlsafe_b64encode(KEY).decode().rstrip("="),
    }
    hashes = {"sha256": unpadded(hashlib.sha256(ciphertext).digest())}
    return {"file": {"v": "v2", "url": url, "key": key, "iv": unpadded(IV), "hashes": hashes}}


def sealed(public_key: str, body: dict[str, object]) -> dict[str, object]:
    """Return the body in an envelope for that public key."""
    sealer = PkEncryption.from_key(Curve25519PublicKey.from_base64(public_key))
    message = sealer.encrypt(json.dumps(body).encode())
    parts = {"ciphertext": message.ciphertext, "mac": message.mac, "ephemeral": message.ephemeral_key}
    return {"encrypted_body": {name: unpadded(value) for name, value in parts.items()}}


def part(name: str, data: bytes, more: str = "") -> bytes:
    """Return one part of a form; `more` continues its headers."""
    head = f'--{EDGE}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + data + b"\r\n"


END: Final = f"--{EDGE}--\r\n".encode()
