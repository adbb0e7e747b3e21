"""Where a clamd listens: the two forms of an address, and sockets where nobody answers."""

import asyncio
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from ostiary.engines.clamd.address import TcpAddress, UnixAddress, parse_address
from ostiary.engines.clamd.engine import ClamdEngine
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Clean
from tests.engines.asking import judge, judge_at
from tests.engines.conftest import LoopRunner


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
            run(judge_at(address))


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
            assert await asyncio.to_thread(served.recv, 100) == b"zIDSESSION\0zVERSION\0"
            served.sendall(b"1: ClamAV 1.4.6\0")
            assert await asyncio.to_thread(served.recv, 100) == b"zFILDES\0\0"
            served.sendall(b"2: fd[9]: OK\0")
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
            served.sendall(b"1: ClamAV 1.4.6\0")
            assert await asyncio.to_thread(served.recv, 100)
            served.sendall(b"2: stream: OK\0")
            assert await scan == Clean()
            await engine.close()

    with listener:
        listener.settimeout(5)
        run(body())
