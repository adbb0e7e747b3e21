"""`encrypted_body`: made by the definition and by libolm, changed in every way, always one error."""

import base64
import hmac
import json
import os
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.errors import BadEnvelopeError, ConfigError
from ostiary.matrix.envelope import (
    MAX_CIPHERTEXT,
    Envelope,
    format_secret,
    generate_secret,
    parse_secret,
)
from ostiary.matrix.request_body import encrypted_file
from peers.node import NodePeer

SECRET: Final = b"the gateway's private key, fixed"
EPHEMERAL: Final = X25519PrivateKey.from_private_bytes(b"one client's ephemeral key, also")
ENVELOPE: Final = Envelope(SECRET, most_failures=1 << 62)  # one ephemeral key for all tries

BODY: Final[dict[str, Any]] = {
    "file": {
        "url": "mxc://example.org/FHyPlCeYUSFFxlgbQYZmoEoe",
        "v": "v2",
        "key": {
            "alg": "A256CTR",
            "ext": True,
            "k": "aWF6-32KGYaC3A_FEUCk1Bt0JA37zP0wrStgmdCaW-0",
            "key_ops": ["encrypt", "decrypt"],
            "kty": "oct",
        },
        "iv": "w+sE15fzSc0AAAAAAAAAAA",
        "hashes": {"sha256": "fdSLu/YkRx3Wyh3KQabP3rd6+SFiKg5lsJZQHtkSAYA"},
    }
}
FILE: Final = encrypted_file(BODY)
PLAINTEXT: Final = json.dumps(BODY).encode()

Sealed = tuple[str, str, str]


def unpadded(data: bytes) -> str:
    """Return unpadded base64."""
    return base64.b64encode(data).decode().rstrip("=")


def seal(
    plaintext: bytes, secret: bytes = SECRET, ephemeral: X25519PrivateKey = EPHEMERAL
) -> tuple[bytes, bytes, bytes]:
    """Return ciphertext, MAC and ephemeral key, by the definition (Matrix key backup's algorithm)."""
    public = X25519PrivateKey.from_private_bytes(secret).public_key()
    derived = HKDF(hashes.SHA256(), 80, salt=None, info=b"").derive(ephemeral.exchange(public))
    padder = padding.PKCS7(128).padder()
    padded = padder.update(plaintext) + padder.finalize()
    ciphertext = Cipher(AES256(derived[:32]), modes.CBC(derived[64:])).encryptor().update(padded)
    mac = hmac.digest(derived[32:64], b"", "sha256")[:8]  # over nothing: the historic bug
    return ciphertext, mac, ephemeral.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def encoded(ciphertext: bytes, mac: bytes, ephemeral: bytes) -> Sealed:
    """Return the three strings that stand in a request."""
    return unpadded(ciphertext), unpadded(mac), unpadded(ephemeral)


CIPHERTEXT, MAC, EPHEMERAL_PUBLIC = seal(PLAINTEXT)
SEALED: Final = encoded(CIPHERTEXT, MAC, EPHEMERAL_PUBLIC)


def assert_refused(sealed: Sealed) -> None:
    """Check that the envelope is refused, with the error that tells nothing."""
    with pytest.raises(BadEnvelopeError) as caught:
        ENVELOPE.open(*sealed)
    error = caught.value
    assert type(error) is BadEnvelopeError
    assert (error.args, error.__cause__, error.__context__) == (BadEnvelopeError().args, None, None)


def test_an_envelope_by_the_definition_is_opened() -> None:
    """X25519, HKDF-SHA256, AES-256-CBC and a MAC over nothing give the request back."""
    assert ENVELOPE.open(*SEALED) == FILE


def test_padded_base64_is_opened_too() -> None:
    """Some clients pad their base64."""
    ciphertext, mac, ephemeral = (base64.b64encode(part).decode() for part in seal(PLAINTEXT))
    assert ephemeral.endswith("=")
    assert ENVELOPE.open(ciphertext, mac, ephemeral) == FILE


def test_the_mac_binds_nothing() -> None:
    """Why every failure is one error: two bodies under one ephemeral key have the same MAC."""
    other = json.dumps({**BODY, "more": 1}).encode()
    ciphertext, mac, _ = seal(other)
    assert mac == MAC
    assert ENVELOPE.open(unpadded(ciphertext), *SEALED[1:]) == FILE


