"""One request for each answer that the OpenAPI file describes, against the gateway of `described.py`.

Pure: what to send, and the status that it provokes.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from tests.docs.described import BREAKS_ENGINE, CONTENT, FAULTS, TOKEN
from tests.docs.openapi import EXAMPLE
from tests.flow.samples import PICTURE
from tests.web.clients import END, FORM, file_of, part, sealed
from tests.web.door import API

TOO_MANY: Final = "&".join(["x=y"] * 40)
JSON: Final = {"Content-Type": "application/json"}

MEDIA: Final = {
    "download": "{server}/{id}",
    "downloadAs": "{server}/{id}/holiday.png",
    "thumbnail": "{server}/{id}?width=32&height=24",
    "scan": "{server}/{id}",
}
"""The operations on media by URI: what follows the route's name."""

ROUTES: Final = {"downloadAs": "download", "downloadEncrypted": "download_encrypted"} | {
    "scanEncrypted": "scan_encrypted",
    "scanFile": "scan_file",
    "getPublicKey": "public_key",
}
"""The route of an operation that is called otherwise."""


@dataclass(frozen=True)
class Provocation:
    """A request, and the status that it must be answered with. A path starts with a slash."""

    operation: str
    status: int
    path: str
    method: str = "GET"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    token: str | None = TOKEN


def provocations(public_key: str) -> Iterator[Provocation]:
    """Yield all of them that a healthy gateway with room answers."""
    for one in [*_media(), *_probes()]:
        yield one
        yield replace(one, method="HEAD", operation="head" + _capital(one.operation.removeprefix("get")))
    yield from _attachments(public_key)
    yield from _forms()


def while_full() -> Iterator[Provocation]:
    """Yield a request of each operation that a full gateway answers with 503."""
    for operation in MEDIA:
        one = Provocation(operation, 503, media_path(operation, "clean"))
        yield one
        yield replace(one, method="HEAD", operation="head" + _capital(operation))
    for operation in ("downloadEncrypted", "scanEncrypted"):
        yield _post(operation, 503, json.dumps({"file": EXAMPLE}).encode(), JSON)
    yield _post("scanFile", 503, part("file", PICTURE) + END, {"Content-Type": FORM})


def conditions(etag: str) -> Iterator[Provocation]:
    """Yield ranges and conditions of each operation that sends media, those that count and others."""
    for operation in ("download", "downloadAs", "thumbnail"):
        path = media_path(operation, "clean")
        head = Provocation("head" + _capital(operation), 304, path, "HEAD", headers={"If-None-Match": etag})
        yield head
        yield replace(head, status=200, headers={"Range": "bytes=0-3"})
        for status, headers in (
            (206, {"Range": "bytes=0-3"}),
            (206, {"Range": "bytes=-3", "If-Range": etag}),
            (200, {"Range": "bytes=0-3", "If-Range": '"another"'}),
            (200, {"Range": "bytes=0-3,5-6"}),
            (200, {"Range": "lines=1-2"}),
            (416, {"Range": "bytes=1000000-"}),
            (304, {"If-None-Match": etag}),
            (304, {"If-None-Match": f'"another", W/{etag}', "Range": "bytes=0-3"}),
            (200, {"If-None-Match": '"another"'}),
        ):
            yield Provocation(operation, status, path, headers=headers)


def media_path(operation: str, media_id: str, server: str = "example.org") -> str:
    """Return the path, with its query, of an operation on a media."""
    return f"{API}/{_route(operation)}/{MEDIA[operation].format(server=server, id=media_id)}"


