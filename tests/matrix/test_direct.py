"""Direct mode: what reaches a stranger, what a stranger can reach, and what its answers may do."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from ostiary.errors import HomeserverError, HomeserverRefusalError
from ostiary.matrix.direct import DirectServers
from ostiary.matrix.public_address import is_public
from ostiary.matrix.public_client import MOST_ADDRESSES, look_up
from ostiary.model import MediaRef, MediaRequest, ResizeMethod, Thumbnail
from tests.descriptors import open_descriptors
from tests.flow.fakes import cancelled_everywhere, until
from tests.matrix.fake_homeserver import (
    HOST,
    Reply,
    answer,
    cut,
    error,
    json_object,
    media,
    pieces,
    silent_after,
)
from tests.matrix.tls_homeserver import INSIDE, Authority, Internet, TlsHomeserver, allowed, flood, trap

NAME: Final = "example.org"
CLIENT, SERVER = "/.well-known/matrix/client", "/.well-known/matrix/server"
V3: Final = f"/_matrix/media/v3/download/{NAME}/AbC-_1"
R0: Final = f"/_matrix/media/r0/download/{NAME}/AbC-_1"
FILE: Final = b"the bytes"
NOT_FOUND: Final = error(404, "M_NOT_FOUND")


class World:
    """example.org and www.example.org on one server, and our client, which trusts its authority."""

    def __init__(self, server: TlsHomeserver, authority: Authority) -> None:
        self.server = server
        self.authority = authority
        self.internet = Internet()
        for name in (NAME, "www.example.org"):
            for port in (443, 8448):
                self.internet.put(name, port, server.place)
        self.clients: list[DirectServers] = []
        self.client = self.connect()

    def connect(self, **changes: Any) -> DirectServers:  # noqa: ANN401  (any parameter)
        """Return a client that differs in something; it is closed with the test."""
        parameters: dict[str, Any] = {
            "timeout": 10,
            "max_concurrent": 4,
            "check": allowed,
            "lookup": self.internet.look_up,
            "tls": self.authority.trust(),
        }
        self.clients.append(DirectServers(**(parameters | changes)))
        return self.clients[-1]

    async def fetch(self, name: str = NAME, **details: Any) -> bytes:  # noqa: ANN401  (any parameter)
        """Return the bytes of one media."""
        return await fetch(self.client, name, **details)

    def delegate(self, name: str) -> None:
        """Let example.org name a server, by the federation's file."""
        self.server.replies[SERVER] = json_object(**{"m.server": name})


async def fetch(client: DirectServers, name: str = NAME, **details: Any) -> bytes:  # noqa: ANN401
    """Return the bytes of one media."""
    async with client.media(MediaRequest(MediaRef(name, "AbC-_1"), **details)) as download:
        assert download is not None
        return b"".join([chunk async for chunk in download.chunks()])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority for this file's certificates."""
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def world(authority: Authority) -> AsyncIterator[World]:
    """A server that has the media at its own name, port 8448, and delegates nothing."""
    async with TlsHomeserver(authority.server(NAME, "www.example.org", HOST)) as server:
        server.otherwise = NOT_FOUND
        server.replies[V3] = media(FILE)
        made = World(server, authority)
        yield made
        for client in made.clients:
            await client.close()


async def test_everything_that_a_stranger_gets_to_see(world: World) -> None:
    """Token, forwarded and additional headers stay here: these headers go out, and no others."""
    forwarded = (("X-Forwarded-For", "10.0.0.9"), ("Authorization", "Bearer tok"), ("Cookie", "a=b"))
    headers = {"user-agent": "Media", "X-Secret": "hush", "Via": "2.0 inside"}
    client = world.connect(headers=headers)
    assert await fetch(client, token="tok", forwarded=forwarded) == FILE
    assert world.server.paths == [CLIENT, SERVER, V3]
    for request in world.server.received:
        assert dict(request.headers) == {
            "host": NAME,
            "user-agent": "Media",
            "via": "1.1 ostiary",
            "accept-encoding": "identity",
            "accept": "*/*",
            "connection": "close",
        }
        assert "tok" not in request.target


