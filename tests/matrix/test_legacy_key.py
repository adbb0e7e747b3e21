"""A legacy scanner's key file: read and written as libolm does, and every other text is our error."""

import base64
import hmac
from collections.abc import Iterator
from typing import Final

import pytest
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.errors import ConfigError
from ostiary.matrix.envelope import Envelope, format_secret
from ostiary.matrix.legacy_key import MAX_PICKLE, format_pickle, read_pickle
from peers.node import NodePeer
from peers.processes import PeerError

SECRET: Final = bytes.fromhex("00112233445566778899aabbccddeeff" * 2)
PUBLIC: Final = X25519PrivateKey.from_private_bytes(SECRET).public_key().public_bytes_raw()
PASSPHRASE: Final = b"this_is_a_secret"
CONTENT: Final = (1).to_bytes(4, "big") + PUBLIC + SECRET

# Made by @matrix-org/olm 3.2.15 from SECRET with the passphrase "secret".
PUBLISHED: Final = (
    b"4W3gZJApWILTAAa4tUpFt8TOVJVCq0l53xyUZ3S5tqFNHO1zS69qK1WwTiUgosr2rzLq9QAh5StcXmUOMaqcFhtkoLrZEK86xXYEG6"
    b"CqoJGx+yTXGxNAKA"
)


def sealed(content: bytes, passphrase: bytes = PASSPHRASE) -> bytes:
    """Return the bytes of a pickle of any content, by the definition."""
    derived = HKDF(hashes.SHA256(), 80, salt=None, info=b"Pickle").derive(passphrase)
    padder = padding.PKCS7(128).padder()
    padded = padder.update(content) + padder.finalize()
    encryptor = Cipher(AES256(derived[:32]), modes.CBC(derived[64:])).encryptor()
    ciphertext = encryptor.update(padded) + encryptor.finalize()
    return ciphertext + hmac.digest(derived[32:64], ciphertext, "sha256")[:8]


def text_of(data: bytes) -> bytes:
    """Return unpadded base64."""
    return base64.b64encode(data).rstrip(b"=")


PASSPHRASES: Final = (
    "secret",
    "",
    "some random secret",
    "p\u00e4ss\u2028w\U0001f600rd",
    "line\n",
    "x" * 1000,
    "0",
    " ",
)

GOOD: Final = sealed(CONTENT)


@pytest.fixture(scope="module")
def node() -> Iterator[NodePeer]:
    """The real libolm."""
    with NodePeer() as peer:
        yield peer


def test_a_known_pickle_is_read() -> None:
    """A key file that libolm once wrote gives its key, also where no libolm is at hand."""
    assert read_pickle(PUBLISHED, b"secret") == SECRET


@pytest.mark.peer("node")
@pytest.mark.parametrize("passphrase", PASSPHRASES)
def test_libolms_pickles_are_read(node: NodePeer, passphrase: str) -> None:
    """Whatever the passphrase, libolm's own pickle opens to the key whose public half libolm names."""
    text, public_key = node.pickle(passphrase)
    assert Envelope(read_pickle(text.encode(), passphrase.encode())).public_key == public_key
    text, _ = node.pickle(passphrase, SECRET)
    assert read_pickle(text.encode() + b"\n", passphrase.encode()) == SECRET


def test_what_we_write_is_what_libolm_wrote() -> None:
    """The format has no randomness: byte by byte the same file, also where no libolm is at hand."""
    assert format_pickle(SECRET, b"secret") == PUBLISHED


@pytest.mark.peer("node")
@pytest.mark.parametrize("passphrase", PASSPHRASES)
@pytest.mark.parametrize("secret", [SECRET, bytes(32), b"\xff" * 32])
def test_libolm_reads_what_we_write(node: NodePeer, passphrase: str, secret: bytes) -> None:
    """The way back: an old scanner opens our file to the same key, and writes it again byte by byte."""
    text = format_pickle(secret, passphrase.encode()).decode()
    assert node.unpickle(text, passphrase) == Envelope(secret).public_key == node.public_key(secret)
    assert node.pickle(passphrase, secret)[0] == text
    with pytest.raises(PeerError, match="unpickle"):
        node.unpickle(text, passphrase + "x")


@pytest.mark.peer("node")
def test_libolm_can_seal_to_a_migrated_key(node: NodePeer) -> None:
    """A client that cached the public key of the old scanner is understood by the new one."""
    text, public_key = node.pickle("secret")
    envelope = Envelope(read_pickle(text.encode(), b"secret"))
    body = {"file": {
        "url": "mxc://a/b", "v": "v2", "iv": "w+sE15fzSc0AAAAAAAAAAA",
        "key": {"alg": "A256CTR", "ext": True, "kty": "oct", "key_ops": ["encrypt", "decrypt"],
                "k": "aWF6-32KGYaC3A_FEUCk1Bt0JA37zP0wrStgmdCaW-0"},
        "hashes": {"sha256": "fdSLu/YkRx3Wyh3KQabP3rd6+SFiKg5lsJZQHtkSAYA"},
    }}  # fmt: skip
    sent = node.seal(public_key, body)
    assert str(envelope.open(sent["ciphertext"], sent["mac"], sent["ephemeral"]).ref) == "mxc://a/b"


@pytest.mark.peer("node")
def test_other_pickles_of_libolm_are_told_apart(node: NodePeer) -> None:
    """An account's pickle opens with its passphrase and is no scanner's key; without it, nobody can tell."""
    text = node.pickle_account("secret").encode()
    with pytest.raises(ConfigError, match="of another kind"):
        read_pickle(text, b"secret")
    with pytest.raises(ConfigError, match="passphrase"):
        read_pickle(text, b"another")


