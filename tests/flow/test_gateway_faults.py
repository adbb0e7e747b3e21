"""The flow under faults: limits, failures and callers that go away; nothing is held when it is over."""

import asyncio
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from ostiary.blob import Blob
from ostiary.errors import (
    EngineError,
    HomeserverError,
    HomeserverRefusalError,
    OverloadedError,
)
from ostiary.inspection import Station
from ostiary.matrix.homeserver import Homeserver
from ostiary.model import Cause, Declared, Infected, MediaRequest, Result, Verdict
from ostiary.policy import Rules
from tests.descriptors import open_descriptors
from tests.flow.fakes import (
    House,
    ScriptedEngine,
    StubHomeserver,
    cancelled_at_every_turn,
    cancelled_everywhere,
    finding,
    hang,
    raising,
    serving,
    taken,
    until,
)
from tests.flow.samples import LARGE, SMALL, chunks, encrypted, key_of, request
from tests.matrix.fake_homeserver import FakeHomeserver, endless

MAX: Final = 4 << 20
SERVE: Final = Rules(serve=frozenset({Cause.TOO_LARGE}))


@pytest.mark.parametrize("file", [None, "key"])
@pytest.mark.parametrize("announced", [True, False])
async def test_a_file_that_is_too_large_is_blocked_and_not_read(
    tmp_path: Path, file: str | None, *, announced: bool
) -> None:
    """An announced size is enough to refuse; otherwise reading stops where the limit is passed."""
    data = bytes(MAX + 1)
    engine, homeserver = ScriptedEngine(), serving(*chunks(data), size=len(data) if announced else None)
    key = key_of(data) if file else None
    with House(tmp_path, homeserver, [engine], max_size=MAX) as house:
        verdict, served = await house.ask(request(key))
    assert (verdict.result, verdict.name) == (Result.UNSCANNABLE, "too_large")
    assert not verdict.release
    assert served is None
    assert engine.seen == []
    assert homeserver.open == 0


@pytest.mark.parametrize("file", [None, "key"])
@pytest.mark.parametrize("announced", [True, False])
async def test_a_file_that_is_too_large_is_served_where_the_operator_says_so(
    tmp_path: Path, file: str | None, *, announced: bool
) -> None:
    """`on_oversize: serve`: all of it, unscanned, counted as such, and within the budgets."""
    data = os.urandom(MAX * 3)
    engine, homeserver = ScriptedEngine(), serving(*chunks(data), size=len(data) if announced else None)
    with House(tmp_path, homeserver, [engine], max_size=MAX, rules=SERVE) as house:
        verdict, served = await house.ask(request(key_of(data) if file else None))
        assert house.metrics.registry.get_sample_value("content_scanner_unscanned_served_total") == 1
    assert (verdict.result, verdict.release) == (Result.UNSCANNABLE, True)
    assert served == data
    assert engine.seen == []


async def test_exactly_the_limit_is_scanned(tmp_path: Path) -> None:
    """`max_size` itself is not too large, announced or not."""
    for size in (MAX, None):
        with House(
            tmp_path, serving(*chunks(bytes(MAX)), size=size), [ScriptedEngine()], max_size=MAX
        ) as house:
            verdict, _ = await house.ask()
        assert verdict.result is Result.CLEAN


@pytest.mark.parametrize("size", [1 << 40, None])
async def test_what_is_served_unscanned_is_bounded_too(tmp_path: Path, size: int | None) -> None:
    """`serve` is no way to fill the disk: beyond `limits.disk` a file is refused, and all is given back."""
    homeserver = serving(*([bytes(1 << 20)] * 200), size=size)
    with House(tmp_path, homeserver, [], max_size=MAX, rules=SERVE, disk=80 << 20, wait=0.02) as house:
        with pytest.raises(OverloadedError, match="disk"):
            await house.ask()
        assert house.held == (0, 0)
    assert homeserver.open == 0
    assert list(tmp_path.iterdir()) == []


