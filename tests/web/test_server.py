"""The front over real HTTP: every route, every refusal, and nothing in an answer that is not ours."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from ostiary.gateway import Gateway
from ostiary.inspection import Station
from ostiary.model import Infected
from ostiary.web.errors import INTERNAL, NOT_HTTP
from ostiary.web.headers import EVERYWHERE
from ostiary.web.health import State
from tests.flow.fakes import ScriptedEngine, finding, hang, until
from tests.flow.samples import PICTURE, encrypted
from tests.matrix.fake_homeserver import answer, cut, error, media
from tests.web.clients import END, FORM, file_of, part, sealed
from tests.web.door import API, V1, V3, WHOAMI, Answer, Door, Standing, opened

PLACE: Final = "example.org/AbC-_1"
MEDIA: Final = {**EVERYWHERE, "Cache-Control": "private"}
JSON: Final = {**EVERYWHERE, "Cache-Control": "no-store", "Content-Type": "application/json"}


def headers_of(got: Answer) -> dict[str, str]:
    """Return all headers but those that every HTTP server adds; none comes twice."""
    assert len(got.headers) == len(set(map(str.lower, got.headers)))
    return {name: value for name, value in got.headers.items() if name not in {"Date", "Content-Length"}}


async def test_public_key(door: Door) -> None:
    """The public key comes without a token and without a homeserver, and may be cached."""
    got = await door.ask("public_key", token=None)
    assert (got.status, got.json) == (200, {"public_key": door.envelope.public_key})
    assert headers_of(got) == {**EVERYWHERE, "Content-Type": "application/json"}
    assert door.homeserver.received == []


@pytest.mark.parametrize("path", [PLACE, f"{PLACE}/other.png"])
async def test_download(door: Door, path: str) -> None:
    """The homeserver's bytes under headers of ours: a closed list, none of the homeserver's among them."""
    door.homeserver.otherwise = answer(
        200,
        PICTURE,
        {
            "Content-Type": "image/png",
            "Content-Disposition": 'inline; filename="cat.png"',
            "Set-Cookie": "a=b",
            "ETag": "1",
            "Server": "Synapse",
            "Link": "</x>; rel=preload",
            "X-Secret": "1",
            "Access-Control-Allow-Origin": "https://only.example",
            "Content-Security-Policy": "script-src *",
            "Cache-Control": "public,max-age=86400",
        },
    )
    got = await door.ask(f"download/{path}")
    assert (got.status, got.body) == (200, PICTURE)
    name = "other.png" if path.endswith("png") else "cat.png"
    disposition = f'inline; filename="{name}"'
    etag = got.headers.pop("ETag")
    assert re.fullmatch(r'"[0-9a-f]{32}"', etag)
    assert hashlib.sha256(PICTURE).hexdigest()[:32] not in etag
    assert headers_of(got) == {
        **MEDIA,
        "Content-Type": "image/png",
        "Content-Disposition": disposition,
        "Accept-Ranges": "bytes",
    }
    assert got.headers["Content-Length"] == str(len(PICTURE))
    assert door.homeserver.paths == [f"{V1}/download/{PLACE}"]


async def test_thumbnail(door: Door) -> None:
    """A thumbnail is asked for as such, and has every header that a download has."""
    door.homeserver.otherwise = media(PICTURE)
    got = await door.ask(f"thumbnail/{PLACE}?width=64&height=48&method=crop&animated=true&timeout_ms=5000")
    assert (got.status, got.body) == (200, PICTURE)
    assert got.headers.pop("ETag")
    assert headers_of(got) == {
        **MEDIA,
        "Content-Type": "image/png",
        "Content-Disposition": "inline",
        "Accept-Ranges": "bytes",
    }
    assert door.homeserver.received[0].target.endswith(
        "?width=64&height=48&method=crop&animated=true&timeout_ms=5000"
    )


async def test_scan(door: Door) -> None:
    """A scan says clean and why, and sends no bytes of the file."""
    door.homeserver.otherwise = media(PICTURE)
    got = await door.ask(f"scan/{PLACE}")
    assert (got.status, got.json) == (200, {"clean": True, "info": "clean"})
    assert headers_of(got) == JSON


@pytest.mark.parametrize("route", ["download_encrypted", "scan_encrypted"])
@pytest.mark.parametrize("seal", [True, False])
async def test_encrypted(tmp_path: Path, route: str, *, seal: bool) -> None:
    """Plain or sealed, the body opens the attachment for the engine; the caller gets the ciphertext."""
    ciphertext, engine = encrypted(PICTURE), ScriptedEngine()
    async with opened(tmp_path, [engine]) as door:
        door.homeserver.otherwise = media(ciphertext, "application/octet-stream")
        body = file_of(ciphertext)
        got = await door.ask(route, "POST", body=sealed(door.envelope.public_key, body) if seal else body)
        if route == "scan_encrypted":
            assert got.json == {"clean": True, "info": "clean"}
        else:
            assert got.body == ciphertext
            expected = {"Content-Type": "application/octet-stream", "Content-Disposition": "attachment"}
            assert headers_of(got) == {**MEDIA, **expected}
    assert engine.seen == [(PICTURE, "image/png")]


async def test_scan_file(door: Door) -> None:
    """A file before its upload is scanned for whoever has a token."""
    body = part("file", PICTURE) + END
    got = await door.ask("scan_file", "POST", headers={"Content-Type": FORM}, body=body)
    assert (got.status, got.json) == (200, {"clean": True, "info": "clean"})
    assert door.homeserver.paths == [WHOAMI]


@pytest.mark.parametrize("route", ["download", "scan"])
async def test_what_is_not_clean(tmp_path: Path, route: str) -> None:
    """An infected file is a refusal for who wants it, and an answer for who asks about it."""
    async with opened(tmp_path, [ScriptedEngine(finding(Infected("Eicar")), "av")]) as door:
        door.homeserver.otherwise = media(PICTURE)
        got = await door.ask(f"{route}/{PLACE}")
    info = "infected: Eicar (found by av)"
    if route == "scan":
        assert (got.status, got.json) == (200, {"clean": False, "info": info})
    else:
        assert got.code == (403, "MCS_MEDIA_NOT_CLEAN")
        assert got.json["info"] == info
    assert PICTURE not in got.body


async def test_what_could_not_be_scanned(tmp_path: Path) -> None:
    """A file whose engine did not answer is not sent, is not called unclean, and may be asked for again."""
    async with opened(tmp_path, [Station(ScriptedEngine(hang), timeout=0.01)]) as door:
        door.homeserver.otherwise = media(PICTURE)
        for route in ("download", "scan"):
            got = await door.ask(f"{route}/{PLACE}")
            assert got.code == (500, "M_UNKNOWN")
            assert got.headers["Retry-After"] == "5"


@pytest.mark.parametrize(
    "path",
    [
        "public_key",
        f"download/{PLACE}",
        f"scan/{PLACE}",
        "download/nonsense",
        "/health",
        "/ready",
        "/nothing",
    ],
)
async def test_head_is_get_without_its_body(door: Door, path: str) -> None:
    """HEAD has the status and every header of GET, and no body."""
    door.homeserver.otherwise = media(PICTURE)
    head, get = await door.ask(path, "HEAD"), await door.ask(path)
    assert head.body == b""
    assert head.status == get.status
    assert {**head.headers, "Date": ""} == {**get.headers, "Date": ""}
    assert int(head.headers["Content-Length"]) == len(get.body)


@pytest.mark.parametrize(
    "path", ["public_key", f"download/{PLACE}", "scan_file", "/health", "/", "/anything/../at%00all?x"]
)
async def test_preflights_pass_everywhere(door: Door, path: str) -> None:
    """A browser may ask before it asks, on any path, without a token, whatever it plans to send."""
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    got = await door.ask(path, "OPTIONS", token=None, headers=headers)
    assert (got.status, got.body) == (204, b"")
    assert got.headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in got.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in got.headers["Access-Control-Allow-Headers"]
    assert b"HTTP/1.1 204" in await door.raw(b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "path", "code", "errcode"),
    [
        ("GET", "/", (404, "M_NOT_FOUND"), "M_UNRECOGNIZED"),
        ("GET", "/_matrix/client/v3/sync", (404, "M_NOT_FOUND"), "M_UNRECOGNIZED"),
        ("GET", "nonsense", (404, "M_NOT_FOUND"), "M_UNRECOGNIZED"),
        ("GET", "public_key/x", (404, "M_NOT_FOUND"), "M_UNRECOGNIZED"),
        ("POST", "public_key", (405, "M_NOT_FOUND"), "M_UNRECOGNIZED"),
        ("GET", "scan_encrypted", (405, "M_NOT_FOUND"), "M_UNRECOGNIZED"),
        ("PUT", f"download/{PLACE}", (405, "M_NOT_FOUND"), "M_UNRECOGNIZED"),
        ("PROPFIND", f"download/{PLACE}", (405, "M_NOT_FOUND"), "M_UNRECOGNIZED"),
        ("POST", "/health", (405, "M_NOT_FOUND"), "M_UNRECOGNIZED"),
        ("GET", "download/example.org", (404, "M_NOT_FOUND"), "M_NOT_FOUND"),
        ("GET", "download/example.org/..%2F..%2Fx", (404, "M_NOT_FOUND"), "M_NOT_FOUND"),
        ("GET", f"thumbnail/{PLACE}", (400, "M_UNKNOWN"), "M_INVALID_PARAM"),
    ],
)
async def test_what_is_not_there(
    door: Door, method: str, path: str, code: tuple[int, str], errcode: str
) -> None:
    """Unknown routes, methods and media are JSON in both spellings, and nothing is fetched."""
    got = await door.ask(path, method)
    assert got.code == code
    assert got.json["errcode"] == errcode
    assert (got.headers.popall("Allow", None) is None) == (got.status != 405)
    assert headers_of(got) == JSON
    assert door.homeserver.received == []


@pytest.mark.parametrize(
    ("via", "refused"),
    [
        ("1.1 ostiary", True),
        ("1.0 fred, 1.1 ostiary (comment)", True),
        ("1.1 ostiary, 1.1 nginx", True),
        ("1.1 ostiary.example.org", False),
        ("1.1 nginx, ", False),
        ("ostiary", False),
    ],
)
async def test_a_request_of_ours_that_comes_back(door: Door, via: str, *, refused: bool) -> None:
    """Our own mark in Via is a loop of proxy rules: refused at once, before it asks anybody."""
    door.homeserver.otherwise = media(PICTURE)
    got = await door.ask(f"download/{PLACE}", headers={"Via": via})
    assert (got.status == 502) == refused
    assert (door.homeserver.received == []) == refused
    if refused:
        assert got.code == (502, "MCS_MEDIA_REQUEST_FAILED")


async def test_a_real_loop(door: Door) -> None:
    """A front whose homeserver is the front itself answers instead of going round."""

    async def back_to_us(reader: object, writer: object) -> None:
        request = door.homeserver.received[-1]
        got = await door.ask(f"download/{PLACE}", headers={"Via": ", ".join(request.header("via"))})
        writer.write(answer(got.status, got.body))  # type: ignore[attr-defined]

    door.homeserver.otherwise = back_to_us
    got = await door.ask(f"download/{PLACE}")
    assert got.code == (502, "MCS_MEDIA_REQUEST_FAILED")
    assert len(door.homeserver.received) == 1


@pytest.mark.parametrize(
    ("header", "query", "sent"),
    [
        ("Bearer tok", "", ["Bearer tok"]),
        ("bearer  tok ", "", ["Bearer tok"]),
        (None, "?access_token=tok", ["Bearer tok"]),
        ("Bearer tok", "?access_token=other", ["Bearer tok"]),
        ("Basic dXNlcg==", "?access_token=tok", ["Bearer tok"]),
        ("Basic dXNlcg==", "", []),
        ("Bearer", "", []),
        (None, "?access_token=", []),
        (None, "", []),
    ],
)
async def test_whose_token_goes_upstream(door: Door, header: str | None, query: str, sent: list[str]) -> None:
    """The token goes in the header, wherever it came from, and is never part of an address."""
    door.homeserver.otherwise = media(PICTURE)
    got = await door.ask(
        f"download/{PLACE}{query}", token=None, headers={"Authorization": header} if header else None
    )
    assert got.status == 200
    (request,) = door.homeserver.received
    assert request.header("authorization") == sent
    assert request.target.endswith("?timeout_ms=5000")
    assert request.path.startswith(V1 if sent else V3)


@pytest.mark.parametrize("token", ["a b", "a\tb", "é", "x" * 5000])
async def test_what_can_not_be_a_token(door: Door, token: str) -> None:
    """A token of impossible characters is refused here: it would have to go into a header."""
    got = await door.ask(f"download/{PLACE}", token=None, headers={"Authorization": f"Bearer {token}"})
    assert got.code == (401, "M_UNKNOWN_TOKEN")
    assert door.homeserver.received == []


async def test_a_token_in_the_query_is_checked_too(door: Door) -> None:
    """Encoded line ends in `?access_token=` do not make headers of their own."""
    got = await door.ask(f"download/{PLACE}?access_token=a%0d%0aX-Injected:%201", token=None)
    assert got.code == (401, "M_UNKNOWN_TOKEN")
    assert door.homeserver.received == []


async def test_what_a_caller_sends_stays_here(tmp_path: Path) -> None:
    """Only the headers that the operator named go upstream, and the token."""
    async with opened(tmp_path, headers_to_forward=["X-Forwarded-For", "authorization"]) as door:
        door.homeserver.otherwise = media(PICTURE)
        headers = {
            "X-Forwarded-For": "10.0.0.1",
            "Range": "bytes=0-1",
            "If-None-Match": "1",
            "Accept-Encoding": "gzip",
            "Cookie": "a=b",
            "User-Agent": "Element",
            "X-Real-IP": "10.0.0.1",
            "Referer": "https://app.example",
        }
        await door.ask(f"download/{PLACE}", headers=headers)
        (request,) = door.homeserver.received
    assert dict(request.headers) == {
        "host": f"127.0.0.1:{door.homeserver.port}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": "ostiary",
        "via": "1.1 ostiary",
        "x-forwarded-for": "10.0.0.1",
        "authorization": "Bearer tok",
    }
    assert len(request.headers) == 7


@pytest.mark.parametrize(
    ("reply", "status", "body"),
    [
        (error(401, "M_UNKNOWN_TOKEN", "x", soft_logout=True), 401, {"soft_logout": True}),
        (error(403, "M_FORBIDDEN"), 403, {"errcode": "M_FORBIDDEN"}),
        (error(404, "M_NOT_FOUND"), 404, {"reason": "M_NOT_FOUND"}),
        (error(429, "M_LIMIT_EXCEEDED", retry_after_ms=7), 429, {"retry_after_ms": 7}),
        (error(504, "M_NOT_YET_UPLOADED"), 504, {"errcode": "M_NOT_YET_UPLOADED"}),
        (error(500, "M_UNKNOWN"), 502, {"reason": "MCS_MEDIA_REQUEST_FAILED"}),
        (error(403, "M_\ud800", "\ud800\x1b\n"), 403, {"errcode": "M_UNKNOWN"}),
        (answer(302, headers={"Location": "http://elsewhere/"}), 502, {"reason": "MCS_MEDIA_REQUEST_FAILED"}),
        (cut(b"garbage"), 502, {"reason": "MCS_MEDIA_REQUEST_FAILED"}),
        (cut(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), 502, {"reason": "MCS_MEDIA_REQUEST_FAILED"}),
    ],
)  # fmt: skip
async def test_what_the_homeserver_says(
    door: Door, reply: bytes, status: int, body: dict[str, object]
) -> None:
    """Its refusals pass in our shape, its failures are 502, and its garbage never reaches a client."""
    door.homeserver.otherwise = reply
    got = await door.ask(f"download/{PLACE}")
    assert got.code[0] == status
    assert body.items() <= got.json.items()
    assert json.dumps(got.json, ensure_ascii=False).encode().decode().isprintable()
    assert "elsewhere" not in got.body.decode()


async def test_a_bug_is_an_error_of_ours(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody thought of is a 500 in JSON without a word of it, logged and counted."""

    def bug(*_: object) -> None:
        raise ValueError("s3cret words")

    monkeypatch.setattr(Gateway, "media", bug)
    with capture_logs() as lines:
        got = await door.ask(f"download/{PLACE}")
    assert got.code == (500, "M_UNKNOWN")
    assert got.json["info"] == INTERNAL.info
    assert "s3cret" not in got.body.decode()
    assert door.metric("errors_total", kind="internal") == 1
    (line,) = lines
    assert (line["event"], line["kind"], line["exc_info"]) == ("error", "internal", True)
    assert (await door.ask("public_key")).status == 200


