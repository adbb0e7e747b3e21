"""The control server: who is answered, who is cut off, and what no peer can do to it."""

import asyncio
import json
import os
import select
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
import uvloop

from ostiary.blocking import run_blocking
from ostiary.control import client, server
from ostiary.control.client import NoServerError, ask
from ostiary.control.protocol import MAX_REQUEST, Actions, ControlError, Result, action, format_request
from ostiary.errors import ConfigError, MalformedRequestError
from tests.control.desks import (
    ECHO,
    NOBODY,
    Said,
    Text,
    answered,
    as_nobody,
    dead_socket,
    echoed,
    listening,
    open_folder,
)
from tests.descriptors import open_descriptors
from tests.flow.fakes import cancelled_at_every_turn, until

only_root: Final = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
LONG: Final = 4_000_000
HELLO: Final = format_request("echo", Text(text="hello"))

CONNECT: Final = """
with socket.socket(socket.AF_UNIX) as peer:
    try:
        peer.connect(sys.argv[1])
        peer.sendall(sys.stdin.buffer.read())
        peer.shutdown(socket.SHUT_WR)
        print(peer.recv(100))
    except OSError as error:
        print(type(error).__name__)
"""

LISTEN: Final = """
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(sys.argv[1])
    os.chmod(sys.argv[1], 0o777)
    listener.listen()
    print("listening", flush=True)
    with listener.accept()[0] as peer:
        print(peer.recv(100))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the socket goes."""
    return tmp_path / "control.sock"


async def test_a_command_is_answered(path: Path) -> None:
    """One after the other, and several at once."""
    async with listening(path) as listens:
        assert listens
        assert await echoed(path) == "hello"
        words = [f"\u00fc{number}" for number in range(server.MOST)]
        assert await asyncio.gather(*(echoed(path, word) for word in words)) == words


def test_it_works_on_uvloop(tmp_path: Path) -> None:
    """As `ostiary serve` runs it; nothing of it stays open or on disk."""

    async def both() -> str:
        path = tmp_path / "control.sock"
        async with listening(path, {**ECHO, "long": action(Text, _long)}):
            said = await run_blocking(ask, path, "long", Text(text=""), Said)
            assert len(said.text) == LONG
            return await echoed(path)

    uvloop.run(asyncio.sleep(0))  # opens what uvloop itself keeps
    before = open_descriptors()
    assert uvloop.run(both()) == "hello"
    assert list(tmp_path.iterdir()) == []
    assert open_descriptors() == before


async def _long(_: Text) -> Said:
    return Said(text="x" * LONG)


async def test_a_long_answer_comes_whole(path: Path) -> None:
    """Far more than a socket holds at a time."""
    async with listening(path, {"long": action(Text, _long)}):
        said = await run_blocking(ask, path, "long", Text(text=""), Said)
        assert len(said.text) == LONG


async def test_cancelled_anywhere(path: Path) -> None:
    """Whenever its owner is cancelled, at the start or at the end, neither a file nor a descriptor stays."""
    before = open_descriptors()

    async def run() -> None:
        async with listening(path):
            await asyncio.sleep(0)

    async def check() -> None:
        assert list(path.parent.iterdir()) == []
        await until(lambda: open_descriptors() == before)

    assert await cancelled_at_every_turn(run, check) > 2


async def test_its_end(path: Path) -> None:
    """Socket and lock file go; who is connected still is cut off; a command then finds no server."""
    before = open_descriptors()
    async with listening(path):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"{")
        await writer.drain()
        await echoed(path)
    with suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    assert list(path.parent.iterdir()) == []
    with pytest.raises(NoServerError, match="no server runs"):
        await echoed(path)
    await until(lambda: open_descriptors() == before)