@pytest.mark.parametrize("around", [b"%s", b"%s\n", b"\r\n %s\t\n\n", b"%s==\n"])
def test_blanks_and_padding_do_not_matter(around: bytes) -> None:
    """An editor may have added a line break, a tool the padding."""
    assert read_pickle(around % text_of(GOOD), PASSPHRASE) == SECRET


@pytest.mark.parametrize(
    ("text", "passphrase", "words"),
    [
        (text_of(GOOD), b"wrong", "the passphrase is not the one"),
        (text_of(GOOD), PASSPHRASE + b"\n", "the passphrase is not the one"),
        (text_of(GOOD), b"", "the passphrase is not the one"),
        (b"", PASSPHRASE, "is empty"),
        (b" \n", PASSPHRASE, "is empty"),
        (format_secret(SECRET), PASSPHRASE, "this is a request secret"),
        (text_of(SECRET), PASSPHRASE, "this is a request secret"),
        (b"-----BEGIN PRIVATE KEY-----", PASSPHRASE, "no key file"),
        (b"\x80\x04\x95", PASSPHRASE, "no key file"),
        (text_of(bytes(8)), PASSPHRASE, "no key file"),
        (text_of(GOOD + b"x"), PASSPHRASE, "no key file"),
        (text_of(GOOD)[:-4], PASSPHRASE, "no key file"),
        (text_of(GOOD) + b"=", PASSPHRASE, "no key file"),
        (text_of(GOOD) + b"===", PASSPHRASE, "no key file"),
        (text_of(GOOD) + b"\n" + text_of(GOOD), PASSPHRASE, "no key file"),
        (base64.urlsafe_b64encode(b"\xff" * 88), PASSPHRASE, "no key file"),
        (b"A" * (MAX_PICKLE + 1), PASSPHRASE, "no key file"),
        (text_of(sealed(CONTENT[:-1])), PASSPHRASE, "of another kind"),
        (text_of(sealed(CONTENT + b"x")), PASSPHRASE, "of another kind"),
        (text_of(sealed(b"")), PASSPHRASE, "of another kind"),
        (text_of(sealed((2).to_bytes(4, "big") + CONTENT[4:])), PASSPHRASE, "version"),
        (text_of(sealed((1).to_bytes(4, "little") + CONTENT[4:])), PASSPHRASE, "version"),
        (text_of(sealed(CONTENT[:4] + SECRET + PUBLIC)), PASSPHRASE, "do not belong together"),
        (text_of(sealed(CONTENT[:4] + bytes(32) + SECRET)), PASSPHRASE, "do not belong together"),
    ],
)
def test_what_is_wrong_is_said(text: bytes, passphrase: bytes, words: str) -> None:
    """A wrong passphrase, a file that is no pickle, and a pickle without the key are told apart."""
    with pytest.raises(ConfigError, match=words) as refused:
        read_pickle(text, passphrase)
    assert "this_is" not in str(refused.value)
    assert str(refused.value).isprintable()


def test_bad_padding_under_a_good_mac_is_an_error() -> None:
    """Whoever knows the passphrase can make such a file: an error of ours, not the library's."""
    derived = HKDF(hashes.SHA256(), 80, salt=None, info=b"Pickle").derive(PASSPHRASE)
    encryptor = Cipher(AES256(derived[:32]), modes.CBC(derived[64:])).encryptor()
    ciphertext = encryptor.update(bytes(80)) + encryptor.finalize()
    mac = hmac.digest(derived[32:64], ciphertext, "sha256")[:8]
    with pytest.raises(ConfigError, match="damaged"):
        read_pickle(text_of(ciphertext + mac), PASSPHRASE)


@pytest.mark.parametrize("position", range(len(GOOD)))
def test_every_byte_is_protected(position: int) -> None:
    """One changed bit anywhere, in the ciphertext or in the MAC, and the file is refused."""
    changed = bytearray(GOOD)
    changed[position] ^= 1
    with pytest.raises(ConfigError, match="damaged"):
        read_pickle(text_of(bytes(changed)), PASSPHRASE)


def test_loose_bits_of_the_last_character_are_refused() -> None:
    """Another text for the same bytes is none that an encoder writes."""
    text = text_of(GOOD)
    loose = text[:-1] + bytes([text[-1] + 1])
    assert base64.b64decode(loose + b"==") == GOOD
    with pytest.raises(ConfigError, match="no key file"):
        read_pickle(loose, PASSPHRASE)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80))
@example(bytes(32), b"")
@example(b"\xff" * 32, b"\0")
def test_every_key_and_passphrase(secret: bytes, passphrase: bytes) -> None:
    """Any 32 bytes are a private key, and any bytes a passphrase."""
    public = X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    text = text_of(sealed(CONTENT[:4] + public + secret, passphrase))
    assert format_pickle(secret, passphrase) == text
    assert len(text) <= MAX_PICKLE
    assert read_pickle(text, passphrase) == secret
    with pytest.raises(ConfigError):
        read_pickle(text, passphrase + b"x")


@given(st.binary(max_size=200) | st.binary(max_size=120).map(text_of), st.binary(max_size=20))
@example(text_of(bytes(24)), b"")
def test_no_file_raises_anything_but_our_error(text: bytes, passphrase: bytes) -> None:
    """Whatever the file holds: our error, since nobody guesses a MAC."""
    with pytest.raises(ConfigError):
        read_pickle(text, passphrase)


@given(st.binary(max_size=150))
def test_no_content_raises_anything_but_our_error(content: bytes) -> None:
    """Nor under a good MAC, whatever it protects."""
    with pytest.raises(ConfigError):
        read_pickle(text_of(sealed(content)), PASSPHRASE)