async def test_a_bomb_is_a_file_that_is_too_large(tmp_path: Path) -> None:
    """An answer that unpacks without end costs no more room than the largest file, and is refused."""
    packer = zlib.compressobj(wbits=31)
    head = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    more = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    async with FakeHomeserver() as server:
        server.otherwise = endless(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + head, more)
        client = Homeserver(server.url, timeout=30, max_concurrent=4)
        with House(tmp_path, client, [ScriptedEngine()], max_size=MAX, disk=MAX) as house:
            verdict, _ = await house.ask()
        await client.close()
    assert verdict.name == "too_large"


async def test_being_full_is_said_and_nothing_is_kept(tmp_path: Path) -> None:
    """Without room for it a file is not fetched: OverloadedError, and the homeserver's connection goes."""
    for data, memory, disk in ((SMALL, 100, MAX), (LARGE, MAX, 100)):
        homeserver = serving(*chunks(data))
        with House(tmp_path, homeserver, [], wait=0.01, memory=memory, disk=disk) as house:
            with pytest.raises(OverloadedError):
                await house.ask()
            assert house.held == (0, 0)
        assert homeserver.open == 0


async def test_more_callers_than_room_all_get_their_turn(tmp_path: Path) -> None:
    """Twenty callers with room for three at a time are all served, and never hold more than there is."""
    most = 0

    async def verdict(media_id: str) -> Verdict:
        nonlocal most
        async with house.gateway.media(request(media_id=media_id)) as outcome:
            most = max(most, house.held[1])
            await asyncio.sleep(0.01)
            return outcome.verdict

    engine = ScriptedEngine(finding(Infected("x")))
    with House(tmp_path, serving(*chunks(LARGE)), [engine], disk=3 * len(LARGE)) as house:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(verdict(str(number))) for number in range(20)]
        assert {task.result().result for task in tasks} == {Result.INFECTED}
        assert most == 3 * len(LARGE)
        assert house.held == (0, 0)


@pytest.mark.parametrize("after", [None, 0, 1, 3])
@pytest.mark.parametrize(
    "fault",
    [
        HomeserverError("gone"),
        HomeserverRefusalError(404, "M_NOT_FOUND", "no"),
        OSError(5, "IO"),
        ValueError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_homeserver_that_fails_at_any_point(
    tmp_path: Path, fault: Exception, after: int | None
) -> None:
    """At the start, after the headers, in the body: the error comes through, nothing is judged or held."""
    engine, before = ScriptedEngine(), open_descriptors()
    body = [bytes(1 << 20)] * (after or 0)
    homeserver = serving(*body, size=MAX, error=fault)
    if after is None:
        homeserver.refusal = fault
    with House(tmp_path, homeserver, [engine], max_size=MAX) as house:
        with pytest.raises(type(fault)):
            await house.ask()
        assert house.held == (0, 0)
    assert homeserver.open == 0
    assert engine.seen == []
    assert open_descriptors() == before


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=len)
@pytest.mark.parametrize(
    ("fault", "name"), [(EngineError("down"), "error"), (ValueError(), "error"), (None, "timeout")]
)
async def test_an_engine_that_fails(tmp_path: Path, fault: Exception | None, name: str, data: bytes) -> None:
    """Whatever happens to a required engine, the file does not leave, and nothing is held."""
    before = open_descriptors()
    broken = Station(ScriptedEngine(hang if fault is None else raising(fault)), timeout=0.02)
    with House(tmp_path, serving(*chunks(data)), [ScriptedEngine(), broken]) as house:
        verdict, _ = await house.ask()
    assert (verdict.result, verdict.name, verdict.release) == (Result.ERROR, name, False)
    assert open_descriptors() == before


@pytest.mark.parametrize("serve", [True, False])
async def test_a_type_that_is_not_found_out_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, serve: bool
) -> None:
    """The look for the file's type has the inspection's deadline, and failing it means "not scanned"."""

    async def never(_: Blob) -> str:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    rules = Rules(serve=frozenset({Cause.TIMEOUT}) if serve else frozenset())
    with House(tmp_path, serving(SMALL), [ScriptedEngine()], timeout=0.02, rules=rules) as house:
        monkeypatch.setattr(house.detector, "detect", never)
        verdict, _ = await house.ask()
    assert (verdict.result, verdict.name, verdict.release) == (Result.ERROR, "timeout", serve)


