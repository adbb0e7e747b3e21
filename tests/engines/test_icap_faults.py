"""The ICAP engine and servers that misbehave: each fault is an error, and none is ever clean."""

import asyncio
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from ostiary.blob import Blob
from ostiary.engines.icap.engine import IcapWays
from ostiary.engines.icap.seen import WINDOW, SeenVersions
from ostiary.engines.interface import Sample
from ostiary.errors import EngineError
from ostiary.model import Cause, Clean, Finding, Infected, Unscannable
from peers.c_icap import CIcap
from tests.engines.asking import descriptors, spooled, until
from tests.engines.asking_icap import engine_at, error_at, judge, judge_at, state
from tests.engines.conftest import LoopRunner
from tests.engines.fake_icap import Behaviour, Connection, FakeIcap, answering, echoing, well_behaved
from tests.wire.icap_replies import ERROR, INFECTED, ISTAG, OPTIONS, UNMODIFIED, echo, encapsulating, response

GENERIC = IcapWays()


def silent(connection: Connection) -> None:
    """Take the scan, and say nothing."""
    connection.scanned()
    connection.hang()


@pytest.mark.peer("c_icap")
def test_the_fake_is_what_the_real_one_is(run: LoopRunner, c_icap: CIcap) -> None:
    """One question to both: the same finding, on a connection that is used again."""

    async def body(url: str) -> list[Finding]:
        async with engine_at(url, GENERIC) as engine:
            return [await judge(engine, data) for data in (b"", b"x", b"x" * 5000)]

    with FakeIcap() as fake:
        assert run(body(fake.url)) == run(body(c_icap.url)) == [Clean()] * 3
        assert fake.connections == 1


@pytest.mark.parametrize("size", [0, 1024, 1025, 300_000, 3_000_000])
def test_what_is_sent_is_what_arrives(run: LoopRunner, tmp_path: Path, size: int) -> None:
    """From memory or a file, with a preview or without: the same bytes, there and back."""
    data = os.urandom(size)
    got: list[bytes] = []

    def keeping(connection: Connection) -> None:
        while True:
            got.append(connection.scanned())
            connection.send(echo(got[-1]))

    async def body(url: str) -> None:
        with await spooled(data, tmp_path) as blob:
            for preview in (True, False):
                async with engine_at(url, IcapWays(preview=preview)) as engine:
                    sample = Sample(blob, "image/png")
                    assert (await engine.inspect(sample)).finding == Clean()

    with FakeIcap(keeping) as fake:
        run(body(fake.url))
        assert got == [data, data]
        assert b"\r\nContent-Type: image/png\r\n" in fake.heads[0]


def resetting(connection: Connection) -> None:
    """Take a scan's head, and reset the connection."""
    connection.request()
    connection.reset()


def hearing(connection: Connection) -> None:
    """Take a scan's head, and close."""
    connection.request()