async def test_two_servers_on_one_path(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the path was chosen the second does not start; where it was not, it goes without."""
    async with listening(path):
        with pytest.raises(ConfigError, match="a server that runs"):
            async with listening(path):
                pass
        async with listening(path, {}, required=False) as listens:
            assert not listens
        assert "no control socket" in capsys.readouterr().out
        assert await echoed(path) == "hello"


async def test_after_a_dead_server(path: Path) -> None:
    """What it left is replaced; commands found no server meanwhile."""
    dead_socket(path)
    with pytest.raises(NoServerError):
        await echoed(path)
    async with listening(path):
        assert await echoed(path) == "hello"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not valid JSON"),
        (b"\xff\x00" * 1000, "not UTF-8"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not valid JSON"),
        (HELLO * 2, "not valid JSON"),
        (HELLO[:-1], "not valid JSON"),
        (b"[" * MAX_REQUEST, "more than 10000 values"),
        (b'{"ostiary": 1, "command": "nothing", "arguments": {}}', "it knows echo"),
        (b'{"ostiary": 1, "command": "echo", "arguments": {"text": 1}}', "make no sense"),
        (b'{"ostiary": 3, "command": "echo", "arguments": {"text": ""}}', "different releases"),
    ],
)
async def test_garbage_is_answered_with_an_error(path: Path, data: bytes, said: str) -> None:
    """Whatever comes: an error in our own words, and the next command is answered."""
    async with listening(path):
        answer = json.loads(await answered(path, data))
        assert answer["ostiary"] == 1
        assert said in answer["error"]
        assert await echoed(path) == "hello"


async def test_a_huge_request_is_not_read(path: Path) -> None:
    """After its bound nothing is read any more: the rest never goes over."""
    async with listening(path):
        reader, writer = await asyncio.open_unix_connection(str(path))
        with suppress(ConnectionResetError, BrokenPipeError):
            while not writer.is_closing():
                writer.write(b" " * (1 << 20))
                await writer.drain()
        writer.close()
        with suppress(ConnectionResetError, BrokenPipeError):
            assert b"at most" in await reader.read()
        assert await echoed(path) == "hello"


async def test_a_slow_peer_is_cut_off(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that does not end in time gets an error."""
    monkeypatch.setattr(server, "READING", 0.05)
    async with listening(path):
        assert b"did not end" in await answered(path, HELLO, end=False)


async def test_who_takes_no_answer_is_cut_off(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection ends, and its place is free."""
    monkeypatch.setattr(server, "WRITING", 0.05)
    before = open_descriptors()
    async with listening(path, {"echo": action(Text, _long)}):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
            peer.sendall(HELLO)
            peer.shutdown(socket.SHUT_WR)
            watch = select.poll()
            watch.register(peer, select.POLLHUP)
            await until(lambda: watch.poll(0))  # both ends are shut, whatever waits to be read
        assert await answered(path, b"")
    await until(lambda: open_descriptors() == before)


async def test_few_at_a_time(path: Path) -> None:
    """More than a few connections are cut at once, and those that are in stay so."""
    async with listening(path):
        held = [await asyncio.open_unix_connection(str(path)) for _ in range(server.MOST)]
        with pytest.raises(ControlError, match="hung up"):
            await echoed(path)
        for reader, writer in held:
            writer.write(HELLO)
            writer.write_eof()
            assert b"hello" in await reader.read()
            writer.close()
        assert await echoed(path) == "hello"


async def test_a_bug_is_no_answer(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What an action lets escape: the log has it, the peer hears that it failed, and the server lives on."""

    async def broken(_: Text) -> Result:
        raise RuntimeError("inside")

    async def slow(_: Text) -> Result:
        raise TimeoutError

    async def refusing(_: Text) -> Result:
        raise MalformedRequestError("not this")

    actions: Actions = {
        "echo": ECHO["echo"],
        **{work.__name__: action(Text, work) for work in (broken, slow, refusing)},
    }
    async with listening(path, actions):
        for name, said in (("broken", "log says how"), ("slow", "took too long"), ("refusing", "^not this$")):
            with pytest.raises(ControlError, match=said) as caught:
                await run_blocking(ask, path, name, Text(text=""), Said)
            assert "inside" not in str(caught.value)
        assert "bug in a command" in capsys.readouterr().out
        assert await echoed(path) == "hello"


async def test_an_action_has_a_deadline(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs is cancelled, and that is said."""
    cancelled = asyncio.Event()

    async def hang(_: Text) -> Result:
        try:
            await asyncio.get_running_loop().create_future()
            return Said(text="")
        finally:
            cancelled.set()

    monkeypatch.setattr(server, "ACTING", 0.05)
    async with listening(path, {"echo": action(Text, hang)}):
        with pytest.raises(ControlError, match="took too long"):
            await echoed(path)
        assert cancelled.is_set()


@only_root
async def test_the_socket_is_closed_to_other_users() -> None:
    """The kernel turns them away, by the socket's mode."""
    with open_folder() as folder:
        async with listening(folder / "control.sock"):
            child = await as_nobody(CONNECT, folder / "control.sock")
            assert (await child.communicate(HELLO))[0] == b"PermissionError\n"


@only_root
async def test_other_users_are_turned_away(capsys: pytest.CaptureFixture[str]) -> None:
    """Should the mode be changed, the kernel's word on who it is still counts: no answer, and a log line."""
    with open_folder() as folder:
        path = folder / "control.sock"
        async with listening(path):
            path.chmod(0o666)
            child = await as_nobody(CONNECT, path)
            said = (await child.communicate(HELLO))[0]
            assert said in {b"b''\n", b"ConnectionResetError\n", b"BrokenPipeError\n"}
            assert await echoed(path) == "hello"
    assert f"user={NOBODY}" in capsys.readouterr().out.replace("\x1b[0m", "").replace("\x1b[35m", "")


async def test_a_stranger_is_told_by_the_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root and the server's own user are let in, any other is not."""
    for user, welcome in ((0, True), (os.geteuid(), True), (NOBODY, False)):
        monkeypatch.setattr(server, "peer_user", lambda _, user=user: user)
        async with listening(path):
            assert bool(await answered(path, HELLO)) == welcome


@only_root
async def test_a_command_tells_strangers_nothing() -> None:
    """What listens at the path as some other user gets not a byte; the error says who it is."""
    with open_folder() as folder:
        path = folder / "control.sock"
        child = await as_nobody(LISTEN, path)
        assert child.stdout is not None
        assert await child.stdout.readline() == b"listening\n"
        with pytest.raises(ControlError, match=f"user {NOBODY} listens there"):
            await echoed(path)
        assert (await child.communicate())[0] == b"b''\n"


async def test_why_a_server_cannot_be_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody there is one thing, and all the rest another: only the former means that nothing is known."""
    (path.parent / "file").touch()
    for where, why in (
        (path.parent / "file" / "s", "Not a directory"),
        (path.parent / ("x" * 200), "too long"),
    ):
        with pytest.raises(ControlError, match=why) as caught:
            await echoed(where)
        assert not isinstance(caught.value, NoServerError)
    with pytest.raises(NoServerError):
        await echoed(path.parent / "missing" / "s")
    monkeypatch.setattr(client, "_exchanged", _refused)
    with pytest.raises(ControlError, match="server's user and root"):
        await echoed(path)


def _refused(*_: object) -> bytes:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "hung up"),
        (b'{"ostiary": 1, "res', "cut short"),
        (b"220 mail\r\n", "no Ostiary"),
        (b"{}", "no Ostiary"),
    ],
)
async def test_what_answers_otherwise(path: Path, answer: bytes, why: str) -> None:
    """No answer, half of one, another protocol: a clear error, never a result."""

    async def said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.write(answer)
        writer.close()

    other = await asyncio.start_unix_server(said, str(path))
    try:
        with pytest.raises(ControlError, match=why):
            await echoed(path)
    finally:
        other.close()


async def test_an_endless_answer_is_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command holds no more than an answer may have."""
    monkeypatch.setattr(client, "MAX_ANSWER", 1 << 20)

    async def said(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError, BrokenPipeError):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        writer.close()

    other = await asyncio.start_unix_server(said, str(path))
    try:
        with pytest.raises(ControlError, match="does not end"):
            await echoed(path)
    finally:
        other.close()
