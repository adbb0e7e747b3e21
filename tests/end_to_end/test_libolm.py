"""Sealed requests as mobile and web clients make them: npm's libolm, a cached key, and one retry."""

from collections.abc import Iterator
from typing import Any

import pytest

from peers.gateway import Answer, Gateway
from peers.node import NodePeer
from peers.samples import EICAR, png
from peers.synapse import Synapse, User
from tests.end_to_end.conftest import Upload

PICTURE = png()


class SealingClient:
    """Seals each request for a key that it fetched once; 403 MCS_BAD_DECRYPTION makes it fetch another."""

    def __init__(self, gateway: Gateway, node: NodePeer, user: User) -> None:
        self.gateway = gateway
        self._node, self._token = node, user.token
        self._key: str | None = None
        self.log: list[str] = []

    def ask(self, route: str, file: dict[str, object]) -> Answer:
        """Post the file's sealed description; try again once where the key has changed."""
        answer = self._post(route, file)
        if answer.status == 403 and answer.json["reason"] == "MCS_BAD_DECRYPTION":
            self._key = None
            answer = self._post(route, file)
        return answer

    def _post(self, route: str, file: dict[str, object]) -> Answer:
        if self._key is None:
            self.log.append("public_key")
            self._key = str(
                self.gateway.get("public_key").json["public_key"]
            )  # without a token, as clients do
        answer = self.gateway.post(
            route, {"encrypted_body": self._node.seal(self._key, {"file": file})}, self._token
        )
        self.log.append(f"{route} {answer.status}")
        return answer


@pytest.fixture
def client(gateway: Gateway, node: NodePeer, bob: User) -> SealingClient:
    """Return a client of bob's that knows no key yet."""
    return SealingClient(gateway, node, bob)


@pytest.fixture(scope="module")
def rotated(synapse: Synapse) -> Iterator[Gateway]:
    """What the same clients meet after the operator changed the secret: a gateway with a key of its own."""
    with Gateway(synapse.url) as running:
        yield running


def test_one_key_serves_many_requests(client: SealingClient, upload: Upload, node: NodePeer) -> None:
    """The key is fetched once; sealed scans and downloads then give what plain ones would."""
    good, ciphertext = upload.encrypted(node, PICTURE)
    bad, _ = upload.encrypted(node, EICAR)
    assert client.ask("scan_encrypted", good).json == {"clean": True, "info": "clean"}
    fetched = client.ask("download_encrypted", good)
    assert fetched.body == ciphertext
    assert node.decrypt(fetched.body, good) == PICTURE
    assert client.ask("scan_encrypted", bad).json["clean"] is False
    assert client.ask("download_encrypted", bad).json["reason"] == "MCS_MEDIA_NOT_CLEAN"
    assert client.log == [
        "public_key",
        "scan_encrypted 200",
        "download_encrypted 200",
        "scan_encrypted 200",
        "download_encrypted 403",
    ]


@pytest.mark.parametrize("route", ["scan_encrypted", "download_encrypted"])
def test_a_changed_key_is_noticed_and_fetched_anew(
    client: SealingClient, rotated: Gateway, upload: Upload, node: NodePeer, route: str
) -> None:
    """A request sealed for another key is 403 MCS_BAD_DECRYPTION; with the new key the same one works."""
    file, _ = upload.encrypted(node, PICTURE)
    assert client.ask(route, file).status == 200
    client.log.clear()
    client.gateway = rotated
    assert client.ask(route, file).status == 200
    assert client.log == [f"{route} 403", "public_key", f"{route} 200"]


def test_the_key_stays_the_same(gateway: Gateway) -> None:
    """`public_key` always gives the one key, 43 characters of unpadded base64; clients keep it for ever."""
    keys = [gateway.get("public_key").json for _ in range(3)]
    assert keys[0] == keys[1] == keys[2]
    assert keys[0].keys() == {"public_key"}
    assert len(keys[0]["public_key"]) == 43


def test_other_refusals_do_not_ask_for_a_new_key(
    client: SealingClient, upload: Upload, node: NodePeer
) -> None:
    """Clients drop their key on MCS_BAD_DECRYPTION only: a wrong hash, or no media, is something else."""
    file, _ = upload.encrypted(node, PICTURE)
    other, _ = upload.encrypted(node, PICTURE)
    wrong: list[dict[str, Any]] = [
        {**file, "url": other["url"]},
        {**file, "hashes": other["hashes"]},
        {**file, "url": str(file["url"]) + "0"},
    ]
    answers = [client.ask("download_encrypted", file) for file in wrong]
    assert [(answer.status, answer.json["reason"]) for answer in answers] == [
        (400, "MCS_MEDIA_FAILED_TO_DECRYPT"),
        (400, "MCS_MEDIA_FAILED_TO_DECRYPT"),
        (404, "M_NOT_FOUND"),
    ]
    assert client.log.count("public_key") == 1
