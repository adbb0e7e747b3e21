"""From a server name to an endpoint: who is asked, what is believed, for how long it is remembered."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from ostiary.errors import HomeserverError
from ostiary.matrix.delegation import Endpoint
from ostiary.matrix.discovery import (
    LONGEST,
    LONGEST_FAILURE,
    MOST_BYTES,
    MOST_NAMES,
    SHORTEST,
    SHORTEST_FAILURE,
    USUAL,
    Discovery,
)
from ostiary.matrix.public_client import PublicClient
from tests.flow.fakes import cancelled_everywhere, until
from tests.matrix.fake_homeserver import (
    Reply,
    answer,
    cut,
    error,
    json_object,
    media,
    reset,
    silent_after,
)
from tests.matrix.tls_homeserver import INSIDE, Authority, Internet, TlsHomeserver, allowed, flood

NAME: Final = "example.org"
CLIENT, SERVER = "/.well-known/matrix/client", "/.well-known/matrix/server"
OWN: Final = Endpoint("https://example.org:8448", NAME)
DELEGATED: Final = Endpoint("https://matrix.example.org")
TO_CLIENT_API: Final = json_object(**{"m.homeserver": {"base_url": "https://matrix.example.org/"}})
TO_FEDERATION: Final = json_object(**{"m.server": "federation.example.org:443"})
FEDERATION: Final = Endpoint("https://federation.example.org:443", "federation.example.org:443")
NOT_THERE: Final = answer(404)


class Clock:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class World:
    """A web server at example.org, and our discovery, which trusts its authority."""

    def __init__(self, server: TlsHomeserver, authority: Authority) -> None:
        self.server = server
        self.clock = Clock()
        self.internet = Internet()
        self.internet.put(NAME, 443, server.place)
        self.client = PublicClient(
            user_agent="ostiary",
            via="1.1 ostiary",
            max_concurrent=8,
            check=allowed,
            lookup=self.internet.look_up,
            tls=authority.trust(),
        )
        self.discovery = Discovery(self.client, patience=5, clock=self.clock)

    async def find(self, name: str = NAME, seconds: float = 10) -> Endpoint:
        """Ask for the name."""
        return await self.discovery.endpoint(name, asyncio.get_running_loop().time() + seconds)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority for this file's certificates."""
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def world(authority: Authority, tmp_path: Path) -> AsyncIterator[World]:
    """example.org and www.example.org on one server, whose well-known files a test writes."""
    async with TlsHomeserver(authority.server(NAME, "www.example.org")) as server:
        server.otherwise = NOT_THERE
        made = World(server, authority)
        yield made
        await made.client.close()


@pytest.mark.parametrize("name", ["example.org:443", "example.org:8449", "127.0.0.1", "[::1]:8448"])
async def test_a_name_that_says_where_it_is(world: World, name: str) -> None:
    """A port or an IP literal: no file is asked for, which may belong to another homeserver of that host."""
    assert (await world.find(name)).host == name
    assert not world.internet.asked
    assert not world.server.received


async def test_the_clients_file_comes_first(world: World) -> None:
    """Downloads are client-server API: where its own file answers, the server's is not asked for."""
    world.server.replies = {CLIENT: TO_CLIENT_API, SERVER: TO_FEDERATION}
    assert await world.find() == DELEGATED
    assert world.server.paths == [CLIENT]
    assert world.server.names == [NAME]


async def test_the_servers_file_comes_second(world: World) -> None:
    """Without a usable client file the delegation of the federation counts, whose port serves media too."""
    world.server.replies = {SERVER: TO_FEDERATION}
    assert await world.find() == FEDERATION
    assert world.server.paths == [CLIENT, SERVER]


async def test_then_the_name_itself(world: World) -> None:
    """Without either file it is port 8448, asked by the server's own name."""
    assert await world.find() == OWN


async def test_nobody_at_that_name(world: World) -> None:
    """A host without a web server may have a homeserver on 8448 all the same."""
    world.internet.places.clear()
    assert await world.find() == OWN


