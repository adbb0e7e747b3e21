"""A real clamd in a temporary folder, with signatures of our own: no database can be downloaded in a test.

It knows EICAR, and the 544 bytes that lie in each of Debian's clamav-testfiles. It speaks on a
Unix socket and on a port of 127.0.0.1, and runs as whoever starts it. From a script:

    with Clamd() as clamd:
        print(clamd.unix_address, clamd.tcp_address)
"""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from peers.processes import HOST, ChildProcess, PeerError, free_port

EICAR: Final = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-" + b"STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The test file that every scanner knows, 68 bytes; in two halves, or this file would be found."""

EICAR_NAME: Final = "Eicar-Test.UNOFFICIAL"
"""What this clamd calls it: names from loose signature files come back with `.UNOFFICIAL`."""

TESTFILE_NAME: Final = "Clamav.Test.File.UNOFFICIAL"
"""What it calls the content of clamav-testfiles."""

TESTFILES: Final = Path("/usr/share/clamav-testfiles")
"""Where Debian's package of that name puts its 44 containers."""

SIGNATURES: Final[Mapping[str, str]] = {
    "eicar.ndb": f"Eicar-Test:0:0:{EICAR.hex()}\n",
    "testfile.hsb": "71e7b604d18aefd839e51a39c88df8383bb4c071dc31f87f00a2b5df580d4495:544:Clamav.Test.File\n",
}
"""Signature files by name; clamd takes the format from the suffix."""

OPTIONS: Final[Mapping[str, str]] = {
    "AlertExceedsMax": "yes",  # without it, what is over a limit is called OK unseen
    "AlertEncrypted": "yes",
    "AlertOLE2Macros": "yes",
    "LogTime": "yes",
}
"""Options on top of clamd's own defaults; see clamd.conf(5)."""

_START_SECONDS: Final = 15.0  # 0.2 s on an idle machine
_ASK_SECONDS: Final = 5.0


def binary() -> Path | None:
    """Return where clamd is installed, None if it is not; /usr/sbin is not in everybody's PATH."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
    found = shutil.which("clamd", path=path)
    return Path(found) if found else None


def available() -> bool:
    """Whether a clamd can be started here."""
    return binary() is not None


class Clamd:
    """One throwaway clamd: a context manager, or `start` and `stop`; may be started again."""

    def __init__(
        self, *, options: Mapping[str, str] | None = None, signatures: Mapping[str, str] | None = None
    ) -> None:
        self._options = {**OPTIONS, **(options or {})}
        self._signatures = SIGNATURES if signatures is None else signatures
        self._child: ChildProcess | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="clamd-"))
        self.port = free_port()
        self._prepare()

    @property
    def unix_address(self) -> str:
        """Its Unix socket, as Ostiary's configuration names it."""
        return f"unix:{self.folder / 'clamd.sock'}"

    @property
    def tcp_address(self) -> str:
        """Its TCP port, likewise."""
        return f"tcp:{HOST}:{self.port}"

    @property
    def child(self) -> ChildProcess:
        """The running process: its ID, its log, signals for it. PeerError when there is none."""
        if self._child is None:
            raise PeerError("clamd is not running")
        return self._child

    def start(self) -> None:
        """Start it and wait until it answers on both sockets; PeerError with its log if it does not."""
        program = binary()
        if program is None:
            raise PeerError("clamd is not installed (Debian: clamav-daemon)")
        if self._child is not None:
            raise PeerError("clamd is running already")
        self._child = ChildProcess(
            [program, f"--config-file={self.folder / 'clamd.conf'}"],
            log=self.folder / "clamd.log",  # in the foreground, without LogFile, it logs to stdout
        )
        try:
            self._child.wait_until(self._answers, timeout=_START_SECONDS)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does; `start` brings it back."""
        child, self._child = self._child, None
        if child is not None:
            child.send_signal(signal.SIGKILL)
            child.stop()

    def stop(self) -> None:
        """End it and remove its folder. Safe to call twice."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, command: str, *, tcp: bool = False) -> str:
        """Send one command (PING, RELOAD, STATS, VERSION) on a connection of its own; return the reply."""
        family = socket.AF_INET if tcp else socket.AF_UNIX
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ASK_SECONDS)
            connection.connect((HOST, self.port) if tcp else str(self.folder / "clamd.sock"))
            connection.sendall(b"z%s\0" % command.encode())
            with connection.makefile("rb") as reply:
                return reply.read().rstrip(b"\0").decode()

    def _answers(self) -> bool:
        return self.ask("PING") == "PONG" and self.ask("PING", tcp=True) == "PONG"

    def _prepare(self) -> None:
        database = self.folder / "database"
        database.mkdir()
        for name, content in self._signatures.items():
            (database / name).write_text(content)
        (self.folder / "temporary").mkdir()
        (self.folder / "clamd.conf").write_text("".join(f"{k} {v}\n" for k, v in self._settings().items()))

    def _settings(self) -> dict[str, str]:
        settings = {
            "Foreground": "yes",
            "LocalSocket": str(self.folder / "clamd.sock"),
            "TCPAddr": HOST,
            "TCPSocket": str(self.port),
            "DatabaseDirectory": str(self.folder / "database"),
            "TemporaryDirectory": str(self.folder / "temporary"),
            **self._options,
        }
        if os.geteuid() == 0:
            settings.setdefault("User", "root")  # else Debian's build changes to `clamav`
        return settings

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
