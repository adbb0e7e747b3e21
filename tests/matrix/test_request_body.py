"""The request body about an encrypted attachment: what is demanded of it, member by member."""

import base64
import copy
import json
from typing import Any, Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.errors import MalformedRequestError
from ostiary.matrix.request_body import Enveloped, JsonObject, Plain, encrypted_file, request_object
from ostiary.model import EncryptedFile, MediaRef
from peers.node import NodePeer

# The specification's example (client-server API, "Sending encrypted attachments").
SPEC_FILE: Final = {
    "url": "mxc://example.org/FHyPlCeYUSFFxlgbQYZmoEoe",
    "mimetype": "image/jpeg",
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
EXPECTED = EncryptedFile(
    ref=MediaRef("example.org", "FHyPlCeYUSFFxlgbQYZmoEoe"),
    key=bytes.fromhex("69617afb7d8a198682dc0fc51140a4d41b74240dfbccfd30ad2b6099d09a5bed"),
    iv=bytes.fromhex("c3eb04d797f349cd0000000000000000"),
    sha256=bytes.fromhex("7dd48bbbf624471dd6ca1dca41a6cfdeb77af921622a0e65b096501ed9120180"),
)
SEALED: JsonObject = {"ciphertext": "c", "mac": "m", "ephemeral": "e"}

MISSING = object()


def body(path: str = "", value: object = MISSING) -> JsonObject:
    """Return the example's body with one member, named by its path, replaced or left out."""
    made: dict[str, Any] = {"file": copy.deepcopy(SPEC_FILE)}
    if path:
        *parents, name = path.split(".")
        parent = made
        for step in parents:
            parent = parent[step]
        del parent[name]
        if value is not MISSING:
            parent[name] = value
    return made


def test_the_specification_s_example() -> None:
    """Every part of the example is read, and members that we don't know are ignored."""
    assert encrypted_file(body()) == EXPECTED
    assert request_object(body()) == Plain(EXPECTED)
    more = cast("JsonObject", {**body(), "extra": [1], "event_id": None})
    assert request_object(more) == Plain(EXPECTED)


@pytest.mark.parametrize(
    ("path", "text", "padding"),
    [
        ("file.key.k", "aWF6-32KGYaC3A_FEUCk1Bt0JA37zP0wrStgmdCaW-0", "="),
        ("file.iv", "w+sE15fzSc0AAAAAAAAAAA", "=="),
        ("file.hashes.sha256", "fdSLu/YkRx3Wyh3KQabP3rd6+SFiKg5lsJZQHtkSAYA", "="),
    ],
)
def test_padded_base64_is_read_too(path: str, text: str, padding: str) -> None:
    """Padding may be there, whole, or not at all."""
    assert encrypted_file(body(path, text + padding)) == EXPECTED
    for wrong in {"=", "==", "==="} - {padding}:
        with pytest.raises(MalformedRequestError, match=path):
            encrypted_file(body(path, text + wrong))


def test_unused_bits_may_be_set() -> None:
    """Base64 of 32 bytes has two bits over, of 16 bytes four: old clients set them, all drop them."""
    assert encrypted_file(body("file.key.k", "aWF6-32KGYaC3A_FEUCk1Bt0JA37zP0wrStgmdCaW-3")) == EXPECTED
    assert encrypted_file(body("file.iv", "w+sE15fzSc0AAAAAAAAAAP")) == EXPECTED


WRONG: dict[str, list[object]] = {
    "file": [MISSING, None, [], "mxc://a/b"],
    "file.v": [MISSING, None, "v1", "v0", "V2", "", 2, True],
    "file.url": [MISSING, None, "", 1, "http://a/b", "mxc://a/..", "mxc://a/b/c", "mxc://a/secret.id"],
    "file.key": [MISSING, None, [], "aWF6"],
    "file.key.kty": [MISSING, None, "RSA", "OCT", 1],
    "file.key.alg": [MISSING, None, "A128CTR", "A256GCM", "a256ctr", ["A256CTR"]],
    "file.key.ext": [MISSING, None, False, 1, "true"],
    "file.key.key_ops": [
        MISSING,
        None,
        [],
        ["encrypt"],
        ["decrypt"],
        "encrypt decrypt",
        {"encrypt": 1, "decrypt": 1},
    ],
    "file.key.k": [
        MISSING,
        None,
        1,
        "",
        "secret",
        "A" * 42,
        "A" * 44,
        "A" * 43 + "\n",
        "A" * 42 + "+",
        "A" * 42 + "/",
    ],
    "file.iv": [
        MISSING,
        None,
        1,
        "",
        "A" * 21,
        "A" * 23,
        "A" * 11,
        "A" * 21 + "-",
        "A" * 21 + "_",
        "A" * 21 + "\u0661",
    ],
    "file.hashes": [MISSING, None, [], "sha256"],
    "file.hashes.sha256": [
        MISSING,
        None,
        1,
        "",
        "A" * 42,
        "A" * 44,
        "A" * 42 + "-",
        " " + "A" * 43,
        "7dd48bbb" * 8,
    ],
}


@pytest.mark.parametrize(
    ("path", "value"), [(path, value) for path, values in WRONG.items() for value in values]
)
def test_each_member_is_checked(path: str, value: object) -> None:
    """A missing, mistyped or wrong member is named in the error, and its value is not."""
    with pytest.raises(MalformedRequestError, match=f"`{path}` is not ") as caught:
        request_object(body(path, value))
    assert "secret" not in str(caught.value)


def test_before_an_upload_no_url_is_needed() -> None:
    """Without a URI, or with a placeholder, the key material alone is read, if the caller says so."""
    expected = EncryptedFile(ref=None, key=EXPECTED.key, iv=EXPECTED.iv, sha256=EXPECTED.sha256)
    for url in (MISSING, "", "mxc://a/b", None):
        assert request_object(body("file.url", url), needs_url=False) == Plain(expected)
    with pytest.raises(MalformedRequestError, match=r"`file\.v`"):
        request_object(body("file.v"), needs_url=False)


def test_an_envelope_counts_before_a_file() -> None:
    """With both members the envelope is what is meant; the file beside it is not even read."""
    enveloped = Enveloped(ciphertext="c", mac="m", ephemeral="e")
    assert request_object({"encrypted_body": SEALED}) == enveloped
    assert request_object({"encrypted_body": {**SEALED, "more": 1}, **body()}) == enveloped
    assert request_object({"encrypted_body": SEALED, "file": 1}) == enveloped


@pytest.mark.parametrize("value", [None, [], "text", 1, {}, *({**SEALED, name: None} for name in SEALED)])
def test_an_envelope_that_is_none(value: object) -> None:
    """Its three members must be strings, and a file beside it saves nothing."""
    with pytest.raises(MalformedRequestError, match="encrypted_body"):
        request_object({"encrypted_body": cast("Any", value), **body()})


def test_an_empty_body() -> None:
    """A body with neither member is told what is missing."""
    with pytest.raises(MalformedRequestError, match=r"`file` is not an object"):
        request_object({})


def test_key_material_does_not_show() -> None:
    """Neither kind of request shows key, hash or envelope in its text."""
    plain = repr(request_object(body()))
    assert "FHyPlCeYUSFFxlgbQYZmoEoe" in plain
    for secret in (EXPECTED.key, EXPECTED.iv, EXPECTED.sha256):
        assert repr(secret) not in plain
    assert repr(request_object({"encrypted_body": SEALED})) == "Enveloped()"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([*WRONG, "encrypted_body"]), json_values)
