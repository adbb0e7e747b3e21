"""`encrypted_body`, changed and sent again: nothing that comes back tells one failure from another."""

import base64
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ostiary.matrix import envelope
from ostiary.wire.strict_json import JsonValue, parse_object
from tests.attacks.house import UNKNOWN, give, remembering
from tests.flow.samples import PICTURE, encrypted
from tests.matrix.fake_homeserver import media
from tests.web.clients import file_of, sealed, unpadded
from tests.web.door import Answer, Door

CIPHERTEXT = encrypted(PICTURE)


def parts(sent: dict[str, Any]) -> dict[str, str]:
    """Return the three strings."""
    found: dict[str, str] = sent["encrypted_body"]
    return found


def changed(sent: dict[str, Any], at: int, value: int) -> dict[str, Any]:
    """Return the envelope with one byte of its ciphertext XORed; `at` may count from the end."""
    text = parts(sent)["ciphertext"]
    data = bytearray(base64.b64decode(text + "=" * (-len(text) % 4)))
    data[at] ^= value
    return {"encrypted_body": {**parts(sent), "ciphertext": unpadded(bytes(data))}}


def seen(got: Answer) -> tuple[int, bytes, tuple[tuple[str, str], ...]]:
    """Return all that an attacker sees of an answer, but for the clock."""
    headers = sorted((name, value) for name, value in got.headers.items() if name != "Date")
    return got.status, got.body, tuple(headers)


def decrypts(door: Door, sent: dict[str, Any]) -> bool:
    """Say whether the padding of the envelope is good, which is what the attacker wants to know."""
    found = parts(sent)
    plain = door.envelope._plaintext(found["ciphertext"], found["mac"], found["ephemeral"])
    return plain != envelope._NOISE


def patient(door: Door) -> None:
    """Let it be asked as often as one likes."""
    door.envelope._most_failures = 1 << 62


@pytest.mark.parametrize("at", [-1, -16, -17, -18, -32, -33, 0])
async def test_all_values_of_a_byte_look_the_same(tmp_path: Path, at: int) -> None:
    """A padding oracle asks 256 times. It gets one status, one text and the same headers."""
    async with remembering(tmp_path) as door:
        patient(door)
        give(door.homeserver, media(CIPHERTEXT))
        sent = sealed(door.envelope.public_key, file_of(CIPHERTEXT))
        variants = [changed(sent, at, value) for value in range(1, 256)]
        paddings = Counter(decrypts(door, variant) for variant in variants)
        assert paddings[True] >= (at == -17)  # there is something to find out
        answers = {seen(await door.ask("download_encrypted", "POST", body=one)) for one in variants}
        ((status, body, _),) = answers
        assert (status, json.loads(body)["reason"]) == (403, "MCS_BAD_DECRYPTION")
        assert door.homeserver.received == []


async def test_every_bit_of_the_last_blocks_looks_the_same(tmp_path: Path) -> None:
    """Bit flipping in the last three blocks and the first: the same answer, never another request."""
    async with remembering(tmp_path) as door:
        patient(door)
        sent = sealed(door.envelope.public_key, file_of(CIPHERTEXT))
        flips = [(at, 1 << bit) for at in (*range(-48, 0), *range(16)) for bit in range(8)]
        answers = {
            seen(await door.ask("scan_encrypted", "POST", body=changed(sent, *flip))) for flip in flips
        }
        assert len(answers) == 1
        assert door.homeserver.received == []


