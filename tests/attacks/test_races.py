"""Races and waits: what changes between a look and a use, and callers who wait for each other."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ostiary.background import Background
from ostiary.blob import Blob
from ostiary.currency import LiveVersions
from ostiary.engines.interface import Sample
from ostiary.errors import OverloadedError
from ostiary.matrix.homeserver import Homeserver
from ostiary.model import Cause, Clean, Infected, MediaRequest, Result
from ostiary.policy import Rules
from tests.attacks.house import PLACE
from tests.flow.fakes import House, ScriptedEngine, serving, until
from tests.flow.samples import PICTURE, REF, chunks, request
from tests.matrix.fake_homeserver import FakeHomeserver, json_object, media, silent_after
from tests.web.door import V1, WHOAMI

MIB = 1 << 20


async def test_signatures_that_change_during_a_scan(tmp_path: Path) -> None:
    """A scan that began under old signatures vouches for nobody once new ones are live."""
    engine = ScriptedEngine()

    async def overtaken(_: Sample) -> object:
        if len(engine.seen) == 1:
            engine.release = "2"  # the file is known from now on
            return Clean()
        return Infected("new")

    engine._script = overtaken
    with House(tmp_path, serving(PICTURE), [engine], verdicts=100) as house:
        verdict, _ = await house.ask()
    assert (verdict.result, len(engine.seen)) == (Result.INFECTED, 2)


async def test_signatures_that_change_during_every_scan(tmp_path: Path) -> None:
    """What is overtaken again and again is an error, kept for nobody, and never clean."""
    engine = ScriptedEngine()

    async def overtaken(_: Sample) -> object:
        await asyncio.sleep(0)
        engine.release = str(len(engine.seen) + 1)
        return Clean()

    engine._script = overtaken
    live = LiveVersions([engine], Background())
    with House(tmp_path, serving(PICTURE), [engine], verdicts=100) as house:
        house.judge._memory = replace(house.judge._memory, live=live)
        live._live = engine_now(engine)  # type: ignore[method-assign]  # asked anew each time
        for turn in (1, 2):
            verdict, _ = await house.ask()
            assert (verdict.result, verdict.release) == (Result.ERROR, False)
            assert len(engine.seen) == 2 * turn


def engine_now(engine: ScriptedEngine) -> Callable[[], Coroutine[Any, Any, dict[str, frozenset[str]]]]:
    """Return what tells the engine's version of this moment."""

    async def live() -> dict[str, frozenset[str]]:
        return {engine.name: await engine.versions()}

    return live


def test_what_an_engine_was_lent_can_not_be_changed() -> None:
    """The descriptor of bytes in memory, opened anew for writing, takes no write: they are sealed."""
    with Blob.of(PICTURE) as blob:
        lent = blob.open_descriptor()
        try:
            with pytest.raises(PermissionError):
                os.pwrite(os.open(f"/proc/self/fd/{lent}", os.O_RDWR), b"harmless", 0)
            again = blob.open_descriptor()
            assert os.pread(again, len(PICTURE), 0) == PICTURE
            os.close(again)
        finally:
            os.close(lent)


async def test_revalidations_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Many stored copies asked about at once, in a memory that holds few: each has its turn."""
    homeserver = serving(bytes(2 * MIB), etag="1")
    with House(
        tmp_path,
        homeserver,
        [ScriptedEngine()],
        check="none",
        memory=8 * MIB,
        library=64 * MIB,
        verdicts=100,
        revalidate=0,
        wait=2,
    ) as house:
        wanted = [request(media_id=f"m{number}") for number in range(12)]
        for one in wanted:
            await house.ask(one)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_result(house, one)) for one in wanted]
        assert [task.result() for task in tasks] == [Result.CLEAN] * 12
        assert house.held == (0, 0)
    assert homeserver.unchanged == 12


async def _result(house: House, wanted: MediaRequest) -> Result:
    async with house.gateway.media(wanted) as outcome:
        return outcome.verdict.result


async def test_files_that_outgrow_their_room_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Where larger files are served, one that finds no more room gives up its own at once."""
    homeserver = serving(*chunks(bytes(90 * MIB), 1 << 20), size=None)
    rules = Rules(serve=frozenset({Cause.TOO_LARGE}))
    with House(tmp_path, homeserver, [], max_size=4 * MIB, rules=rules, disk=150 * MIB, wait=1e9) as house:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            tasks = [group.create_task(_outcome(house, str(number))) for number in range(2)]
        assert sorted(task.result() for task in tasks) in (["full", "served"], ["served", "served"])
        assert house.held == (0, 0)


async def _outcome(house: House, media_id: str) -> str:
    with suppress(OverloadedError):
        async with house.gateway.media(request(media_id=media_id)) as outcome:
            return "served" if outcome.verdict.release else "refused"
    return "full"


async def test_slow_media_takes_nobody_elses_turn() -> None:
    """Whose media never comes has a quarter of the turns, and none of those that ask who somebody is."""
    async with FakeHomeserver() as server:
        server.otherwise = silent_after()
        server.replies[f"{V1}/download/{PLACE}"] = media(PICTURE)
        server.replies[WHOAMI] = json_object(user_id="@alice:example.org")
        client = Homeserver(server.url, timeout=20, max_concurrent=8)
        loop = asyncio.get_running_loop()
        slow = [loop.create_task(_fetch(client, f"slow{number}", "mallory")) for number in range(30)]
        await until(lambda: client.turns.waiting == 28)
        assert client.turns.used == 2
        assert (await client.whoami("alice")).user == "@alice:example.org"
        assert await _fetch(client, PLACE.rpartition("/")[2], "alice") == PICTURE
        for task in slow:
            task.cancel()
        await asyncio.wait(slow)
        await client.close()
        assert (client.turns.used, client.turns.waiting) == (0, 0)


async def _fetch(client: Homeserver, media_id: str, token: str) -> bytes:
    wanted = MediaRequest(type(REF)("example.org", media_id), token=token)
    async with client.media(wanted) as download:
        assert download is not None
        return b"".join([chunk async for chunk in download.chunks()])
