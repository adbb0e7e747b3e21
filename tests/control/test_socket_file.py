"""The control socket's place in the file system: taken whole, by one, and left as it was found."""

import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostiary.control.socket_file import MAX_PATH, SocketFile
from ostiary.errors import ConfigError
from tests.control.desks import dead_socket


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the socket goes."""
    return tmp_path / "control.sock"


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Take no right away from new files."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_it_listens_and_goes(path: Path) -> None:
    """While claimed somebody listens; afterwards the folder is as empty as before."""
    place = SocketFile.claim(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.connect(str(path))
    place.release()
    place.release()
    assert list(path.parent.iterdir()) == []


@pytest.mark.usefixtures("no_umask")
def test_its_mode_from_the_first_moment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mode 0600 under umask 0: already under its first name, before it listens, and its lock likewise."""
    modes: list[int] = []
    listen = socket.socket.listen

    def spy(self: socket.socket, backlog: int) -> None:
        modes.extend(stat.S_IMODE(found.lstat().st_mode) for found in path.parent.iterdir())
        listen(self, backlog)

    monkeypatch.setattr(socket.socket, "listen", spy)
    place = SocketFile.claim(path)
    assert modes == [0o600, 0o600]
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    place.release()


def test_a_dead_servers_socket_is_replaced(path: Path) -> None:
    """What nobody listens behind is no obstacle."""
    dead_socket(path)
    place = SocketFile.claim(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.connect(str(path))
    place.release()
    assert not path.exists()


def test_a_killed_servers_traces_are_no_obstacle(path: Path) -> None:
    """After SIGKILL socket and lock file are there still; the next server takes both over."""
    program = (
        "import pathlib, signal, sys\nfrom ostiary.control.socket_file import SocketFile\n"
        "place = SocketFile.claim(pathlib.Path(sys.argv[1]))\nprint('listening', flush=True)\nsignal.pause()"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "listening\n"
        with pytest.raises(ConfigError, match="a server that runs"):
            SocketFile.claim(path)
        child.send_signal(signal.SIGKILL)
    assert len(list(path.parent.iterdir())) == 2
    SocketFile.claim(path).release()
    assert list(path.parent.iterdir()) == []


def test_a_living_servers_socket_stays(path: Path) -> None:
    """The second server is refused, and the first is still there."""
    first = SocketFile.claim(path)
    before = path.lstat().st_ino
    with pytest.raises(ConfigError, match=r"a server that runs: stop that one, or set control\.socket"):
        SocketFile.claim(path)
    assert path.lstat().st_ino == before
    assert len(list(path.parent.iterdir())) == 2
    first.release()
    SocketFile.claim(path).release()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_another_programs_socket_stays(path: Path, kind: socket.SocketKind) -> None:
    """Whoever answers there, in whatever way: a path such as clamd's is not taken from it."""
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(str(path))
        if kind is not socket.SOCK_DGRAM:
            other.listen()
        with pytest.raises(ConfigError, match="a server that runs"):
            SocketFile.claim(path)
        assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_full_server_is_a_living_one(path: Path) -> None:
    """One that takes no more connections for now is not mistaken for a dead one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(path))
        other.listen(0)
        peers = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(3)]
        for peer in peers:
            peer.setblocking(False)
            try:
                peer.connect(str(path))
            except BlockingIOError:
                break
        else:
            raise AssertionError("it never was full")
        with pytest.raises(ConfigError, match="a server that runs"):
            SocketFile.claim(path)
        for peer in peers:
            peer.close()


def test_what_is_no_socket_stays(path: Path, tmp_path: Path) -> None:
    """A file, a folder, a pipe, a link to a dead socket: each is left alone, and the text says so."""
    target = tmp_path / "elsewhere"
    dead_socket(target)
    makes: list[Callable[[], object]] = [
        path.touch, path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to(target),
    ]  # fmt: skip
    for make in makes:
        make()
        with pytest.raises(ConfigError, match="is no socket: remove it"):
            SocketFile.claim(path)
        assert {found.name for found in tmp_path.iterdir()} == {"control.sock", "elsewhere"}
        (path.rmdir if path.is_dir() else path.unlink)()


def test_only_ours_is_removed(path: Path) -> None:
    """What came into its place meanwhile stays."""
    place = SocketFile.claim(path)
    path.unlink()
    dead_socket(path)
    place.release()
    assert [found.name for found in path.parent.iterdir()] == ["control.sock"]


def test_a_lock_that_is_removed_while_held(path: Path) -> None:
    """Whoever cleans the folder up does not let two servers own one lock file at the end."""
    first = SocketFile.claim(path)
    lock = path.with_name("control.sock.lock")
    lock.unlink()
    with pytest.raises(ConfigError, match="a server that runs"):
        SocketFile.claim(path)  # it answers still
    path.unlink()
    second = SocketFile.claim(path)
    first.release()
    assert lock.exists()
    assert path.exists()
    second.release()
    assert list(path.parent.iterdir()) == []


def test_a_lock_that_goes_while_it_is_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our opening it and our locking it its holder ends: the lock that counts is a new file."""
    lock, flock = path.with_name("control.sock.lock"), fcntl.flock
    taken: list[int] = []

    def late(descriptor: int, operation: int) -> None:
        if not taken:
            lock.unlink()
        taken.append(descriptor)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    place = SocketFile.claim(path)
    assert len(taken) == 2
    assert lock.exists()
    place.release()
    assert list(path.parent.iterdir()) == []


def test_of_many_one_wins(path: Path) -> None:
    """Servers that start at once over a dead one's socket: exactly one gets the path, each time."""
    for _ in range(20):
        dead_socket(path)
        start = threading.Barrier(4)
        won: list[SocketFile] = []
        lost: list[ConfigError] = []

        def contend(
            start: threading.Barrier = start,
            won: list[SocketFile] = won,
            lost: list[ConfigError] = lost,
        ) -> None:
            start.wait()
            try:
                won.append(SocketFile.claim(path))
            except ConfigError as error:
                lost.append(error)

        threads = [threading.Thread(target=contend) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(lost)) == (1, 3)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect(str(path))
        won[0].release()
        assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("length", [MAX_PATH, MAX_PATH + 1])
def test_the_longest_path(tmp_path: Path, length: int) -> None:
    """107 bytes are taken; one more is an error that says so, and makes nothing."""
    path = tmp_path / ("\u00fc" * 2 + "x" * (length - len(str(tmp_path)) - 5))
    assert len(os.fsencode(path)) == length
    if length <= MAX_PATH:
        SocketFile.claim(path).release()
    else:
        with pytest.raises(ConfigError, match="at most 107 bytes"):
            SocketFile.claim(path)
    assert list(tmp_path.iterdir()) == []


def test_a_short_name_at_the_longest_folder(tmp_path: Path) -> None:
    """The name that it is made under counts, too."""
    folder = tmp_path / ("x" * (MAX_PATH - len(str(tmp_path)) - 4))
    folder.mkdir()
    with pytest.raises(ConfigError, match="too long"):
        SocketFile.claim(folder / "s")


def test_where_nothing_can_be_made(tmp_path: Path) -> None:
    """The error names the path, the reason, and the way out."""
    with pytest.raises(ConfigError, match=r"missing/s: No such file.*: make its folder"):
        SocketFile.claim(tmp_path / "missing" / "s")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"Not a directory: mend that"):
        SocketFile.claim(tmp_path / "file" / "s")
    with pytest.raises(ConfigError, match="a folder"):
        SocketFile.claim(Path("/"))


@pytest.mark.parametrize("broken", ["fchmod", "bind", "lstat", "listen", "rename"])
def test_a_failure_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """Whatever step fails: no file stays, no lock is held."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if broken == "fchmod":
        monkeypatch.setattr(os, "fchmod", fail)
    elif broken in {"bind", "listen"}:
        monkeypatch.setattr(socket.socket, broken, fail)
    elif broken == "rename":
        monkeypatch.setattr(Path, "rename", fail)
    else:
        monkeypatch.setattr(Path, "lstat", fail)
    with pytest.raises(ConfigError, match="No space left"):
        SocketFile.claim(path)
    monkeypatch.undo()
    assert [found.name for found in path.parent.iterdir() if not found.name.endswith(".lock")] == []
    SocketFile.claim(path).release()
    assert list(path.parent.iterdir()) == []