async def test_our_name_where_the_operator_gives_none(world: World) -> None:
    """The User-Agent says who we are."""
    await world.fetch()
    assert world.server.received[-1].header("user-agent") == ["ostiary"]


async def test_environment_and_netrc_add_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A proxy in the environment would look names up itself; a .netrc holds passwords."""
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {NAME} login me password hush\n")
    async with trap(HOST) as (place, visitors):
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{place[0]}:{place[1]}")
        monkeypatch.setenv("NETRC", str(netrc))
        assert await world.fetch() == FILE
        assert visitors == []
    assert not any(request.header("authorization") for request in world.server.received)


async def test_cookies_are_forgotten(world: World) -> None:
    """One request says nothing in the next's."""
    world.server.replies[V3] = media(FILE, set_cookie="session=abc; Path=/")
    await world.fetch()
    await world.fetch()
    assert not any(request.header("cookie") for request in world.server.received)


@pytest.mark.parametrize(
    ("delegated", "asked", "host", "sni"),
    [
        (None, (NAME, 8448), NAME, NAME),
        ("www.example.org", ("www.example.org", 8448), "www.example.org", "www.example.org"),
        ("www.example.org:443", ("www.example.org", 443), "www.example.org:443", "www.example.org"),
    ],
)
async def test_where_a_name_is_asked(
    world: World, delegated: str | None, asked: tuple[str, int], host: str, sni: str
) -> None:
    """Port, Host and SNI as "Resolving server names" has them."""
    if delegated is not None:
        world.delegate(delegated)
    assert await world.fetch() == FILE
    assert world.internet.asked[-1] == asked
    assert world.server.received[-1].header("host") == [host]
    assert world.server.names[-1] == sni


async def test_the_clients_well_known(world: World) -> None:
    """A base URL with a path: its own Host and SNI, and the route under the path."""
    base = {"m.homeserver": {"base_url": "https://www.example.org/matrix/"}}
    world.server.replies = {CLIENT: json_object(**base), "/matrix" + V3: media(FILE)}
    assert await world.fetch() == FILE
    assert world.server.received[-1].header("host") == ["www.example.org"]
    assert world.server.names[-1] == "www.example.org"
    assert world.internet.asked[-1] == ("www.example.org", 443)


async def test_a_name_with_a_port(world: World) -> None:
    """It is asked there, by its whole name, without discovery."""
    world.internet.put(NAME, 4443, world.server.place)
    name = f"{NAME}:4443"
    world.server.replies[V3.replace(NAME, name)] = media(FILE)
    assert await world.fetch(name) == FILE
    (request,) = world.server.received
    assert request.header("host") == [name]


async def test_an_address_as_a_name(world: World) -> None:
    """No lookup, no SNI, a certificate for the address, and the same check of it."""
    name = f"{HOST}:{world.server.port}"
    world.server.replies[V3.replace(NAME, name)] = media(FILE)
    assert await world.fetch(name) == FILE
    assert world.internet.asked == []
    assert world.server.names == [None]
    with pytest.raises(HomeserverError, match="no public address"):
        await fetch(world.connect(check=lambda _: False), name)


