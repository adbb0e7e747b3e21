"""Encrypted attachments: published vectors, real clients, and the counter that clients disagree on."""

import base64
import hashlib
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from hypothesis import given
from hypothesis import strategies as st

from ostiary.errors import AttachmentError
from ostiary.matrix.attachment import Decryptor, verify
from ostiary.matrix.request_body import encrypted_file
from peers.node import JsonObject, NodePeer
from peers.processes import PeerError

KEY = bytes(range(32))
IV = b"saltsalt" + bytes(8)


def unpadded(text: str) -> bytes:
    """Return the bytes of unpadded base64."""
    return base64.b64decode(text + "=" * (-len(text) % 4))


def to_unpadded(data: bytes) -> str:
    """Return unpadded base64."""
    return base64.b64encode(data).decode().rstrip("=")


def keystream(size: int, iv: bytes) -> bytes:
    """Return what CTR adds, block for block from the definition: the counter is 128 bits wide."""
    first = int.from_bytes(iv)
    counters = b"".join(((first + n) % (1 << 128)).to_bytes(16) for n in range(size // 16 + 1))
    return Cipher(AES256(KEY), modes.ECB()).encryptor().update(counters)[:size]  # noqa: S305  (one block each)


def added(left: bytes, right: bytes) -> bytes:
    """Return the exclusive or of two strings of one length."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def test_nist_s_vector() -> None:
    """NIST SP 800-38A, F.5.6 (CTR-AES256.Decrypt) comes out."""
    decryptor = Decryptor(
        bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"),
        bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"),
    )
    ciphertext = bytes.fromhex(
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
    )
    assert decryptor.update(ciphertext) == bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )


@pytest.mark.parametrize(
    ("ciphertext", "key", "iv", "sha256", "plaintext"),
    [
        ("", "A" * 43, "A" * 22, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", ""),
        (
            "5xJZTt5cQicm+9f4",
            "/" * 42 + "8",
            "//////////8AAAAAAAAAAA",
            "YzF08lARDdOCzJpzuSwsjTNlQc4pHxpdHcXiD/wpK6k",
            "SGVsbG8sIFdvcmxk",
        ),
        (
            "zhtFStAeFx0s+9L/sSQO+WQMtldqYEHqTxMduJrCIpnkyer09kxJJuA4K+adQE4w+7jZe/vR9kIcqj9rOhDR8Q",
            "/" * 42 + "8",
            "//////////8AAAAAAAAAAA",
            "IOq7/dHHB+mfHfxlRY5XMeCWEwTPmlf4cJcgrkf6fVU",
            "YWxwaGFudW1lcmljYWxseWFscGhhbnVtZXJpY2FsbHlhbHBoYW51bWVyaWNhbGx5YWxwaGFudW1lcmljYWxseQ",
        ),
    ],
)
def test_vectors_of_matrix_encrypt_attachment(
    ciphertext: str, key: str, iv: str, sha256: str, plaintext: str
) -> None:
    """The library's own test vectors of version 2 are verified and decrypted."""
    verify(unpadded(sha256), hashlib.sha256(unpadded(ciphertext)).digest())
    assert Decryptor(unpadded(key), unpadded(iv)).update(unpadded(ciphertext)) == unpadded(plaintext)


@given(st.binary(max_size=200), st.data())
def test_pieces_make_no_difference(plaintext: bytes, data: st.DataObject) -> None:
    """However the ciphertext is cut, each piece gives as many bytes of the one plaintext."""
    ciphertext = added(plaintext, keystream(len(plaintext), IV))
    cuts = data.draw(st.lists(st.integers(0, len(ciphertext)), max_size=5).map(sorted))
    decryptor = Decryptor(KEY, IV)
    pieces = [ciphertext[start:stop] for start, stop in pairwise([0, *cuts, len(ciphertext)])]
    plain = [decryptor.update(piece) for piece in pieces]
    assert b"".join(plain) == plaintext
    assert [len(piece) for piece in plain] == [len(piece) for piece in pieces]


def test_a_wrong_hash_is_refused() -> None:
    """Any other digest, a cut one included, is an AttachmentError."""
    digest = hashlib.sha256(b"x").digest()
    verify(digest, digest)
    for other in (hashlib.sha256(b"y").digest(), digest[:-1], digest + b"\0", b"", digest[:-1] + b"\0"):
        with pytest.raises(AttachmentError, match="hash"):
            verify(other, digest)


@pytest.mark.parametrize(
    ("key", "iv"), [(16, 16), (31, 16), (33, 16), (64, 16), (32, 8), (32, 12), (32, 15), (32, 17)]
)
def test_keys_of_other_sizes_are_refused(key: int, iv: int) -> None:
    """Nothing but AES-256 with a whole counter block is built."""
    with pytest.raises(ValueError, match=r"size|length"):
        Decryptor(bytes(key), bytes(iv))


def test_the_key_does_not_show() -> None:
    """The decryptor's text holds nothing of its key."""
    text = repr(Decryptor(b"K" * 32, b"I" * 16))
    assert "KK" not in text
    assert "II" not in text


@pytest.mark.parametrize("left", [1, 2, 5])
@pytest.mark.parametrize("piece", [1, 7, 16, 1000])
def test_a_counter_that_overflows_is_refused(left: int, piece: int) -> None:
    """Up to the last value of the low 64 bits all is decrypted, and not a byte beyond."""
    iv = b"saltsalt" + ((1 << 64) - left).to_bytes(8)
    plaintext = bytes(range(left * 16))
    ciphertext = added(plaintext, keystream(len(plaintext), iv))
    decryptor = Decryptor(KEY, iv)
    assert (
        b"".join(decryptor.update(ciphertext[n : n + piece]) for n in range(0, len(ciphertext), piece))
        == plaintext
    )
    for _ in range(2):
        with pytest.raises(AttachmentError, match="overflows"):
            decryptor.update(b"x")


def test_a_counter_that_overflows_inside_a_piece_is_refused_whole() -> None:
    """No plaintext of a piece comes out if its end lies beyond the last counter."""
    with pytest.raises(AttachmentError, match="overflows"):
        Decryptor(KEY, b"\xff" * 16).update(bytes(17))


@pytest.mark.peer("node")
@pytest.mark.parametrize("native", [False, True], ids=["browser", "bot"])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1_000_003])
def test_what_clients_encrypt_is_decrypted(node: NodePeer, *, size: int, native: bool) -> None:
    """Attachments of both implementations of the clients' library come out as they went in."""
    plaintext = hashlib.shake_256(b"attachment").digest(size)
    ciphertext, info = node.encrypt(plaintext, native=native)
    file = encrypted_file({"file": {**info, "url": "mxc://example.org/abc"}})
    verify(file.sha256, hashlib.sha256(ciphertext).digest())
    assert Decryptor(file.key, file.iv).update(ciphertext) == plaintext


