"""Bots: npm's matrix-bot-sdk and its MatrixContentScannerClient, against the gateway and a real Synapse."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from peers.gateway import API, Gateway
from peers.node import NodePeer, NodeScript
from peers.samples import EICAR, png
from peers.synapse import Synapse, User
from tests.end_to_end.conftest import Upload

pytestmark = pytest.mark.peer("node")

PICTURE = png()
PDF = b"%PDF-1.4\n%%EOF\n"


@dataclass(frozen=True)
class Call:
    """What one call of the library came to: one of both, and the last answer on the wire."""

    returned: Any
    thrown: Any
    wire: Any

    @property
    def body(self) -> bytes:
        """The bytes that came over the wire."""
        return base64.b64decode(self.wire["body"])


class Bot:
    """A bot whose homeserver is this gateway, as its requests for media see it."""

    def __init__(self, script: NodeScript, gateway: Gateway, token: str) -> None:
        self._script, self._url, self._token = script, gateway.url, token

    def scanner(self, method: str, argument: object) -> Call:
        """Call a method of MatrixContentScannerClient."""
        return self._call("scanner", method, argument)

    def client(self, method: str, argument: object) -> Call:
        """Call a method of MatrixClient, which is told to use the scanner."""
        return self._call("client", method, argument)

    def _call(self, on: str, method: str, argument: object) -> Call:
        answer = self._script.ask(
            "call", url=self._url, token=self._token, on=on, method=method, argument=argument
        )
        return Call(answer.get("returned"), answer.get("thrown"), answer["wire"])


@pytest.fixture(scope="module")
def script() -> Iterator[NodeScript]:
    """The library, in a Node of its own."""
    with NodeScript("bot_sdk.mjs") as running:
        yield running


@pytest.fixture
def bot(script: NodeScript, gateway: Gateway, bob: User) -> Bot:
    """Return a bot with bob's token."""
    return Bot(script, gateway, bob.token)


@pytest.fixture(scope="module")
def strict(synapse: Synapse) -> Iterator[Gateway]:
    """A gateway that lets no PDF through."""
    with Gateway(synapse.url, {"scan": {"blocked_mimetypes": ["application/pdf"]}}) as running:
        yield running


def test_scan_content_returns_both_verdicts(bot: Bot, upload: Upload) -> None:
    """`scanContent` returns {clean, info}; an infected file is an answer, not an exception.

    Its error handler throws whatever has a member `reason`, whatever the status: no verdict may have one.
    """
    good = bot.scanner("scanContent", upload.uri(PICTURE, "image/png"))
    bad = bot.scanner("scanContent", upload.uri(EICAR))
    assert good.returned == {"clean": True, "info": "clean"}
    assert bad.returned.keys() == {"clean", "info"}
    assert bad.returned["clean"] is False
    assert "eicar" in bad.returned["info"].lower()


def test_scan_content_encrypted_returns_both_verdicts(bot: Bot, upload: Upload, node: NodePeer) -> None:
    """`scanContentEncrypted` sends the event's `file` as it is, and returns {clean, info}."""
    good = bot.scanner("scanContentEncrypted", upload.encrypted(node, PICTURE)[0])
    bad = bot.scanner("scanContentEncrypted", upload.encrypted(node, EICAR)[0])
    assert good.returned == {"clean": True, "info": "clean"}
    assert bad.returned["clean"] is False
    assert bad.returned.keys() == {"clean", "info"}


@pytest.mark.parametrize("on", ["scanner", "client"])
def test_download_content_returns_bytes_and_type(bot: Bot, upload: Upload, on: str) -> None:
    """`downloadContent` gets the file, also by way of MatrixClient; it percent-encodes the server's colon."""
    uri = upload.uri(PICTURE, "image/png")
    call = (bot.scanner if on == "scanner" else bot.client)("downloadContent", uri)
    assert base64.b64decode(call.returned["data"]["base64"]) == PICTURE
    assert call.returned["contentType"] == "image/png"
    assert f"{API}/download/127.0.0.1%3A" in call.wire["url"]


def test_infected_downloads_throw_the_response(bot: Bot, upload: Upload, node: NodePeer) -> None:
    """A refused download is thrown as the response, with status 403 and the reason in its JSON body."""
    plain = bot.scanner("downloadContent", upload.uri(EICAR))
    encrypted = bot.scanner("downloadEncryptedContent", upload.encrypted(node, EICAR)[0])
    for call in (plain, encrypted):
        assert call.thrown["statusCode"] == 403
        assert call.thrown["class"] == "IncomingMessage"
        body = json.loads(base64.b64decode(call.thrown["body"]["base64"]))
        assert body["reason"] == "MCS_MEDIA_NOT_CLEAN"
        assert body["info"]