def _wrong_files() -> dict[str, Reply]:
    good = json.dumps({"m.homeserver": {"base_url": "https://matrix.example.org/"}}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    return {
        "empty": answer(200),
        "not JSON": answer(200, b"<html>"),
        "not UTF-8": answer(200, b'{"m.homeserver": "\xff"}'),
        "an array": answer(200, b"[" + good + b"]"),
        "a string": answer(200, b'"https://matrix.example.org"'),
        "null": answer(200, b"null"),
        "nested deep": answer(200, b'{"a":' * 1000 + b"1" + b"}" * 1000),
        "a key twice": answer(200, good[:-1] + b"," + good[1:]),
        "cut": cut(head + b"Content-Length: 500\r\n\r\n" + good),
        "reset": reset(head + b"Content-Length: 500\r\n\r\n" + good[:9]),
        "huge": answer(200, good[:-1] + b" " * MOST_BYTES + b"}"),
        "endless": flood(head + b"\r\n", good[:-1] + b" " * 9000),
        "endless headers": flood(b"HTTP/1.1 200 OK\r\n", b"A: " + b"b" * 1000 + b"\r\n"),
        "not HTTP": cut(b"SSH-2.0-OpenSSH_9\r\n"),
        "an encoding": answer(200, good, {"Content-Encoding": "br"}),
        "no gzip": answer(200, good, {"Content-Encoding": "gzip"}),
        "201": answer(201, good),
        "206": answer(206, good),
        "304": answer(304),
        "401": error(401, "M_UNKNOWN_TOKEN"),
        "403": answer(403, good),
        "500": answer(500, good),
        "http": json_object(**{"m.homeserver": {"base_url": "http://matrix.example.org"}}),
        "a user": json_object(**{"m.homeserver": {"base_url": "https://u:p@matrix.example.org"}}),
        "a query": json_object(**{"m.homeserver": {"base_url": "https://matrix.example.org?x"}}),
        "a fragment": json_object(**{"m.homeserver": {"base_url": "https://matrix.example.org#x"}}),
        "a traversal": json_object(**{"m.homeserver": {"base_url": "https://matrix.example.org/a/../b"}}),
        "port 0": json_object(**{"m.homeserver": {"base_url": "https://matrix.example.org:0"}}),
        "a number": json_object(**{"m.homeserver": {"base_url": 1}}),
        "no section": json_object(base_url="https://matrix.example.org"),
        "redirect to http": answer(302, good, {"Location": "http://example.org/x"}),
        "redirect to nowhere": answer(302, good),
        "redirect to a private address": answer(302, good, {"Location": f"https://{INSIDE}/x"}),
        "redirect to itself": answer(301, good, {"Location": CLIENT}),
    }


@pytest.mark.parametrize("case", _wrong_files())
async def test_a_wrong_file_counts_as_none(world: World, case: str) -> None:
    """However a file is wrong, the next way is tried, and the wrong one is remembered as a failure."""
    world.server.replies = {CLIENT: _wrong_files()[case], SERVER: TO_FEDERATION}
    assert await world.find() == FEDERATION
    world.server.replies = {CLIENT: NOT_THERE, SERVER: _wrong_files()[case]}
    world.clock.now += LONGEST
    assert await world.find() == OWN


async def test_a_file_as_large_as_may_be(world: World) -> None:
    """The bound is for what is more than 16 KiB."""
    body = json.dumps({"m.homeserver": {"base_url": "https://matrix.example.org"}}).encode().ljust(MOST_BYTES)
    world.server.replies = {CLIENT: answer(200, body)}
    assert await world.find() == DELEGATED


async def test_a_slow_file(world: World) -> None:
    """It gets its patience, the rest of the fetch is for others; and it is not asked for at once again."""
    world.discovery = Discovery(world.client, patience=0.05, clock=world.clock)
    world.server.replies = {CLIENT: silent_after(b"HTTP/1.1 200 OK\r\n"), SERVER: TO_FEDERATION}
    assert await world.find() == FEDERATION
    world.server.replies = {CLIENT: TO_CLIENT_API}
    assert await world.find() == FEDERATION


async def test_redirects_are_followed(world: World) -> None:
    """To another public host, over https; the spec asks for it."""
    world.internet.put("www.example.org", 443, world.server.place)
    world.server.replies = {
        CLIENT: answer(301, b"x" * 100_000, {"Location": "https://www.example.org/a"}),
        "/a": answer(307, headers={"Location": "/b?c=d"}),
        "/b": TO_CLIENT_API,
    }
    assert await world.find() == DELEGATED
    assert world.server.paths == [CLIENT, "/a", "/b"]
    assert world.server.names == [NAME, "www.example.org", "www.example.org"]


async def test_three_redirects_at_most(world: World) -> None:
    """A loop ends, and counts as no file."""
    world.server.replies = {CLIENT: answer(302, headers={"Location": CLIENT})}
    assert await world.find() == OWN
    assert world.server.paths == [CLIENT] * 4 + [SERVER]


async def test_a_certificate_for_another_name(world: World) -> None:
    """Who can't prove to be the name delegates nothing."""
    world.internet.put("victim.example", 443, world.server.place)
    world.server.replies = {CLIENT: TO_CLIENT_API, SERVER: TO_FEDERATION}
    assert await world.find("victim.example") == Endpoint("https://victim.example:8448", "victim.example")
    assert world.server.received == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, USUAL), ("max-age=600", 600), ("max-age=0", SHORTEST), ("no-store", SHORTEST),
        ("max-age=99999999", LONGEST), ("max-age=" + "9" * 1000, LONGEST), ("nonsense", USUAL),
    ],
)  # fmt: skip
async def test_how_long_a_file_counts(world: World, header: str | None, seconds: float) -> None:
    """As it says, 24 hours where it doesn't, at most 48 hours, and at least five minutes."""
    more = {} if header is None else {"Cache_Control": header}
    body = b'{"m.homeserver": {"base_url": "https://matrix.example.org"}}'
    world.server.replies = {CLIENT: media(body, "application/json", **more)}
    assert await world.find() == DELEGATED
    world.server.replies = {}
    world.clock.now += seconds - 1
    assert await world.find("EXAMPLE.org") == DELEGATED
    assert len(world.server.received) == 1
    world.clock.now += 2
    assert await world.find() == OWN


