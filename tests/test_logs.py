"""Logs: one line a decision, readable by machines, and never a token, a key or a piece of a file in it."""

import asyncio
import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from ostiary.matrix.envelope import parse_secret
from peers.gateway import API, Gateway
from tests.flow.samples import KEY, encrypted
from tests.matrix.fake_homeserver import FakeHomeserver, Reply, answer, error, json_object, media
from tests.web.clients import END, FORM, file_of, part, sealed, unpadded
from tests.web.door import V1, V3, WHOAMI

TOKEN: Final = "syt_s3cr3t-t0k3n"
PLAINTEXT: Final = b"PLAINTEXT of a private letter " + os.urandom(64)
BAD: Final = b"PLAINTEXT that the script calls bad"
CIPHERTEXT: Final = encrypted(PLAINTEXT)
NAME: Final = "my-private-file-name.txt"

SCRIPT: Final = (
    '#!/bin/sh\ngrep -q "calls bad" "$1" && exit 1\ngrep -q "makes it fail" "$1" && exit 2\nexit 0\n'
)

NOISE: Final = """
import structlog, sys
from ostiary import logs
logs.configure(sys.argv[1], sys.argv[2])
log = structlog.get_logger()
def inner(token):
    plaintext = b"L0CAL-BYTES"
    raise ValueError("boom")
log.debug("debug line")
log.info("info line", request="abc", info="two\\nlines \\x1b[31m \\ud800 \\u202e", user="@a:b c")
try:
    inner("L0CAL-T0KEN")
except ValueError:
    log.exception("error", kind="internal")
"""


def logged(level: str, style: str) -> list[str]:
    """Return the lines that a process of its own logs."""
    command = [sys.executable, "-c", NOISE, level, style]
    result = subprocess.run(command, capture_output=True, check=True)  # noqa: TID251  (no event loop here)
    assert result.stdout == b""
    return result.stderr.decode().splitlines()


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_traceback_shows_no_values(style: str) -> None:
    """A bug is logged with its place and its error, and without the variables: tokens live in those."""
    text = "\n".join(logged("info", style))
    assert "ValueError" in text
    assert "inner" in text
    assert "L0CAL" not in text.replace('inner("L0CAL-T0KEN")', "").replace('b"L0CAL-BYTES"', "")


def test_json_is_one_object_a_line() -> None:
    """Every line is JSON, the traceback's too, with level, time and event."""
    lines = [json.loads(line) for line in logged("debug", "json")]
    assert [line["event"] for line in lines] == ["debug line", "info line", "error"]
    assert all({"level", "timestamp", "event"} <= line.keys() for line in lines)
    assert lines[2]["exception"][0]["exc_type"] == "ValueError"


@pytest.mark.parametrize("style", ["console", "json"])
def test_values_can_not_make_lines_of_their_own(style: str) -> None:
    """Line ends, terminal codes and half characters in a value are shown, not obeyed."""
    (line,) = [line for line in logged("info", style) if "info line" in line]
    assert "lines" in line
    assert "\x1b" not in line
    assert "\u202e" not in line


def test_the_level_counts() -> None:
    """Nothing below the configured level is written; there is no colour where there is no terminal."""
    assert "debug line" not in "\n".join(logged("info", "console"))
    assert "debug line" in "\n".join(logged("debug", "console"))
    assert "info line" not in "\n".join(logged("error", "json"))
    assert "\x1b" not in "\n".join(logged("debug", "console"))


def markers(request_secret: bytes, envelope: dict[str, str]) -> dict[str, bytes]:
    """Return all that may be in no log, by what it is."""
    found = {
        "token": TOKEN.encode(),
        "file": b"PLAINTEXT",
        "file name": NAME.encode(),
        "ciphertext": CIPHERTEXT[:16],
        **{f"envelope {name}": value.encode() for name, value in envelope.items()},
    }
    binary = {
        "key": KEY,
        "request secret": request_secret,
        "hash of the file": hashlib.sha256(PLAINTEXT).digest(),
        "hash of the ciphertext": hashlib.sha256(CIPHERTEXT).digest(),
    }
    for name, value in binary.items():
        found[name] = value
        found[f"{name}, hex"] = value.hex().encode()
        found[f"{name}, base64"] = unpadded(value).encode()
        found[f"{name}, base64url"] = base64.urlsafe_b64encode(value).rstrip(b"=")
    return found