GARBAGE: Final = {
    "no HTTP": b"s3cret\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50),
    "another version": b"GET /x?access_token=s3cret HTTP/9.9\r\nHost: x\r\n\r\n",
    "no host": b"GET /x?access_token=s3cret HTTP/1.1\r\n\r\n",
    "a NUL in a token": b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \x00s3cret\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization s3cret\r\n\r\n",
    "a path of other bytes": b"GET /s3cret\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "an address that is none": b"GET http://[s3cret HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path too long": b"GET /s3cret" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header too long": b"GET / HTTP/1.1\r\nHost: x\r\nX: s3cret" + b"a" * 40_000 + b"\r\n\r\n",
    "too many headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: s3cret\r\n" * 500 + b"\r\n",
    "two framings": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "a length that is none": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: s3cret\r\n\r\n",
    "behind a good one": b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\ns3cret\r\n\r\n",
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
@pytest.mark.parametrize("accept", [b"", b"Accept: text/html\r\n"])
async def test_what_is_not_http(
    door: Door, capfd: pytest.CaptureFixture[str], data: bytes, accept: bytes
) -> None:
    """What HTTP's grammar refuses is answered in our shape, and neither answered nor logged in its words."""
    data = data.replace(b"Host: x\r\n", b"Host: x\r\n" + accept, 1)
    with capture_logs() as lines:
        got = await door.raw(data)
    *_, last = got.split(b"HTTP/1.")
    head, _, body = last.partition(b"\r\n\r\n")
    assert b" 400 " in head.splitlines()[0]
    assert b"Access-Control-Allow-Origin: *" in head
    assert json.loads(body) == NOT_HTTP.body()
    assert "s3cret" not in got.decode() + repr(lines) + "".join(capfd.readouterr())
    assert [line["log_level"] for line in lines] == ["info"] * len(lines)
    assert door.metric("errors_total", kind="malformed") == 1


@pytest.mark.parametrize(
    "data",
    [
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET http://example.org/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET //x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n",
        b"GET /x HTTP/1.0\r\n\r\n",
    ],
)
async def test_http_that_is_odd(door: Door, data: bytes) -> None:
    """What HTTP allows and nobody sends is not found, in JSON."""
    got = await door.raw(data)
    assert b" 404 " in got.splitlines()[0]
    body = got.partition(b"\r\n\r\n")[2]
    assert b"M_NOT_FOUND" in body


async def test_requests_in_a_row(door: Door) -> None:
    """Several requests in one packet are answered in their order; a body nobody reads is no request."""
    smuggled = b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n"
    got = await door.raw(
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
        + smuggled
        + b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
        + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    assert re.findall(rb"HTTP/1\.1 (\d+)", got) == [b"200", b"404", b"200"]
    assert b'"load"' not in got


async def test_full_means_wait_and_then_503(tmp_path: Path) -> None:
    """With every place taken a request waits for one, and is told to come back when none comes free."""
    engine = ScriptedEngine(hang)
    async with opened(tmp_path, [engine], requests=1, wait=0.05) as door:
        door.homeserver.otherwise = media(PICTURE)
        async with door.connection() as (_, writer):
            writer.write(f"GET {API}/scan/{PLACE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await engine.arrived.wait()
            got = await door.ask(f"scan/{PLACE}")
            assert got.code == (503, "M_UNKNOWN")
            assert got.headers["Retry-After"] == "5"
            assert door.metric("errors_total", kind="overloaded") == 1
            assert (await door.ask("/health")).json == {"status": "ok"}
            assert (await door.ask("public_key")).status == 200  # some deployments' liveness probe
            ready = await door.ask("/ready")
            assert ready.status == 200
            assert ready.json["load"]["requests"] == {"used": 1, "total": 1, "waiting": 0}
        await until(lambda: door.quiet)
        assert engine.cancelled == 1


async def test_a_place_that_comes_free(tmp_path: Path) -> None:
    """A request that waits is answered as soon as another one ends."""
    async with opened(tmp_path, requests=1, wait=10) as door:
        door.homeserver.otherwise = media(PICTURE)
        await door.requests.acquire(1)
        async with door.connection() as (reader, writer):
            writer.write(f"GET {API}/scan/{PLACE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await until(lambda: door.requests.waiting == 1)
            door.requests.release(1)
            assert b" 200 " in await reader.readline()
        await until(lambda: door.quiet)


STANDINGS = [
    ({}, {}, State.READY, 200),
    ({"loaded": False}, {}, State.LOADING, 503),
    ({}, {"settled": False}, State.LOADING, 503),
    ({}, {"untrusted": ("clamd",)}, State.UNTRUSTED, 503),
    ({"gates": False}, {"untrusted": ("clamd",)}, State.UNTRUSTED, 200),
    ({}, {"stale": ("clamd",)}, State.STALE, 503),
    ({"gates": False}, {"stale": ("clamd",)}, State.STALE, 200),
    ({}, {"stale": ("a",), "untrusted": ("b",)}, State.UNTRUSTED, 503),
    ({"draining": True}, {"untrusted": ("clamd",)}, State.DRAINING, 503),
    ({"draining": True, "gates": False, "loaded": False}, {}, State.DRAINING, 503),
]


@pytest.mark.parametrize(("health", "standing", "state", "status"), STANDINGS)
async def test_probes(
    door: Door, health: dict[str, bool], standing: dict[str, Any], state: State, status: int
) -> None:
    """`/health` is green as long as anything answers; `/ready` only while we should get traffic."""
    now = door.health
    now.standing = Standing(**standing)
    now.gates, now.loaded = health.get("gates", True), health.get("loaded", True)
    now.draining = health.get("draining", False)
    try:
        assert (await door.ask("/health", token=None)).json == {"status": "ok"}
        ready = await door.ask("/ready", token=None)
        assert (ready.status, ready.json["status"]) == (status, state.value)
        assert ready.json["engines"] == {
            "untrusted": list(standing.get("untrusted", ())),
            "stale": list(standing.get("stale", ())),
        }
    finally:
        now.standing, now.gates, now.loaded, now.draining = Standing(), True, True, False
