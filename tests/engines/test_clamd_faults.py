"""The clamd engine against a clamd that fails in every way: always an error, never a finding."""

import asyncio

import pytest

from ostiary.blob import Blob
from ostiary.errors import EngineError
from ostiary.model import Clean
from ostiary.wire.clamd import ANSWERS, READ_TIMED_OUT
from peers.clamd import Clamd
from tests.engines.asking import descriptors, engine_at, judge, judge_at
from tests.engines.conftest import LoopRunner
from tests.engines.fake_clamd import Behaviour, Connection, FakeClamd, hang_up, replying, reset, well_behaved

CLEAN = b"1: fd[9]: OK\0"


CUTS: dict[str, tuple[Behaviour, str]] = {
    "nothing, then the end": (replying(b""), "closed the connection before it answered"),
    "reset": (reset, "closed the connection before it answered"),
    "timed out": (replying(READ_TIMED_OUT), "ReadTimeout"),
}
"""The ways in which a session can end without a byte of an answer."""

WRONG: dict[str, tuple[bytes, str]] = {
    "half a reply": (CLEAN[:-1], "closed the connection before it answered"),
    "an empty reply": (b"\0", "not asked"),
    "garbage": (b"\xff\0\xfe\0", "more than an answer"),
    "another protocol": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is it a clamd"),
    "another number": (b"7: fd[9]: OK\0", "not asked"),
    "no number": (b"fd[9]: OK\0", "not asked"),
    "clean, but of another subject": (b"1: stream: OK\0", "does not have"),
    "found, but in another subject": (b"1: stream: Eicar FOUND\0", "does not have"),
    "two replies": (CLEAN + b"1: fd[9]: Eicar FOUND\0", "more than an answer"),
    "one reply twice": (CLEAN + CLEAN, "more than an answer"),
    "clean and the start of more": (CLEAN + b"x", "more than an answer"),
    "no name": (b"1: fd[9]: (null) FOUND\0", "no signature"),
    "out of memory": (b"1: fd[9]: Can't allocate memory ERROR\0", "Can't allocate memory ERROR"),
    "a version": (b"1: ClamAV 1.4.6\0", "does not have"),
    "1 MiB of junk": (b"1: " + b"x" * (1 << 20), "more than 4096 bytes"),
}
"""Replies to the first command that are no answer."""

FAULTS = CUTS | {name: (replying(reply), words) for name, (reply, words) in WRONG.items()}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_answer_in_a_new_session(run: LoopRunner, fault: str) -> None:
    """What is no answer is an error that names address and fault; nothing is left open.

    Nothing is asked again either, but for a descriptor that may not have been allowed: once.
    """
    behaviour, words = FAULTS[fault]
    run(asyncio.sleep(0))  # the first loop of a kind opens descriptors for good
    before = descriptors()
    with FakeClamd(behaviour, behaviour, well_behaved) as fake:
        with pytest.raises(EngineError, match=words) as caught:
            run(judge_at(fake.address))
        assert fake.address in str(caught.value)
        assert fake.connections == (2 if fault in CUTS else 1)
    assert descriptors() == before


QUIET_ENDS: dict[str, Behaviour] = {
    "closed": replying(CLEAN, b""),
    "timed out": replying(CLEAN, READ_TIMED_OUT),
}


@pytest.mark.parametrize("end", QUIET_ENDS)
def test_a_pooled_session_may_have_ended(run: LoopRunner, end: str) -> None:
    """If a reused session ends without an answer, a new one is asked: clamd had grown tired of it."""

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address) as engine:
            for _ in range(3):
                assert await judge(engine) == Clean()
        assert fake.connections == 2

    with FakeClamd(QUIET_ENDS[end], well_behaved) as fake:
        run(body(fake))


def test_a_pooled_session_may_have_been_reset(run: LoopRunner) -> None:
    """The same over TCP, where the end may be a reset while we send."""

    def behave(connection: Connection) -> None:
        connection.scan_command()
        connection.send(b"1: stream: OK\0")
        reset(connection)

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address) as engine:
            for _ in range(3):
                assert await judge(engine) == Clean()
        assert fake.connections == 2

    with FakeClamd(behave, well_behaved, tcp=True) as fake:
        run(body(fake))


def test_a_session_that_ends_while_idle_is_not_used(run: LoopRunner) -> None:
    """clamd's farewell to an idle session is heard at once, and the session dropped."""

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address) as engine:
            assert await judge(engine) == Clean()
            await asyncio.sleep(0.05)
            assert await judge(engine) == Clean()
        assert fake.connections == 2

    with FakeClamd(replying(CLEAN), replying(CLEAN + READ_TIMED_OUT)) as fake:
        run(body(fake))


@pytest.mark.parametrize("fault", CUTS)
def test_only_one_more_try(run: LoopRunner, fault: str) -> None:
    """New sessions that are cut as the reused one was are an error: there is no storm of tries."""
    cut, words = CUTS[fault]

    def clean_then_cut(connection: Connection) -> None:
        connection.scan_command()
        connection.send(CLEAN)
        cut(connection)

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address) as engine:
            assert await judge(engine) == Clean()
            with pytest.raises(EngineError, match=words):
                await judge(engine)
        assert fake.connections == 3

    with FakeClamd(clean_then_cut, cut, cut, well_behaved) as fake:
        run(body(fake))


