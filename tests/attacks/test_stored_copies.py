"""Cached-copy theft: what the homeserver gave to one caller, wanted by others whom it would not serve."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ostiary.engines.interface import Sample
from ostiary.model import Clean
from tests.attacks.house import GONE, PLACE, fetched, give, remembering, told_apart, with_token
from tests.flow.fakes import ScriptedEngine, until
from tests.flow.samples import PICTURE
from tests.matrix.fake_homeserver import Received, error, json_object, media
from tests.web.door import WHOAMI, Answer, Door

DOWNLOAD = f"download/{PLACE}"
ALICE = json_object(user_id="@alice:example.org")


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """A front that holds a copy which alice fetched; the homeserver knows no other token than hers."""
    async with remembering(tmp_path) as door:
        hers = with_token("alice")
        door.homeserver.replies[WHOAMI] = told_apart(door.homeserver, hers, ALICE)
        give(door.homeserver, told_apart(door.homeserver, hers, media(PICTURE)), only=["client/v1"])
        give(door.homeserver, GONE, only=["v3", "r0"])
        got = await door.ask(DOWNLOAD, token="alice")
        assert (got.status, got.body, len(door.house.library)) == (200, PICTURE, 1)
        door.homeserver.received.clear()
        yield door


@pytest.mark.parametrize("token", [None, "mallory", "alice2", "Alice"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_copy_opens_no_door(door: Door, token: str | None, method: str) -> None:
    """Without a good token a stored copy is as far away as the media, its first byte and its ETag too."""
    etag = (await door.ask(DOWNLOAD, token="alice")).headers["ETag"]
    for headers in ({}, {"Range": "bytes=0-0"}, {"If-None-Match": etag}, {"If-None-Match": "*"}):
        got = await door.ask(DOWNLOAD, method, token=token, headers=headers)
        assert got.status == 401
        assert PICTURE[:8] not in got.body
        assert not {"ETag", "Accept-Ranges", "Content-Range"} & set(got.headers)
    assert (await door.ask(f"scan/{PLACE}", token=token)).status == 401
    assert (await door.ask(f"{DOWNLOAD}?access_token=mallory", token=token)).status == 401


async def test_a_logout_closes_the_library(door: Door) -> None:
    """Once `access.ttl` is over, a token that was logged out opens nothing that it opened before."""
    assert (await door.ask(DOWNLOAD, token="alice")).status == 200
    door.homeserver.replies[WHOAMI] = error(401, "M_UNKNOWN_TOKEN", soft_logout=True)
    door.house.clock.now += 61
    got = await door.ask(DOWNLOAD, token="alice")
    assert got.code == (401, "M_UNKNOWN_TOKEN")
    assert got.json["soft_logout"] is True


async def test_a_guest_gets_what_the_homeserver_gives_to_guests(door: Door) -> None:
    """No copy speaks for the homeserver where a token is a guest's: it is asked, with that token."""
    door.homeserver.replies[WHOAMI] = json_object(user_id="@1:example.org", is_guest=True)
    give(door.homeserver, error(403, "M_GUEST_ACCESS_FORBIDDEN"))
    got = await door.ask(DOWNLOAD, token="guest")
    assert (got.status, got.json["errcode"]) == (403, "M_GUEST_ACCESS_FORBIDDEN")
    assert fetched(door.homeserver) == 1


async def test_what_is_gone_is_gone_under_every_name(door: Door) -> None:
    """Where the homeserver quarantined a media, no copy of the same bytes is served any more."""
    give(door.homeserver, media(PICTURE), "example.org/twin")
    assert (await door.ask("download/example.org/twin", token="alice")).status == 200
    assert len(door.house.library) == 2
    door.house.clock.now += 301  # library.revalidate
    give(door.homeserver, GONE)
    assert (await door.ask(DOWNLOAD, token="alice")).code == (404, "M_NOT_FOUND")
    assert len(door.house.library) == 0


@pytest.mark.parametrize("check", ["token", "media"])
async def test_a_copy_for_one_address_is_not_for_another(tmp_path: Path, check: str) -> None:
    """A homeserver may go by a header that is passed on: a copy without a token is not for everybody."""
    options = {"headers_to_forward": ["X-Forwarded-For"], "check": check}
    async with remembering(tmp_path, **options) as door:

        def inside(request: Received) -> bool:
            return request.header("x-forwarded-for") == ["10.0.0.1"]

        give(door.homeserver, told_apart(door.homeserver, inside, media(PICTURE)))
        for address, status in (("10.0.0.1", 200), ("192.0.2.1", 401), ("10.0.0.1", 200)):
            got = await door.ask(DOWNLOAD, token=None, headers={"X-Forwarded-For": address})
            assert got.status == status
        assert (await door.ask(DOWNLOAD, token=None)).status == 401


