"""Ostiary itself, as an operator runs it: `ostiary serve` in a process of its own.

For tests, the demo and benchmarks: writes a configuration, starts the command, waits until it is
ready, and speaks plain HTTP to it.
"""

import json
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, Final, Self

from peers.processes import ChildProcess, PeerError, free_port

HOST: Final = "127.0.0.1"
_OK: Final = 200
API: Final = "/_matrix/media_proxy/unstable"


@dataclass(frozen=True)
class Answer:
    """What came back: headers have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401  (JSON)
        """The body as JSON."""
        return json.loads(self.body)


class Gateway:
    """One gateway in front of `homeserver_url`; `config` holds more of its configuration, key by key.

    `options` go to `ostiary serve`.
    """

    def __init__(self, homeserver_url: str, config: Mapping[str, Any] | None = None, *options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ostiary-"))
        self.host, self.port, self.metrics_port = HOST, free_port(), free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.config_path = self.folder / "ostiary.yaml"
        settings: dict[str, Any] = {
            "web": {"host": HOST, "port": self.port},
            "metrics": {"host": HOST, "port": self.metrics_port},
            "download": {"base_homeserver_url": homeserver_url},
            "crypto": {"request_secret_path": str(self.folder / "request_secret")},
        }
        for section, keys in (config or {}).items():
            merged = isinstance(keys, Mapping) and section in settings
            settings[section] = {**settings[section], **keys} if merged else keys
        self.config_path.write_text(json.dumps(settings, default=str))  # YAML holds JSON
        self.command: tuple[str, ...] = (str(command()), "serve", "--config", str(self.config_path), *options)
        self._child: ChildProcess | None = None

    @property
    def child(self) -> ChildProcess:
        """The running process: its ID, its log, signals for it. PeerError when there is none."""
        if self._child is None:
            raise PeerError("Ostiary is not running")
        return self._child

    @property
    def log(self) -> str:
        """All that it has logged."""
        return (self.folder / "ostiary.log").read_text(errors="replace")

    def start(self, *, loaded: bool = True) -> None:
        """Start it and wait until it has loaded, or only lives; PeerError with its log if it does not.

        Loaded, it may have found that its engines are not to be trusted.
        """
        self._child = ChildProcess(
            self.command,
            name="Ostiary",
            log=self.folder / "ostiary.log",
            folder=self.folder,
        )
        try:
            self._child.wait_until(
                lambda: (
                    self.get("/health").status == _OK
                    and (not loaded or self.get("/ready").json["status"] != "loading")
                )
            )
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it, in order, and remove its folder. Safe to call twice."""
        child, self._child = self._child, None
        if child is not None:
            child.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def get(self, path: str, token: str | None = None, *, method: str = "GET") -> Answer:
        """Ask; `path` is absolute, or a route of the scanner API with what follows it."""
        return self._send(method, path, token, None, {})

    def post(
        self, path: str, body: object, token: str | None = None, content_type: str = "application/json"
    ) -> Answer:
        """Post bytes, or anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._send("POST", path, token, data, {"Content-Type": content_type})

    def metrics(self) -> dict[str, float]:
        """Return every series of the metrics port, labels included in its name."""
        with urllib.request.urlopen(f"http://{HOST}:{self.metrics_port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        series = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in series}

    def _send(
        self, method: str, path: str, token: str | None, data: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        url = self.url + (path if path.startswith("/") else f"{API}/{path}")
        request = urllib.request.Request(url, data=data, headers=dict(headers), method=method)  # noqa: S310  (ours)
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=100) as answer:  # noqa: S310
                return _answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error.headers, error.read())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def command() -> Path:
    """Return the `ostiary` command of the Python that runs this."""
    return Path(sys.executable).with_name("ostiary")


def _answer(status: int, headers: Message, body: bytes) -> Answer:
    return Answer(status, {name.lower(): value for name, value in headers.items()}, body)
