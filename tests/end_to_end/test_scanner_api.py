"""The scanner API through a real Synapse with authenticated media, real clamd, real encryption."""

import json

import pytest

from peers.gateway import Gateway
from peers.node import NodePeer
from peers.samples import EICAR, png, zipped
from peers.synapse import Synapse, User
from tests.end_to_end.conftest import Upload

PICTURE = png()
CASES = {
    "picture": (PICTURE, "image/png", "holiday.png"),
    "empty": (b"", "application/octet-stream", "empty"),
    "large": (bytes(range(256)) * 20_000, "application/octet-stream", "five-megabytes.bin"),
    "text": (b"plain words\n", "text/plain", "words.txt"),
}


@pytest.mark.parametrize("name", CASES)
def test_clean_media_comes_byte_for_byte(gateway: Gateway, upload: Upload, bob: User, name: str) -> None:
    """What is clean arrives as it was uploaded, with its type, its name, and the media spec's headers."""
    data, content_type, filename = CASES[name]
    answer = gateway.get(f"download/{upload(data, content_type, filename)}", bob.token)
    assert (answer.status, answer.body) == (200, data)
    assert answer.headers["content-type"].partition(";")[0] == content_type
    assert filename in answer.headers["content-disposition"]
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "private"


INFECTED = {
    "eicar": EICAR,
    "zip": zipped("eicar.com", EICAR),
    "large zip": zipped("eicar.com", EICAR, beside=2_000_000),
}


@pytest.mark.parametrize("name", INFECTED)
def test_infected_media_is_refused(gateway: Gateway, upload: Upload, bob: User, name: str) -> None:
    """EICAR, alone and in a zip, small and large, is 403 with a text that names what was found."""
    place = upload(INFECTED[name])
    answer = gateway.get(f"download/{place}", bob.token)
    assert answer.status == 403
    assert answer.json["reason"] == answer.json["errcode"] == "MCS_MEDIA_NOT_CLEAN"
    assert answer.json["info"] == answer.json["error"]
    assert "Eicar" in answer.json["info"] or "EICAR" in answer.json["info"]
    assert answer.headers["cache-control"] == "no-store"
    assert EICAR not in answer.body


def test_scan_says_clean_or_not_and_why(gateway: Gateway, upload: Upload, bob: User) -> None:
    """`scan` answers 200 with `clean` and `info` both ways."""
    good = gateway.get(f"scan/{upload(PICTURE, 'image/png')}", bob.token)
    bad = gateway.get(f"scan/{upload(EICAR)}", bob.token)
    assert (good.status, good.json) == (200, {"clean": True, "info": "clean"})
    assert (bad.status, bad.json["clean"]) == (200, False)
    assert "infected" in bad.json["info"]


def test_a_thumbnail_comes_through(gateway: Gateway, upload: Upload, bob: User) -> None:
    """The homeserver's thumbnail is scanned and sent, with the policy header that Synapse omits."""
    place = upload(PICTURE, "image/png")
    answer = gateway.get(f"thumbnail/{place}?width=32&height=32&method=crop", bob.token)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("image/")
    assert 0 < len(answer.body) < len(PICTURE) or answer.body[:4] == b"\x89PNG"
    assert "content-security-policy" in answer.headers


def test_a_requested_file_name_is_used(gateway: Gateway, upload: Upload, bob: User) -> None:
    """`/download/.../{filename}` names the file that the browser saves."""
    answer = gateway.get(f"download/{upload(PICTURE, 'image/png')}/my%20cat.png", bob.token)
    assert answer.headers["content-disposition"] == 'inline; filename="my cat.png"'
    assert answer.body == PICTURE


