"""Children start, are waited for, and go, whatever they do."""

import shutil
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from peers.processes import HOST, ChildProcess, PeerError, free_port

ROOT = Path(__file__).parents[2]


def alive(pid: int) -> bool:
    """Whether the process runs: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends(pid: int) -> bool:
    """Wait for a process that was told to end, and say whether it did."""
    for _ in range(500):
        if not alive(pid):
            return True
        time.sleep(0.01)
    return False


def test_free_ports_differ_and_can_be_listened_on() -> None:
    """No port is given out twice, and a server that names one gets it."""
    ports = [free_port() for _ in range(20)]
    assert len(set(ports)) == 20
    for port in ports:
        socket.create_server((HOST, port)).close()


def test_output_and_environment(tmp_path: Path) -> None:
    """Both streams go to the log; folder and additional environment are as given."""
    command = ["sh", "-c", "pwd; echo $WORD >&2; sleep 60"]
    with ChildProcess(command, log=tmp_path / "log", folder=tmp_path, environment={"WORD": "hello"}) as child:
        child.wait_until(lambda: child.log_tail() == f"{tmp_path}\nhello\n")


def test_an_early_end_is_told_with_the_log(tmp_path: Path) -> None:
    """A child that ends before it is ready is an error that holds its status and its last words."""
    command = ["sh", "-c", "echo no such database; exit 3"]
    with (
        ChildProcess(command, name="server", log=tmp_path / "log") as child,
        pytest.raises(PeerError, match=r"server ended \(3\):\nno such database"),
    ):
        child.wait_until(lambda: False)


def test_never_ready_is_an_error(tmp_path: Path) -> None:
    """A child that refuses connections for ever is given up on."""

    def refuse() -> bool:
        raise ConnectionRefusedError

    with (
        ChildProcess(["sleep", "60"], log=tmp_path / "log") as child,
        pytest.raises(PeerError, match=r"not ready after 0\.1 s"),
    ):
        child.wait_until(refuse, timeout=0.1)


def test_stop_ends_stubborn_children_and_theirs(tmp_path: Path) -> None:
    """A child that ignores SIGTERM goes, and so does what it started; a second stop does nothing."""
    script = "trap '' TERM; sleep 60 & echo $!; wait"
    child = ChildProcess(["sh", "-c", script], log=tmp_path / "log")
    try:
        child.wait_until(lambda: child.log_tail().endswith("\n"))
        grandchild = int(child.log_tail())
        assert alive(grandchild)
    finally:
        child.stop(timeout=0.1)
    child.stop()
    assert not child.running
    assert not alive(child.pid)
    assert ends(grandchild)


def test_stop_wakes_a_stopped_child(tmp_path: Path) -> None:
    """A child that hangs in SIGSTOP still gets to end in order."""
    script = "trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.02; done"
    with ChildProcess(["sh", "-c", script], log=tmp_path / "log") as child:
        child.wait_until(lambda: child.log_tail() == "ready\n")
        child.send_signal(signal.SIGSTOP)
    assert child.log_tail() == "ready\nbye\n"


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="this system has no setpriv (util-linux)")
def test_children_die_with_us(tmp_path: Path) -> None:
    """When the one who started a child is killed, the kernel ends the child too."""
    script = """if True:
        import os, pathlib, signal, sys
        from peers.processes import ChildProcess
        child = ChildProcess(["sleep", "60"], log=pathlib.Path(sys.argv[1]))
        print(child.pid, flush=True)
        signal.pause()
    """
    command = [sys.executable, "-c", script, str(tmp_path / "sleep.log")]
    with ChildProcess(command, log=tmp_path / "log", folder=ROOT) as parent:
        parent.wait_until(lambda: parent.log_tail().endswith("\n"))
        grandchild = int(parent.log_tail())
        assert alive(grandchild)
        parent.send_signal(signal.SIGKILL)
        assert ends(grandchild)