def test_any_member_may_be_anything(path: str, value: object) -> None:
    """Whatever stands in a member, the body is read or refused with our error."""
    made = {**body(), "encrypted_body": value} if path == "encrypted_body" else body(path, value)
    try:
        request_object(cast("JsonObject", made))
    except MalformedRequestError:
        return


@given(
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=32, max_size=32),
)
def test_key_material_round_trips(key: bytes, iv: bytes, sha256: bytes) -> None:
    """All bytes of key, IV and hash come out as they were encoded."""
    made = cast("Any", body())
    made["file"]["key"]["k"] = base64.urlsafe_b64encode(key).decode().rstrip("=")
    made["file"]["iv"] = base64.b64encode(iv).decode().rstrip("=")
    made["file"]["hashes"]["sha256"] = base64.b64encode(sha256).decode()
    assert encrypted_file(made) == EncryptedFile(ref=EXPECTED.ref, key=key, iv=iv, sha256=sha256)


@pytest.mark.peer("node")
@pytest.mark.parametrize("native", [False, True], ids=["browser", "bot"])
def test_what_clients_send_is_read(node: NodePeer, *, native: bool) -> None:
    """The key material of both implementations of the clients' library passes as it is."""
    _, info = node.encrypt(b"hello", native=native)
    sent = json.loads(json.dumps({"file": {**info, "url": "mxc://example.org/abc"}}))
    assert encrypted_file(sent).ref == MediaRef("example.org", "abc")
