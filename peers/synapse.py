"""The real homeserver of the tests and the demo: a throwaway Synapse on 127.0.0.1.

It lives in a temporary folder (SQLite, media, log), starts in about a second, and is gone with
`stop`. Its own environment is .peers/synapse, since its dependencies may differ from ours. The
limits that slow tests down are lifted; everything else is as operators have it.
"""

import base64
import hashlib
import hmac
import http.client
import json
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

from peers.processes import HOST, ChildProcess, PeerError, free_port

ROOT: Final = Path(__file__).parents[1]
"""The clone."""

PASSWORD: Final = "a password"
"""What everybody's password is unless it is given."""

_SHARED_SECRET: Final = "registers users of a throwaway server"
_UNLIMITED: Final = {"per_second": 1_000_000, "burst_count": 1_000_000}
_TIMEOUT: Final = 60  # seconds for one request; a 90 MB upload takes a few


class SynapseError(PeerError):
    """Synapse answered with an error: `status` and `errcode` are its words."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"Synapse answered {status}: {body[:1000].decode(errors='replace')}")
        self.status = status
        try:
            self.errcode = str(json.loads(body)["errcode"])
        except (ValueError, KeyError, TypeError):
            self.errcode = ""


def python() -> Path:
    """Return the interpreter that has Synapse: $OSTIARY_SYNAPSE_PYTHON, else that of .peers/synapse."""
    return Path(os.environ.get("OSTIARY_SYNAPSE_PYTHON", ROOT / ".peers/synapse/bin/python"))


def available() -> bool:
    """Say whether `make test` (or `make demo`) has set up Synapse."""
    return python().exists()


@dataclass(frozen=True, slots=True)
class User:
    """Somebody registered with a homeserver, and a valid access token of theirs."""

    user_id: str
    token: str


class Synapse:
    """One throwaway homeserver at `url`: a context manager, or `start` and `stop`; may be started again.

    `max_upload_size` is in bytes; `server_name` is its address unless given, so that it can
    federate; `config` holds more of homeserver.yaml, key by key.
    """

    def __init__(
        self,
        *,
        authenticated_media: bool = True,
        max_upload_size: int = 200_000_000,
        server_name: str | None = None,
        config: Mapping[str, object] | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="synapse-"))
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.server_name = server_name or f"{HOST}:{self.port}"
        self._child: ChildProcess | None = None
        settings = {
            **_settings(self.folder, self.port),
            "server_name": self.server_name,
            "enable_authenticated_media": authenticated_media,
            "max_upload_size": max_upload_size,
            **(config or {}),
        }
        (self.folder / "homeserver.yaml").write_text(json.dumps(settings))  # YAML holds JSON

    @property
    def child(self) -> ChildProcess:
        """The running process: its ID, its log, signals for it. PeerError when there is none."""
        if self._child is None:
            raise PeerError("Synapse is not running")
        return self._child

    def start(self) -> None:
        """Start it and wait until it answers; PeerError with its log if it does not."""
        if not available():
            raise PeerError(f"Synapse is not set up: {python()} is missing (`make test` makes it)")
        if self._child is not None:
            raise PeerError("Synapse is running already")
        self._child = ChildProcess(
            [python(), "-m", "synapse.app.homeserver", "--config-path", self.folder / "homeserver.yaml"],
            name="Synapse",
            log=self.folder / "homeserver.log",
            folder=self.folder,
        )
        try:
            self._child.wait_until(self._healthy)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End it at once; `start` brings it back with all that it stored."""
        child, self._child = self._child, None
        if child is not None:
            child.send_signal(signal.SIGKILL)
            child.stop()

    def stop(self) -> None:
        """End it and remove its folder. Safe to call twice."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def register(self, name: str, password: str = PASSWORD, *, admin: bool = False) -> User:
        """Register @name:server_name and log them in."""
        path = "/_synapse/admin/v1/register"
        nonce = str(self.request("GET", path)["nonce"])
        role = "admin" if admin else "notadmin"
        signed = f"{nonce}\0{name}\0{password}\0{role}".encode()
        answer = self.request(
            "POST",
            path,
            json_body={
                "nonce": nonce,
                "username": name,
                "password": password,
                "admin": admin,
                "mac": hmac.new(_SHARED_SECRET.encode(), signed, hashlib.sha1).hexdigest(),
            },
        )
        return User(user_id=str(answer["user_id"]), token=str(answer["access_token"]))

    def whoami(self, token: str) -> str:
        """Return the user ID that the token belongs to; SynapseError (401) for a bad one."""
        return str(self.request("GET", "/_matrix/client/v3/account/whoami", token=token)["user_id"])

    def logout(self, token: str) -> None:
        """Make the token invalid."""
        self.request("POST", "/_matrix/client/v3/logout", token=token, json_body={})

    def upload(
        self,
        token: str,
        data: bytes,
        content_type: str = "application/octet-stream",
        filename: str | None = None,
    ) -> str:
        """Upload the bytes and return their mxc:// URI."""
        path = "/_matrix/media/v3/upload"
        if filename is not None:
            path += f"?filename={quote(filename, safe='')}"
        answer = self.request("POST", path, token=token, headers={"Content-Type": content_type}, body=data)
        return str(answer["content_uri"])

    def download(self, token: str, uri: str) -> bytes:
        """Return the bytes behind an mxc:// URI, straight from Synapse."""
        media = urlsplit(uri)
        path = f"/_matrix/client/v1/media/download/{media.netloc}{media.path}"
        return self._checked("GET", path, token, {}, None)

    def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json_body: object = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> dict[str, Any]:
        """Ask any route and return its JSON object; SynapseError unless the status is 200."""
        if json_body is not None:
            headers, body = {"Content-Type": "application/json"}, json.dumps(json_body).encode()
        answer: dict[str, Any] = json.loads(self._checked(method, path, token, headers or {}, body))
        return answer

    def _checked(
        self, method: str, path: str, token: str | None, headers: Mapping[str, str], body: bytes | None
    ) -> bytes:
        if token is not None:
            headers = {**headers, "Authorization": f"Bearer {token}"}
        status, answer = self._exchange(method, path, headers, body)
        if status != http.HTTPStatus.OK:
            raise SynapseError(status, answer)
        return answer

    def _healthy(self) -> bool:
        return self._exchange("GET", "/health", {}, None)[0] == http.HTTPStatus.OK

    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=_TIMEOUT)
        try:
            connection.request(method, path, body=body, headers=dict(headers))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _settings(folder: Path, port: int) -> dict[str, object]:
    """Return a homeserver.yaml for a server that nobody else can reach."""
    listener = {
        "port": port,
        "type": "http",
        "bind_addresses": [HOST],
        "resources": [{"names": ["client", "federation", "media", "health"], "compress": False}],
    }
    return {
        "public_baseurl": f"http://{HOST}:{port}/",
        "listeners": [listener],
        "database": {"name": "sqlite3", "args": {"database": str(folder / "homeserver.db")}},
        "media_store_path": str(folder / "media"),
        "signing_key_path": str(_signing_key(folder)),
        "log_config": str(_log_config(folder)),
        "registration_shared_secret": _SHARED_SECRET,
        "macaroon_secret_key": secrets.token_hex(),
        "form_secret": secrets.token_hex(),
        "bcrypt_rounds": 4,
        "report_stats": False,
        "trusted_key_servers": [],
        "suppress_key_server_warning": True,
        "ip_range_blacklist": [],
        "federation_ip_range_blacklist": [],
        **_limits(),
    }


