"""The clamd engine against a clamd that fails in every way: always an error, never a finding.

Also what needs no clamd at all: addresses, and sockets where nobody answers.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ostiary.blob import Blob, BlobWriter
from ostiary.engines.clamd import ClamdEngine
from ostiary.engines.clamd_address import TcpAddress, UnixAddress, parse_address
from ostiary.engines.clamd_session import ClamdSession
from ostiary.engines.interface import Sample
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Cause, Clean, Finding, Unscannable
from ostiary.wire.clamd import ANSWERS, READ_TIMED_OUT
from peers.clamd import Clamd
from tests.engines.conftest import LoopRunner
from tests.engines.fake_clamd import Behaviour, Connection, FakeClamd, replying, well_behaved

CLEAN = b"1: fd[9]: OK\0"
CLEAN_STREAM = b"1: stream: OK\0"


async def judge(engine: ClamdEngine, data: bytes = b"x") -> Finding:
    """Have the engine inspect these bytes."""
    with Blob.of(data) as blob:
        return await engine.inspect(Sample(blob, "application/octet-stream"))


def descriptors() -> int:
    """Return how many descriptors are open in this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  (names are enough)


async def ask(engine: ClamdEngine, data: bytes = b"x") -> Finding:
    """Judge these bytes, then close the engine: the fake waits for that."""
    try:
        return await judge(engine, data)
    finally:
        await engine.close()


def reset(connection: Connection) -> None:
    """Take the command and break the connection."""
    connection.scan_command()
    connection.reset()


def hang_up(connection: Connection) -> None:
    """Close at once."""


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
    """What is no answer is an error that names address and fault; nothing is asked again or left open."""
    behaviour, words = FAULTS[fault]
    run(asyncio.sleep(0))  # the first loop of a kind opens descriptors for good
    before = descriptors()
    with FakeClamd(behaviour, well_behaved) as fake:
        with pytest.raises(EngineError, match=words) as caught:
            run(ask(ClamdEngine("clamd", [fake.address])))
        assert fake.address in str(caught.value)
        assert fake.connections == 1
    assert descriptors() == before


QUIET_ENDS: dict[str, Behaviour] = {
    "closed": replying(CLEAN, b""),
    "timed out": replying(CLEAN, READ_TIMED_OUT),
}


@pytest.mark.parametrize("end", QUIET_ENDS)
def test_a_pooled_session_may_have_ended(run: LoopRunner, end: str) -> None:
    """If a reused session ends without an answer, a new one is asked: clamd had grown tired of it."""

    async def body(fake: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [fake.address])
        for _ in range(3):
            assert await judge(engine) == Clean()
        await engine.close()
        assert fake.connections == 2

    with FakeClamd(QUIET_ENDS[end], well_behaved) as fake:
        run(body(fake))


def test_a_pooled_session_may_have_been_reset(run: LoopRunner) -> None:
    """The same over TCP, where the end may be a reset while we send."""

    def behave(connection: Connection) -> None:
        connection.scan_command()
        connection.send(CLEAN_STREAM)
        reset(connection)

    async def body(fake: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [fake.address])
        for _ in range(3):
            assert await judge(engine) == Clean()
        await engine.close()
        assert fake.connections == 2

    with FakeClamd(behave, well_behaved, tcp=True) as fake:
        run(body(fake))


def test_a_session_that_ends_while_idle_is_not_used(run: LoopRunner) -> None:
    """clamd's farewell to an idle session is heard at once, and the session dropped."""

    async def body(fake: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [fake.address])
        assert await judge(engine) == Clean()
        await asyncio.sleep(0.05)
        assert await judge(engine) == Clean()
        await engine.close()
        assert fake.connections == 2

    with FakeClamd(replying(CLEAN), replying(CLEAN + READ_TIMED_OUT)) as fake:
        run(body(fake))


@pytest.mark.parametrize("fault", CUTS)
def test_only_one_more_try(run: LoopRunner, fault: str) -> None:
    """A new session that is cut as the reused one was is an error: there is no storm of tries."""
    cut, words = CUTS[fault]

    def clean_then_cut(connection: Connection) -> None:
        connection.scan_command()
        connection.send(CLEAN)
        cut(connection)

    async def body(fake: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [fake.address])
        assert await judge(engine) == Clean()
        with pytest.raises(EngineError, match=words):
            await judge(engine)
        await engine.close()
        assert fake.connections == 2

    with FakeClamd(clean_then_cut, cut, well_behaved) as fake:
        run(body(fake))


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_reply_is_not_asked_again(run: LoopRunner, fault: str) -> None:
    """A reply that is no answer is an error also in a reused session; it alone, not the next scan."""
    reply, words = WRONG[fault]

    async def body(fake: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [fake.address])
        assert await judge(engine) == Clean()
        with pytest.raises(EngineError, match=words):
            await judge(engine)
        assert fake.connections == 1
        assert await judge(engine) == Clean()
        await engine.close()

    with FakeClamd(replying(CLEAN, reply.replace(b"1: ", b"2: ")), well_behaved) as fake:
        run(body(fake))


