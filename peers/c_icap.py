"""A real c-icap with virus_scan, whose clamd is a real one too: `peers.clamd` behind it.

The service listens on a free port of 127.0.0.1, as `virus_scan` and, without any preview's limits, as
`echo`. It looks at every file type unless told otherwise. From a script:

    with Clamd() as clamd, CIcap(clamd) as c_icap:
        print(c_icap.url)
"""

import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from peers.clamd import Clamd
from peers.processes import HOST, ChildProcess, PeerError, free_port

OPTIONS: Final[Mapping[str, str]] = {
    "virus_scan.ScanFileTypes": "TEXT DATA EXECUTABLE ARCHIVE GIF JPEG MSOFFICE",
    "virus_scan.SendPercentData": "0",
    "virus_scan.MaxObjectSize": "100M",
    "virus_scan.PassOnError": "off",
    "virus_scan.DefaultEngine": "clamd",
}
"""Settings of the module; what is over MaxObjectSize passes unscanned."""

_DEBIAN_MODULES: Final = tuple(Path("/usr/lib").glob("*/c_icap"))
_START_SECONDS: Final = 15.0
_ASK_SECONDS: Final = 5.0


def available() -> bool:
    """Whether a c-icap with virus_scan can be started here."""
    return shutil.which("c-icap") is not None and _modules() is not None


def _modules() -> Path | None:
    """Return the folder of c-icap's modules, None where virus_scan is not installed."""
    return next((folder for folder in _DEBIAN_MODULES if (folder / "virus_scan.so").exists()), None)


class CIcap:
    """One throwaway c-icap before a running clamd: a context manager, or `start` and `stop`."""

    def __init__(
        self,
        clamd: Clamd,
        *,
        options: Mapping[str, str] | None = None,
        server: Mapping[str, str] | None = None,
    ) -> None:
        """`options` are the module's, `server` is what stands in c-icap.conf instead of our settings."""
        self._clamd = clamd
        self._options = {**OPTIONS, **(options or {})}
        self._server = server or {}
        self._child: ChildProcess | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="c-icap-"))
        self.port = free_port()

    @property
    def url(self) -> str:
        """Its service, as Ostiary's configuration names it."""
        return self.service("virus_scan")

    def service(self, name: str) -> str:
        """Return the URL of a service of this server, with arguments if the name has some."""
        return f"icap://{HOST}:{self.port}/{name}"

    @property
    def child(self) -> ChildProcess:
        """The running process: its ID, its log, signals for it. PeerError when there is none."""
        if self._child is None:
            raise PeerError("c-icap is not running")
        return self._child

    def start(self) -> None:
        """Start it and wait until its service answers; PeerError with its log if it does not."""
        if not available():
            raise PeerError("c-icap is not installed (Debian: c-icap, libc-icap-mod-virus-scan)")
        if self._child is not None:
            raise PeerError("c-icap is running already")
        configuration = self.folder / "c-icap.conf"
        configuration.write_text("".join(f"{line}\n" for line in self._lines()))
        self._child = ChildProcess(
            ["c-icap", "-N", "-D", "-f", configuration], log=self.folder / "c-icap.log", folder=self.folder
        )
        try:
            self._child.wait_until(self._answers, timeout=_START_SECONDS)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End it; `start` brings it back."""
        child, self._child = self._child, None
        if child is not None:
            child.stop(timeout=0.1)  # it does not end in order while it has had clients

    def stop(self) -> None:
        """End it and remove its folder. Safe to call twice."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, request: bytes) -> bytes:
        """Send a request of one message on a connection of its own, and return what comes until its end."""
        with socket.create_connection((HOST, self.port), timeout=_ASK_SECONDS) as connection:
            connection.sendall(request)
            with connection.makefile("rb") as reply:
                return reply.read()

    def _answers(self) -> bool:
        host = f"{HOST}:{self.port}"
        ask = f"OPTIONS icap://{host}/virus_scan ICAP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        return self.ask(ask.encode()).startswith(b"ICAP/1.0 200 ")

    def _lines(self) -> list[str]:
        settings = {
            "PidFile": str(self.folder / "c-icap.pid"),
            "CommandsSocket": str(self.folder / "c-icap.ctl"),
            "Port": f"{HOST}:{self.port}",
            "ServerAdmin": "nobody@example.invalid",
            "ServerName": "c-icap.example.invalid",
            "TmpDir": str(self.folder),
            "Timeout": "30",
            "KeepAliveTimeout": "30",
            "MaxKeepAliveRequests": "100",
            "StartServers": "1",
            "MaxServers": "2",
            "ThreadsPerChild": "16",
            "MinSpareThreads": "1",
            "MaxSpareThreads": "32",
            "MaxRequestsPerChild": "0",
            "DebugLevel": "1",
            "ModulesDir": str(_modules()),
            "ServicesDir": str(_modules()),
            "LoadMagicFile": "/etc/c-icap/c-icap.magic",
            "ServerLog": str(self.folder / "server.log"),
            "AccessLog": str(self.folder / "access.log"),
            **self._server,
        }
        return [
            *(f"{key} {value}" for key, value in settings.items()),
            "Service echo srv_echo.so",
            "Service antivirus_module virus_scan.so",
            "ServiceAlias virus_scan antivirus_module",
            # As Debian's file has it: what the URL has beside its arguments does not count then.
            "ServiceAlias avscan antivirus_module?allow204=on&sizelimit=off&mode=simple",
            "Module common clamd_mod.so",
            f"clamd_mod.ClamdSocket {self._clamd.unix_address.removeprefix('unix:')}",
            *(f"{key} {value}" for key, value in self._options.items()),
        ]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
