"""The gateway's private key on disk: the request secret, or a legacy scanner's key file.

Its public half is what clients seal `encrypted_body` to. A request secret is base64 of 32 bytes,
mode 0600, made whole or not at all: two processes that start together end up with the same secret. A
legacy file is only ever read.
"""

import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ostiary.config.crypto import MAX_PASSPHRASE, CryptoSettings
from ostiary.errors import ConfigError
from ostiary.matrix.envelope import format_secret, generate_secret, parse_secret
from ostiary.matrix.legacy_key import MAX_PICKLE, read_pickle
from ostiary.new_file import write_new

_LONGEST: Final = 4096
_OTHERS: Final = 0o077


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """The key that requests are sealed to, the file that holds it, and whether it was made now."""

    secret: bytes = field(repr=False)
    path: Path
    made: bool = False


def private_key(crypto: CryptoSettings, shared_by: str | None = None) -> PrivateKey:
    """Return the configured key, made now where it is missing; errors as for `read_private_key`."""
    key = read_private_key(crypto, shared_by)
    if key is not None:
        return key
    secret, made = load_secret(crypto.request_secret_path)
    return PrivateKey(secret, crypto.request_secret_path, made)


def read_private_key(crypto: CryptoSettings, shared_by: str | None = None) -> PrivateKey | None:
    """Return the configured key, None where it is to be made at the first start; ConfigError if it is no use.

    `shared_by` names the setting by which several replicas work together: each would make a key of
    its own, and clients could talk to one of them only, so a missing one is an error then.
    """
    path = crypto.pickle_path
    if path is not None:
        return PrivateKey(_unpickled(path, crypto), path)
    path = crypto.request_secret_path
    secret = read_secret(path)
    if secret is not None:
        return PrivateKey(secret, path)
    if shared_by is None:
        return None
    raise ConfigError(
        f"{path}: the request secret is missing, and with {shared_by} all replicas must have the same: "
        f"make it once (ostiary secret {path}) and copy it to every replica, mode 0600"
    )


def _unpickled(path: Path, crypto: CryptoSettings) -> bytes:
    text = _read(path, MAX_PICKLE, "the legacy key file")
    try:
        return read_pickle(text, _passphrase(crypto))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _passphrase(crypto: CryptoSettings) -> bytes:
    if crypto.pickle_key_path is None:
        return (crypto.pickle_key or "").encode()
    text = _read(crypto.pickle_key_path, MAX_PASSPHRASE, "the passphrase of the legacy key file")
    return text.removesuffix(b"\n").removesuffix(b"\r")


def _read(path: Path, most: int, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(most + 1)
    except FileNotFoundError:
        hint = "is its folder mounted? Relative paths count from where Ostiary starts"
        raise ConfigError(f"{path}: {what} is not there: {hint}") from None
    except OSError as error:
        raise ConfigError(f"{path}: {what} can't be read: {error.strerror}") from None
    if len(text) > most:
        raise ConfigError(f"{path}: this is not {what}: it has more than {most} bytes")
    return text


def read_secret(path: Path) -> bytes | None:
    """Return the 32 bytes, None where there is no such file; ConfigError if it is of no use."""
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: the request secret can't be read: {error.strerror}") from None
    try:
        return parse_secret(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def make_secret(path: Path) -> bytes:
    """Make a new secret; FileExistsError if there is one, ConfigError if it can't be written."""
    secret = generate_secret(secrets.token_bytes)
    write_secret(path, secret)
    return secret


def write_secret(path: Path, secret: bytes) -> None:
    """Write the file of these 32 bytes; errors as for `make_secret`."""
    try:
        path.parent.mkdir(exist_ok=True)  # /etc/ostiary, at a first start; a mistyped path has no parent
        write_new(path, format_secret(secret), 0o600)
    except FileExistsError:
        raise
    except OSError as error:
        raise ConfigError(
            f"{path}: the request secret can't be written ({error.strerror}): make its folder, "
            "or set crypto.request_secret_path to a place that the gateway may write to"
        ) from None


def load_secret(path: Path) -> tuple[bytes, bool]:
    """Return the secret, made now if it was missing, and whether it was made now."""
    secret = read_secret(path)
    if secret is not None:
        return secret, False
    with suppress(FileExistsError):
        return make_secret(path), True
    secret = read_secret(path)  # somebody else was faster
    if secret is None:
        raise ConfigError(f"{path}: something is in the way of the request secret")
    return secret, False


def readable_by_others(path: Path) -> bool:
    """Say whether more than its owner may read the secret."""
    try:
        return bool(path.stat().st_mode & _OTHERS)
    except OSError:
        return False