def test_silence_is_the_callers_deadline(run: LoopRunner) -> None:
    """A clamd that says nothing is waited for until the caller cancels; its session is closed then."""

    async def body(fake: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [fake.address])
        before = descriptors()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await judge(engine)
        await asyncio.to_thread(fake.wait_for_connections, 1)
        assert await judge(engine) == Clean()
        await engine.close()
        assert fake.connections == 2
        assert descriptors() <= before + 1  # the fake's end of the silent one may still be open

    with FakeClamd(Connection.silence, well_behaved) as fake:
        run(body(fake))


async def big_sample(folder: Path) -> Blob:
    """Return more bytes than the buffers of a connection hold."""
    with BlobWriter(folder) as writer:
        for _ in range(40):
            await writer.add(os.urandom(1 << 20))
        return await writer.finish()


EARLY = {
    "clean": (CLEAN_STREAM, "does not have"),
    "found": (b"1: stream: Eicar FOUND\0", "does not have"),
    "an error": (b"1: Error writing to temporary file ERROR\0", "Error writing to temporary file ERROR"),
    "garbage": (b"garbage", "is it a clamd"),
}


@pytest.mark.parametrize("reply", EARLY)
@pytest.mark.parametrize("after", ["silence", "end", "reset"])
def test_early_answers_to_a_stream(run: LoopRunner, tmp_path: Path, reply: str, after: str) -> None:
    """Before the stream's end nothing can be clean or found, whether clamd then reads on, stops or goes."""
    data, words = EARLY[reply]

    async def body(fake: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [fake.address])
        with await big_sample(tmp_path) as blob, pytest.raises(EngineError, match=words):
            await engine.inspect(Sample(blob, "application/octet-stream"))
        await engine.close()

    with FakeClamd(_early(data, after), tcp=True) as fake:
        run(body(fake))


@pytest.mark.parametrize("after", ["silence", "end"])
def test_early_size_limit(run: LoopRunner, tmp_path: Path, after: str) -> None:
    """clamd's refusal is heard also when it stops reading and does not close."""

    async def body(fake: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [fake.address])
        with await big_sample(tmp_path) as blob:
            finding = await engine.inspect(Sample(blob, "application/octet-stream"))
        await engine.close()
        assert isinstance(finding, Unscannable)
        assert finding.cause is Cause.LIMIT

    with FakeClamd(_early(b"1: INSTREAM size limit exceeded. ERROR\0", after), tcp=True) as fake:
        run(body(fake))


class HesitantBlob(Blob):
    """A blob of which the reader learns late that it has ended."""

    async def chunks(self, size: int = 1) -> AsyncIterator[bytes]:
        """Yield all bytes, and take some time to see that they were all."""
        for offset in range(0, self.size, size):
            yield self.read(offset, size)
        await asyncio.sleep(0.1)


def test_refused_behind_the_last_byte(run: LoopRunner) -> None:
    """A refusal that comes between the last byte and the stream's end is heard like any other."""

    async def body(fake: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [fake.address])
        with HesitantBlob.of(b"xyz") as blob:
            finding = await engine.inspect(Sample(blob, "application/octet-stream"))
        await engine.close()
        assert isinstance(finding, Unscannable)
        assert finding.cause is Cause.LIMIT

    with FakeClamd(_early(b"1: INSTREAM size limit exceeded. ERROR\0", "silence"), tcp=True) as fake:
        run(body(fake))


def _early(reply: bytes, after: str) -> Behaviour:
    def behave(connection: Connection) -> None:
        connection.command()
        connection.command()
        connection.exactly(4)
        connection.send(reply)
        if after == "silence":
            connection.stall()
        if after == "reset":
            connection.exactly(1 << 20)
            connection.reset()

    return behave


def test_cut_in_a_stream(run: LoopRunner, tmp_path: Path) -> None:
    """A connection that breaks while we send is an error."""

    def cut(connection: Connection) -> None:
        connection.exactly(1 << 20)

    async def body(fake: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [fake.address])
        with await big_sample(tmp_path) as blob, pytest.raises(EngineError, match="closed the connection"):
            await engine.inspect(Sample(blob, "application/octet-stream"))
        await engine.close()

    with FakeClamd(cut, tcp=True) as fake:
        run(body(fake))