@pytest.mark.parametrize(
    ("replies", "asked", "expected"),
    [
        ({V3: media(FILE)}, [V3], None),
        ({R0: media(FILE)}, [V3, R0], None),
        ({V3: error(405, "M_UNRECOGNIZED"), R0: media(FILE)}, [V3, R0], None),
        ({}, [V3, R0], (404, "M_NOT_FOUND")),
        ({V3: error(403, "M_FORBIDDEN")}, [V3], (403, "M_FORBIDDEN")),
        ({V3: NOT_FOUND, R0: error(429, "M_LIMIT_EXCEEDED")}, [V3, R0], (429, "M_LIMIT_EXCEEDED")),
        ({V3: error(502, "M_TOO_LARGE")}, [V3], (502, "M_TOO_LARGE")),
        ({V3: error(504, "M_NOT_YET_UPLOADED")}, [V3], (504, "M_NOT_YET_UPLOADED")),
        ({V3: answer(500, b"<html>")}, [V3], (500, "M_UNKNOWN")),
    ],
)
async def test_the_routes_that_need_no_token(
    world: World, replies: Mapping[str, bytes], asked: list[str], expected: tuple[int, str] | None
) -> None:
    """v3, then r0, never the authenticated one, and never from a third server."""
    world.server.replies = dict(replies)
    try:
        assert await world.fetch() == FILE
        outcome = None
    except HomeserverRefusalError as refused:
        outcome = (refused.status, refused.errcode)
    assert outcome == expected
    wanted = [f"{path}?timeout_ms=5000&allow_remote=false" for path in asked]
    assert [request.target for request in world.server.received[2:]] == wanted


async def test_thumbnails(world: World) -> None:
    """What the caller said of it, and that nobody else may be asked."""
    route = f"/_matrix/media/v3/thumbnail/{NAME}/AbC-_1"
    world.server.replies[route] = media(FILE)
    assert await world.fetch(thumbnail=Thumbnail(64, 48, ResizeMethod.CROP)) == FILE
    target = f"{route}?width=64&height=48&method=crop&timeout_ms=5000&allow_remote=false"
    assert world.server.received[-1].target == target


@pytest.mark.parametrize("errcode", ["M_MISSING_TOKEN", "M_UNKNOWN_TOKEN", "M_FORBIDDEN", "X"])
async def test_a_stranger_logs_nobody_out(world: World, errcode: str) -> None:
    """Clients drop their session when they read M_UNKNOWN_TOKEN: a stranger's 401 becomes 403 M_FORBIDDEN."""
    world.server.replies[V3] = error(401, errcode, "log in at evil.example", soft_logout=True)
    with pytest.raises(HomeserverRefusalError) as refused:
        await world.fetch(token="tok")
    said = refused.value
    assert (said.status, said.errcode, said.soft_logout) == (403, "M_FORBIDDEN", None)
    assert "evil" not in str(said)


@pytest.mark.parametrize("errcode", ["M_UNKNOWN_TOKEN", "M_CONSENT_NOT_GIVEN", "M_USER_DEACTIVATED", "EVIL"])
async def test_a_strangers_words_stay_here(world: World, errcode: str) -> None:
    """Codes that make clients act on the session, and texts, are not passed on; nor long waits."""
    more = {"retry_after_ms": 10**9, "soft_logout": False, "consent_uri": "https://evil.example"}
    world.server.replies[V3] = error(403, errcode, "go to evil.example", **more)
    with pytest.raises(HomeserverRefusalError) as refused:
        await world.fetch(token="tok")
    said = refused.value
    assert (said.status, said.errcode, said.soft_logout) == (403, "M_UNKNOWN", None)
    assert said.retry_after_ms == 60_000
    assert "evil" not in (str(said) + said.error).lower()


async def test_a_short_wait_is_passed_on(world: World) -> None:
    """Retry-After within a minute, in both forms; more is a minute."""
    body = b'{"errcode": "M_LIMIT_EXCEEDED", "error": "", "retry_after_ms": 1500}'
    for header, passed in (("2", "2"), ("86400", "60"), ("soon", None)):
        world.server.replies[V3] = answer(429, body, {"Retry-After": header})
        with pytest.raises(HomeserverRefusalError) as refused:
            await world.fetch()
        assert (refused.value.retry_after_ms, refused.value.retry_after) == (1500, passed)


@pytest.mark.parametrize("status", [101, 201, 204, 206, 300, 304])
async def test_answers_that_nobody_asked_for(world: World, status: int) -> None:
    """Neither a file nor a refusal: an error of the server's."""
    world.server.replies[V3] = answer(status)
    with pytest.raises(HomeserverError):
        await world.fetch()


