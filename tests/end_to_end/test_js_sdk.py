"""Web clients: npm's matrix-js-sdk logs in, uploads and builds URLs; its requests then go to the gateway.

It knows no content scanner. So its own URLs are moved under the gateway's prefix, as clients built
on it do, and fetched with its own HTTP layer; matrix-encrypt-attachment encrypts what it sends.
"""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from peers.gateway import Gateway
from peers.node import NodePeer, NodeScript
from peers.samples import EICAR, png
from peers.synapse import PASSWORD, Synapse, User

pytestmark = pytest.mark.peer("node")

PICTURE = png()


class WebClient:
    """One session of matrix-js-sdk, and what it asks the gateway."""

    def __init__(self, script: NodeScript, gateway: Gateway) -> None:
        self._script, self._gateway = script, gateway

    def upload(self, data: bytes, content_type: str = "application/octet-stream") -> str:
        """Upload as the library does; return the mxc URI."""
        encoded = base64.b64encode(data).decode()
        return str(self._script.ask("upload", data=encoded, type=content_type, name="file"))

    def urls(self, mxc: str, **thumbnail: object) -> dict[str, str]:
        """Return where the library finds a media: on the `homeserver`, and behind the `scanner`."""
        urls: dict[str, str] = self._script.ask("url", scanner=self._gateway.url, mxc=mxc, **thumbnail)
        return urls

    def fetch(self, url: str) -> bytes:
        """Fetch with the library's HTTP layer and its session's token."""
        return base64.b64decode(self._script.ask("fetch", url=url)["returned"])

    def refusal(self, url: str, **request: object) -> Any:  # noqa: ANN401  (JSON)
        """Return the MatrixError that the library throws."""
        return self._script.ask("fetch", url=url, **request)["thrown"]

    def scan(self, mxc: str) -> Any:  # noqa: ANN401  (JSON)
        """Return the verdict on a plain media."""
        url = self.urls(mxc)["scanner"].replace("/unstable/download/", "/unstable/scan/").partition("?")[0]
        return self._script.ask("fetch", url=url, json=True)["returned"]

    def post(self, route: str, body: object, **how: object) -> Any:  # noqa: ANN401  (JSON)
        """Post JSON to a route of the scanner API."""
        url = f"{self._gateway.url}/_matrix/media_proxy/unstable/{route}"
        return self._script.ask("fetch", url=url, method="POST", body=body, **how)


@pytest.fixture(scope="module")
def script() -> Iterator[NodeScript]:
    """The library, in a Node of its own."""
    with NodeScript("js_sdk.mjs") as running:
        yield running


@pytest.fixture
def client(script: NodeScript, synapse: Synapse, gateway: Gateway, bob: User) -> WebClient:
    """Return a client that logged in with bob's password."""
    user = script.ask("login", homeserver=synapse.url, user=bob.user_id, password=PASSWORD)
    assert user == bob.user_id
    return WebClient(script, gateway)


def test_its_download_url_leads_through_the_gateway(client: WebClient) -> None:
    """`mxcUrlToHttp` for authenticated media, under our prefix: the same bytes as from the homeserver."""
    urls = client.urls(client.upload(PICTURE, "image/png"))
    assert urls["homeserver"].endswith("?allow_redirect=true")
    assert urls["scanner"].endswith("?allow_redirect=true")
    assert client.fetch(urls["scanner"]) == client.fetch(urls["homeserver"]) == PICTURE


@pytest.mark.parametrize("method", ["crop", "scale"])
def test_its_thumbnail_url_leads_through_the_gateway(client: WebClient, method: str) -> None:
    """Its thumbnail URLs, every parameter of them, give the homeserver's thumbnail."""
    urls = client.urls(client.upload(PICTURE, "image/png"), width=32, height=32, method=method)
    thumbnail = client.fetch(urls["scanner"])
    assert thumbnail == client.fetch(urls["homeserver"])
    assert thumbnail.startswith(b"\x89PNG")
    assert thumbnail != PICTURE


def test_infected_media_is_a_matrix_error(client: WebClient) -> None:
    """A refusal is parsed as the library's MatrixError, from `errcode` and `error`; `data` has the rest."""
    mxc = client.upload(EICAR)
    refusal = client.refusal(client.urls(mxc)["scanner"])
    assert (refusal["httpStatus"], refusal["errcode"]) == (403, "MCS_MEDIA_NOT_CLEAN")
    assert "eicar" in refusal["text"].lower()
    assert (refusal["data"]["reason"], refusal["data"]["info"]) == (
        refusal["errcode"],
        refusal["data"]["error"],
    )
    assert client.scan(mxc)["clean"] is False


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "encrypted_body"])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100_000])
def test_encrypted_attachments_come_back_byte_for_byte(
    client: WebClient, gateway: Gateway, node: NodePeer, *, size: int, sealed: bool
) -> None:
    """Encrypted, uploaded, scanned clean, downloaded through the gateway and decrypted: the same bytes."""
    data = (PICTURE * 100)[:size]
    ciphertext, info = node.encrypt(data)
    file = {**info, "url": client.upload(ciphertext)}
    body: dict[str, object] = {"file": file}
    if sealed:
        body = {"encrypted_body": node.seal(gateway.get("public_key").json["public_key"], body)}
    assert client.post("scan_encrypted", body, json=True)["returned"] == {"clean": True, "info": "clean"}
    fetched = base64.b64decode(client.post("download_encrypted", body)["returned"])
    assert node.decrypt(fetched, file) == data


def test_malware_in_an_encrypted_attachment_does_not_come_back(client: WebClient, node: NodePeer) -> None:
    """The homeserver sees ciphertext only; with the client's key the malware is found."""
    ciphertext, info = node.encrypt(EICAR)
    body = {"file": {**info, "url": client.upload(ciphertext)}}
    assert client.post("scan_encrypted", body, json=True)["returned"]["clean"] is False
    refusal = client.post("download_encrypted", body)["thrown"]
    assert (refusal["httpStatus"], refusal["errcode"]) == (403, "MCS_MEDIA_NOT_CLEAN")


def test_after_logout_nothing_comes(client: WebClient, script: NodeScript) -> None:
    """A session that ended is M_UNKNOWN_TOKEN with `soft_logout`, on which the library decides what to do."""
    url = client.urls(client.upload(PICTURE, "image/png"))["scanner"]
    assert client.fetch(url) == PICTURE
    script.ask("logout")
    refusal = client.refusal(client.urls("mxc://nowhere.invalid/another")["scanner"])
    assert (refusal["httpStatus"], refusal["errcode"]) == (401, "M_UNKNOWN_TOKEN")
    assert refusal["data"]["soft_logout"] is False
