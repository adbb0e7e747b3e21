"""A clamd for the faults that the real one does not show on demand: it answers by a script.

Each connection gets the next of the given behaviours, the last one again and again. A behaviour
is a function of the connection; the connection is closed when it returns. `test_clamd_faults.py`
checks with the same question that the well-behaved one is what the real clamd is.
"""

import array
import contextlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

PATIENCE: Final = 10.0
"""Seconds that a behaviour waits for the client, so that no test hangs."""


class Connection:
    """The server's end of one connection, with what a behaviour needs."""

    def __init__(self, connection: socket.socket, stopping: threading.Event) -> None:
        connection.settimeout(PATIENCE)
        self._connection = connection
        self._stopping = stopping
        self._buffer = b""
        self._versions = 0  # answered here, so that scripts speak of scans alone
        self.tells_version = True

    def command(self) -> bytes:
        """Return the next command up to its NUL, b"" at the client's end; descriptors are dropped."""
        while b"\0" not in self._buffer:
            more = self._receive(1 << 16)
            if not more:
                return b""
            self._buffer += more
        command, _, self._buffer = self._buffer.partition(b"\0")
        if command == b"zVERSION" and self.tells_version:
            self._versions += 1
            self._connection.sendall(b"%d: ClamAV 1.4.6\0" % self._versions)
            return self.command()
        return command

    def scan_command(self) -> bytes:
        """Return the next command after zIDSESSION, with a stream's bytes read to their end."""
        command = self.command()
        if command == b"zIDSESSION":
            command = self.command()
        if command == b"zFILDES":
            self.exactly(1)
        if command == b"zINSTREAM":
            while size := int.from_bytes(self.exactly(4), "big"):
                self.exactly(size)
        return command

    def exactly(self, size: int) -> bytes:
        """Return the next bytes, so many of them."""
        while len(self._buffer) < size:
            more = self._receive(1 << 20)
            if not more:
                raise ConnectionError("the client went away")
            self._buffer += more
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def send(self, data: bytes) -> None:
        """Send all of it; a number in front counts the answers that the script knows of."""
        number, colon, rest = data.partition(b": ")
        if colon and number.isdigit():
            data = b"%d: %s" % (int(number) + self._versions, rest)
        self._connection.sendall(data)

    def reset(self) -> None:
        """Close the connection such that TCP says RST."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def silence(self) -> None:
        """Say nothing until the client goes away or the server stops."""
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                self._connection.settimeout(0.02)
                if not self._receive(1 << 20):
                    return

    def pause(self) -> None:
        """Take a moment, some hundredths of a second."""
        self._stopping.wait(0.03)

    def stall(self) -> None:
        """Read nothing more, until the server stops."""
        self._stopping.wait(PATIENCE)

    def _receive(self, size: int) -> bytes:
        data, ancillary, _, _ = self._connection.recvmsg(size, socket.CMSG_SPACE(4 * 8))
        for _, kind, content in ancillary:
            if kind == socket.SCM_RIGHTS:
                for descriptor in array.array("i", content):
                    os.close(descriptor)
        return data


Behaviour = Callable[[Connection], None]


def replying(*replies: bytes, tells_version: bool = True) -> Behaviour:
    """Return the behaviour that answers the n-th command with the n-th of the replies, then ends.

    VERSION is answered as it should be, without `tells_version` by the script like all commands.
    """

    def behave(connection: Connection) -> None:
        connection.tells_version = tells_version
        for reply in replies:
            if not connection.scan_command():
                return
            connection.send(reply)

    return behave


def well_behaved(connection: Connection) -> None:
    """Call every file clean, as clamd does."""
    number = 0
    connection.tells_version = False
    while command := connection.scan_command():
        number += 1
        subject = b"fd[9]" if command == b"zFILDES" else b"stream"
        connection.send(
            b"%d: ClamAV 1.4.6\0" % number if command == b"zVERSION" else b"%d: %s: OK\0" % (number, subject)
        )


def reset(connection: Connection) -> None:
    """Take the command and break the connection."""
    connection.scan_command()
    connection.reset()


def hang_up(connection: Connection) -> None:
    """Close at once."""


class FakeClamd:
    """Listens on a Unix socket or, with `tcp`, on a port of 127.0.0.1; counts connections."""

    def __init__(self, *behaviours: Behaviour, tcp: bool = False) -> None:
        self._behaviours: Sequence[Behaviour] = behaviours
        self._folder = Path(tempfile.mkdtemp(prefix="fake-clamd-"))
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.connections = 0
        path = self._folder / "socket"
        if tcp:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.address = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"
        else:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(str(path))
            self._listener.listen(64)
            self.address = f"unix:{path}"
        self._listener.settimeout(0.02)

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            behaviour = self._behaviours[min(self.connections, len(self._behaviours) - 1)]
            self.connections += 1
            self._run(self._serve, connection, behaviour)

    def _serve(self, connection: socket.socket, behaviour: Behaviour) -> None:
        with connection, contextlib.suppress(OSError):
            behaviour(Connection(connection, self._stopping))

    def _run(self, function: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=function, args=args)
        self._threads.append(thread)
        thread.start()

    def wait_for_connections(self, count: int) -> None:
        """Block until so many connections came; AssertionError after some seconds."""
        deadline = time.monotonic() + PATIENCE
        while self.connections < count:
            assert time.monotonic() < deadline, f"{self.connections} connections instead of {count}"
            time.sleep(0.005)

    def __enter__(self) -> Self:
        self._run(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            (self._folder / "socket").unlink()
        self._folder.rmdir()