@pytest.mark.parametrize("block", [0, 1, -3, -2, -1])
def test_each_value_of_each_byte_of_a_block_gives_one_error(block: int) -> None:
    """A padding oracle would ask so: bad padding, MAC, UTF-8, JSON and schema can't be told apart."""
    start = (block % (len(CIPHERTEXT) // 16)) * 16
    for at in range(start, start + 16):
        for value in range(256):
            changed = CIPHERTEXT[:at] + bytes([value]) + CIPHERTEXT[at + 1 :]
            if changed != CIPHERTEXT:
                assert_refused((unpadded(changed), *SEALED[1:]))


def test_each_flipped_bit_gives_one_error() -> None:
    """No bit of ciphertext, MAC or ephemeral key can change unnoticed and leave this request a request.

    But for one: X25519 ignores the highest bit of a public key (RFC 7748, 5).
    """
    parts = (CIPHERTEXT, MAC, EPHEMERAL_PUBLIC)
    opened = []
    for number, part in enumerate(parts):
        for bit in range(len(part) * 8):
            flipped = (int.from_bytes(part, "little") ^ 1 << bit).to_bytes(len(part), "little")
            sealed = encoded(*(flipped if n == number else other for n, other in enumerate(parts)))
            if (number, bit) == (2, 255):
                opened.append(sealed)
            else:
                assert_refused(sealed)
    assert [ENVELOPE.open(*sealed) for sealed in opened] == [FILE]


def test_an_ephemeral_key_that_failed_too_often_opens_nothing() -> None:
    """Nobody gets enough tries for an oracle, however the key is written; other keys are not touched."""
    envelope = Envelope(SECRET, most_failures=16)
    for value in range(16):
        changed = CIPHERTEXT[:-17] + bytes([CIPHERTEXT[-17] ^ (value + 1)]) + CIPHERTEXT[-16:]
        assert envelope.open(*SEALED) == FILE
        with pytest.raises(BadEnvelopeError):
            envelope.open(unpadded(changed), *SEALED[1:])
    for _ in range(20_000):  # more than are remembered: a flood washes nothing away that was asked for twice
        with pytest.raises(BadEnvelopeError):
            envelope.open("", SEALED[1], unpadded(os.urandom(32)))
    other_bit = EPHEMERAL_PUBLIC[:-1] + bytes([EPHEMERAL_PUBLIC[-1] ^ 0x80])
    for ephemeral in (SEALED[2], SEALED[2] + "=", unpadded(other_bit)):
        with pytest.raises(BadEnvelopeError):
            envelope.open(*SEALED[:2], ephemeral)
    assert envelope.open(*encoded(*seal(PLAINTEXT, ephemeral=X25519PrivateKey.generate()))) == FILE


def test_bad_padding_goes_the_way_of_a_garbled_block() -> None:
    """What can't be decrypted is parsed as noise, so that both fail at the same step, as late."""
    changed = CIPHERTEXT[:-17] + bytes([CIPHERTEXT[-17] ^ 0x80]) + CIPHERTEXT[-16:]
    noise = ENVELOPE._plaintext(unpadded(changed), *SEALED[1:])
    assert noise
    with pytest.raises(UnicodeDecodeError):
        noise.decode()


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff" * 40,
        b"\xef\xbb\xbf" + PLAINTEXT,
        PLAINTEXT[:-1],
        PLAINTEXT + b"}",
        PLAINTEXT.replace(b'"v2"', b'"v1"'),
        PLAINTEXT.replace(b"mxc://", b"http://"),
        PLAINTEXT.replace(b"A256CTR", b"A256GCM"),
        PLAINTEXT[:-1] + b',"file":{}}',
        b'{"encrypted_body": {"ciphertext": "a", "mac": "b", "ephemeral": "c"}}',
        b'{"a":' + b"[" * 5000,
    ],
)
def test_what_is_no_request_gives_the_same_error(plaintext: bytes) -> None:
    """A valid envelope around anything else is refused as a broken one is."""
    assert_refused(encoded(*seal(plaintext)))