def test_download_encrypted_content_gets_the_ciphertext(bot: Bot, upload: Upload, node: NodePeer) -> None:
    """The ciphertext comes byte for byte: on the wire, since the library returns nothing of it."""
    file, ciphertext = upload.encrypted(node, PICTURE)
    call = bot.scanner("downloadEncryptedContent", file)
    assert (call.thrown, call.returned) == (None, {"undefined": True})
    assert (call.wire["status"], call.wire["method"]) == (200, "POST")
    assert call.body == ciphertext
    assert node.decrypt(call.body, file) == PICTURE


def test_a_forbidden_type_is_an_error_of_its_class(
    script: NodeScript, strict: Gateway, bob: User, upload: Upload, node: NodePeer
) -> None:
    """A forbidden file type is a MatrixContentScannerError with MCS_MIME_TYPE_FORBIDDEN, encrypted or not."""
    bot = Bot(script, strict, bob.token)
    plain = bot.scanner("scanContent", upload.uri(PDF, "image/png"))
    encrypted = bot.scanner("scanContentEncrypted", upload.encrypted(node, PDF)[0])
    for call in (plain, encrypted):
        assert call.wire["status"] == 403
        assert call.thrown["class"] == "MatrixContentScannerError"
        assert call.thrown["body"]["reason"] == "MCS_MIME_TYPE_FORBIDDEN"
        assert "application/pdf" in call.thrown["message"]


@pytest.mark.parametrize(
    ("token", "media", "status", "reason"),
    [
        ("not-a-token", None, 401, "M_UNKNOWN_TOKEN"),
        (None, None, 401, "M_MISSING_TOKEN"),
        ("bob's", "doesNotExist", 404, "M_NOT_FOUND"),
        ("bob's", "not a media ID", 404, "M_NOT_FOUND"),
    ],
)
def test_what_was_not_scanned_is_an_error_of_its_class(
    script: NodeScript,
    gateway: Gateway,
    synapse: Synapse,
    upload: Upload,
    bob: User,
    *,
    token: str | None,
    media: str | None,
    status: int,
    reason: str,
) -> None:
    """Where no verdict was given, `scanContent` throws MatrixContentScannerError with reason and info."""
    uri = f"mxc://{synapse.server_name}/{media}" if media else upload.uri(PICTURE, "image/png")
    bot = Bot(script, gateway, bob.token if token == "bob's" else token or "")
    call = bot.scanner("scanContent", uri)
    assert call.wire["status"] == status
    assert call.thrown["class"] == "MatrixContentScannerError"
    assert call.thrown["body"]["reason"] == reason
    assert call.thrown["body"]["info"] in call.thrown["message"]


def test_a_file_that_is_not_its_hash_is_an_error_of_its_class(
    bot: Bot, upload: Upload, node: NodePeer
) -> None:
    """An attachment that does not match its hash throws MatrixContentScannerError, and no verdict."""
    file, _ = upload.encrypted(node, PICTURE)
    other, _ = upload.encrypted(node, PICTURE)
    call = bot.scanner("scanContentEncrypted", {**file, "url": other["url"]})
    assert call.wire["status"] == 400
    assert call.thrown["class"] == "MatrixContentScannerError"
    assert call.thrown["body"]["reason"] == "MCS_MEDIA_FAILED_TO_DECRYPT"


def test_a_scan_that_failed_is_an_error_of_its_class(
    script: NodeScript, synapse: Synapse, upload: Upload, bob: User
) -> None:
    """With its engine away, a 500 throws MatrixContentScannerError: the bot never sees `clean`."""
    engines = [{"type": "clamd", "address": "unix:/nonexistent/clamd.ctl"}]
    with Gateway(synapse.url, {"engines": engines}) as gateway:
        call = Bot(script, gateway, bob.token).scanner("scanContent", upload.uri(PICTURE, "image/png"))
    assert call.wire["status"] == 500
    assert call.thrown["class"] == "MatrixContentScannerError"
    assert call.thrown["body"]["reason"] == "M_UNKNOWN"
    assert "clean" not in call.thrown["body"]
