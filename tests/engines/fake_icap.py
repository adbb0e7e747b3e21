"""An ICAP server for the faults that the real one does not show on demand: it answers by a script.

Each connection gets the next of the given behaviours, the last one again and again. A behaviour is a
function of the connection; the connection is closed when it returns. OPTIONS are answered by the connection
itself unless a script asks for them. `test_icap_faults.py` holds the well-behaved one against c-icap.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Self

from tests.wire.icap_replies import CONTINUE, OPTIONS, UNMODIFIED, echo

PATIENCE: Final = 10.0
"""Seconds that a behaviour waits for the client, so that no test hangs."""


class Connection:
    """The server's end of one connection, with what a behaviour needs."""

    def __init__(self, connection: socket.socket, stopping: threading.Event, server: "FakeIcap") -> None:
        connection.settimeout(PATIENCE)
        self._connection = connection
        self._stopping = stopping
        self._server = server
        self._buffer = b""
        self.answers_options = True

    def request(self) -> bytes:
        """Return the next scan's head, its encapsulated heads included; b"" at the client's end."""
        while True:
            head = self._until(b"\r\n\r\n")
            if not head:
                return b""
            if head.startswith(b"OPTIONS ") and self.answers_options:
                self.send(self._server.options)
                continue
            if not head.startswith(b"OPTIONS "):
                head += self.exactly(int(head.rpartition(b"body=")[2]))
            self._server.heads.append(head)
            return head

    def body(self) -> bytes:
        """Return a body, read to its last chunk."""
        found = b""
        while size := int(self._until(b"\r\n").partition(b";")[0], 16):
            found += self.exactly(size)
            self.exactly(2)
        self.exactly(2)
        return found

    def scanned(self) -> bytes:
        """Take a whole scan, preview and all; return its body."""
        return self.rest(self.request())

    def rest(self, head: bytes) -> bytes:
        """Take what comes behind a scan's head, asking for what the preview does not have; return it."""
        if not head:
            raise ConnectionError("the client went away")
        found = self.body()
        if b"\r\nPreview: " in head and not self._whole(head, found):
            self.send(CONTINUE)
            found += self.body()
        return found

    def exactly(self, size: int) -> bytes:
        """Return the next bytes, so many of them."""
        while len(self._buffer) < size:
            self._more()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._connection.sendall(data)

    def reset(self) -> None:
        """Close the connection such that TCP says RST."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def hang(self) -> None:
        """Say nothing until the test ends."""
        self._stopping.wait(PATIENCE)

    def gone(self) -> bool:
        """Wait for the client to close its end; say whether it did."""
        try:
            return self._connection.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    @staticmethod
    def _whole(head: bytes, found: bytes) -> bool:
        preview = int(head.partition(b"\r\nPreview: ")[2].partition(b"\r\n")[0])
        length = int(head.rpartition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        assert len(found) == min(preview, length)
        return length <= preview

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            try:
                self._more()
            except ConnectionError:
                if self._buffer:
                    raise
                return b""
        head, _, self._buffer = self._buffer.partition(end)
        return head + end

    def _more(self) -> None:
        data = self._connection.recv(1 << 18)
        if not data:
            raise ConnectionError("the client went away")
        self._buffer += data


Behaviour = Callable[[Connection], None]


def well_behaved(connection: Connection) -> None:
    """Call every file clean, on one connection."""
    while True:
        connection.scanned()
        connection.send(UNMODIFIED)


def echoing(connection: Connection) -> None:
    """Give every file back."""
    while True:
        connection.send(echo(connection.scanned()))


def answering(answer: bytes) -> Behaviour:
    """Answer each scan with these bytes, and close."""

    def behave(connection: Connection) -> None:
        connection.scanned()
        connection.send(answer)

    return behave


class FakeIcap:
    """The server; `behaviours` for its connections in their order, `options` is its answer to OPTIONS."""

    def __init__(
        self,
        *behaviours: Behaviour,
        options: bytes = OPTIONS,
        context: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self._behaviours: Sequence[Behaviour] = behaviours or (well_behaved,)
        self._context = context
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._connections: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.options = options
        self.heads: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Its service."""
        return f"icap://127.0.0.1:{self.port}/scan"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            behaviour = self._behaviours[min(self.connections, len(self._behaviours) - 1)]
            self.connections += 1
            self._start(self._serve, connection, behaviour)

    def _serve(self, connection: socket.socket, behaviour: Behaviour) -> None:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            self._connections.add(connection)
            behaviour(Connection(connection, self._stopping, self))
        except (OSError, ValueError):  # it went away; an SSLError is an OSError
            pass
        finally:
            self.open -= 1
            self._connections.discard(connection)
            connection.close()