async def test_asking_about_a_copy_in_hand(world: World) -> None:
    """With its ETag: None for 304, the new bytes and their ETag otherwise; it is asked on both routes."""
    request = MediaRequest(MediaRef(NAME, "AbC-_1"), token="tok")
    world.server.replies = {R0: answer(304)}
    async with world.client.media(request, etag='"one"') as download:
        assert download is None
    asked = world.server.received[2:]
    assert [(question.path, question.header("if-none-match")) for question in asked] == [
        (V3, ['"one"']),
        (R0, ['"one"']),
    ]
    world.server.replies[R0] = media(FILE, etag="1")
    async with world.client.media(request, etag='"one"') as download:
        assert download is not None
        assert download.etag == "1"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed(world: World, status: int) -> None:
    """To another public host over https, whose body counts; the redirect's own, however long, does not."""
    head = f"HTTP/1.1 {status} X\r\nLocation: https://www.example.org/cdn?sig=a%2Fb\r\n\r\n".encode()
    world.server.replies |= {V3: flood(head, b"x" * 1000), "/cdn": media(FILE, "image/gif")}
    async with world.client.media(MediaRequest(MediaRef(NAME, "AbC-_1"), token="tok")) as download:
        assert download is not None
        assert download.content_type == "image/gif"
        assert b"".join([chunk async for chunk in download.chunks()]) == FILE
    last = world.server.received[-1]
    assert (last.target, last.header("host")) == ("/cdn?sig=a%2Fb", ["www.example.org"])
    assert last.header("authorization") == last.header("referer") == []


@pytest.mark.parametrize("where", ["literal", "name", "v6", "mapped", "number", "metadata", "http"])
async def test_a_redirect_inside(world: World, where: str) -> None:
    """No private address is connected to: not as a literal, in no spelling, not behind a name."""
    async with trap() as (place, visitors):
        world.internet.put("inside.example", 443, place)
        locations = {
            "literal": f"https://{INSIDE}:{place[1]}/",
            "name": "https://inside.example/",
            "v6": f"https://[::1]:{place[1]}/",
            "mapped": f"https://[::ffff:{INSIDE}]:{place[1]}/",
            "number": f"https://{0x7F000002}:{place[1]}/",
            "metadata": "https://169.254.169.254/latest/meta-data/",
            "http": f"http://{INSIDE}:{place[1]}/",
        }
        world.server.replies[V3] = answer(302, headers={"Location": locations[where]})
        with pytest.raises(HomeserverError):
            await world.fetch()
        assert visitors == []


async def test_redirects_end(world: World) -> None:
    """Three are followed, a fourth is an error."""
    for number in range(3):
        world.server.replies[f"/{number}"] = answer(302, headers={"Location": f"/{number + 1}"})
    world.server.replies |= {V3: answer(302, headers={"Location": "/1"}), "/3": media(FILE)}
    assert await world.fetch() == FILE
    world.server.replies[V3] = answer(302, headers={"Location": "/0"})
    with pytest.raises(HomeserverError, match="too often"):
        await world.fetch()
    world.server.replies[V3] = answer(302, headers={"Location": V3})
    with pytest.raises(HomeserverError, match="too often"):
        await world.fetch()


async def test_rebinding(world: World) -> None:
    """A name that is public when it is first asked and private later: each connection has its own answer."""
    async with trap() as (place, visitors):
        public = world.server.place
        world.internet.put(NAME, 8448, public, place)
        assert await world.fetch() == FILE
        with pytest.raises(HomeserverError, match="no public address"):
            await world.fetch()
        assert visitors == []
    # One lookup for each of the three connections, and one that led nowhere: nobody asks in between.
    assert (len(world.server.names), len(world.internet.asked)) == (3, 4)


async def test_a_lookup_that_changes_its_mind_at_the_check(world: World) -> None:
    """Even an address that passed when it was looked up is checked again as the socket is made."""
    async with trap() as (place, visitors):
        world.internet.put(NAME, 8448, place)
        calls: list[str] = []

        def check(address: str) -> bool:
            calls.append(address)
            return address == HOST or calls.count(INSIDE) == 1

        with pytest.raises(HomeserverError, match="no public address"):
            await fetch(world.connect(check=check))
        assert calls.count(INSIDE) == 2
        assert visitors == []


