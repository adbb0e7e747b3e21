"""Keys: several for one media ID, wrong ones, hashes that are not the file's, counters that overflow."""

import asyncio
import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ostiary.engines.interface import Sample
from ostiary.model import Clean, Finding, Infected
from tests.attacks.house import PLACE, fetched, give, remembering
from tests.flow.fakes import ScriptedEngine
from tests.flow.samples import IV, KEY, encrypted
from tests.matrix.fake_homeserver import media
from tests.web.clients import file_of, sealed, unpadded
from tests.web.door import Door

MALWARE = b"EVIL " + bytes(range(256)) * 20
CIPHERTEXT = encrypted(MALWARE)
OTHER_KEY, OTHER_IV = bytes(32), bytes(7) + b"\1" + bytes(8)


async def _looks(sample: Sample) -> Finding:
    await asyncio.sleep(0)
    evil = (sample.blob.data or b"").startswith(b"EVIL")
    return Infected("Evil") if evil else Clean()


def body(key: bytes = KEY, iv: bytes = IV, sha256: bytes | None = None) -> dict[str, Any]:
    """Return a request body for the ciphertext, with whatever is wished for in it."""
    wanted: dict[str, Any] = json.loads(json.dumps(file_of(CIPHERTEXT)))
    file = wanted["file"]
    file["key"]["k"] = base64.urlsafe_b64encode(key).decode().rstrip("=")
    file["iv"] = unpadded(iv)
    file["hashes"]["sha256"] = unpadded(sha256 or hashlib.sha256(CIPHERTEXT).digest())
    return wanted


async def post(door: Door, sent: dict[str, Any], route: str = "download_encrypted") -> tuple[int, str]:
    """Return status and reason."""
    got = await door.ask(route, "POST", body=sent)
    return got.status, "" if got.status == 200 else got.json["reason"]


NOT_CLEAN = (403, "MCS_MEDIA_NOT_CLEAN")
NOISE = [body(OTHER_KEY), body(iv=OTHER_IV), body(OTHER_KEY, OTHER_IV)]


@pytest.mark.parametrize("seal", [False, True])
@pytest.mark.parametrize("noise", NOISE)
async def test_noise_vouches_for_nobody(tmp_path: Path, noise: dict[str, Any], *, seal: bool) -> None:
    """Under a wrong key or IV malware is noise, and clean; under the right one it stays malware."""
    async with remembering(tmp_path, ScriptedEngine(_looks)) as door:
        give(door.homeserver, media(CIPHERTEXT))
        wrap = (lambda sent: sealed(door.envelope.public_key, sent)) if seal else (lambda sent: sent)
        for _ in range(2):
            assert await post(door, wrap(noise)) == (200, "")
            assert await post(door, wrap(body())) == NOT_CLEAN
        assert (await door.ask(f"download/{PLACE}")).status == 200  # the ciphertext, which harms nobody
        assert await post(door, wrap(body())) == NOT_CLEAN
        answer = await door.ask("scan_encrypted", "POST", body=wrap(body()))
        assert answer.json == {"clean": False, "info": "infected: Evil (found by scripted)"}


@pytest.mark.parametrize("noise", NOISE)
async def test_two_keys_at_once(tmp_path: Path, noise: dict[str, Any]) -> None:
    """Requests for one media ID under several keys at the same time never meet."""
    async with remembering(tmp_path, ScriptedEngine(_looks)) as door:
        give(door.homeserver, media(CIPHERTEXT))
        sent = [noise, body()] * 20
        got = await asyncio.gather(*(post(door, one) for one in sent))
        assert got == [(200, ""), NOT_CLEAN] * 20


async def test_the_ciphertext_vouches_for_nothing(tmp_path: Path) -> None:
    """A clean verdict on the ciphertext, and a stored copy of it, say nothing about what is inside."""
    async with remembering(tmp_path, engine := ScriptedEngine(_looks)) as door:
        give(door.homeserver, media(CIPHERTEXT))
        assert (await door.ask(f"scan/{PLACE}")).json["clean"] is True
        assert len(door.house.library) == 1
        assert await post(door, body()) == NOT_CLEAN
        assert [data for data, _ in engine.seen] == [CIPHERTEXT, MALWARE]


@pytest.mark.parametrize(
    "sha256", [bytes(32), hashlib.sha256(MALWARE).digest(), hashlib.sha256(b"").digest(), b"\xff" * 32]
)
async def test_a_hash_that_is_not_the_files(tmp_path: Path, sha256: bytes) -> None:
    """Nothing is decrypted for a hash that is not the ciphertext's, the plaintext's included."""
    async with remembering(tmp_path, engine := ScriptedEngine(_looks)) as door:
        give(door.homeserver, media(CIPHERTEXT))
        for expected in (1, 1):
            assert await post(door, body(OTHER_KEY, sha256=sha256)) == (400, "MCS_MEDIA_FAILED_TO_DECRYPT")
            assert await post(door, body(OTHER_KEY)) == (200, "")
            assert len(engine.seen) == expected


async def test_a_file_that_changes_behind_its_hash(tmp_path: Path) -> None:
    """A homeserver that gives other bytes next time gives bytes that are refused, or judged anew."""
    async with remembering(tmp_path, ScriptedEngine(_looks), library=0) as door:
        clean = encrypted(b"harmless")
        give(door.homeserver, media(clean))
        sent = body(sha256=hashlib.sha256(clean).digest())
        assert await post(door, sent) == (200, "")
        give(door.homeserver, media(CIPHERTEXT))
        assert await post(door, sent) == (400, "MCS_MEDIA_FAILED_TO_DECRYPT")
        assert await post(door, body()) == NOT_CLEAN
        assert fetched(door.homeserver) == 3


@pytest.mark.parametrize("low", [b"\xff" * 8, b"\xff" * 7 + b"\xfe", b"\xff" * 6 + b"\x00\x00"])
async def test_a_counter_that_overflows(tmp_path: Path, low: bytes) -> None:
    """Clients disagree about what such a file says: it is refused each time, and never judged."""
    async with remembering(tmp_path, engine := ScriptedEngine(_looks), max_size=8 << 20) as door:
        large = bytes(17 * (1 << 16))
        give(door.homeserver, media(large))
        sent = body(iv=bytes(8) + low, sha256=hashlib.sha256(large).digest())
        for _ in range(2):
            assert await post(door, sent) == (400, "MCS_MEDIA_FAILED_TO_DECRYPT")
        assert engine.seen == []
