"""docs/reference/protocol.md: every vector recomputed by the definition, by our code and by libolm."""

import base64
import hashlib
import hmac
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ostiary.errors import AttachmentError, BadEnvelopeError
from ostiary.matrix.attachment import Decryptor, verify
from ostiary.matrix.envelope import Envelope
from ostiary.matrix.request_body import encrypted_file
from ostiary.web import errors
from ostiary.wire.multipart import MultipartReader, PartBegin, PartData, boundary_of
from ostiary.wire.strict_json import parse_object
from peers.node import FOLDER, binary
from tests.docs.openapi import EXAMPLES

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "protocol.md"
TEXT: Final = PAGE.read_text()
BLOCKS: Final[list[dict[str, Any]]] = [
    json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
]
VECTORS: Final = {block["vector"]: block for block in BLOCKS if "vector" in block}

ATTACHMENT: Final = VECTORS["attachment"]
ENVELOPE: Final = VECTORS["envelope"]
SEALED: Final[dict[str, str]] = ENVELOPE["encrypted_body"]


def decoded(text: str) -> bytes:
    """Return what unpadded base64 says, in either alphabet."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_" if set("-_") & set(text) else "+/")


def unpadded(data: bytes) -> str:
    """Return unpadded base64."""
    return base64.b64encode(data).decode().rstrip("=")


def raw(key: X25519PrivateKey) -> bytes:
    """Return the public key of a private one."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def sealed(plaintext: str) -> dict[str, str]:
    """Return the envelope of a text, with the vector's derived keys."""
    padder = padding.PKCS7(128).padder()
    padded = padder.update(plaintext.encode()) + padder.finalize()
    key, iv = bytes.fromhex(ENVELOPE["aes_key"]), bytes.fromhex(ENVELOPE["iv"])
    return {**SEALED, "ciphertext": unpadded(Cipher(AES256(key), modes.CBC(iv)).encryptor().update(padded))}


def changed(case: dict[str, Any]) -> dict[str, str]:
    """Return the vector's envelope with a case's change; a case changes something in one way."""
    body = sealed(case["plaintext"]) if "plaintext" in case else dict(SEALED)
    body |= case.get("set", {})
    for name, (at, mask) in case.get("xor", {}).items():
        data = bytearray(decoded(body[name]))
        data[at] ^= mask
        body[name] = unpadded(bytes(data))
    assert body != SEALED
    return body


def test_these_are_the_vectors() -> None:
    """No vector is without its test below, and the OpenAPI file's examples are the same ones."""
    assert set(VECTORS) == {"attachment", "counter", "envelope", "refused", "accepted", "form"}
    assert EXAMPLES["plain"]["value"] == {"file": ATTACHMENT["file"]}
    assert EXAMPLES["sealed"]["value"] == {"encrypted_body": SEALED}


def test_the_attachment() -> None:
    """The ciphertext matches its hash and decrypts to the plaintext."""
    file = encrypted_file({"file": ATTACHMENT["file"]})
    ciphertext = decoded(ATTACHMENT["ciphertext"])
    verify(file.sha256, hashlib.sha256(ciphertext).digest())
    assert Decryptor(file.key, file.iv).update(ciphertext).decode() == ATTACHMENT["plaintext"]
    assert str(file.ref) == ATTACHMENT["file"]["url"]


def test_the_counter_that_overflows() -> None:
    """The two ways to count give two plaintexts, and we refuse the second block."""
    vector = VECTORS["counter"]
    key, iv, ciphertext = decoded(vector["k"]), decoded(vector["iv"]), decoded(vector["ciphertext"])
    assert Cipher(AES256(key), modes.CTR(iv)).encryptor().update(bytes(32)) == ciphertext
    carried = Cipher(AES256(key), modes.CTR(iv)).decryptor().update(ciphertext)
    counters = iv + iv[:8] + bytes(8)
    stream = Cipher(AES256(key), modes.ECB()).encryptor().update(counters)  # noqa: S305  (CTR, by hand)
    wrapped = bytes(a ^ b for a, b in zip(stream, ciphertext, strict=True))
    assert carried.hex() == vector["seen_by_carrying"]
    assert wrapped.hex() == vector["seen_by_wrapping"]
    assert carried[:16] == wrapped[:16] == Decryptor(key, iv).update(ciphertext[:16])
    with pytest.raises(AttachmentError):
        Decryptor(key, iv).update(ciphertext)


def test_each_step_of_the_envelope() -> None:
    """X25519, HKDF, CBC and the MAC over nothing give what stands there."""
    scanner = X25519PrivateKey.from_private_bytes(bytes.fromhex(ENVELOPE["private_key"]))
    client = X25519PrivateKey.from_private_bytes(bytes.fromhex(ENVELOPE["ephemeral_private_key"]))
    shared = client.exchange(scanner.public_key())
    derived = HKDF(hashes.SHA256(), 80, salt=None, info=b"").derive(shared)
    assert unpadded(raw(scanner)) == ENVELOPE["public_key"]
    assert unpadded(raw(client)) == SEALED["ephemeral"]
    assert shared.hex() == ENVELOPE["shared"]
    parts = {"aes_key": derived[:32], "mac_key": derived[32:64], "iv": derived[64:]}
    assert {name: part.hex() for name, part in parts.items()} == {name: ENVELOPE[name] for name in parts}
    assert unpadded(hmac.digest(parts["mac_key"], b"", "sha256")[:8]) == SEALED["mac"]
    assert sealed(ENVELOPE["plaintext"]) == SEALED
    assert json.loads(ENVELOPE["plaintext"]) == {"file": ATTACHMENT["file"]}


