"""Bugs on our side, at every step of the flow: what they write down holds nothing of callers and files.

Runs without bugs, through every kind of request and a real process, are in tests/test_logs.py.
"""

import base64
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any, Final

import pytest

from ostiary import judging, policy
from ostiary.budget import Room
from ostiary.engines.filetype.detector import TypeDetector
from ostiary.matrix import attachment, envelope
from ostiary.matrix.attachment import Decryptor
from ostiary.matrix.homeserver import Homeserver
from ostiary.matrix.request_body import encrypted_file, request_object
from ostiary.model import MediaRef, MediaRequest
from ostiary.web import scanner_api
from ostiary.web.routes import match
from tests.attacks.house import PLACE, give, remembering
from tests.flow.fakes import ScriptedEngine, raising
from tests.flow.samples import IV, KEY, encrypted
from tests.matrix.fake_homeserver import media
from tests.web.clients import END, FORM, file_of, part, sealed, unpadded
from tests.web.door import API, Answer, Door

TOKEN: Final = "syt_YWxpY2U_secretsecret_1a2b3c"
PLAINTEXT: Final = b"PLAINTEXT of a private letter " + os.urandom(64)
CIPHERTEXT: Final = encrypted(PLAINTEXT)
NAME: Final = "my-private-file-name"
BODY: Final = file_of(CIPHERTEXT)


def secrets(envelopes: list[dict[str, Any]]) -> dict[str, bytes]:
    """Return what may be written down nowhere, in each way that it could be written."""
    found = {"token": TOKEN.encode(), "file": b"PLAINTEXT", "file name": NAME.encode()}
    for number, sent in enumerate(envelopes):
        found |= {f"{name} {number}": value.encode() for name, value in sent["encrypted_body"].items()}
    binary = {
        "key": KEY,
        "iv": IV,
        "ciphertext": CIPHERTEXT[:24],
        "digest of the file": hashlib.sha256(PLAINTEXT).digest(),
        "digest of the ciphertext": hashlib.sha256(CIPHERTEXT).digest(),
        "request secret": bytes(range(32)),
    }
    for name, value in binary.items():
        found[name] = value
        found[f"{name}, hex"] = value.hex().encode()
        found[f"{name}, base64"] = unpadded(value).encode()
        found[f"{name}, base64url"] = base64.urlsafe_b64encode(value).rstrip(b"=")
        found[f"{name}, repr"] = repr(value)[2:-1].encode()
    return found


def _bug(*_: object, **__: object) -> Any:  # noqa: ANN401  (it never returns)
    raise RuntimeError("a bug of ours")


BUGS: Final[dict[str, tuple[Any, str]]] = {
    "reading the token": (scanner_api, "token_of"),
    "reading the body": (scanner_api, "request_object"),
    "reading a form": (scanner_api, "read_form"),
    "opening the envelope": (envelope, "parse_object"),
    "asking for the token": (Homeserver, "_get_json"),
    "fetching": (Homeserver, "_send"),
    "taking room": (Room, "__aenter__"),
    "checking the hash": (attachment, "verify"),
    "decrypting": (Decryptor, "update"),
    "detecting the type": (TypeDetector, "detect"),
    "inspecting": (judging, "inspect"),
    "judging": (policy, "judge"),
    "sending": (scanner_api, "send_media"),
}


async def walk(door: Door, envelopes: list[dict[str, Any]]) -> list[Answer]:
    """Send every kind of request, with a token, a key and a file in each place for one."""
    form = part("body", json.dumps(BODY).encode()) + part("file", CIPHERTEXT, f'; filename="{NAME}"') + END
    forms = (form, part("file", PLAINTEXT, f'; filename="{NAME}"') + END)
    answers = [
        await door.ask(f"download/{PLACE}/{NAME}", token=TOKEN),
        await door.ask(f"scan/{PLACE}?access_token={TOKEN}", token=None),
        await door.ask(f"thumbnail/{PLACE}?width=1&height=1&access_token={TOKEN}", token=TOKEN),
    ]
    for route in ("scan_encrypted", "download_encrypted"):
        answers += [await door.ask(route, "POST", token=TOKEN, body=one) for one in (BODY, *envelopes)]
    headers = {"Content-Type": FORM}
    answers += [await door.ask("scan_file", "POST", token=TOKEN, body=one, headers=headers) for one in forms]
    return answers


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS.keys())
async def test_a_bug_gives_nothing_away(
    tmp_path: Path,
    bug: tuple[Any, str],
    log_style: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Wherever our code fails, the log has a traceback, the client a plain 500, nobody a secret."""
    caplog.set_level(logging.DEBUG)
    async with remembering(tmp_path) as door:
        give(door.homeserver, media(CIPHERTEXT, content_disposition=f"inline; filename={NAME}"))
        envelopes = [sealed(door.envelope.public_key, BODY) for _ in range(2)]
        monkeypatch.setattr(*bug, _bug)
        answers = await walk(door, envelopes)
        monkeypatch.undo()
        shown = [got.body + repr(got.headers).encode() for got in answers if got.status != 200]
        written = [capfd.readouterr().err.encode(), caplog.text.encode(), door.house.metrics.exposition()]
    failed = [got for got in answers if got.status == 500]
    assert failed
    assert {got.json["info"] for got in failed} == {"an error on our side: it has been logged"}
    assert b"a bug of ours" in written[0]
    everything = b"\n".join((*shown, *written))
    assert [name for name, value in secrets(envelopes).items() if value in everything] == []
    assert list(tmp_path.iterdir()) == []


async def test_a_bug_in_an_engine_gives_nothing_away(
    tmp_path: Path, log_style: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """An engine that fails in the midst of a plaintext is logged by its place alone."""
    async with remembering(tmp_path, ScriptedEngine(raising(RuntimeError("a bug of ours")))) as door:
        give(door.homeserver, media(CIPHERTEXT))
        envelopes = [sealed(door.envelope.public_key, BODY)]
        answers = await walk(door, envelopes)
        written = capfd.readouterr().err.encode() + door.house.metrics.exposition()
    assert {got.status for got in answers} <= {404, 500}
    assert b"bug in an engine" in written
    everything = b"\n".join([written, *(got.body for got in answers)])
    assert [name for name, value in secrets(envelopes).items() if value in everything] == []


async def test_values_hide_what_they_hold(tmp_path: Path) -> None:
    """Whatever is printed by accident (a request, a key, a copy, an envelope) shows none of its secrets."""
    async with remembering(tmp_path) as door:
        give(door.homeserver, media(CIPHERTEXT))
        envelopes = [sealed(door.envelope.public_key, BODY)]
        file = encrypted_file(json.loads(json.dumps(BODY)))
        asked = MediaRequest(MediaRef("example.org", "AbC-_1"), None, file, TOKEN, (("Cookie", TOKEN),))
        async with door.house.gateway.media(asked) as outcome:
            copy = door.house.library.get((asked.ref, None))
            call = match("GET", f"{API}/download/{PLACE}?access_token={TOKEN}")
            shown = repr((asked, file, outcome, copy, call, door, door.house.judge.digests))
            shown += repr(request_object(json.loads(json.dumps(envelopes[0]))))
    assert copy is not None
    assert [name for name, value in secrets(envelopes).items() if value in shown.encode()] == []
