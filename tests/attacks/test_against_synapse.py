"""The same attacks where they matter most: in front of a real homeserver, with a real process in between."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.gateway import API, Gateway
from peers.samples import png
from peers.synapse import Synapse, User
from tests.attacks.house import statuses
from tests.flow.samples import encrypted
from tests.web.clients import file_of

PICTURE = png()


@pytest.fixture(scope="module")
def gateway(synapse: Synapse) -> Iterator[Gateway]:
    """A gateway that believes in a token for no longer than a second."""
    with Gateway(synapse.url, {"access": {"ttl": "1s"}, "log": {"level": "debug"}}) as running:
        yield running


def hits(gateway: Gateway) -> float:
    """Return how many judgements rested on what was known."""
    return gateway.metrics()["content_scanner_cache_hits_total"]


def test_a_stored_copy_is_for_those_whom_synapse_serves(
    gateway: Gateway, synapse: Synapse, bob: User
) -> None:
    """A copy that bob's request left here opens to no made-up token, and to none that has ended."""
    carol = synapse.register("carol-who-leaves")
    place = synapse.upload(carol.token, PICTURE, "image/png").removeprefix("mxc://")
    path = f"download/{place}"
    assert gateway.get(path, bob.token).body == PICTURE
    before = hits(gateway)
    assert gateway.get(path, bob.token).body == PICTURE
    assert gateway.get(path, carol.token).body == PICTURE
    assert hits(gateway) == before + 2
    synapse.logout(carol.token)
    for token, errcode in ((None, "M_MISSING_TOKEN"), ("syt_made_up", "M_UNKNOWN_TOKEN")):
        got = gateway.get(path, token)
        assert (got.status, got.json["errcode"]) == (401, errcode)
    while (got := gateway.get(path, carol.token)).status == 200:
        pass  # until access.ttl is over
    assert (got.status, got.json["errcode"]) == (401, "M_UNKNOWN_TOKEN")


def test_no_path_leads_to_another_route_of_synapse(gateway: Gateway, synapse: Synapse, alice: User) -> None:
    """Not one way of writing `..` gets an answer out of another part of the homeserver."""
    for place in (
        "..%2f..%2f..%2fclient",
        "%2e%2e/%2e%2e/account/whoami",
        "x/..%2f..%2fwhoami",
        "..;/x",
        "x/%252e%252e",
    ):
        request = f"GET {API}/download/{place} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        with socket.create_connection((gateway.host, gateway.port)) as connection:
            connection.sendall(f"{request}Authorization: Bearer {alice.token}\r\n\r\n".encode())
            with connection.makefile("rb") as answered:
                got = answered.read()
        assert statuses(got) == [404]
        assert b"user_id" not in got


def test_noise_under_a_wrong_key_vouches_for_nothing(gateway: Gateway, synapse: Synapse, alice: User) -> None:
    """Malware that came clean under a wrong key is found under the right one; a wrong hash does not help."""
    eicar = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
    ciphertext = encrypted(eicar)
    uri = synapse.upload(alice.token, ciphertext, "application/octet-stream")
    right, wrong = file_of(ciphertext, uri), file_of(encrypted(eicar, bytes(32)), uri)
    noise = file_of(ciphertext, uri)
    noise["file"]["iv"] = "AAAAAAAAAAEAAAAAAAAAAA"  # type: ignore[index]
    for _ in range(2):
        assert gateway.post("download_encrypted", noise, alice.token).body == ciphertext
        refused = gateway.post("download_encrypted", right, alice.token)
        assert (refused.status, refused.json["reason"]) == (403, "MCS_MEDIA_NOT_CLEAN")
        tampered = gateway.post("download_encrypted", wrong, alice.token)
        assert (tampered.status, tampered.json["reason"]) == (400, "MCS_MEDIA_FAILED_TO_DECRYPT")


def test_none_of_it_left_a_trace(gateway: Gateway, alice: User, bob: User) -> None:
    """After all that, neither log nor folder holds a token."""
    written = gateway.log + "".join(path.name for path in Path(gateway.folder).iterdir())
    assert "cache hit" in written
    assert not any(token in written for token in (alice.token, bob.token, "syt_made_up"))