def cutting(answer: bytes) -> list[Behaviour]:
    """Return behaviours that send all but the last byte of an answer, or half of it."""
    return [answering(answer[:-1]), answering(answer[: len(answer) // 2])]


@pytest.mark.parametrize(
    ("behaviours", "text"),
    [
        ([answering(b"")], "closed the connection before it answered"),
        ([resetting], "closed the connection before it answered"),
        (cutting(UNMODIFIED), "closed the connection before it answered"),
        (cutting(echo(b"x")), "closed the connection before it answered"),
        ([answering(ERROR)], "could not scan"),
        ([answering(UNMODIFIED.replace(b"204", b"206"))], "206, which was not asked for"),
        ([answering(echo(b"y"))], "changed"),
        ([answering(echo(b""))], "another length"),
        ([answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")], "is it an ICAP server"),
        ([answering(UNMODIFIED.replace(ISTAG, b""))], "ISTag"),
        ([answering(b"\0" * 200_000)], "does not speak ICAP"),
        ([answering(b"ICAP/1.0 200 OK\r\nX: " + b"x" * 200_000)], "without an end"),
    ],
)
def test_faults(run: LoopRunner, behaviours: list[Behaviour], text: str) -> None:
    """Each is an error that says what happened, and names the server."""
    for behaviour in behaviours:
        with FakeIcap(behaviour) as fake:
            error = run(error_at(fake.url, b"x", GENERIC))
            assert text in error
            assert f"127.0.0.1:{fake.port}" in error


def test_the_first_byte_settles_whether_a_question_may_be_asked_again(run: LoopRunner) -> None:
    """A pooled connection that was closed is replaced by a new one; not after a byte of an answer."""

    def once(last: bytes) -> Behaviour:
        def behave(connection: Connection) -> None:
            connection.scanned()
            connection.send(UNMODIFIED)
            connection.request()
            connection.send(last)

        return behave

    async def body(url: str) -> Finding:
        async with engine_at(url, GENERIC) as engine:
            assert await judge(engine) == Clean()
            return await judge(engine)

    with FakeIcap(once(b""), well_behaved) as fake:
        assert run(body(fake.url)) == Clean()
        assert fake.connections == 2
    with FakeIcap(once(b"I"), well_behaved) as fake:
        with pytest.raises(EngineError, match="closed the connection"):
            run(body(fake.url))
        assert fake.connections == 1


def test_a_new_connection_that_is_closed_is_not_tried_again(run: LoopRunner) -> None:
    """That is the server's trouble: one that was pooled, then a new one, and no storm of attempts."""
    with FakeIcap(hearing) as fake:
        run(error_at(fake.url, b"x", GENERIC))
        assert fake.connections == 2
    with FakeIcap(answering(b"")) as fake:  # it asked for the rest: that was a word of an answer
        run(error_at(fake.url, b"x", GENERIC))
        assert fake.connections == 1


@pytest.mark.parametrize("answer", [UNMODIFIED + b"x", UNMODIFIED * 2, echo(b"x") + UNMODIFIED])
def test_more_than_an_answer_ends_the_connection(run: LoopRunner, answer: bytes) -> None:
    """The answer stands; what came behind it is no answer to the next question."""

    def behave(connection: Connection) -> None:
        connection.scanned()
        connection.send(answer)
        assert connection.gone()

    async def body(url: str) -> None:
        async with engine_at(url, GENERIC) as engine:
            assert await judge(engine) == Clean()
            assert await judge(engine) == Infected("Eicar-Test.UNOFFICIAL")

    with FakeIcap(behave, answering(INFECTED)) as fake:
        run(body(fake.url))
        assert fake.connections == 2


def test_idle_connections_go(run: LoopRunner) -> None:
    """After some seconds a connection that nobody needs is closed."""

    def behave(connection: Connection) -> None:
        connection.scanned()
        connection.send(UNMODIFIED)
        connection.hang()

    async def body(url: str) -> None:
        async with engine_at(url, IcapWays(idle_seconds=0.05)) as engine:
            assert await judge(engine) == Clean()
            await until(lambda: fake.open == 1)
            await asyncio.sleep(0.2)  # it is idle for too long, and goes
            assert await judge(engine) == Infected("Eicar-Test.UNOFFICIAL")

    with FakeIcap(behave, answering(INFECTED)) as fake:
        run(body(fake.url))
        assert fake.connections == 2


def test_a_body_that_never_ends_is_no_finding(run: LoopRunner, tmp_path: Path) -> None:
    """Infected or clean, only what was asked for is read: the page behind a threat is not waited for."""

    def trickling(connection: Connection) -> None:
        connection.scanned()
        connection.send(INFECTED[:-1])
        connection.hang()

    def endless(connection: Connection) -> None:
        data = connection.scanned()
        connection.send(echo(data)[:-5])
        connection.hang()

    async def body(url: str) -> None:
        assert await judge_at(url, b"x", GENERIC) == Infected("Eicar-Test.UNOFFICIAL")
        async with engine_at(url, GENERIC) as engine:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await judge(engine)

    with FakeIcap(trickling, endless) as fake:
        run(body(fake.url))


def test_a_server_that_answers_before_it_has_all(run: LoopRunner, tmp_path: Path) -> None:
    """A threat found early ends the sending; an early 204 or an early file is no finding."""
    data = os.urandom(20_000_000)

    def early(answer: bytes) -> Behaviour:
        def behave(connection: Connection) -> None:
            connection.request()
            connection.exactly(1000)
            connection.send(answer)
            connection.hang()

        return behave

    async def body(url: str) -> Finding:
        with await spooled(data, tmp_path) as blob:
            async with engine_at(url, IcapWays(preview=False)) as engine:
                return (await engine.inspect(Sample(blob, "text/plain"))).finding

    with FakeIcap(early(INFECTED)) as fake:
        assert run(body(fake.url)) == Infected("Eicar-Test.UNOFFICIAL")
    for answer in (UNMODIFIED, echo(data)):
        with FakeIcap(early(answer)) as fake, pytest.raises(EngineError, match="before it had the file"):
            run(body(fake.url))


def test_a_server_that_gives_back_while_it_takes(run: LoopRunner, tmp_path: Path) -> None:
    """Both directions at a time: no deadlock, and the comparison holds."""
    data = os.urandom(8_000_000)

    def behave(connection: Connection) -> None:
        connection.request()
        connection.send(encapsulating(response(len(data)), b"x").removesuffix(b"x"))
        sent = 0
        while sent < len(data):
            size = int(connection._until(b"\r\n"), 16)
            piece = connection.exactly(size)
            connection.exactly(2)
            connection.send(b"%x\r\n%b\r\n" % (size, piece))
            sent += size
        connection.body()
        connection.send(b"0\r\n\r\n")

    async def body(url: str) -> None:
        with await spooled(data, tmp_path) as blob:
            async with engine_at(url, IcapWays(preview=False)) as engine:
                assert (await engine.inspect(Sample(blob, "text/plain"))).finding == Clean()

    with FakeIcap(behave) as fake:
        run(body(fake.url))


async def test_a_preview_that_passes_is_unscanned() -> None:
    """The server let it pass after the first bytes: unscannable, and the connection goes."""

    def passing(connection: Connection) -> None:
        connection.request()
        connection.body()
        connection.send(UNMODIFIED)

    with FakeIcap(passing) as fake:
        for size in (1, 2, 1024, 1025):  # the last byte is kept back: small files show it too
            found = await judge_at(fake.url, b"x" * size, GENERIC)
            assert isinstance(found, Unscannable)
            assert found.cause is Cause.LIMIT
        assert await judge_at(fake.url, b"", GENERIC) == Clean()


async def test_files_over_the_bound_are_not_sent() -> None:
    """`max_size` is refused too: c-icap passes files of just its limit."""
    with FakeIcap() as fake:
        async with engine_at(fake.url, IcapWays(max_size=1000)) as engine:
            said = await state(engine, b"x" * 1000)
            assert isinstance(said.finding, Unscannable)
            assert said.finding.cause is Cause.LIMIT
            assert said.version in await engine.versions()
            assert "max_size 1000" in said.version
            assert await judge(engine, b"x" * 999) == Clean()
        assert len(fake.heads) == 1


async def test_options_count_for_as_long_as_they_say() -> None:
    """Asked once for many scans, each time with a TTL of 0, and anew when an ISTag is another one."""

    def counting(connection: Connection) -> None:
        connection.answers_options = False
        while head := connection.request():
            asked.append(head.partition(b" ")[0])
            if asked[-1] == b"OPTIONS":
                connection.send(connection._server.options)
            else:
                connection.rest(head)
                connection.send(answer)

    answer = UNMODIFIED
    for ttl, expected in ((3600, 1), (0, 3)):
        asked: list[bytes] = []
        with FakeIcap(counting, options=OPTIONS.replace(b"3600", b"%d" % ttl)) as fake:
            async with engine_at(fake.url, GENERIC) as engine:
                for _ in range(3):
                    assert await judge(engine) == Clean()
        assert asked.count(b"OPTIONS") >= expected
        assert ttl == 0 or asked.count(b"OPTIONS") == 1
    answer = UNMODIFIED.replace(b"CI0001", b"CI0002")
    asked = []
    with FakeIcap(counting) as fake:
        async with engine_at(fake.url, GENERIC) as engine:
            first = await state(engine)
            assert "CI0001" in first.version  # it may have been the old signatures
            assert asked.count(b"OPTIONS") == 1
            fake.options = OPTIONS.replace(b"CI0001", b"CI0002")
            assert "CI0002" in (await state(engine)).version
            assert asked.count(b"OPTIONS") == 2
            assert first.version not in await engine.versions()


async def test_several_servers_behind_one_url() -> None:
    """Versions that come turn by turn all count, and what each of them says stands."""

    def told(name: bytes) -> Behaviour:
        def behave(connection: Connection) -> None:
            connection.answers_options = False
            head = connection.request()
            if head.startswith(b"OPTIONS"):
                connection.send(
                    OPTIONS.replace(b"CI0001", name).replace(b"Date:", b"Connection: close\r\nDate:")
                )
            else:
                connection.rest(head)
                connection.send(UNMODIFIED.replace(b"CI0001", name).replace(b"keep-alive", b"close"))

        return behave

    a, b = told(b"AAAAAA"), told(b"BBBBBB")
    with FakeIcap(*([a, b] * 20)) as fake:
        async with engine_at(fake.url, IcapWays(reqmod=False)) as engine:
            for _ in range(4):
                await engine.versions()
            down = {version for version in await engine.versions() if version.startswith("RESPMOD")}
            assert len(down) == 2
            for _ in range(4):
                assert (await state(engine)).version in down


def test_versions_that_were_seen() -> None:
    """A then B: A is over. A, B, A, B: both count, for a minute after they were last seen."""
    seen = SeenVersions()
    assert seen.live(0) == frozenset()
    seen.note("A", 0)
    seen.note("A", 1)
    assert seen.live(500) == {"A"}
    seen.note("B", 501)
    assert seen.live(501) == {"B"}
    for now, version in enumerate("ABABB", start=502):
        seen.note(version, now)
    assert seen.live(510) == {"A", "B"}
    assert seen.live(510 + WINDOW) == {"B"}
    for now in range(1000):
        seen.note(str(now), 600)
    assert len(seen._turns) <= 256


@pytest.mark.parametrize(("most", "together"), [(1, 1), (2, 1), (4, 3), (100, 5)])
async def test_max_connections(most: int, together: int) -> None:
    """Never more scans than Max-Connections allows, with one connection for questions of our own."""
    options = OPTIONS.replace(b"Allow: 204", b"Allow: 204\r\nMax-Connections: %d" % most)
    running = 0
    highest = 0

    def counting(connection: Connection) -> None:
        nonlocal running, highest
        while True:
            head = connection.request()
            running += 1
            highest = max(highest, running)
            connection.rest(head)
            running -= 1
            connection.send(UNMODIFIED)

    with FakeIcap(counting, options=options) as fake:
        async with engine_at(fake.url, GENERIC, concurrency=5) as engine:
            scans = [judge(engine) for _ in range(40)]
            assert await asyncio.gather(*scans) == [Clean()] * 40
            assert await engine.versions()
        assert highest <= together
        assert fake.most_open <= max(most, 1)
        assert most != 100 or fake.most_open > 1


async def test_max_connections_of_one_and_a_scan_that_takes_long() -> None:
    """Versions are those known: a second connection would be one too many."""
    options = OPTIONS.replace(b"Allow: 204", b"Allow: 204\r\nMax-Connections: 1")
    with FakeIcap(silent, options=options) as fake:
        async with engine_at(fake.url, GENERIC) as engine:
            scan = asyncio.get_running_loop().create_task(judge(engine))
            await until(lambda: len(fake.heads) == 1)
            assert await engine.versions()
            assert fake.most_open == 1
            scan.cancel()
            await asyncio.wait([scan])


async def test_who_comes_again_waits_behind_first_scans() -> None:
    """`again` is the second queue."""
    order: list[bytes] = []

    def noting(connection: Connection) -> None:
        while True:
            order.append(connection.scanned())
            connection.send(UNMODIFIED)

    async def scan(name: bytes, *, again: bool) -> None:
        await state(engine, name, again=again)

    with FakeIcap(noting) as fake:
        async with engine_at(fake.url, GENERIC, concurrency=1) as engine:
            await state(engine, b"warm")
            await asyncio.gather(
                scan(b"1", again=False),
                scan(b"a", again=True),
                scan(b"2", again=False),
                scan(b"3", again=False),
            )
    assert order == [b"warm", b"1", b"2", b"3", b"a"]


@pytest.mark.parametrize("offered", [b"RESPMOD", b"REQMOD"])
async def test_a_service_with_one_method(offered: bytes) -> None:
    """Without REQMOD uploads are asked about by RESPMOD; without RESPMOD nobody asks about downloads."""
    with FakeIcap(echoing, options=OPTIONS.replace(b"RESPMOD, REQMOD", offered)) as fake:
        async with engine_at(fake.url, GENERIC) as engine:
            if offered == b"RESPMOD":
                assert (await state(engine, upload=True)).version.startswith("RESPMOD")
                return
            with pytest.raises(EngineError, match="offers no RESPMOD"):
                await judge(engine)


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_nobody_listens(run: LoopRunner) -> None:
    """Refused at once, with advice; no version is live. It comes back by itself."""

    async def body() -> None:
        async with engine_at(f"icap://127.0.0.1:{closed_port()}/x", GENERIC) as engine:
            for _ in range(3):
                with pytest.raises(EngineError, match="is the ICAP server running"):
                    await judge(engine)
            assert await engine.versions() == frozenset()

    run(body())


@pytest.mark.parametrize("away", ["accepts", "swallows"])
def test_a_black_hole_rests_and_comes_back(run: LoopRunner, away: str) -> None:
    """One that is silent costs its first askers time, then nobody; a probe finds it again."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1)
    port = listener.getsockname()[1]
    plugs = [socket.socket() for _ in range(4)] if away == "swallows" else []

    async def body() -> None:
        ways = IcapWays(connect_seconds=0.3)
        async with engine_at(f"icap://127.0.0.1:{port}/x", ways, rest=0.1) as engine:
            with pytest.raises((EngineError, TimeoutError)):
                async with asyncio.timeout(0.5):
                    await judge(engine)
            await until(lambda: bool(engine._addresses.resting()))
            for _ in range(100):
                with pytest.raises(EngineError, match="rests"):
                    await judge(engine)
            assert await engine.versions() == frozenset()
            unplug()
            with FakeIcap(port=port):
                await until(lambda: not engine._addresses.resting())
                assert await judge(engine) == Clean()

    def unplug() -> None:
        for one in (*plugs, listener):
            one.close()

    for plug in plugs:
        plug.setblocking(False)
        plug.connect_ex(("127.0.0.1", port))
    try:
        run(body())
    finally:
        unplug()


async def test_a_slow_file_does_not_make_a_server_rest() -> None:
    """A scan that is given up raises a doubt; the probe is answered, so nothing rests."""
    with FakeIcap(silent) as fake:
        async with engine_at(fake.url, GENERIC) as engine:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await judge(engine)
            await asyncio.sleep(0.2)
            assert not engine._addresses.resting()
            assert await engine.versions()


async def test_a_scan_that_was_given_up_keeps_its_slot() -> None:
    """The server works on: until it answers, or for so long, the next scan waits."""
    answer = threading.Event()

    def slow(connection: Connection) -> None:
        connection.scanned()
        answer.wait(5)
        connection.send(UNMODIFIED)

    for seconds in (60.0, 0.1):
        answer.clear()
        with FakeIcap(slow, well_behaved) as fake:
            async with engine_at(fake.url, IcapWays(linger_seconds=seconds), concurrency=1) as engine:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await judge(engine)
                waiting = asyncio.get_running_loop().create_task(judge(engine))
                if seconds > 1:
                    await asyncio.sleep(0.2)
                    assert not waiting.done()
                    answer.set()
                assert await waiting == Clean()
                answer.set()


async def test_an_engine_that_closes_ends_what_lingers() -> None:
    """Nobody waits for a silent server then, and nothing stays open."""
    before = descriptors()
    with FakeIcap(silent) as fake:
        async with engine_at(fake.url, GENERIC, concurrency=1) as engine:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await judge(engine)
            assert engine._download.pool._lingering
        assert not engine._download.pool._lingering
    await until(lambda: descriptors() <= before)


async def test_many_who_wait_for_a_silent_server_wait_together() -> None:
    """One question is asked for all of them: they do not wait for it one after the other."""

    def mute(connection: Connection) -> None:
        connection.hang()

    with FakeIcap(mute) as fake:
        async with engine_at(fake.url, GENERIC) as engine:
            asked = [judge(engine) for _ in range(20)]
            async with asyncio.timeout(9):  # one question takes 5 s
                found = await asyncio.gather(*asked, return_exceptions=True)
            assert all(isinstance(one, EngineError) for one in found)
            assert fake.connections < 10


async def test_bytes_on_an_idle_connection_end_it() -> None:
    """They came unasked, and could be taken for the next answer: that question goes elsewhere."""

    def late(connection: Connection) -> None:
        connection.scanned()
        connection.send(UNMODIFIED)
        idle.wait(5)
        connection.send(UNMODIFIED)
        connection.hang()

    idle = threading.Event()
    with FakeIcap(late, answering(INFECTED)) as fake:
        async with engine_at(fake.url, GENERIC) as engine:
            assert await judge(engine) == Clean()
            ((_, connection),) = engine._download.pool._idle
            idle.set()
            await until(lambda: not connection.reusable)
            assert await judge(engine) == Infected("Eicar-Test.UNOFFICIAL")
        assert fake.connections == 2


async def test_max_connections_may_change() -> None:
    """Slots are kept and given back as the service says, also while scans run; none is lost."""
    options = OPTIONS.replace(b"3600", b"0").replace(b"Allow: 204", b"Allow: 204\r\nMax-Connections: %d")
    with FakeIcap(options=options % 9) as fake:
        async with engine_at(fake.url, GENERIC, concurrency=5) as engine:
            for most, free in ((9, 5), (3, 2), (1, 1), (2, 1), (6, 5), (3, 2), (100, 5)):
                fake.options = options % most
                found = await asyncio.gather(*(judge(engine) for _ in range(20)))
                assert found == [Clean()] * 20
                assert engine._slots._free == free


async def test_any_answer_is_a_sign_of_life() -> None:
    """A server that refuses OPTIONS is an error for each scan, and never rests: no reply marks it dead."""
    with FakeIcap(options=ERROR) as fake:
        async with engine_at(fake.url, GENERIC) as engine:
            with pytest.raises(EngineError, match="answered 500 to OPTIONS"):
                await judge(engine)
            assert await engine._addresses.answers(engine._download.pool)
            assert await engine.versions() == frozenset()
            with pytest.raises(EngineError, match="answered 500 to OPTIONS"):
                await engine.version()


async def test_bytes_that_can_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spooled file that became shorter is an error, and not a short file."""
    with FakeIcap() as fake, await spooled(os.urandom(3_000_000), tmp_path) as blob:
        monkeypatch.setattr(Blob, "read", lambda *_: b"")
        async with engine_at(fake.url, IcapWays(preview=False)) as engine:
            with pytest.raises(EngineError, match="could not hand the bytes"):
                await engine.inspect(Sample(blob, "text/plain"))


def test_nothing_is_left_open(run: LoopRunner) -> None:
    """After errors, scans given up and the engine's end, as many descriptors as before."""

    async def body() -> None:
        before = None
        for behaviour in (well_behaved, answering(b""), answering(INFECTED), silent):
            with FakeIcap(behaviour) as fake:
                async with engine_at(fake.url, GENERIC) as engine:
                    for _ in range(3):
                        with suppress(EngineError, TimeoutError):
                            async with asyncio.timeout(0.1):
                                await judge(engine)
            before = before or descriptors()  # after the first, for a loop opens some of its own
        await until(lambda: descriptors() <= (before or 0))

    run(body())
