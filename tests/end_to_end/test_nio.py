"""Python clients: PyPI's matrix-nio logs in, encrypts, uploads, downloads through the gateway, decrypts.

nio knows no content scanner. Its own `download` and `thumbnail`, with all that they do to an answer,
are pointed at the gateway: the prefix of its media routes is one constant of its API module.
"""

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import nio
import pytest
from nio.crypto.attachments import decrypt_attachment

from peers.gateway import API, Gateway
from peers.samples import EICAR, png
from peers.synapse import PASSWORD, Synapse, User

PICTURE = png()


@pytest.fixture
async def homeserver(synapse: Synapse, bob: User) -> AsyncIterator[nio.AsyncClient]:
    """A client of the homeserver that logged in with bob's password."""
    client = nio.AsyncClient(synapse.url, bob.user_id)
    assert isinstance(await client.login(PASSWORD), nio.LoginResponse)
    yield client
    await client.close()


@pytest.fixture
async def scanned(
    gateway: Gateway, homeserver: nio.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[nio.AsyncClient]:
    """The same session, with the gateway for a homeserver and its prefix on media routes."""
    monkeypatch.setattr("nio.api.MATRIX_MEDIA_API_PATH", API)
    client = nio.AsyncClient(gateway.url, homeserver.user)
    client.access_token = homeserver.access_token
    yield client
    await client.close()


async def upload(client: nio.AsyncClient, data: bytes, content_type: str = "image/png") -> str:
    """Upload as nio does; return the mxc URI."""
    answer, _ = await client.upload(io.BytesIO(data), content_type, "cat.png", filesize=len(data))
    assert isinstance(answer, nio.UploadResponse), answer
    return str(answer.content_uri)


async def upload_encrypted(client: nio.AsyncClient, data: bytes) -> dict[str, object]:
    """Encrypt and upload as nio does; return the event's `file`."""
    file = io.BytesIO(data)
    answer, keys = await client.upload(file, "image/png", "cat.png", encrypt=True, filesize=len(data))
    assert isinstance(answer, nio.UploadResponse), answer
    return {**keys, "url": answer.content_uri}


async def post(client: nio.AsyncClient, route: str, body: object) -> tuple[int, bytes]:
    """Post JSON with nio's own sender; return status and body."""
    headers = {"Authorization": f"Bearer {client.access_token}", "Content-Type": "application/json"}
    answer = await client.send("POST", f"{API}/{route}", json.dumps(body), headers)
    return answer.status, await answer.read()


async def test_a_download_comes_byte_for_byte(homeserver: nio.AsyncClient, scanned: nio.AsyncClient) -> None:
    """`download` (a path with a trailing slash, `allow_remote=true`) gets bytes, type and file name."""
    answer = await scanned.download(await upload(homeserver, PICTURE))
    assert isinstance(answer, nio.MemoryDownloadResponse), answer
    assert (answer.body, answer.content_type, answer.filename) == (PICTURE, "image/png", "cat.png")


async def test_a_download_under_another_name(homeserver: nio.AsyncClient, scanned: nio.AsyncClient) -> None:
    """The file name that nio asks for is the one it gets."""
    answer = await scanned.download(await upload(homeserver, PICTURE), filename="dog & cat.png")
    assert isinstance(answer, nio.MemoryDownloadResponse), answer
    assert answer.filename == "dog & cat.png"


async def test_a_download_to_disk(
    homeserver: nio.AsyncClient, scanned: nio.AsyncClient, tmp_path: Path
) -> None:
    """Streamed to a file, a large download is complete."""
    data = bytes(range(256)) * 20_000
    answer = await scanned.download(
        await upload(homeserver, data, "application/octet-stream"), save_to=tmp_path
    )
    assert isinstance(answer, nio.DiskDownloadResponse), answer
    assert Path(answer.body).read_bytes() == data


async def test_a_thumbnail_comes_through(homeserver: nio.AsyncClient, scanned: nio.AsyncClient) -> None:
    """`thumbnail` gets the homeserver's picture."""
    media = urlsplit(await upload(homeserver, PICTURE))
    answer = await scanned.thumbnail(media.netloc, media.path.strip("/"), 32, 32)
    assert isinstance(answer, nio.ThumbnailResponse), answer
    assert answer.body.startswith(b"\x89PNG")


async def test_a_refusal_is_an_error_in_matrix_terms(
    homeserver: nio.AsyncClient, scanned: nio.AsyncClient, synapse: Synapse
) -> None:
    """nio makes its DownloadError of a refusal's `errcode` and `error`, and a ThumbnailError likewise."""
    infected = await scanned.download(await upload(homeserver, EICAR))
    assert isinstance(infected, nio.DownloadError), infected
    assert infected.status_code == "MCS_MEDIA_NOT_CLEAN"
    assert "eicar" in infected.message.lower()
    missing = await scanned.thumbnail(synapse.server_name, "doesNotExist", 32, 32)
    assert isinstance(missing, nio.ThumbnailError), missing
    assert "application/json" in missing.message  # all that it reads of a thumbnail's refusal


async def test_an_ended_session_is_told(scanned: nio.AsyncClient, synapse: Synapse) -> None:
    """A wrong token is M_UNKNOWN_TOKEN with `soft_logout`, as nio's own login code reads it."""
    scanned.access_token = "not-a-token"
    answer = await scanned.download(f"mxc://{synapse.server_name}/anything")
    assert isinstance(answer, nio.DownloadError), answer
    assert (answer.status_code, answer.soft_logout) == ("M_UNKNOWN_TOKEN", False)


@pytest.mark.parametrize("size", [1, 16, 200_000])
async def test_an_encrypted_attachment_is_scanned_and_decrypts(
    homeserver: nio.AsyncClient, scanned: nio.AsyncClient, size: int
) -> None:
    """What nio encrypted and uploaded scans clean; nio decrypts the returned ciphertext to the same bytes."""
    data = (PICTURE * 1000)[:size]
    file = await upload_encrypted(homeserver, data)
    status, verdict = await post(scanned, "scan_encrypted", {"file": file})
    assert (status, json.loads(verdict)) == (200, {"clean": True, "info": "clean"})
    status, ciphertext = await post(scanned, "download_encrypted", {"file": file})
    key, hashes = file["key"], file["hashes"]
    assert isinstance(key, dict)
    assert isinstance(hashes, dict)
    assert status == 200
    assert decrypt_attachment(ciphertext, key["k"], hashes["sha256"], str(file["iv"])) == data


async def test_malware_that_nio_encrypted_is_found(
    homeserver: nio.AsyncClient, scanned: nio.AsyncClient
) -> None:
    """The key that nio puts into the event opens the attachment for the scan."""
    file = await upload_encrypted(homeserver, EICAR)
    status, verdict = await post(scanned, "scan_encrypted", {"file": file})
    assert (status, json.loads(verdict)["clean"]) == (200, False)
    status, refusal = await post(scanned, "download_encrypted", {"file": file})
    assert (status, json.loads(refusal)["reason"]) == (403, "MCS_MEDIA_NOT_CLEAN")