async def test_a_caller_that_fails_while_it_holds_the_outcome(tmp_path: Path) -> None:
    """What goes wrong while sending comes out as it is, and everything is let go."""
    before = open_descriptors()
    with House(tmp_path, serving(*chunks(LARGE)), [ScriptedEngine()]) as house:
        with pytest.raises(ConnectionError):
            async with house.gateway.media(request()):
                raise ConnectionError
        assert house.held == (0, 0)
    assert open_descriptors() == before


def _plain(data: bytes) -> tuple[StubHomeserver, MediaRequest]:
    return serving(*chunks(data)), request()


def _attachment(data: bytes) -> tuple[StubHomeserver, MediaRequest]:
    ciphertext = encrypted(data)
    return serving(*chunks(ciphertext)), request(key_of(ciphertext))


@pytest.mark.parametrize("how", [_plain, _attachment])
@pytest.mark.parametrize("data", [SMALL, LARGE, bytes(MAX * 2)], ids=len)
async def test_cancelled_anywhere_nothing_is_held(
    tmp_path: Path, data: bytes, how: Callable[[bytes], tuple[StubHomeserver, MediaRequest]]
) -> None:
    """Wherever a caller goes away, budgets and descriptors come back, and the next request is right."""
    homeserver, wanted = how(data)
    before = open_descriptors()
    engine = ScriptedEngine()
    with House(tmp_path, homeserver, [engine], max_size=MAX, rules=SERVE) as house:

        async def run() -> None:  # what a task of its own does for all callers
            async with house.gateway._run(wanted) as outcome:
                assert outcome.verdict.release
                assert await taken(outcome) is not None

        async def caller() -> None:
            async with house.gateway.media(wanted) as outcome:
                assert outcome.verdict.release
                assert await taken(outcome) is not None

        async def check() -> None:
            assert house.held == (0, 0)
            assert homeserver.open == 0
            assert open_descriptors() == before
            assert (await house.ask(wanted))[0].release

        assert await cancelled_everywhere(run, check) >= 4
        assert await cancelled_everywhere(caller, check) >= 2
        assert await cancelled_at_every_turn(caller, check) >= 4
        assert not house.spool.memory.waiting + house.spool.disk.waiting
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=len)
async def test_an_upload_cancelled_anywhere(tmp_path: Path, data: bytes) -> None:
    """The same for a file before its upload: its decrypted copy is gone with its caller."""
    ciphertext = encrypted(data)
    with House(tmp_path, serving(), [ScriptedEngine()]) as house, house.gateway.writer() as writer:
        await writer.add(ciphertext)
        blob = await writer.finish()
        before = open_descriptors()

        async def run() -> None:
            outcome = await house.gateway.judge_upload(blob, key_of(ciphertext), Declared())
            assert outcome.verdict.result is Result.CLEAN

        async def check() -> None:
            assert open_descriptors() == before

        assert await cancelled_everywhere(run, check) >= 2
        blob.close()


async def test_waiting_for_room_can_be_cancelled(tmp_path: Path) -> None:
    """A caller that goes away while it waits for room leaves no place taken and no connection open."""
    homeserver = serving(*chunks(LARGE))
    with House(tmp_path, homeserver, [ScriptedEngine(hang)], disk=len(LARGE)) as house:
        loop = asyncio.get_running_loop()
        first = loop.create_task(house.ask())
        await until(lambda: house.held[1] == len(LARGE))
        second = loop.create_task(house.ask(request(media_id="other")))
        await until(lambda: house.spool.disk.waiting == 1)
        for task in (second, first):
            task.cancel()
            await asyncio.wait([task])
        assert house.held == (0, 0)
        assert house.spool.disk.waiting == 0
    assert homeserver.open == 0