def made_by_hand(ciphertext: bytes, iv: bytes) -> JsonObject:
    """Return the EncryptedFile of a ciphertext under KEY."""
    return {
        "v": "v2",
        "key": {
            "kty": "oct",
            "alg": "A256CTR",
            "ext": True,
            "key_ops": ["encrypt", "decrypt"],
            "k": base64.urlsafe_b64encode(KEY).decode().rstrip("="),
        },
        "iv": to_unpadded(iv),
        "hashes": {"sha256": to_unpadded(hashlib.sha256(ciphertext).digest())},
    }


@pytest.mark.peer("node")
@pytest.mark.parametrize("native", [False, True], ids=["browser", "bot"])
def test_clients_refuse_what_we_refuse(node: NodePeer, *, native: bool) -> None:
    """A ciphertext with one bit changed fails at its hash there too."""
    ciphertext, info = node.encrypt(b"hello", native=native)
    with pytest.raises(PeerError, match=r"digest|hash"):
        node.decrypt(ciphertext[:-1] + bytes([ciphertext[-1] ^ 1]), info, native=native)


@pytest.mark.peer("node")
def test_clients_disagree_where_the_counter_overflows(node: NodePeer) -> None:
    """The reason why such files are refused: browsers and bots see two plaintexts of one file."""
    iv = b"saltsalt" + b"\xff" * 8
    ciphertext = bytes(32)
    info = made_by_hand(ciphertext, iv)
    browser, bot = node.decrypt(ciphertext, info), node.decrypt(ciphertext, info, native=True)
    assert browser[:16] == bot[:16]
    assert browser[16:] == keystream(16, b"saltsalt" + bytes(8))
    assert bot[16:] == keystream(16, b"saltsalu" + bytes(8))
    with pytest.raises(AttachmentError, match="overflows"):
        Decryptor(KEY, iv).update(ciphertext)