@pytest.mark.parametrize("fault", [*CUTS, "half a reply"])
def test_a_cut_connection_leads_to_the_next_address(run: LoopRunner, fault: str) -> None:
    """Where no answer came, the next address is asked."""
    with FakeClamd(FAULTS[fault][0]) as broken, FakeClamd(well_behaved) as good:
        assert run(ask(ClamdEngine("clamd", [broken.address, good.address]))) == Clean()
        assert broken.connections == good.connections == 1


@pytest.mark.parametrize("fault", ["garbage", "out of memory", "another number", "two replies"])
def test_a_reply_does_not_lead_to_the_next_address(run: LoopRunner, fault: str) -> None:
    """A reply is a reply: asking until somebody says "clean" would be no scan."""
    with FakeClamd(FAULTS[fault][0]) as broken, FakeClamd(well_behaved) as good:
        with pytest.raises(EngineError):
            run(ask(ClamdEngine("clamd", [broken.address, good.address])))
        assert good.connections == 0


def test_all_addresses_are_named(run: LoopRunner) -> None:
    """When no address answers, the error tells what is wrong with each."""
    with FakeClamd(hang_up) as broken, pytest.raises(EngineError) as caught:
        run(ask(ClamdEngine("clamd", ["unix:/nonexistent/clamd.sock", broken.address])))
    assert "unix:/nonexistent/clamd.sock: No such file" in str(caught.value)
    assert f"{broken.address}: closed the connection" in str(caught.value)


def test_no_version(run: LoopRunner) -> None:
    """A clamd that tells no version is an error."""

    async def body(fake: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [fake.address])
        with pytest.raises(EngineError, match="does not have"):
            await engine.version()
        await engine.close()

    with FakeClamd(replying(b"1: PONG\0")) as fake:
        run(body(fake))