class Gate:
    """An engine's script that waits to be told."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def __call__(self, _: Sample) -> Clean:
        """Call it clean, when told."""
        await self.opened.wait()
        return Clean()


async def test_a_run_under_way_opens_no_door(tmp_path: Path) -> None:
    """Whoever is not served by the homeserver is not served by somebody else's run either."""
    gate = Gate()
    async with remembering(tmp_path, engine := ScriptedEngine(gate)) as door, asyncio.TaskGroup() as group:
        hers = with_token("alice")
        door.homeserver.replies[WHOAMI] = told_apart(door.homeserver, hers, ALICE)
        give(door.homeserver, told_apart(door.homeserver, hers, media(PICTURE)))
        first = group.create_task(door.ask(DOWNLOAD, token="alice"))
        await engine.arrived.wait()
        for token in ("mallory", None):
            assert (await door.ask(DOWNLOAD, token=token)).status == 401
        gate.opened.set()
        assert (await first).body == PICTURE


async def test_a_run_for_one_address_is_for_nobody_else(tmp_path: Path) -> None:
    """Nobody joins what the homeserver gives to a header alone, with another one or with none."""
    gate = Gate()
    engine = ScriptedEngine(gate)
    async with remembering(tmp_path, engine, headers_to_forward=["Cookie"]) as door:

        def member(request: Received) -> bool:
            return request.header("cookie") == ["member=1"]

        give(door.homeserver, told_apart(door.homeserver, member, media(PICTURE)))
        async with asyncio.TaskGroup() as group:
            first = group.create_task(door.ask(DOWNLOAD, token=None, headers={"Cookie": "member=1"}))
            await engine.arrived.wait()
            for headers in ({}, {"Cookie": "member=0"}):
                assert (await door.ask(DOWNLOAD, token=None, headers=headers)).status == 401
            gate.opened.set()
        assert first.result().body == PICTURE


async def test_an_attacker_who_comes_first_holds_nobody_up(tmp_path: Path) -> None:
    """Whoever joined the run of a caller with a bad token runs for itself, and hears of no refusal."""
    async with remembering(tmp_path) as door, asyncio.TaskGroup() as group:
        hers, asked = with_token("alice"), asyncio.Event()

        async def slowly(_: object, writer: asyncio.StreamWriter) -> None:
            good = hers(door.homeserver.received[-1])
            if not good:
                await asked.wait()
            writer.write(media(PICTURE) if good else error(401, "M_UNKNOWN_TOKEN"))
            await writer.drain()

        give(door.homeserver, slowly)
        door.homeserver.replies[WHOAMI] = told_apart(door.homeserver, hers, ALICE)
        mallory = group.create_task(door.ask(DOWNLOAD, token="mallory"))
        await until(lambda: fetched(door.homeserver) == 1)
        alices = [group.create_task(door.ask(DOWNLOAD, token="alice")) for _ in range(3)]
        await until(lambda: WHOAMI in door.homeserver.paths)
        asked.set()
        assert (await mallory).status == 401
        assert [(await alice).body for alice in alices] == [PICTURE] * 3


@pytest.mark.parametrize("how", ["leaves", "never reads"])
async def test_an_attacker_who_comes_first_and(tmp_path: Path, how: str) -> None:
    """The first caller may go away, or stop reading: all others get the media."""
    gate = Gate()
    large = PICTURE + bytes(6 << 20)
    async with remembering(tmp_path, engine := ScriptedEngine(gate), idle=3) as door:
        give(door.homeserver, media(large))
        async with door.connection() as (_, writer):
            request = f"GET /_matrix/media_proxy/unstable/{DOWNLOAD} HTTP/1.1\r\nHost: x\r\n"
            writer.write(f"{request}Authorization: Bearer mallory\r\n\r\n".encode())
            await engine.arrived.wait()
            async with asyncio.TaskGroup() as group:
                alices = [group.create_task(door.ask(DOWNLOAD)) for _ in range(3)]
                await until(lambda: door.requests.used == 4)
                if how == "leaves":
                    writer.transport.abort()
                    await until(lambda: door.requests.used == 3)
                gate.opened.set()
            got: list[Answer] = [alice.result() for alice in alices]
            assert [answer.body == large for answer in got] == [True] * 3
        await until(lambda: door.quiet)