WRONG: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "padding": lambda sent: changed(sent, -17, 0x80),
    "a garbled block": lambda sent: changed(sent, 33, 1),
    "another mac": lambda sent: {"encrypted_body": {**parts(sent), "mac": unpadded(bytes(8))}},
    "a cut mac": lambda sent: {"encrypted_body": {**parts(sent), "mac": parts(sent)["mac"][:4]}},
    "another key": lambda sent: {"encrypted_body": {**parts(sent), "ephemeral": unpadded(bytes(range(32)))}},
    "the key 0": lambda sent: {"encrypted_body": {**parts(sent), "ephemeral": unpadded(bytes(32))}},
    "no base64": lambda sent: {"encrypted_body": {**parts(sent), "ciphertext": "*"}},
    "nothing": lambda sent: {"encrypted_body": {**parts(sent), "ciphertext": ""}},
    "half a block": lambda sent: {"encrypted_body": {**parts(sent), "ciphertext": unpadded(bytes(8))}},
    "too much": lambda sent: {"encrypted_body": {**parts(sent), "ciphertext": "A" * 100_000}},
}


async def test_what_is_wrong_inside_is_one_answer(tmp_path: Path) -> None:
    """Cryptography, JSON or schema: from outside there is one way to be wrong."""
    async with remembering(tmp_path) as door:
        patient(door)
        public_key = door.envelope.public_key
        inside: list[dict[str, Any]] = [{}, {"file": 1}, {"file": {"v": "v1"}}, {"more": "\u0000"}]
        wrong = [sealed(public_key, one) for one in inside]
        wrong += [change(sealed(public_key, file_of(CIPHERTEXT))) for change in WRONG.values()]
        wrong.append(sealed(public_key, file_of(CIPHERTEXT, "mxc://example.org/../../_synapse/admin")))
        answers = {seen(await door.ask("download_encrypted", "POST", body=one)) for one in wrong}
        assert len(answers) == 1
        assert door.homeserver.received == []


@pytest.mark.parametrize("value", range(1, 256, 23))
async def test_good_and_bad_padding_take_the_same_steps(
    tmp_path: Path, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try is decrypted once and parsed once, so that no step is missing where the padding was bad."""
    steps: list[str] = []

    def parse(data: bytes) -> dict[str, JsonValue]:
        steps.append("parsed")
        return parse_object(data)

    monkeypatch.setattr(envelope, "parse_object", parse)
    async with remembering(tmp_path) as door:
        sent = sealed(door.envelope.public_key, file_of(CIPHERTEXT))
        good = next(one for v in range(1, 256) if decrypts(door, one := changed(sent, -17, v)))
        for one in (good, changed(sent, -17, value)):
            await door.ask("scan_encrypted", "POST", body=one)
    assert steps == ["parsed", "parsed"]


async def test_nobody_gets_enough_tries(tmp_path: Path) -> None:
    """After many failures an ephemeral key opens nothing, though what was sealed with it is intact."""
    async with remembering(tmp_path) as door:
        assert door.envelope._most_failures <= 1 << 12
        door.envelope._most_failures = 16
        give(door.homeserver, media(CIPHERTEXT))
        sent = sealed(door.envelope.public_key, file_of(CIPHERTEXT))
        assert (await door.ask("scan_encrypted", "POST", body=sent)).status == 200
        answers = {
            seen(await door.ask("scan_encrypted", "POST", body=changed(sent, -17, value)))
            for value in range(1, 17)
        }
        answers.add(seen(await door.ask("scan_encrypted", "POST", body=sent)))
        assert len(answers) == 1
        fresh = sealed(door.envelope.public_key, file_of(CIPHERTEXT))
        assert (await door.ask("scan_encrypted", "POST", body=fresh)).status == 200


async def test_a_recorded_envelope_gives_no_access(tmp_path: Path) -> None:
    """Whoever sends a recorded envelope again shows his own token to the homeserver, or none."""
    async with remembering(tmp_path) as door:
        give(door.homeserver, media(CIPHERTEXT), only=["client/v1"])
        sent = sealed(door.envelope.public_key, file_of(CIPHERTEXT))
        assert (await door.ask("download_encrypted", "POST", body=sent)).body == CIPHERTEXT
        give(door.homeserver, UNKNOWN)
        door.homeserver.replies["/_matrix/client/v3/account/whoami"] = UNKNOWN
        for token in ("mallory", None):
            got = await door.ask("download_encrypted", "POST", body=sent, token=token)
            assert got.status == 401
            assert b"clean" not in got.body