def _media() -> Iterator[Provocation]:
    for operation in MEDIA:
        path = media_path(operation, "clean")
        yield Provocation(operation, 200, path)
        yield (
            Provocation(operation, 200, media_path(operation, "infected"))
            if operation == "scan"
            else (Provocation(operation, 403, media_path(operation, "infected")))
        )
        yield Provocation(operation, 400, path + ("&" if "?" in path else "?") + TOO_MANY)
        yield Provocation(operation, 401, path, token=None)
        yield Provocation(operation, 401, path, token="bad")
        yield Provocation(operation, 403, media_path(operation, "forbidden"))
        yield Provocation(operation, 404, media_path(operation, "missing"))
        yield Provocation(operation, 404, media_path(operation, "clean", "-.."))
        yield Provocation(operation, 500, media_path(operation, "engine-error"))
        for fault in FAULTS:
            yield Provocation(operation, _status(fault), media_path(operation, fault))
    yield Provocation("thumbnail", 400, f"{API}/thumbnail/example.org/clean?width=0&height=24")
    yield Provocation("download", 200, media_path("download", "clean") + f"?access_token={TOKEN}", token=None)


def _probes() -> Iterator[Provocation]:
    for operation, path in {
        "getPublicKey": f"{API}/public_key",
        "health": "/health",
        "ready": "/ready",
    }.items():
        yield Provocation(operation, 200, path, token=None)
        yield Provocation(operation, 400, f"{path}?{TOO_MANY}", token=None)
        yield Provocation(operation, 502, path, token=None, headers={"Via": "1.1 ostiary"})


def _attachments(public_key: str) -> Iterator[Provocation]:
    for operation in ("downloadEncrypted", "scanEncrypted"):
        infected = 403 if operation == "downloadEncrypted" else 200
        outcomes = {"clean": 200, "infected": infected, "forbidden": 403, "engine-error": 500}
        for name, status in outcomes.items():
            body = file_of(CONTENT[f"sealed-{name}"][0], f"mxc://example.org/sealed-{name}")
            yield _post(operation, status, json.dumps(body).encode(), JSON)
            yield _post(operation, status, json.dumps(sealed(public_key, body)).encode(), JSON)
        plain = {"file": EXAMPLE}
        yield _post(operation, 200, json.dumps(plain).encode(), JSON)
        yield _post(operation, 400, b"[]", JSON)
        yield _post(operation, 400, json.dumps(file_of(b"else", EXAMPLE["url"])).encode(), JSON)
        yield _post(operation, 401, json.dumps(plain).encode(), JSON, token="bad")
        nothing = {"encrypted_body": {"ciphertext": "", "mac": "", "ephemeral": ""}}
        yield _post(operation, 403, json.dumps(nothing).encode(), JSON)
        yield _post(operation, 404, json.dumps(file_of(b"", "mxc://example.org/missing")).encode(), JSON)
        yield _post(operation, 413, b" " * (2 << 20), JSON)
        for fault in FAULTS:
            body = file_of(b"", f"mxc://example.org/{fault}")
            yield _post(operation, _status(fault), json.dumps(body).encode(), JSON)


def _forms() -> Iterator[Provocation]:
    headers = {"Content-Type": FORM}
    form = part("file", PICTURE) + END
    yield _post("scanFile", 200, form, headers)
    yield _post("scanFile", 400, END, headers)
    yield _post("scanFile", 401, form, headers, token=None)
    yield _post("scanFile", 401, form, headers, token="bad")
    yield _post("scanFile", 403, part("file", CONTENT["forbidden"][0]) + END, headers)
    yield _post("scanFile", 413, part("body", b" " * (2 << 20)) + form, headers)
    yield _post("scanFile", 500, part("file", BREAKS_ENGINE) + END, headers)
    for token, status in {"hs-404": 404, "hs-429": 429, "hs-nonsense": 502}.items():
        yield _post("scanFile", status, form, headers, token=token)


def _post(
    operation: str, status: int, body: bytes, headers: Mapping[str, str], token: str | None = TOKEN
) -> Provocation:
    return Provocation(operation, status, f"{API}/{_route(operation)}", "POST", body, headers, token)


def _status(fault: str) -> int:
    return 502 if fault == "hs-nonsense" else int(fault.removeprefix("hs-"))


def _route(operation: str) -> str:
    return ROUTES.get(operation, operation)


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]