@pytest.mark.parametrize(
    ("ciphertext", "mac", "ephemeral"),
    [
        ("", *SEALED[1:]),
        (SEALED[0], "", SEALED[2]),
        (SEALED[0], SEALED[1], ""),
        ("", "", ""),
        ("=", "=", "="),
        (SEALED[0][:-1], *SEALED[1:]),
        (SEALED[0][:-4], *SEALED[1:]),
        (unpadded(CIPHERTEXT[:-16]), *SEALED[1:]),
        (unpadded(CIPHERTEXT[16:]), *SEALED[1:]),
        (unpadded(CIPHERTEXT + CIPHERTEXT[-16:]), *SEALED[1:]),
        (SEALED[0].replace("/", "_").replace("+", "-"), *SEALED[1:]),
        (SEALED[0] + " ", *SEALED[1:]),
        ("\n" + SEALED[0], *SEALED[1:]),
        (SEALED[0], unpadded(MAC[:7]), SEALED[2]),
        (SEALED[0], unpadded(MAC[:1]), SEALED[2]),
        (SEALED[0], unpadded(MAC + b"\0"), SEALED[2]),
        (*SEALED[:2], unpadded(EPHEMERAL_PUBLIC[:31])),
        (*SEALED[:2], unpadded(EPHEMERAL_PUBLIC + b"\0")),
        (*SEALED[:2], unpadded(bytes(32))),  # a point of low order: the shared secret would be known
        (*SEALED[:2], unpadded(b"\1" + bytes(31))),
        ("\ud800", "\ud800", "\ud800"),
        ("\0", "\0", "\0"),
        (SEALED[2], SEALED[0], SEALED[1]),
        (SEALED[0], "A" * 1_000_000, SEALED[2]),
        (*SEALED[:2], "A" * 1_000_000),
    ],
)
def test_what_is_no_envelope_gives_the_same_error(ciphertext: str, mac: str, ephemeral: str) -> None:
    """Cut, stretched, swapped, enormous: one error."""
    assert_refused((ciphertext, mac, ephemeral))


def test_the_bound_of_the_ciphertext_is_exact() -> None:
    """A ciphertext of MAX_CIPHERTEXT characters is opened, one block more is refused unread."""
    room = MAX_CIPHERTEXT * 3 // 4 - 1 - len(json.dumps({**BODY, "x": ""}))
    largest = encoded(*seal(json.dumps({**BODY, "x": "x" * room}).encode()))
    assert len(largest[0]) == MAX_CIPHERTEXT
    assert ENVELOPE.open(*largest) == FILE
    assert_refused(encoded(*seal(json.dumps({**BODY, "x": "x" * (room + 1)}).encode())))


texts = st.text() | st.text("ABCDwxyz0189+/=", max_size=90) | st.binary(max_size=80).map(unpadded)


@given(st.just(SEALED[0]) | texts, st.just(SEALED[1]) | texts, st.just(SEALED[2]) | texts)
@example("A" * 22, SEALED[1], SEALED[2])
def test_any_strings_are_a_request_or_the_one_error(ciphertext: str, mac: str, ephemeral: str) -> None:
    """No input raises anything else: a panic of the library would come out here."""
    if (ciphertext, mac, ephemeral) != SEALED:
        assert_refused((ciphertext, mac, ephemeral))


@given(st.binary(max_size=100))
def test_any_plaintext_gives_the_one_error(plaintext: bytes) -> None:
    """Whatever is sealed and is no request is refused alike."""
    assert_refused(encoded(*seal(plaintext)))


def test_another_secret_opens_nothing() -> None:
    """An envelope for somebody else is refused as a broken one: clients then fetch our key anew."""
    with pytest.raises(BadEnvelopeError):
        Envelope(bytes(32)).open(*SEALED)


def test_the_secret_does_not_show() -> None:
    """The envelope's text holds the public key alone."""
    assert repr(ENVELOPE) == f"<Envelope of {ENVELOPE.public_key}>"
    assert ENVELOPE.public_key == unpadded(
        X25519PrivateKey.from_private_bytes(SECRET).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    )
    assert len(ENVELOPE.public_key) == 43