def test_the_envelope_opens() -> None:
    """Our gateway with that private key has that public key, and reads the attachment's key material."""
    envelope = Envelope(bytes.fromhex(ENVELOPE["private_key"]))
    assert envelope.public_key == ENVELOPE["public_key"]
    assert envelope.open(**SEALED) == encrypted_file({"file": ATTACHMENT["file"]})


@pytest.mark.parametrize("case", VECTORS["accepted"]["cases"], ids=lambda case: case["why"])
def test_changed_envelopes_that_open(case: dict[str, Any]) -> None:
    """They give the same request."""
    envelope = Envelope(bytes.fromhex(ENVELOPE["private_key"]))
    assert envelope.open(**changed(case)) == envelope.open(**SEALED)


@pytest.mark.parametrize("case", VECTORS["refused"]["cases"], ids=lambda case: case["why"])
def test_changed_envelopes_that_do_not_open(case: dict[str, Any]) -> None:
    """Each is 403 MCS_BAD_DECRYPTION, with one text for all."""
    envelope = Envelope(bytes.fromhex(ENVELOPE["private_key"]))
    with pytest.raises(BadEnvelopeError) as caught:
        envelope.open(**changed(case))
    refusal = errors.refusal_of(caught.value)
    assert refusal == errors.refusal_of(BadEnvelopeError())
    assert (refusal.status, refusal.reason) == (403, "MCS_BAD_DECRYPTION")


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_form(size: int) -> None:
    """Its parts are the key material and the ciphertext, in pieces of any size."""
    vector = VECTORS["form"]
    data = vector["head"].encode() + decoded(vector["file"]) + vector["tail"].encode()
    reader = MultipartReader(boundary_of(vector["content_type"]))
    parts: dict[str | None, bytes] = {}
    name = None
    for at in range(0, len(data), size):
        for event in reader.feed(data[at : at + size]):
            if isinstance(event, PartBegin):
                name = event.name
            elif isinstance(event, PartData):
                parts[name] = parts.get(name, b"") + event.data
    assert reader.eof() == []
    file = encrypted_file(parse_object(parts["body"]), needs_url=False)
    verify(file.sha256, hashlib.sha256(parts["file"]).digest())
    assert Decryptor(file.key, file.iv).update(parts["file"]).decode() == ATTACHMENT["plaintext"]
    assert parts.keys() == {"body", "file"}


@pytest.mark.peer("node")
def test_libolm_opens_the_envelope() -> None:
    """The real clients' library has the same public key for that private one, and the same plaintext."""
    script = """
        import Olm from "@matrix-org/olm";
        await Olm.init();
        const [secret, sealed] = JSON.parse(process.argv.at(-1));
        const decryption = new Olm.PkDecryption();
        const key = decryption.init_with_private_key(Buffer.from(secret, "hex"));
        const plaintext = decryption.decrypt(sealed.ephemeral, sealed.mac, sealed.ciphertext);
        process.stdout.write(JSON.stringify([key, plaintext]));
    """
    node = binary() or shutil.which("node")
    given = json.dumps([ENVELOPE["private_key"], SEALED])
    done = subprocess.run(  # noqa: TID251  (a test may wait)
        [str(node), "--input-type=module", "-e", script, "--", given],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == [ENVELOPE["public_key"], ENVELOPE["plaintext"]]


def test_the_reasons_are_the_codes() -> None:
    """The table of errors has every reason that the gateway can give, and says that there are ten."""
    table = TEXT.partition("### Errors")[2].partition("\n### ")[0]
    table = "\n".join(line.split("|")[2] for line in table.splitlines() if line.startswith("|"))
    reasons = {row[1] for row in errors._TABLE.values()}
    reasons |= {errors.NOT_CLEAN, errors.TYPE_FORBIDDEN, errors.REQUEST_FAILED} | errors._TOKEN_REASONS
    assert set(re.findall(r"`(M(?:CS)?_[A-Z_]+)`", table)) == reasons
    assert len(reasons) == 10


def test_it_is_a_proposal() -> None:
    """It has the sections that the Matrix proposal template asks for, in its order."""
    wanted = ["Proposal", "Potential issues", "Alternatives", "Security considerations", "Unstable prefix"]
    sections = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    assert sections == [*wanted, "Dependencies", "Test vectors"]
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in _titles()}
    for target in re.findall(r"\]\(#([^)]+)\)", TEXT):
        assert target in anchors, target


def _titles() -> list[str]:
    return re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