def test_a_clamd_that_may_not_take_descriptors_gets_streams(run: LoopRunner) -> None:
    """Where a descriptor makes clamd hang up, as AppArmor does, the bytes are streamed from then on."""

    def under_apparmor(connection: Connection) -> None:
        while (command := connection.scan_command()) == b"zINSTREAM":
            seen.append(command)
            connection.send(b"%d: stream: OK\0" % len(seen))

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address) as engine:
            for _ in range(3):
                assert await judge(engine) == Clean()
        assert fake.connections == 2

    seen: list[bytes] = []
    with FakeClamd(under_apparmor) as fake:
        run(body(fake))
    assert seen == [b"zINSTREAM"] * 3


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_reply_is_not_asked_again(run: LoopRunner, fault: str) -> None:
    """A reply that is no answer is an error also in a reused session; it alone, not the next scan."""
    reply, words = WRONG[fault]

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address) as engine:
            assert await judge(engine) == Clean()
            with pytest.raises(EngineError, match=words):
                await judge(engine)
            assert fake.connections == 1
            assert await judge(engine) == Clean()

    with FakeClamd(replying(CLEAN, reply.replace(b"1: ", b"2: ")), well_behaved) as fake:
        run(body(fake))


def test_silence_is_the_callers_deadline(run: LoopRunner) -> None:
    """A clamd that says nothing is waited for until the caller cancels; its session is closed then."""

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address) as engine:
            before = descriptors()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await judge(engine)
            await asyncio.to_thread(fake.wait_for_connections, 1)
            assert await judge(engine) == Clean()
        assert fake.connections == 2
        assert descriptors() <= before + 1  # the fake's end of the silent one may still be open

    with FakeClamd(Connection.silence, well_behaved) as fake:
        run(body(fake))


@pytest.mark.parametrize("fault", [*CUTS, "half a reply"])
def test_a_cut_connection_leads_to_the_next_address(run: LoopRunner, fault: str) -> None:
    """Where no answer came, the next address is asked."""
    with FakeClamd(FAULTS[fault][0]) as broken, FakeClamd(well_behaved) as good:
        assert run(judge_at(broken.address, good.address)) == Clean()
        asked = 2 if fault in CUTS else 1  # a descriptor, and a stream
        assert broken.connections in {asked, asked + 1}  # and perhaps a first probe
        assert good.connections == 1


@pytest.mark.parametrize("fault", ["garbage", "out of memory", "another number", "two replies"])
def test_a_reply_does_not_lead_to_the_next_address(run: LoopRunner, fault: str) -> None:
    """A reply is a reply: asking until somebody says "clean" would be no scan."""
    with FakeClamd(FAULTS[fault][0]) as broken, FakeClamd(well_behaved) as good:
        with pytest.raises(EngineError):
            run(judge_at(broken.address, good.address))
        assert good.connections == 0


def test_all_addresses_are_named(run: LoopRunner) -> None:
    """When no address answers, the error tells what is wrong with each."""
    with FakeClamd(hang_up) as broken, pytest.raises(EngineError) as caught:
        run(judge_at("unix:/nonexistent/clamd.sock", broken.address))
    assert "unix:/nonexistent/clamd.sock: No such file" in str(caught.value)
    assert f"{broken.address}: closed the connection" in str(caught.value)


def test_no_version(run: LoopRunner) -> None:
    """A clamd that tells no version is an error."""

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address) as engine:
            with pytest.raises(EngineError, match="does not have"):
                await engine.version()

    with FakeClamd(replying(b"1: PONG\0", tells_version=False)) as fake:
        run(body(fake))


def test_versions_and_findings_are_not_mixed_up(run: LoopRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the grammar wrong, a version would still be no finding, and a finding no version."""

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address) as engine:
            monkeypatch.setitem(ANSWERS, "FILDES", version)
            with pytest.raises(EngineError, match="version"):
                await judge(engine)
            monkeypatch.setitem(ANSWERS, "VERSION", fildes)
            with pytest.raises(EngineError, match="version"):
                await engine.version()

    fildes, version = ANSWERS["FILDES"], ANSWERS["VERSION"]
    with FakeClamd(replying(b"1: ClamAV 1.4.6\0"), replying(CLEAN, tells_version=False)) as fake:
        run(body(fake))


def test_no_descriptor_left(run: LoopRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system refuses is an error of the engine, not a finding and not a crash."""

    def refuse(_: Blob) -> int:
        raise OSError(24, "Too many open files")

    with FakeClamd(well_behaved) as fake:
        monkeypatch.setattr(Blob, "open_descriptor", refuse)
        with pytest.raises(EngineError, match="Too many open files"):
            run(judge_at(fake.address))


def test_admission_is_bounded(run: LoopRunner) -> None:
    """No more scans at a time than `concurrency`, in the order in which they came."""

    async def body(fake: FakeClamd) -> None:
        async with engine_at(fake.address, concurrency=3) as engine, asyncio.TaskGroup() as group:
            for _ in range(30):
                group.create_task(judge(engine))
        assert fake.connections <= 3

    with FakeClamd(well_behaved) as fake:
        run(body(fake))


@pytest.mark.peer("clamd")
def test_the_fake_is_like_the_real_one(run: LoopRunner, clamd: Clamd) -> None:
    """The well-behaved fake answers as clamd does, over both transports and in a reused session."""

    async def answers(address: str) -> list[object]:
        async with engine_at(address) as engine:
            findings = [await judge(engine, data) for data in (b"x", b"", b"y" * 100_000)]
            return [*findings, (await engine.version()).split(" ")[0]]

    with FakeClamd(well_behaved) as fake, FakeClamd(well_behaved, tcp=True) as fake_tcp:
        for fake_address, address in (
            (fake.address, clamd.unix_address),
            (fake_tcp.address, clamd.tcp_address),
        ):
            assert run(answers(fake_address)) == run(answers(address))
        assert (fake.connections, fake_tcp.connections) == (1, 2)  # a version is asked in one of its own