async def test_a_name_with_addresses_of_both_kinds(world: World) -> None:
    """Those that are public are used, and no others."""
    async with trap() as (place, visitors):
        world.internet.put(NAME, 8448, [place, world.server.place, ("::1", place[1])])
        assert await world.fetch() == FILE
        assert visitors == []


async def test_a_name_with_many_addresses(world: World) -> None:
    """A few are tried: nobody makes us knock at every door that a name's DNS lists."""
    async with trap(HOST) as (place, visitors):
        world.internet.put(NAME, 8448, [place] * 1000)
        with pytest.raises(HomeserverError, match="can't be reached"):
            await world.fetch()
        assert len(visitors) == MOST_ADDRESSES
        world.internet.put(NAME, 8448, [(INSIDE, place[1])] * 1000 + [place])
        with pytest.raises(HomeserverError, match="no public address"):
            await world.fetch()


@pytest.mark.parametrize("name", [HOST, "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433"])
async def test_the_walls_of_production(world: World, name: str) -> None:
    """With the real check and the real resolver nobody reaches this machine, by whatever name."""
    async with trap(HOST) as (place, visitors):
        client = world.connect(check=is_public, lookup=look_up)
        with pytest.raises(HomeserverError, match=r"can't be reached: its? "):
            await fetch(client, f"{name}:{place[1]}")
        assert visitors == []


def test_names_are_looked_up_as_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a dot at the end: no search domain makes `intranet` one of the names of our network."""
    asked = []

    def answers(host: bytes, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append((host, port))
        v6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", port, 0, 0))
        return [v6, (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    assert look_up("intranet", 8448) == [("2001:db8::1", 8448), ("192.0.2.1", 8448)]
    assert look_up("example.org.", 443)
    assert asked == [(b"intranet.", 8448), (b"example.org.", 443)]


async def test_a_delegation_inside(world: World) -> None:
    """Both files may name a private place; it is never connected to."""
    async with trap() as (place, visitors):
        for file, body in (
            (CLIENT, {"m.homeserver": {"base_url": f"https://{INSIDE}:{place[1]}"}}),
            (SERVER, {"m.server": f"{INSIDE}:{place[1]}"}),
        ):
            world.server.replies = {file: json_object(**body)}
            with pytest.raises(HomeserverError, match="no public address"):
                await fetch(world.connect())
        assert visitors == []


async def test_one_text_for_no_address_and_a_private_one(world: World) -> None:
    """Nobody maps the names of our network by asking for media."""
    world.internet.put("inside.example", 8448, (INSIDE, 9))
    texts = set()
    for name in ("inside.example", "nobody.example", "a" * 64 + ".example"):
        with pytest.raises(HomeserverError) as failed:
            await world.fetch(name)
        texts.add(str(failed.value))
    assert len(texts) == 1


async def test_certificates_are_verified(world: World, authority: Authority) -> None:
    """Another name's certificate, or one of an unknown authority (the system knows ours not), is refused."""
    world.internet.put("victim.example", 8448, world.server.place)
    with pytest.raises(HomeserverError, match="certificate"):
        await world.fetch("victim.example")
    with pytest.raises(HomeserverError, match="certificate"):
        await fetch(world.connect(tls=None))
    assert V3 not in world.server.paths


async def test_no_tls(world: World) -> None:
    """Who speaks plain HTTP is not listened to."""
    async with trap(HOST) as (place, visitors):
        world.internet.put(NAME, 8448, place)
        with pytest.raises(HomeserverError, match="can't be reached"):
            await world.fetch()
        assert len(visitors) == 1


DRIP: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.parametrize(
    "reply",
    [silent_after(), silent_after(b"HTTP/1.1 200"), silent_after(DRIP), pieces(DRIP, *[b"x"] * 500)],
)
async def test_the_whole_fetch_has_one_deadline(world: World, reply: Reply) -> None:
    """Silence before the headers, inside them, behind them, and bytes now and then."""
    world.server.replies[V3] = reply
    client = world.connect(timeout=0.3)
    with pytest.raises(HomeserverError, match=r"in time|too slowly"):
        await fetch(client)
    await until(lambda: world.server.connections == 0)


