"""Stored ciphertext: one key material's judgement never serves another, nor a plain request."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from ostiary.errors import AttachmentError
from ostiary.model import EncryptedFile, MediaRef, MediaRequest
from tests.flow.fakes import ScriptedEngine
from tests.flow.samples import IV, KEY, LARGE, SMALL, encrypted, key_of, request
from tests.flow.shop import (
    BAD,
    GOOD,
    MALWARE,
    OTHER,
    Server,
    Shop,
    house_empty,
    reads,
)

NOISY: Final = encrypted(MALWARE)


def keyed(key: bytes = KEY, iv: bytes = IV, ciphertext: bytes = NOISY, token: str = GOOD) -> MediaRequest:
    """Return a request for the attachment with this key material."""
    return request(key_of(ciphertext, key, iv), token=token)


OTHER_IV: Final = bytes(8)[:7] + b"\x01" + bytes(8)
WRONG: Final = {
    "key": keyed(key=bytes(32)),
    "iv": keyed(iv=OTHER_IV),
    "no key": request(token=GOOD),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("first", [True, False])
async def test_noise_judged_clean_is_no_verdict_for_anybody_else(
    tmp_path: Path, wrong: str, *, first: bool
) -> None:
    """A wrong key has noise called clean, and the copy stored; the right key finds the malware."""
    server = Server({"id": NOISY})
    with Shop(tmp_path, server, [ScriptedEngine(reads)]) as house:
        order = [WRONG[wrong], keyed()] if first else [keyed(), WRONG[wrong]]
        for wanted in (*order, *order, *order):
            assert await house.got(wanted) == ("malware" if wanted == keyed() else NOISY)
        together = [*order * 3]
        results = await asyncio.gather(*(house.gateway.media(one).__aenter__() for one in together))
        for wanted, outcome in zip(together, results, strict=True):
            assert outcome.verdict.release == (wanted != keyed())
    await house_empty(house)


@pytest.mark.parametrize("kept", [True, False])
async def test_another_hash_is_never_served(tmp_path: Path, *, kept: bool) -> None:
    """Key material for other bytes gets none, stored or not, and stores nothing."""
    good = encrypted(SMALL)
    server = Server({"id": good})
    with Shop(tmp_path, server, [ScriptedEngine(reads)]) as house:
        if kept:
            assert await house.got(keyed(ciphertext=good)) == good
        for _ in range(2):
            assert await house.got(keyed(ciphertext=good + b"x")) == AttachmentError.__name__
        assert len(house.library) == kept
        right = key_of(good)
        for material in (
            EncryptedFile(right.ref, right.key, right.iv, bytes(32)),
            EncryptedFile(right.ref, right.key, right.iv, SMALL[:32]),
        ):
            assert await house.got(request(material, token=GOOD)) == AttachmentError.__name__
        assert await house.got(keyed(ciphertext=good)) == good


async def test_one_key_serves_everybody_who_has_it(tmp_path: Path) -> None:
    """The recipients of one attachment share its ciphertext and its verdict; a stranger has neither."""
    good = encrypted(LARGE)
    engine, server = ScriptedEngine(), Server({"id": good})
    with Shop(tmp_path, server, [engine]) as house:
        for token in (GOOD, OTHER, GOOD):
            assert await house.got(keyed(ciphertext=good, token=token)) == good
        assert await house.got(keyed(ciphertext=good, token=BAD)) == 401
    assert (server.bodies, len(engine.seen)) == (1, 1)
    assert engine.seen[0][0] == LARGE


async def test_plaintext_is_not_stored(tmp_path: Path) -> None:
    """The library holds what the homeserver sent, and nothing of what the key showed."""
    server = Server({"id": encrypted(SMALL)})
    with Shop(tmp_path, server) as house:
        assert await house.got(keyed(ciphertext=server.files["id"])) == server.files["id"]
        copy = house.library.get((MediaRef("example.org", "id"), None))
        assert copy is not None
        assert copy.data == server.files["id"]
        assert repr(copy.data) not in repr(copy)
