"""The homeserver's client: which routes it asks, what it sends and to whom, and how long it waits."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Final

import pytest

from ostiary.errors import HomeserverError, HomeserverRefusalError, OverloadedError
from ostiary.matrix.download import Download
from ostiary.matrix.homeserver import Homeserver
from ostiary.model import Identity, MediaRef, MediaRequest, ResizeMethod, Thumbnail
from peers.processes import free_port
from tests.descriptors import open_descriptors
from tests.flow.fakes import cancelled_everywhere, until
from tests.matrix.fake_homeserver import (
    HOST,
    FakeHomeserver,
    answer,
    cut,
    error,
    json_object,
    media,
    opened,
    reset,
    silent_after,
)

REF: Final = MediaRef("example.org:8448", "AbC-_1")
PLACE: Final = "example.org:8448/AbC-_1"
V1, V3, R0 = "/_matrix/client/v1/media", "/_matrix/media/v3", "/_matrix/media/r0"
WHOAMI: Final = "/_matrix/client/v3/account/whoami"
VERSIONS: Final = "/_matrix/client/versions"
FILE: Final = b"the bytes"

UNRECOGNIZED: Final = error(404, "M_UNRECOGNIZED")
NOT_FOUND: Final = error(404, "M_NOT_FOUND")
NO_TOKEN: Final = error(401, "M_MISSING_TOKEN")


@pytest.fixture
async def server() -> AsyncIterator[FakeHomeserver]:
    """A homeserver that answers as told."""
    async with FakeHomeserver() as fake:
        yield fake


@pytest.fixture
async def client(server: FakeHomeserver) -> AsyncIterator[Homeserver]:
    """Our client of that homeserver."""
    homeserver = Homeserver(server.url, timeout=10, max_concurrent=4)
    yield homeserver
    await homeserver.close()


def wanted(token: str | None = None, *forwarded: tuple[str, str]) -> MediaRequest:
    """Return a request for the media."""
    return MediaRequest(REF, token=token, forwarded=forwarded)


async def body_of(download: Download) -> bytes:
    """Return the whole body."""
    return b"".join([chunk async for chunk in download.chunks()])


async def fetch(client: Homeserver, request: MediaRequest) -> bytes:
    """Return the media's bytes."""
    async with opened(client, request) as download:
        return await body_of(download)


async def outcome(client: Homeserver, request: MediaRequest) -> str:
    """Say in a word what came of it: "file", or status and errcode, or "failed"."""
    try:
        assert await fetch(client, request) == FILE
    except HomeserverRefusalError as refusal:
        return f"{refusal.status} {refusal.errcode}"
    except HomeserverError:
        return "failed"
    return "file"


@pytest.mark.parametrize(
    ("replies", "asked", "expected"),
    [
        ({V3: media(FILE)}, [V3], "file"),
        ({V3: NOT_FOUND, R0: media(FILE)}, [V3, R0], "file"),
        ({V3: UNRECOGNIZED, R0: media(FILE)}, [V3, R0], "file"),
        ({V3: answer(404), R0: answer(404), V1: NO_TOKEN}, [V3, R0, V1], "401 M_MISSING_TOKEN"),
        ({V3: NOT_FOUND, R0: NOT_FOUND, V1: NO_TOKEN}, [V3, R0, V1], "401 M_MISSING_TOKEN"),
        ({V3: NOT_FOUND, R0: NOT_FOUND, V1: UNRECOGNIZED}, [V3, R0, V1], "404 M_UNRECOGNIZED"),
        ({V3: error(405, "M_UNRECOGNIZED"), R0: NOT_FOUND, V1: media(FILE)}, [V3, R0, V1], "file"),
        ({V3: error(429, "M_LIMIT_EXCEEDED")}, [V3], "429 M_LIMIT_EXCEEDED"),
        ({V3: error(401, "M_UNKNOWN_TOKEN")}, [V3], "401 M_UNKNOWN_TOKEN"),
        ({V3: error(502, "M_TOO_LARGE")}, [V3], "502 M_TOO_LARGE"),
        ({V3: NOT_FOUND, R0: error(403, "M_FORBIDDEN")}, [V3, R0], "403 M_FORBIDDEN"),
        ({V3: answer(302, headers={"Location": "/elsewhere"})}, [V3], "failed"),
    ],
)
async def test_without_a_token_the_old_routes_come_first(
    server: FakeHomeserver, client: Homeserver, replies: Mapping[str, bytes], asked: list[str], expected: str
) -> None:
    """v3, then r0; only where both say "not found" does the authenticated route decide."""
    server.replies = {f"{route}/download/{PLACE}": reply for route, reply in replies.items()}
    assert await outcome(client, wanted()) == expected
    assert server.paths == [f"{route}/download/{PLACE}" for route in asked]
    assert not any(request.header("authorization") for request in server.received)