async def test_discovery_counts(world: World) -> None:
    """Slow files take a third of the time each, at most: the media still has its turn."""
    world.server.replies |= {CLIENT: silent_after(), SERVER: silent_after()}
    assert await fetch(world.connect(timeout=0.6)) == FILE


async def test_bodies_without_end(world: World) -> None:
    """They come in pieces, as fast as the reader takes them, who stops when it has had enough."""
    world.server.replies[V3] = flood(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2710\r\n" + b"x" * 10_000 + b"\r\n"
    )
    taken = 0
    async with world.client.media(MediaRequest(MediaRef(NAME, "AbC-_1"))) as download:
        assert download is not None
        assert download.size is None
        async for chunk in download.chunks():
            assert len(chunk) <= 1 << 20
            taken += len(chunk)
            if taken > 1 << 20:
                break
    await until(lambda: world.server.connections == 0)


@pytest.mark.parametrize(
    "reply",
    [
        cut(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx"),
        cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"),
        answer(200, b"x", {"Content-Encoding": "br"}),
        answer(200, b"x", {"Content-Encoding": "gzip"}),
        cut(b"\x00" * 1000),
        flood(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 100),
        answer(404, b'{"errcode":' * 9000),
    ],
)
async def test_broken_answers(world: World, reply: Reply) -> None:
    """Cut, damaged, in an odd encoding, no HTTP, headers without end: an error of ours, never a file."""
    world.server.replies |= {V3: reply, R0: reply}
    with pytest.raises((HomeserverError, HomeserverRefusalError)):
        await world.fetch()


async def test_one_server_does_not_take_all_connections(world: World, authority: Authority) -> None:
    """With a hanging server's share used up, others are still asked."""
    async with TlsHomeserver(authority.server("other.example")) as other:
        other.otherwise = media(FILE)
        world.internet.put("other.example", 8448, other.place)
        world.server.replies[V3] = silent_after()
        async with asyncio.TaskGroup() as group:
            hanging = [group.create_task(world.fetch()) for _ in range(8)]
            await until(lambda: V3 in world.server.paths)
            assert await world.fetch("other.example") == FILE
            for task in hanging:
                task.cancel()
    assert world.server.paths.count(V3) == 1


async def test_no_connection_is_kept(world: World) -> None:
    """A pool of servers that anybody can name is one that anybody can fill."""
    await world.fetch()
    await until(lambda: world.server.connections == 0)


async def test_cancelled_at_every_step(world: World) -> None:
    """Discovery, lookup, handshake, headers, body: nothing stays open."""
    world.server.replies[V3] = answer(302, headers={"Location": "https://www.example.org/cdn"})
    world.server.replies["/cdn"] = pieces(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"the ", b"bytes")
    await world.fetch()
    await until(lambda: world.server.connections == 0)
    before = open_descriptors()

    async def check() -> None:
        await until(lambda: world.server.connections == 0)
        await until(lambda: open_descriptors() == before)
        world.client._discovery._known.clear()

    assert await cancelled_everywhere(world.fetch, check) > 3


async def test_nobody_can_vouch_for_a_token(world: World) -> None:
    """`whoami` refuses with 403, without asking anybody: 401 would make clients drop their session."""
    with pytest.raises(HomeserverRefusalError) as refused:
        await world.client.whoami("tok")
    assert (refused.value.status, refused.value.errcode) == (403, "M_FORBIDDEN")
    assert world.server.received == []


async def test_closing(world: World) -> None:
    """It ends the threads that look names up; closing what was never used, or once more, does no harm."""
    client = world.connect()
    await client.close()
    await world.fetch()
    assert _lookups()
    await world.client.close()
    await until(lambda: not _lookups())
    await world.client.close()


def _lookups() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("lookup")]