async def test_failures_are_remembered_longer_and_longer(world: World) -> None:
    """A minute, then twice as long each time, up to an hour; one success and it begins anew."""
    kept = SHORTEST_FAILURE
    for _ in range(9):
        assert await world.find() == OWN
        asked = len(world.server.received)
        world.clock.now += kept - 1
        assert await world.find() == OWN
        assert len(world.server.received) == asked
        world.clock.now += 2
        kept = min(kept * 2, LONGEST_FAILURE)
    world.server.replies = {CLIENT: TO_CLIENT_API}
    assert await world.find() == DELEGATED
    world.server.replies = {}
    world.clock.now += LONGEST + 1
    assert await world.find() == OWN
    world.clock.now += SHORTEST_FAILURE + 1
    world.server.replies = {CLIENT: TO_CLIENT_API}
    assert await world.find() == DELEGATED


async def test_the_cache_is_bounded(world: World) -> None:
    """Junk names push out the ones that nobody asks for; one in use stays."""
    world.server.replies = {CLIENT: TO_CLIENT_API}
    await world.find()
    for number in range(MOST_NAMES + 50):
        await world.find(f"junk{number}.example")
        if number % 1000 == 0:
            await world.find()
    assert len(world.discovery._known) == MOST_NAMES
    assert not world.discovery._turns
    assert world.server.paths == [CLIENT]


async def test_one_asks_for_all(world: World) -> None:
    """Of fifty who want one name at once, one asks."""
    world.server.replies = {CLIENT: TO_CLIENT_API}
    assert await asyncio.gather(*(world.find() for _ in range(50))) == [DELEGATED] * 50
    assert world.server.paths == [CLIENT]
    assert not world.discovery._turns


async def test_a_name_that_hangs_delays_no_other(world: World) -> None:
    """Waiting is per name."""
    world.internet.put("www.example.org", 443, world.server.place)
    world.server.replies = {CLIENT: silent_after()}
    async with asyncio.TaskGroup() as group:
        hanging = group.create_task(world.find())
        await until(lambda: world.server.received)
        world.server.replies = {CLIENT: TO_CLIENT_API}
        assert await world.find("www.example.org") == DELEGATED
        assert not hanging.done()
        hanging.cancel()


async def test_who_goes_away_harms_nobody(world: World) -> None:
    """When the one who asks is cancelled, the next one who waits asks in its place."""
    world.server.replies = {CLIENT: silent_after()}
    async with asyncio.TaskGroup() as group:
        first = group.create_task(world.find())
        await until(lambda: world.server.received)
        others = [group.create_task(world.find()) for _ in range(5)]
        await asyncio.sleep(0)
        world.server.replies = {CLIENT: TO_CLIENT_API}
        first.cancel()
    assert [other.result() for other in others] == [DELEGATED] * 5
    assert world.server.paths == [CLIENT] * 2


async def test_cancelled_at_every_step(world: World) -> None:
    """Nothing is left behind: no turn, no connection, no half a cache entry."""
    world.server.replies = {SERVER: TO_FEDERATION}

    async def check() -> None:
        await until(lambda: world.server.connections == 0)
        assert not world.discovery._turns
        assert set(world.discovery._known) <= {NAME}
        world.discovery._known.clear()

    assert await cancelled_everywhere(world.find, check) > 2


async def test_the_callers_time_is_not_the_names_fault(world: World) -> None:
    """Who had no time left gets an error, and nothing is remembered of the name."""
    world.server.replies = {CLIENT: silent_after()}
    with pytest.raises(HomeserverError, match="in time"):
        await world.find(seconds=0.05)
    world.server.replies = {CLIENT: TO_CLIENT_API}
    assert await world.find() == DELEGATED