def test_head_says_what_get_would(gateway: Gateway, upload: Upload, bob: User) -> None:
    """HEAD has the headers and no body."""
    answer = gateway.get(f"download/{upload(PICTURE, 'image/png')}", bob.token, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == str(len(PICTURE))


@pytest.mark.parametrize("route", ["download", "scan", "thumbnail"])
def test_without_a_good_token_nothing_comes(gateway: Gateway, upload: Upload, route: str) -> None:
    """A missing or wrong token is the homeserver's 401, in the homeserver's words."""
    place = f"{route}/{upload(PICTURE, 'image/png')}?width=32&height=32"
    missing, wrong = gateway.get(place), gateway.get(place, "not-a-token")
    assert (missing.status, missing.json["reason"]) == (401, "M_MISSING_TOKEN")
    assert (wrong.status, wrong.json["errcode"]) == (401, "M_UNKNOWN_TOKEN")
    assert wrong.json["soft_logout"] is False


def test_a_token_in_the_query_counts(gateway: Gateway, upload: Upload, bob: User) -> None:
    """`?access_token=` is accepted, as older clients send it."""
    assert gateway.get(f"scan/{upload(PICTURE, 'image/png')}?access_token={bob.token}").json["clean"] is True


def test_media_that_does_not_exist(gateway: Gateway, synapse: Synapse, bob: User) -> None:
    """No such media, here or on a server that does not exist: a Matrix error, not ours."""
    answer = gateway.get(f"download/{synapse.server_name}/doesNotExist", bob.token)
    assert (answer.status, answer.json["reason"]) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "encrypted_body"])
@pytest.mark.parametrize("data", [PICTURE, b"x" * 3_000_000], ids=["small", "large"])
def test_clean_encrypted_attachments(
    gateway: Gateway,
    upload: Upload,
    bob: User,
    node: NodePeer,
    data: bytes,
    sealed: bool,  # noqa: FBT001
) -> None:
    """A real client's attachment scans clean, and its ciphertext comes byte for byte."""
    file, ciphertext = upload.encrypted(node, data)
    body = request_body(gateway, node, file, sealed=sealed)
    scanned = gateway.post("scan_encrypted", body, bob.token)
    assert (scanned.status, scanned.json) == (200, {"clean": True, "info": "clean"})
    fetched = gateway.post("download_encrypted", body, bob.token)
    assert (fetched.status, fetched.body) == (200, ciphertext)
    assert node.decrypt(fetched.body, file) == data


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "encrypted_body"])
@pytest.mark.parametrize("data", [EICAR, zipped("eicar.com", EICAR)], ids=["eicar", "zip"])
def test_infected_encrypted_attachments(
    gateway: Gateway,
    upload: Upload,
    bob: User,
    node: NodePeer,
    data: bytes,
    sealed: bool,  # noqa: FBT001
) -> None:
    """Malware inside an encrypted attachment is found with the key, and nothing of it is sent."""
    file, _ = upload.encrypted(node, data)
    body = request_body(gateway, node, file, sealed=sealed)
    scanned = gateway.post("scan_encrypted", body, bob.token)
    assert (scanned.status, scanned.json["clean"]) == (200, False)
    fetched = gateway.post("download_encrypted", body, bob.token)
    assert (fetched.status, fetched.json["reason"]) == (403, "MCS_MEDIA_NOT_CLEAN")


def test_a_wrong_hash_is_a_failed_decryption(
    gateway: Gateway, upload: Upload, bob: User, node: NodePeer
) -> None:
    """An attachment that is not what the key belongs to: 400, and no verdict."""
    file, _ = upload.encrypted(node, PICTURE)
    other, _ = upload.encrypted(node, EICAR)
    answer = gateway.post("scan_encrypted", {"file": {**file, "url": other["url"]}}, bob.token)
    assert (answer.status, answer.json["reason"]) == (400, "MCS_MEDIA_FAILED_TO_DECRYPT")


def test_an_envelope_for_another_key_is_refused_in_one_way(
    gateway: Gateway, upload: Upload, bob: User, node: NodePeer
) -> None:
    """Whatever is wrong inside encrypted_body: 403 MCS_BAD_DECRYPTION, the same text each time."""
    file, _ = upload.encrypted(node, PICTURE)
    foreign = node.seal("hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo", {"file": file})
    no_request = node.seal(gateway.get("public_key").json["public_key"], {"hello": "world"})
    answers = [
        gateway.post("scan_encrypted", {"encrypted_body": e}, bob.token) for e in (foreign, no_request)
    ]
    assert {answer.status for answer in answers} == {403}
    assert answers[0].json == answers[1].json
    assert answers[0].json["reason"] == "MCS_BAD_DECRYPTION"