@pytest.mark.parametrize(
    ("replies", "asked", "expected"),
    [
        ({V1: media(FILE)}, [V1], "file"),
        ({V1: NOT_FOUND, V3: media(b"other")}, [V1], "404 M_NOT_FOUND"),
        ({V1: answer(404), V3: media(b"other")}, [V1], "404 M_UNKNOWN"),
        ({V1: error(401, "M_UNKNOWN_TOKEN")}, [V1], "401 M_UNKNOWN_TOKEN"),
        ({V1: error(403, "M_FORBIDDEN")}, [V1], "403 M_FORBIDDEN"),
        ({V1: UNRECOGNIZED, V3: media(FILE)}, [V1, V3], "file"),
        ({V1: error(400, "M_UNRECOGNIZED"), V3: media(FILE)}, [V1, V3], "file"),
        ({V1: UNRECOGNIZED, V3: NOT_FOUND}, [V1, V3], "404 M_NOT_FOUND"),
        ({V1: UNRECOGNIZED, V3: UNRECOGNIZED, R0: media(FILE)}, [V1, V3, R0], "file"),
        ({V1: UNRECOGNIZED, V3: UNRECOGNIZED, R0: UNRECOGNIZED}, [V1, V3, R0], "404 M_UNRECOGNIZED"),
    ],
)
async def test_with_a_token_the_authenticated_route_comes_first(
    server: FakeHomeserver, client: Homeserver, replies: Mapping[str, bytes], asked: list[str], expected: str
) -> None:
    """client/v1, and the old routes only for a homeserver that does not know it."""
    server.replies = {f"{route}/download/{PLACE}": reply for route, reply in replies.items()}
    assert await outcome(client, wanted("tok")) == expected
    assert server.paths == [f"{route}/download/{PLACE}" for route in asked]
    assert all(request.header("authorization") == ["Bearer tok"] for request in server.received)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_token_goes_nowhere_else(server: FakeHomeserver, client: Homeserver, status: int) -> None:
    """A redirect is not followed, wherever it leads: nobody but the homeserver ever sees the token."""
    async with FakeHomeserver() as elsewhere:
        elsewhere.otherwise = media(FILE)
        server.otherwise = answer(status, headers={"Location": elsewhere.url + "/x"})
        with pytest.raises(HomeserverError, match=str(status)):
            await fetch(client, wanted("tok"))
        assert elsewhere.received == []
    assert len(server.received) == 1


async def test_what_every_request_carries(server: FakeHomeserver) -> None:
    """Our name, our mark in Via, and the wish for uncompressed bytes: each once."""
    server.otherwise = media(FILE)
    client = Homeserver(server.url, timeout=10, max_concurrent=1)
    await fetch(client, wanted())
    await client.close()
    (request,) = server.received
    assert request.method == "GET"
    assert request.header("user-agent") == ["ostiary"]
    assert request.header("via") == ["1.1 ostiary"]
    assert request.header("accept-encoding") == ["identity"]
    assert request.header("host") == [f"{HOST}:{server.port}"]