def ask_everything(gateway: Gateway, envelope: dict[str, object]) -> None:
    """Send every kind of request, good and bad, with a token, a key and a file in each place for one."""
    body = file_of(CIPHERTEXT)
    wrong_hash, wrong_key = file_of(CIPHERTEXT + b"x"), json.loads(json.dumps(body).replace("key_ops", "ops"))
    for route in ("download/example.org/good", "scan/example.org/bad", "download/example.org/bad"):
        gateway.get(route, TOKEN)
        gateway.get(f"{route}?access_token={TOKEN}")
    gateway.get(f"download/example.org/good/{NAME}", TOKEN)
    gateway.get("thumbnail/example.org/good?width=9&height=9", TOKEN)
    for place in ("fails", "missing", "broken", f"{TOKEN}%0a", "../x"):
        gateway.get(f"download/example.org/{place}", TOKEN)
    gateway.get("scan/example.org/good", TOKEN + "\u00e9")
    gateway.get(f"nothing/{TOKEN}?access_token={TOKEN}")
    gateway.get("download/example.org/good", TOKEN, method="DELETE")
    for route in ("scan_encrypted", "download_encrypted"):
        for sent in (body, wrong_hash, wrong_key, envelope, {"encrypted_body": {"ciphertext": TOKEN}}):
            gateway.post(route, sent, TOKEN)
        gateway.post(route, json.dumps(body).encode()[:-9], TOKEN)
    for file in (PLAINTEXT, BAD, b"PLAINTEXT that makes it fail"):
        gateway.post("scan_file", part("file", file, f'; filename="{NAME}"') + END, TOKEN, FORM)
    gateway.post("scan_file", part("file", PLAINTEXT) + END, None, FORM)
    form = part("body", json.dumps(body).encode()) + part("file", CIPHERTEXT, f'; filename="{NAME}"')
    for data in (form + END, form, part("body", TOKEN.encode()) + part("file", PLAINTEXT) + END, PLAINTEXT):
        gateway.post("scan_file", data, TOKEN, FORM)
    for raw in (
        f"GET {API}/x?access_token={TOKEN} HTTP/9.9\r\nHost: x\r\n\r\n",
        f"GET /health HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \0{TOKEN}\r\n\r\n",
        f"{TOKEN}\r\n\r\n",
        f"POST {API}/scan_encrypted HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n{json.dumps(body)}",
        f"GET {API}/download/example.org/good HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
            connection.sendall(raw.encode())
            if "999" not in raw:
                connection.recv(100)


async def run_and_read(gateway: Gateway, homeserver: FakeHomeserver) -> tuple[bytes, dict[str, bytes]]:
    """Return all that a run wrote down, and what may not be in it."""
    homeserver.replies = {
        WHOAMI: json_object(user_id="@alice:example.org"),
        **{f"{V1}/download/example.org/{name}": reply for name, reply in REPLIES.items()},
        f"{V3}/download/example.org/good": media(PLAINTEXT, "text/plain"),
        f"{V1}/thumbnail/example.org/good": media(PLAINTEXT, "text/plain"),
        f"{V1}/download/example.org/AbC-_1": media(CIPHERTEXT),
    }
    public_key = (await asyncio.to_thread(gateway.get, "public_key")).json["public_key"]
    envelope = sealed(public_key, file_of(CIPHERTEXT))
    await asyncio.to_thread(ask_everything, gateway, envelope)
    metrics = await asyncio.to_thread(_metrics_text, gateway)
    secret = parse_secret((gateway.folder / "request_secret").read_bytes())
    parts = envelope["encrypted_body"]
    assert isinstance(parts, dict)
    gateway.child.stop()
    return gateway.log.encode() + metrics, markers(secret, parts)


REPLIES: Final[dict[str, Reply]] = {
    "good": media(PLAINTEXT, "text/plain", content_disposition=f"inline; filename={NAME}"),
    "bad": media(BAD, "text/plain"),
    "fails": media(b"PLAINTEXT that makes it fail", "text/plain"),
    "missing": error(404, "M_NOT_FOUND"),
    "broken": answer(500, PLAINTEXT),
}


def _metrics_text(gateway: Gateway) -> bytes:
    with socket.create_connection(("127.0.0.1", gateway.metrics_port)) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        with connection.makefile("rb") as answered:
            return answered.read()


@pytest.mark.parametrize("style", ["console", "json"])
async def test_nothing_private_is_ever_written_down(tmp_path: Path, style: str) -> None:
    """A whole run, all kinds of requests, level debug: no token, key, file, name or hash is written down."""
    script = tmp_path / "scan.sh"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    config = {
        "scan": {"script": script, "temp_directory": tmp_path},
        "log": {"level": "debug", "format": style},
    }
    async with FakeHomeserver() as homeserver:
        with Gateway(homeserver.url, config) as gateway:
            written, private = await run_and_read(gateway, homeserver)
    found = [name for name, value in private.items() if value in written]
    assert found == []
    for word in (b"clean", b"infected", b"mxc://example.org/bad", b"M_MISSING_TOKEN", b"MCS_MALFORMED_JSON"):
        assert word in written
    assert b"Traceback" not in written
    if style == "json":
        log = written[: written.index(b"HTTP/1.1 200")].decode().splitlines()
        assert all(isinstance(json.loads(line), dict) for line in log)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.sh"]
