"""Child processes of tests and the demo: start, wait until ready, stop, show the log.

Every real component of `peers/` is such a child. It gets its own session, so that Ctrl-C reaches
only us and we stop it in order; where the system can, it also dies with us when we are killed.
Ports are picked anew each time: several clones may test on one machine.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"

_LOG_TAIL = 4000  # characters of a log that an error shows
_POLL = 0.02  # seconds between two looks at a child that gets ready


class PeerError(Exception):
    """A component did not start, died, or refused what it was asked; the text holds its log's end."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 on which a server can listen within the next minute.

    One connection is made and closed on our side of the port. That leaves it in TIME_WAIT: the
    kernel gives it to nobody who asks for any port, and to a server that names it (SO_REUSEADDR).
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, 0))
        listener.listen(1)
        address: tuple[str, int] = listener.getsockname()
        with socket.create_connection(address), listener.accept()[0] as ours:
            ours.shutdown(socket.SHUT_RDWR)  # who closes first waits: it must be our end
        return address[1]


class ChildProcess:
    """One running child; its stdout and stderr go to `log`. Stopped by `stop`, or on leaving `with`.

    Start it from a thread that lives on (the main one): the child is told to end with that thread.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        name: str | None = None,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name or Path(command[0]).name
        self.log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                [*_dying_with_us(), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=None if environment is None else {**os.environ, **environment},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process ID, which is also its process group."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet. An ended child is kept (as a zombie) until `stop`."""
        return self._status() is None

    def _status(self) -> int | None:
        """Return its exit code or signal, None while it runs; leaves its process ID taken.

        Were it freed here, `stop` might hit a stranger's process group of the same number.
        """
        if self._child.returncode is not None:
            return self._child.returncode
        result = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return None if result is None else result.si_status

    def wait_until(self, ready: Callable[[], bool], *, timeout: float = 30) -> None:
        """Poll until `ready` says true; PeerError with the log when it dies or takes too long (seconds).

        An OSError out of `ready` (nobody listens yet) counts as "not yet".
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if (status := self._status()) is not None:
                raise PeerError(f"{self.name} ended ({status}):\n{self.log_tail()}")
            with contextlib.suppress(OSError):
                if ready():
                    return
            time.sleep(_POLL)
        raise PeerError(f"{self.name} was not ready after {timeout} s:\n{self.log_tail()}")

    def wait(self, *, timeout: float = 60) -> int:
        """Wait until it ends by itself; return its exit code or signal. PeerError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while (status := self._status()) is None:
            if time.monotonic() > deadline:
                raise PeerError(f"{self.name} did not end within {timeout} s:\n{self.log_tail()}")
            time.sleep(_POLL)
        return status

    def log_tail(self) -> str:
        """Return the last lines of its log."""
        try:
            return self.log.read_text(errors="replace")[-_LOG_TAIL:]
        except OSError as error:
            return f"(no log: {error})"

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; SIGSTOP makes it hang, SIGKILL makes it vanish in the middle of its work."""
        if self._child.returncode is None:
            os.kill(self.pid, number)

    def stop(self, *, timeout: float = 5) -> None:
        """End it and all that it started; in order if that takes less than `timeout` seconds.

        Safe to call twice.
        """
        if self._child.returncode is not None:
            return
        self.send_signal(signal.SIGTERM)
        self.send_signal(signal.SIGCONT)  # a stopped process can't react to SIGTERM
        deadline = time.monotonic() + timeout
        while self.running and time.monotonic() < deadline:
            time.sleep(_POLL)
        os.killpg(self.pid, signal.SIGKILL)
        self._child.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _dying_with_us() -> list[str]:
    """Return the command prefix that makes the kernel end the child when we are killed (Linux)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