async def test_the_operators_headers_replace_ours(server: FakeHomeserver) -> None:
    """`additional_headers` count in any case, and no header is ever sent twice; our Via stays."""
    server.otherwise = media(FILE)
    headers = {"user-agent": "Mozilla", "ACCEPT-ENCODING": "gzip", "via": "2.0 x", "x-shared-secret": "1"}
    client = Homeserver(server.url, timeout=10, max_concurrent=1, headers=headers)
    await fetch(client, wanted())
    await client.close()
    (request,) = server.received
    assert request.header("user-agent") == ["Mozilla"]
    assert request.header("accept-encoding") == ["identity"]
    assert request.header("via") == ["1.1 ostiary"]
    assert request.header("x-shared-secret") == ["1"]


async def test_forwarded_headers(server: FakeHomeserver, client: Homeserver) -> None:
    """What the operator named passes, once; our mark is added to a Via, so a loop is still seen."""
    server.otherwise = media(FILE)
    await fetch(
        client, wanted("tok", ("x-forwarded-for", "10.0.0.1"), ("via", "1.0 fred"), ("user-agent", "E"))
    )
    (request,) = server.received
    assert request.header("x-forwarded-for") == ["10.0.0.1"]
    assert request.header("via") == ["1.0 fred, 1.1 ostiary"]
    assert request.header("user-agent") == ["E"]


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
async def test_the_token_is_sent_once(server: FakeHomeserver, client: Homeserver, name: str) -> None:
    """Older configurations forward Authorization by name: the token goes once, and nothing beside it."""
    server.otherwise = media(FILE)
    await fetch(client, wanted("tok", (name, "Bearer tok")))
    await fetch(client, wanted(None, (name, "Basic dXNlcjpwYXNz")))
    assert [request.header("authorization") for request in server.received] == [["Bearer tok"], []]


async def test_cookies_are_ignored(server: FakeHomeserver, client: Homeserver) -> None:
    """What a homeserver wants remembered is forgotten: one caller's request says nothing in the next's."""
    server.otherwise = media(FILE, set_cookie="session=abc; Path=/")
    await fetch(client, wanted("one"))
    await fetch(client, wanted("two"))
    assert [request.header("cookie") for request in server.received] == [[], []]


@pytest.mark.parametrize(
    ("thumbnail", "query"),
    [
        (Thumbnail(64, 48), "width=64&height=48"),
        (Thumbnail(64, 48, ResizeMethod.CROP), "width=64&height=48&method=crop"),
        (Thumbnail(1, 1, ResizeMethod.SCALE, animated=True), "width=1&height=1&method=scale&animated=true"),
        (Thumbnail(1, 1, None, animated=False), "width=1&height=1&animated=false"),
    ],
)
@pytest.mark.parametrize(("token", "route"), [(None, V3), ("tok", V1)])
async def test_thumbnails(
    server: FakeHomeserver,
    client: Homeserver,
    thumbnail: Thumbnail,
    query: str,
    token: str | None,
    route: str,
) -> None:
    """A thumbnail is asked for with exactly what the caller said of it."""
    server.otherwise = media(FILE)
    await fetch(client, MediaRequest(REF, thumbnail, token=token))
    assert server.received[0].target == f"{route}/thumbnail/{PLACE}?{query}&timeout_ms=5000"


@pytest.mark.parametrize(
    ("server_name", "on_the_wire"),
    [("[2001:db8::1]:8448", "%5B2001:db8::1%5D:8448"), ("[::1]", "%5B::1%5D"), ("1.2.3.4", "1.2.3.4")],
)
async def test_server_names_that_are_addresses(
    server: FakeHomeserver, client: Homeserver, server_name: str, on_the_wire: str
) -> None:
    """The brackets of an IPv6 address are encoded: they may not stand in a path (RFC 3986, 3.3)."""
    server.otherwise = media(FILE)
    await fetch(client, MediaRequest(MediaRef(server_name, "id")))
    assert server.paths == [f"{V3}/download/{on_the_wire}/id"]