def _limits() -> dict[str, object]:
    """Return every rate limit, so high that no test meets it."""
    plain = (
        "rc_message rc_registration rc_registration_token_validity rc_admin_redaction rc_joins_per_room"
        " rc_key_requests rc_3pid_validation rc_third_party_invite rc_media_create rc_delayed_event_mgmt"
        " rc_room_creation rc_reports rc_user_directory rc_profile"
    )
    return {
        **dict.fromkeys(plain.split(), _UNLIMITED),
        "rc_login": dict.fromkeys(("address", "account", "failed_attempts"), _UNLIMITED),
        "rc_joins": dict.fromkeys(("local", "remote"), _UNLIMITED),
        "rc_invites": dict.fromkeys(("per_room", "per_user", "per_issuer"), _UNLIMITED),
        "rc_presence": {"per_user": _UNLIMITED},
        "max_pending_media_uploads": 1_000_000,
        "remote_media_download_per_second": "1000G",
        "remote_media_download_burst_count": "1000G",
    }


def _signing_key(folder: Path) -> Path:
    seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    path = folder / "signing.key"
    path.write_text(f"ed25519 a_key {seed}\n")
    return path


def _log_config(folder: Path) -> Path:
    """Make it log to stderr, which goes into the folder's homeserver.log."""
    path = folder / "log.yaml"
    config = {
        "version": 1,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": "INFO", "handlers": ["stderr"]},
        "disable_existing_loggers": False,
    }
    path.write_text(json.dumps(config))
    return path
