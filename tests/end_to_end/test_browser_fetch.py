"""Web clients in a real browser: a page of another site fetches through CORS, with headless Chromium."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from peers.chromium import Chromium, ScriptError
from peers.gateway import API, Gateway
from peers.node import FOLDER, NodePeer
from peers.samples import EICAR, png
from peers.synapse import Synapse, User
from tests.end_to_end.conftest import Upload

PICTURE = png()
OLM = FOLDER / "node_modules" / "@matrix-org" / "olm"

FETCH = """
const { url, method, headers, body } = given;
const answer = await fetch(url, { method, headers, body });
const bytes = new Uint8Array(await answer.arrayBuffer());
const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
return { status: answer.status, headers: Object.fromEntries(answer.headers), body: btoa(text) };
"""

LOAD_OLM = """
if (!globalThis.Olm) {
  await new Promise((onload, onerror) => {
    const script = document.createElement("script");
    document.head.append(Object.assign(script, { src: given.olm, onload, onerror }));
  });
  await Olm.init({ locateFile: () => given.wasm });
}
"""

SEALED = """
const { public_key } = await (await fetch(`${given.api}/public_key`)).json();
const encryption = new Olm.PkEncryption();
encryption.set_recipient_key(public_key);
const { ciphertext, mac, ephemeral } = encryption.encrypt(JSON.stringify({ file: given.file }));
encryption.free();
const answer = await fetch(`${given.api}/scan_encrypted`, {
  method: "POST",
  headers: { Authorization: `Bearer ${given.token}`, "Content-Type": "application/json" },
  body: JSON.stringify({ encrypted_body: { ciphertext, mac, ephemeral } }),
});
return { status: answer.status, json: await answer.json() };
"""


@dataclass(frozen=True)
class Seen:
    """What a script may see of an answer: of the headers, those that CORS lets it read."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Page:
    """The page, and the gateway that it asks."""

    def __init__(self, chromium: Chromium, gateway: Gateway) -> None:
        self._chromium, self._gateway = chromium, gateway

    def run(self, script: str, **given: object) -> Any:  # noqa: ANN401  (JSON)
        """Run a script; `given.api` is the scanner API."""
        return self._chromium.run(script, api=self._gateway.url + API, **given)

    def fetch(
        self,
        path: str,
        token: str | None = None,
        *,
        method: str = "GET",
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Seen:
        """Fetch as web clients do: the token in a header, which takes a preflight."""
        sent = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
        url = self._gateway.url + (path if path.startswith("/") else f"{API}/{path}")
        seen = self._chromium.run(FETCH, url=url, method=method, headers=sent, body=body)
        return Seen(seen["status"], seen["headers"], base64.b64decode(seen["body"]))


@pytest.fixture
def page(chromium: Chromium, gateway: Gateway) -> Page:
    """Return the page, in front of the shared gateway."""
    return Page(chromium, gateway)


@pytest.fixture(scope="module")
def broken(synapse: Synapse) -> Iterator[Gateway]:
    """A gateway whose engine is away."""
    engines = [{"type": "clamd", "address": "unix:/nonexistent/clamd.ctl"}]
    with Gateway(synapse.url, {"engines": engines}) as running:
        yield running


def test_clean_media_is_fetched_with_a_token(page: Page, upload: Upload, bob: User) -> None:
    """With an Authorization header, so after a preflight, a page gets the bytes and the file's name."""
    seen = page.fetch(f"download/{upload(PICTURE, 'image/png', 'cat.png')}", bob.token)
    assert (seen.status, seen.body) == (200, PICTURE)
    assert seen.headers["content-type"] == "image/png"
    assert seen.headers["content-disposition"] == 'inline; filename="cat.png"'


def test_the_preflight_is_real(page: Page, upload: Upload, bob: User) -> None:
    """The browser asks before it sends headers: one that the answer to OPTIONS does not allow is not sent."""
    place = upload(PICTURE, "image/png")
    allowed = page.fetch(f"download/{place}", bob.token, headers={"X-Requested-With": "test"})
    assert allowed.status == 200
    with pytest.raises(ScriptError, match="Failed to fetch"):
        page.fetch(f"download/{place}", bob.token, headers={"X-Not-In-The-Spec": "test"})


@pytest.mark.parametrize("route", ["download", "scan"])
def test_infected_media_is_told_and_not_given(page: Page, upload: Upload, bob: User, route: str) -> None:
    """A page reads status and JSON of a refusal, and of a verdict."""
    seen = page.fetch(f"{route}/{upload(EICAR)}", bob.token)
    assert seen.status == (403 if route == "download" else 200)
    assert seen.headers["content-type"].startswith("application/json")
    assert (b'"MCS_MEDIA_NOT_CLEAN"' in seen.body) == (route == "download")
    assert (b'"clean": false' in seen.body) == (route == "scan")
    assert EICAR not in seen.body


ERRORS = {
    "no token": ("GET", "download/{place}", None, 401, b"M_MISSING_TOKEN"),
    "a wrong token": ("GET", "scan/{place}", "wrong", 401, b"M_UNKNOWN_TOKEN"),
    "no such media": ("GET", "thumbnail/{place}0?width=32&height=32", "bob", 404, b"M_NOT_FOUND"),
    "no media ID": ("GET", "download/x", "bob", 404, b"M_NOT_FOUND"),
    "no such route": ("GET", "nothing", "bob", 404, b"M_UNRECOGNIZED"),
    "nothing of ours": ("GET", "/elsewhere", "bob", 404, b"M_UNRECOGNIZED"),
    "wrong method": ("PUT", "download/{place}", "bob", 405, b"M_UNRECOGNIZED"),
    "no JSON": ("POST", "scan_encrypted", "bob", 400, b"MCS_MALFORMED_JSON"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_can_be_read(page: Page, upload: Upload, bob: User, name: str) -> None:
    """Errors carry CORS headers too, on whatever path: a page sees status and code, not a network error."""
    method, path, token, status, code = ERRORS[name]
    seen = page.fetch(
        path.format(place=upload(PICTURE, "image/png")),
        bob.token if token == "bob" else token,
        method=method,
        body="nonsense" if method == "POST" else None,
    )
    assert seen.status == status
    assert code in seen.body


def test_when_to_retry_can_be_read(chromium: Chromium, broken: Gateway, upload: Upload, bob: User) -> None:
    """`Retry-After` of a failed scan is exposed to the page."""
    seen = Page(chromium, broken).fetch(f"download/{upload(PICTURE)}", bob.token)
    assert seen.status == 500
    assert int(seen.headers["retry-after"]) > 0


def test_encrypted_attachments_by_post(page: Page, upload: Upload, bob: User, node: NodePeer) -> None:
    """A page posts JSON, reads the verdict, gets the ciphertext, and decrypts it to what was sent."""
    for data, clean in ((PICTURE, True), (EICAR, False)):
        file, _ = upload.encrypted(node, data)
        posted = page.run(
            """
            const headers = { Authorization: `Bearer ${given.token}`, "Content-Type": "application/json" };
            const request = { method: "POST", headers, body: JSON.stringify({ file: given.file }) };
            const scan = await (await fetch(`${given.api}/scan_encrypted`, request)).json();
            const download = await fetch(`${given.api}/download_encrypted`, request);
            if (!download.ok) return { scan, refused: await download.json() };
            const decoded = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const key = await crypto.subtle.importKey("jwk", given.file.key, "AES-CTR", false, ["decrypt"]);
            const counter = decoded(given.file.iv);
            const ciphertext = await download.arrayBuffer();
            const algorithm = { name: "AES-CTR", counter, length: 64 };
            const plain = await crypto.subtle.decrypt(algorithm, key, ciphertext);
            const text = Array.from(new Uint8Array(plain), (byte) => String.fromCharCode(byte)).join("");
            return { scan, plain: btoa(text) };
            """,
            token=bob.token,
            file=file,
        )
        assert posted["scan"]["clean"] is clean
        if clean:
            assert base64.b64decode(posted["plain"]) == data
        else:
            assert posted["refused"]["reason"] == "MCS_MEDIA_NOT_CLEAN"


def test_libolm_in_the_page_seals_a_request(
    page: Page, chromium: Chromium, upload: Upload, bob: User, node: NodePeer
) -> None:
    """As web clients do: the key without a token, sealed with libolm (WebAssembly), posted with one."""
    olm = chromium.serve("/olm.js", (OLM / "olm.js").read_bytes(), {"Content-Type": "text/javascript"})
    wasm = chromium.serve("/olm.wasm", (OLM / "olm.wasm").read_bytes(), {"Content-Type": "application/wasm"})
    for data, clean in ((PICTURE, True), (EICAR, False)):
        file, _ = upload.encrypted(node, data)
        answer = page.run(LOAD_OLM + SEALED, olm=olm, wasm=wasm, token=bob.token, file=file)
        assert answer["status"] == 200
        assert answer["json"]["clean"] is clean