@pytest.mark.parametrize("base", ["", "/", "/prefix", "/prefix/"])
async def test_a_base_url_with_a_path(server: FakeHomeserver, base: str) -> None:
    """A homeserver under a path is asked under that path, with or without a slash at its end."""
    server.otherwise = media(FILE)
    client = Homeserver(server.url + base, timeout=10, max_concurrent=1)
    await fetch(client, wanted())
    await client.close()
    assert server.paths == [f"{base.rstrip('/')}{V3}/download/{PLACE}"]


async def test_size_and_headers_are_there_before_the_body(server: FakeHomeserver, client: Homeserver) -> None:
    """A download tells what it will be while its body is still to come."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Type: image/png\r\n"
    server.otherwise = silent_after(head + b"Content-Disposition: inline; filename=a.png\r\n\r\n")
    async with opened(client, wanted()) as download:
        assert (download.size, download.content_type) == (9, "image/png")
        assert download.content_disposition == "inline; filename=a.png"


@pytest.mark.parametrize("reply", [silent_after(), silent_after(b"HTTP/1.1 200 OK\r\nContent-")])
async def test_headers_that_do_not_come_in_time(server: FakeHomeserver, reply: object) -> None:
    """A homeserver that accepts and says nothing is given up after `download.timeout`."""
    server.otherwise = reply  # type: ignore[assignment]
    client = Homeserver(server.url, timeout=0.05, max_concurrent=1)
    with pytest.raises(HomeserverError, match=r"download\.timeout"):
        await fetch(client, wanted())
    with pytest.raises(HomeserverError, match=r"download\.timeout"):
        await client.whoami("tok")
    await client.close()


async def test_a_body_that_does_not_come_in_time(server: FakeHomeserver) -> None:
    """The deadline is for the whole fetch: bytes now and then do not move it."""

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.005)

    server.otherwise = drip
    client = Homeserver(server.url, timeout=0.1, max_concurrent=1)
    with pytest.raises(HomeserverError, match="too slowly"):
        await fetch(client, wanted())
    with pytest.raises(HomeserverError, match="too slowly"):
        await client.whoami("tok")
    await client.close()


async def test_waiting_for_a_turn_counts(server: FakeHomeserver) -> None:
    """With all `max_concurrent` fetches under way, the next one waits, and not longer than its own time."""
    server.replies[f"{V1}/download/{PLACE}"] = silent_after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    server.replies[f"{V3}/download/{PLACE}"] = media(FILE)
    client = Homeserver(server.url, timeout=0.1, max_concurrent=1)
    async with client.media(wanted("tok")):
        assert client.turns.used == 1
        with pytest.raises(OverloadedError, match="fetches"):
            await fetch(client, wanted())
    assert await fetch(client, wanted()) == FILE
    assert client.turns.used == client.turns.waiting == 0
    await client.close()


async def test_nobody_there() -> None:
    """A homeserver that is down is an error of its own, for every kind of question."""
    client = Homeserver(f"http://{HOST}:{free_port()}", timeout=10, max_concurrent=1)
    for question in (fetch(client, wanted()), client.whoami("tok"), client.versions()):
        with pytest.raises(HomeserverError, match="can't be reached"):
            await question
    await client.close()


async def test_whoami(server: FakeHomeserver, client: Homeserver) -> None:
    """The token's owner, as the homeserver says; its refusal passes as such."""
    server.replies[WHOAMI] = json_object(user_id="@alice:example.org", device_id="X", is_guest=False)
    assert await client.whoami("tok") == Identity("@alice:example.org")
    assert server.received[0].header("authorization") == ["Bearer tok"]
    server.replies[WHOAMI] = error(401, "M_UNKNOWN_TOKEN", soft_logout=True)
    with pytest.raises(HomeserverRefusalError) as refused:
        await client.whoami("bad")
    assert (refused.value.status, refused.value.soft_logout) == (401, True)