def test_versions_and_findings_are_not_mixed_up(run: LoopRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the grammar wrong, a version would still be no finding, and a finding no version."""

    async def body(fake: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [fake.address])
        with pytest.raises(EngineError, match="version"):
            await judge(engine)
        with pytest.raises(EngineError, match="version"):
            await engine.version()
        await engine.close()

    fildes, version = ANSWERS["FILDES"], ANSWERS["VERSION"]
    monkeypatch.setitem(ANSWERS, "FILDES", version)
    monkeypatch.setitem(ANSWERS, "VERSION", fildes)
    with FakeClamd(replying(b"1: ClamAV 1.4.6\0"), replying(CLEAN)) as fake:
        run(body(fake))


def test_a_full_queue_is_waited_for(run: LoopRunner, tmp_path: Path) -> None:
    """A Unix socket whose queue is full is tried again until there is room, or the patience ends."""
    path = tmp_path / "socket"

    async def body() -> None:
        engine = ClamdEngine("clamd", [f"unix:{path}"], connect_seconds=0.1)
        with pytest.raises(EngineError, match=r"no connection within 0\.1 s"):
            await judge(engine)
        await engine.close()

        patient = ClamdEngine("clamd", [f"unix:{path}"])
        scan = asyncio.get_running_loop().create_task(judge(patient))
        await asyncio.sleep(0.05)
        assert not scan.done()
        for _ in waiting:
            listener.accept()[0].close()
        served, _ = await asyncio.to_thread(listener.accept)
        with served:
            served.settimeout(5)
            assert await asyncio.to_thread(served.recv, 100) == b"zIDSESSION\0zFILDES\0\0"
            served.sendall(CLEAN)
            assert await scan == Clean()
            await patient.close()

    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen(0)
        listener.settimeout(5)
        waiting = []
        while True:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            try:
                client.connect(str(path))
            except BlockingIOError:
                break
            waiting.append(client)
        run(body())


def test_nobody_listens(run: LoopRunner, tmp_path: Path) -> None:
    """The error says what is wrong and where to look."""
    (tmp_path / "dead").touch()
    hints = {
        f"unix:{tmp_path}/absent": "No such file or directory: is clamd running, and is this its LocalSocket",
        f"unix:{tmp_path}/dead": "Connection refused: is clamd running",
        "tcp:127.0.0.1:1": "is clamd running",
        "tcp:[::1]:1": r"tcp:\[::1\]:1",
        "tcp:no-such-host.invalid:3310": "no-such-host.invalid",
    }
    for address, hint in hints.items():
        with pytest.raises(EngineError, match=hint):
            run(ask(ClamdEngine("clamd", [address])))


def test_ipv6(run: LoopRunner) -> None:
    """A literal IPv6 address is connected to."""
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")

    async def body() -> None:
        engine = ClamdEngine("clamd", [f"tcp:[::1]:{listener.getsockname()[1]}"])
        scan = asyncio.get_running_loop().create_task(judge(engine))
        served, _ = await asyncio.to_thread(listener.accept)
        with served:
            assert await asyncio.to_thread(served.recv, 100)
            served.sendall(CLEAN_STREAM)
            assert await scan == Clean()
            await engine.close()

    with listener:
        listener.settimeout(5)
        run(body())


def test_no_descriptor_left(run: LoopRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system refuses is an error of the engine, not a finding and not a crash."""

    def refuse(_: Blob) -> int:
        raise OSError(24, "Too many open files")

    with FakeClamd(well_behaved) as fake:
        monkeypatch.setattr(Blob, "open_descriptor", refuse)
        with pytest.raises(EngineError, match="Too many open files"):
            run(ask(ClamdEngine("clamd", [fake.address])))


def test_admission_is_bounded(run: LoopRunner) -> None:
    """No more scans at a time than `concurrency`, in the order in which they came."""

    async def body(fake: FakeClamd) -> None:
        engine = ClamdEngine("clamd", [fake.address], concurrency=3)
        async with asyncio.TaskGroup() as group:
            for _ in range(30):
                group.create_task(judge(engine))
        await engine.close()
        assert fake.connections <= 3

    with FakeClamd(well_behaved) as fake:
        run(body(fake))


def test_a_session_closes_once(run: LoopRunner) -> None:
    """Closed twice, a session closes nothing of somebody else's; nothing to read is no end."""

    async def body() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            session = ClamdSession(ours, UnixAddress("/socket"))
            session._readable()
            assert session.reusable
            number = ours.fileno()
            session.close()
            other, end = socket.socketpair()
            with other, end:
                assert other.fileno() == number
                heard = asyncio.Event()
                asyncio.get_running_loop().add_reader(number, heard.set)
                session.close()
                end.send(b"x")
                await asyncio.wait_for(heard.wait(), 5)
                asyncio.get_running_loop().remove_reader(number)
            assert theirs.recv(100) == b"zEND\0"

    run(body())


@pytest.mark.peer("clamd")
def test_the_fake_is_like_the_real_one(run: LoopRunner, clamd: Clamd) -> None:
    """The well-behaved fake answers as clamd does, over both transports and in a reused session."""

    async def answers(address: str) -> list[object]:
        engine = ClamdEngine("clamd", [address])
        try:
            findings = [await judge(engine, data) for data in (b"x", b"", b"y" * 100_000)]
            return [*findings, (await engine.version()).split(" ")[0]]
        finally:
            await engine.close()

    with FakeClamd(well_behaved) as fake, FakeClamd(well_behaved, tcp=True) as fake_tcp:
        for fake_address, address in (
            (fake.address, clamd.unix_address),
            (fake_tcp.address, clamd.tcp_address),
        ):
            assert run(answers(fake_address)) == run(answers(address))
        assert fake.connections == fake_tcp.connections == 1


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/clamav/clamd.ctl", UnixAddress("/run/clamav/clamd.ctl")),
        ("unix:/a b:c", UnixAddress("/a b:c")),
        ("tcp:clamav:3310", TcpAddress("clamav", 3310)),
        ("tcp:clamav.example.org.:1", TcpAddress("clamav.example.org.", 1)),
        ("tcp:127.0.0.1:65535", TcpAddress("127.0.0.1", 65535)),
        ("tcp:[::1]:3310", TcpAddress("::1", 3310)),
        ("tcp:[fe80::1%eth0]:3310", TcpAddress("fe80::1%eth0", 3310)),
    ],
)
def test_addresses(text: str, address: object) -> None:
    """An address is read, and shown as it was written."""
    assert parse_address(text) == address
    assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/run/clamd.ctl",
        "unix:",
        "unix:clamd.ctl",
        "unix:/" + "x" * 107,
        "unix:/a\0b",
        "unix://run/clamd.ctl\0",
        "tcp:",
        "tcp:clamav",
        "tcp:clamav:",
        "tcp::3310",
        "tcp:clamav:0",
        "tcp:clamav:65536",
        "tcp:clamav:3310/",
        "tcp:clamav:3310\n",
        "tcp:::1:3310",
        "tcp:[::1]",
        "tcp:[clamav]:3310",
        "tcp:user@clamav:3310",
        "tcp:" + "x" * 64 + ":3310",
        "tcp:a..b:3310",
        "tcp:\u0661:3310",
        "tcp:clamav:\u0661",
        "TCP:clamav:3310",
        "http://clamav:3310",
    ],
)
def test_no_addresses(text: str) -> None:
    """What is no address stops the start, with the right forms in the message."""
    with pytest.raises(ConfigError, match=r"unix:|Unix"):
        ClamdEngine("clamd", [text])


def test_no_address_at_all() -> None:
    """An engine that has nobody to ask does not start."""
    with pytest.raises(ConfigError, match="at least one address"):
        ClamdEngine("clamd", [])
