"""The code of real Matrix clients under Node, from npm: their crypto, and whole client libraries.

One process answers one command after the other, a JSON line each way (tests/npm/*.mjs).
From a script:

    with NodePeer() as node:
        ciphertext, info = node.encrypt(b"hello")
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any, Final, Self

from peers.processes import PeerError

_ROOT: Final = Path(__file__).resolve().parent.parent

FOLDER: Final = _ROOT / "tests" / "npm"
"""Where the scripts and, once `npm ci` ran, their packages are."""

_BROUGHT: Final = _ROOT / ".peers" / "bin" / "node"
"""The Node that scripts/node.sh brings where the machine's own is missing or old."""

_PACKAGES: Final = (
    "@matrix-org/olm",
    "@vector-im/matrix-bot-sdk",
    "matrix-encrypt-attachment",
    "matrix-js-sdk",
)
_STOP_SECONDS: Final = 5.0

JsonObject = dict[str, Any]


def binary() -> Path | None:
    """Return where Node is: the one that was brought for the tests, else in the PATH; None if nowhere."""
    found = str(_BROUGHT) if os.access(_BROUGHT, os.X_OK) else shutil.which("node")
    return Path(found) if found else None


def available() -> bool:
    """Whether there is a Node, and the npm packages are installed."""
    return binary() is not None and all((FOLDER / "node_modules" / name).is_dir() for name in _PACKAGES)


class NodeScript:
    """A script of tests/npm that runs under Node: a context manager. Not for several threads."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._child: subprocess.Popen[str] | None = None
        self._errors: IO[str] | None = None

    def __enter__(self) -> Self:
        node = binary()
        if node is None or not available():
            raise PeerError(f"Node or its packages are missing: run `npm ci` in {FOLDER}")
        self._errors = tempfile.TemporaryFile("w+")
        self._child = subprocess.Popen(
            [node, self._name],
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

    def ask(self, command: str, **parameters: object) -> Any:  # noqa: ANN401  (JSON)
        """Return the script's answer to one command; PeerError where it refuses or has ended."""
        if self._child is None or self._child.stdin is None or self._child.stdout is None:
            raise PeerError("Node is not running: use it as a context manager")
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


class NodePeer:
    """The clients' crypto in a running Node: a context manager. Not for several threads."""

    def __init__(self) -> None:
        self._script = NodeScript("attachments.mjs")

    def __enter__(self) -> Self:
        self._script.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._script.__exit__()

    def encrypt(self, data: bytes, *, native: bool = False) -> tuple[bytes, JsonObject]:
        """Encrypt an attachment; return the ciphertext and its EncryptedFile, which lacks the `url`.

        `native` picks the library's implementation for bots; otherwise the one for browsers runs.
        """
        answer = self._script.ask("encrypt", data=_encoded(data), native=native)
        return base64.b64decode(answer["data"]), answer["info"]

    def decrypt(self, ciphertext: bytes, info: JsonObject, *, native: bool = False) -> bytes:
        """Return what a client sees; PeerError where it refuses (hash, key)."""
        return base64.b64decode(
            self._script.ask("decrypt", data=_encoded(ciphertext), info=info, native=native)
        )

    def seal(self, public_key: str, body: object) -> dict[str, str]:
        """Return an `encrypted_body` that holds the body: as JSON, or as it is if it is a string."""
        plaintext = body if isinstance(body, str) else json.dumps(body)
        sealed: dict[str, str] = self._script.ask("seal", public_key=public_key, plaintext=plaintext)
        return sealed

    def public_key(self, secret: bytes) -> str:
        """Return the public key that libolm derives from a private one, unpadded base64."""
        return str(self._script.ask("public_key", secret=_encoded(secret)))

    def pickle(self, passphrase: str, secret: bytes | None = None) -> tuple[str, str]:
        """Return a legacy scanner's key file and its public key; of a new key where no secret is given."""
        answer = self._script.ask("pickle", passphrase=passphrase, secret=secret and _encoded(secret))
        return answer["text"], answer["public_key"]

    def unpickle(self, text: str, passphrase: str) -> str:
        """Return the public key of a legacy scanner's key file; PeerError where libolm can't open it."""
        return str(self._script.ask("unpickle", text=text, passphrase=passphrase))

    def pickle_account(self, passphrase: str) -> str:
        """Return another kind of libolm pickle, which holds no scanner's key."""
        return str(self._script.ask("pickle_account", passphrase=passphrase))


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