@pytest.mark.parametrize(
    "user", [None, 7, "", "alice", ["@a:b"], "@a:b\nlevel=error", "@\u202ea:b", "@\ud800:b", "@" + "a" * 255]
)
async def test_a_whoami_that_names_nobody(server: FakeHomeserver, client: Homeserver, user: object) -> None:
    """What is no user ID is refused: it would go into our log."""
    server.replies[WHOAMI] = json_object(user_id=user)
    with pytest.raises(HomeserverError, match="names no user"):
        await client.whoami("tok")


async def test_versions(server: FakeHomeserver, client: Homeserver) -> None:
    """The sign of life that `check` asks for needs no token."""
    server.replies[VERSIONS] = json_object(versions=["r0.6.1", "v1.11"], unstable_features={})
    assert await client.versions() == ("r0.6.1", "v1.11")
    assert server.received[0].header("authorization") == []
    lies: list[object] = [None, "v1.1", [1], ["v1", None], ["\x1b[2J"], {}]
    for nonsense in lies:
        server.replies[VERSIONS] = json_object(versions=nonsense)
        with pytest.raises(HomeserverError, match="not a homeserver's"):
            await client.versions()


async def test_connections_are_kept_and_not_hoarded(server: FakeHomeserver, client: Homeserver) -> None:
    """Whole answers and errors leave the connection for the next request; one that was not read is cut."""
    server.replies[f"{V3}/download/{PLACE}"] = NOT_FOUND
    server.replies[f"{R0}/download/{PLACE}"] = media(FILE)
    for _ in range(3):
        await fetch(client, wanted())
    assert server.connections == 1
    server.replies[f"{V3}/download/{PLACE}"] = media(bytes(1 << 22))
    async with client.media(wanted()):
        pass
    await until(lambda: server.connections == 0)


async def test_a_kept_connection_that_died_is_nobodys_failure(
    server: FakeHomeserver, client: Homeserver
) -> None:
    """A homeserver that restarted between two requests costs nothing but a new connection."""
    server.otherwise = cut(media(FILE))
    for _ in range(3):
        assert await fetch(client, wanted()) == FILE
        await until(lambda: server.connections == 0)
    assert len(server.received) == 3


async def test_a_reset_in_the_middle(server: FakeHomeserver, client: Homeserver) -> None:
    """A connection that is reset in the middle of the body is an error, never a shorter file."""
    server.otherwise = reset(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nthe ")
    with pytest.raises(HomeserverError, match="cut short"):
        await fetch(client, wanted())
    with pytest.raises(HomeserverError):
        await client.whoami("tok")


@pytest.mark.parametrize("fresh", [True, False], ids=["new connection", "kept connection"])
async def test_cancelled_anywhere_it_leaves_nothing(server: FakeHomeserver, *, fresh: bool) -> None:
    """Wherever a fetch is cancelled, its connection is closed or in order, and the next one is right."""
    server.replies[f"{V1}/download/{PLACE}"] = UNRECOGNIZED
    server.replies[f"{V3}/download/{PLACE}"] = media(FILE * 50_000)
    before = open_descriptors()
    client = Homeserver(server.url, timeout=10, max_concurrent=1)

    async def run() -> None:
        assert await fetch(client, wanted("tok")) == FILE * 50_000

    async def check() -> None:
        nonlocal client
        await run()
        await until(lambda: server.connections <= 1)
        if fresh:
            await client.close()
            client = Homeserver(server.url, timeout=10, max_concurrent=1)

    assert await cancelled_everywhere(run, check) >= 2
    await client.close()
    await until(lambda: server.connections == 0)
    await until(lambda: open_descriptors() == before)


async def test_closing_twice(client: Homeserver) -> None:
    """Closing is safe before the first request, and again."""
    await client.close()
    await client.close()