def test_libolm_s_vector() -> None:
    """The keys of RFC 7748, 6.1 and libolm's own test vector of them: made here, and opened."""
    alice = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    vector = ("ntk49j/KozVFtSqJXhCejg", "zpzU6BkZcNI", "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08")
    assert encoded(*seal(b"This is a test", alice, X25519PrivateKey.from_private_bytes(bob))) == vector
    envelope = Envelope(alice)
    assert envelope.public_key == "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo"
    assert envelope._plaintext(*vector) == b"This is a test"
    with pytest.raises(BadEnvelopeError):
        envelope.open(*vector)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_secrets_of_other_sizes_are_refused(size: int) -> None:
    """A private key has 32 bytes."""
    with pytest.raises(ValueError, match="32"):
        Envelope(bytes(size))


def test_secrets_are_made_from_the_given_randomness() -> None:
    """A new secret is 32 bytes of the source, and no two are alike."""
    asked: list[int] = []

    def source(size: int) -> bytes:
        asked.append(size)
        return b"r" * size

    assert generate_secret(source) == b"r" * 32
    assert asked == [32]
    assert generate_secret(os.urandom) != generate_secret(os.urandom)


@given(st.binary(min_size=32, max_size=32))
def test_secrets_round_trip_through_their_file(secret: bytes) -> None:
    """What is written is one line of padded base64 (44 characters), read back with blanks around it."""
    text = format_secret(secret)
    assert len(text) == 45
    assert (
        parse_secret(text)
        == parse_secret(b"\r\n \t" + text + b"\n\n")
        == parse_secret(text.strip())
        == secret
    )


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"A" * 43,
        b"A" * 44,
        b"A" * 42 + b"==",
        b"A" * 43 + b"==",
        b"A" * 22 + b"\n" + b"A" * 21 + b"=",
        b"_" * 43 + b"=",
        b"A" * 42 + b"\xff=",
        b"\xef\xbb\xbf" + b"A" * 43 + b"=",
        b"A" * 43 + b"=#",
        b"0" * 64,
        b"A" * 43 + b"=" + b"A" * 43 + b"=",
        SECRET,
    ],
)
def test_files_that_hold_no_secret(text: bytes) -> None:
    """Anything but padded standard base64 of 32 bytes is refused, with the way out and without the text."""
    with pytest.raises(ConfigError, match="ostiary secret") as caught:
        parse_secret(text)
    assert "AAAA" not in str(caught.value)


@given(st.binary())
def test_any_file_is_a_secret_or_our_error(text: bytes) -> None:
    """No file raises anything but ConfigError."""
    try:
        assert len(parse_secret(text)) == 32
    except ConfigError:
        return


@pytest.mark.peer("node")
@given(seed=st.binary(min_size=32, max_size=32))
def test_libolm_derives_the_same_public_key(node: NodePeer, seed: bytes) -> None:
    """What `public_key` answers is the key that libolm has for the same secret."""
    assert Envelope(seed).public_key == node.public_key(seed)


@pytest.mark.peer("node")
def test_what_libolm_seals_is_opened(node: NodePeer) -> None:
    """Bodies of every length, sealed by the library of the real clients, come out."""
    for length in range(40):
        sealed = node.seal(ENVELOPE.public_key, {**BODY, "x": "y" * length})
        assert sealed.keys() == {"ciphertext", "mac", "ephemeral"}
        assert ENVELOPE.open(**sealed) == FILE


@pytest.mark.peer("node")
@pytest.mark.parametrize("plaintext", ["", "{}", "null", "not JSON", '{"file": {}}', "\u00e4" * 100])
def test_what_libolm_seals_and_is_no_request(node: NodePeer, plaintext: str) -> None:
    """A client that seals anything else gets the one error."""
    sealed = node.seal(ENVELOPE.public_key, plaintext)
    assert_refused((sealed["ciphertext"], sealed["mac"], sealed["ephemeral"]))


@pytest.mark.peer("node")
def test_a_real_attachment_through_a_real_envelope(node: NodePeer) -> None:
    """Encrypted and sealed as a browser does it, the key material arrives."""
    _, info = node.encrypt(b"hello")
    sealed = node.seal(ENVELOPE.public_key, {"file": {**info, "url": "mxc://example.org/abc"}})
    file = ENVELOPE.open(**sealed)
    assert base64.urlsafe_b64encode(file.key).decode().rstrip("=") == info["key"]["k"]
    assert unpadded(file.iv) == info["iv"]
    assert unpadded(file.sha256) == info["hashes"]["sha256"]