@pytest.mark.parametrize(
    "body", [b"", b"not JSON", b"[]", b"{}", b'{"file": 1}', b'{"encrypted_body": "x"}', b"\xff"]
)
def test_a_malformed_body_is_400(gateway: Gateway, bob: User, body: bytes) -> None:
    """What is no request is MCS_MALFORMED_JSON."""
    answer = gateway.post("download_encrypted", body, bob.token)
    assert (answer.status, answer.json["reason"]) == (400, "MCS_MALFORMED_JSON")


@pytest.mark.parametrize("body_first", [False, True])
def test_a_file_is_scanned_before_its_upload(
    gateway: Gateway,
    bob: User,
    node: NodePeer,
    body_first: bool,  # noqa: FBT001
) -> None:
    """`scan_file` judges bytes, and decrypts them first where the form's `body` has their key."""
    for data, clean in ((PICTURE, True), (EICAR, False)):
        assert gateway.post(*form(data), bob.token, FORM).json["clean"] is clean
        ciphertext, info = node.encrypt(data)
        body = json.dumps({"file": info}).encode()
        sealed = gateway.post(*form(ciphertext, body, body_first=body_first), bob.token, FORM)
        assert (sealed.status, sealed.json["clean"]) == (200, clean)


def test_scan_file_needs_a_token(gateway: Gateway) -> None:
    """Nobody who is no user here gets a file scanned."""
    missing = gateway.post(*form(PICTURE), None, FORM)
    wrong = gateway.post(*form(PICTURE), "not-a-token", FORM)
    assert (missing.status, missing.json["reason"]) == (401, "M_MISSING_TOKEN")
    assert (wrong.status, wrong.json["reason"]) == (401, "M_UNKNOWN_TOKEN")


def test_the_probes_and_the_metrics(gateway: Gateway, upload: Upload, bob: User) -> None:
    """Health, readiness, and counters that move by what happened."""
    assert (gateway.get("/health").status, gateway.get("/health").json) == (200, {"status": "ok"})
    assert gateway.get("/ready").status == 200
    before = gateway.metrics()
    padding = b" " * 77  # bytes that no other test has shown
    for _ in range(2):
        gateway.get(f"scan/{upload(EICAR + padding)}", bob.token)
    gateway.get("scan/%2E%2E/x", bob.token)
    after = gateway.metrics()
    moved = {
        name: value - before[name] for name, value in after.items() if name.startswith("content_scanner")
    }
    assert moved['content_scanner_scans_total{result="infected"}'] == 2
    assert moved["content_scanner_infected_total"] == 1
    assert moved["content_scanner_scan_duration_seconds_count"] == 1
    assert moved['content_scanner_errors_total{kind="not_found"}'] == 1
    assert moved["content_scanner_cache_hits_total"] == 1


def test_one_line_a_decision(gateway: Gateway, upload: Upload, bob: User) -> None:
    """A request leaves one log line, which names the media and the verdict and no token."""
    place = upload(EICAR)
    gateway.get(f"download/{place}", bob.token)
    lines = [line for line in gateway.log.splitlines() if place in line]
    assert len(lines) == 1
    assert "infected" in lines[0]
    assert bob.token not in gateway.log


FORM = 'multipart/form-data; boundary="edge of the form"'


def form(data: bytes, body: bytes | None = None, *, body_first: bool = False) -> tuple[str, bytes]:
    """Return the route and the bytes of a form."""
    parts = [b'Content-Disposition: form-data; name="file"; filename="f.bin"\r\n\r\n' + data]
    if body is not None:
        parts.insert(0 if body_first else 1, b'Content-Disposition: form-data; name="body"\r\n\r\n' + body)
    edge = b"--edge of the form"
    return "scan_file", b"".join(edge + b"\r\n" + part + b"\r\n" for part in parts) + edge + b"--\r\n"


def request_body(
    gateway: Gateway, node: NodePeer, file: dict[str, object], *, sealed: bool
) -> dict[str, object]:
    """Return the request for an encrypted attachment, sealed to the gateway's public key or not."""
    if not sealed:
        return {"file": file}
    return {"encrypted_body": node.seal(gateway.get("public_key").json["public_key"], {"file": file})}
