"""The gateway's private key on disk: the request secret, or a legacy scanner's key file.

Its public half is what clients seal `encrypted_body` to. A request secret is base64 of 32 bytes,
mode 0600, made whole or not at all: two processes that start together end up with the same secret. A
legacy key file is read as it is, and made in the same way where it is missing, as its scanner did.
"""

import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from ostiary.config.crypto import MAX_PASSPHRASE, CryptoSettings
from ostiary.errors import ConfigError
from ostiary.matrix.envelope import Envelope, format_secret, generate_secret, parse_secret
from ostiary.matrix.legacy_key import MAX_PICKLE, format_pickle, read_pickle
from ostiary.new_file import write_new

log = structlog.get_logger()

REMOUNT: Final = (
    "mount the folder of the old key file, writable for Ostiary if there is none yet; or remove "
    "crypto.pickle_path and its passphrase (crypto.pickle_key); or convert the old scanner's file and key "
    "with `ostiary migrate`"
)
"""What to do where a legacy key file is missing and none can be made."""

LOCKED_OUT: Final = "clients that keep an old public key fail until they fetch the new one"

_LEGACY: Final = "the legacy key file"
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
    if crypto.pickle_path is not None:
        return _load_pickle(crypto.pickle_path, _passphrase(crypto))
    secret, made = load_secret(crypto.request_secret_path)
    return PrivateKey(secret, crypto.request_secret_path, made)


def read_private_key(crypto: CryptoSettings, shared_by: str | None = None) -> PrivateKey | None:
    """Return the configured key, None where it is to be made at the first start; ConfigError if it is no use.

    `shared_by` names the setting by which several replicas work together: each would make a key of
    its own, and clients could talk to one of them only, so a missing one is an error then.
    """
    legacy, path = crypto.pickle_path, crypto.pickle_path or crypto.request_secret_path
    secret = read_secret(path) if legacy is None else _unpickled(path, _passphrase(crypto))
    if secret is not None:
        return PrivateKey(secret, path)
    if shared_by is None:
        return None
    what = "the request secret" if legacy is None else _LEGACY
    how = f"make it once (ostiary secret {path}) and copy it to every replica, mode 0600"
    if legacy is not None:
        how = "mount the old one, or remove crypto.pickle_path and its passphrase for a request secret"
    raise ConfigError(
        f"{path}: {what} is missing, and with {shared_by} all replicas must have the same: {how}"
    )


def existing_legacy_key(path: Path, crypto: CryptoSettings) -> PrivateKey:
    """Return what the key file at `pickle_path` holds; ConfigError where it is missing or no use."""
    secret = _unpickled(path, _passphrase(crypto))
    if secret is None:
        raise _not_there(path, _LEGACY)
    return PrivateKey(secret, path)


def _unpickled(path: Path, passphrase: bytes) -> bytes | None:
    """Return the private key, None where there is no such file."""
    text = _read(path, MAX_PICKLE, _LEGACY)
    try:
        return None if text is None else read_pickle(text, passphrase)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _load_pickle(path: Path, passphrase: bytes) -> PrivateKey:
    """Return a new key, which is in its file now, or somebody else's who was faster."""
    with suppress(FileExistsError):
        secret = _make_pickle(path, passphrase)
        log.warning(
            "a NEW key was made, because the legacy key file was not there",
            path=str(path),
            public_key=Envelope(secret).public_key,
            consequence=LOCKED_OUT,
        )
        return PrivateKey(secret, path, made=True)
    found = _unpickled(path, passphrase)
    if found is None:
        raise ConfigError(f"{path}: something is in the way of {_LEGACY}")
    return PrivateKey(found, path)


def _make_pickle(path: Path, passphrase: bytes) -> bytes:
    """Make no folder: where it is missing, a mount is more likely to be, and with it the old key."""
    secret = generate_secret(secrets.token_bytes)
    try:
        write_new(path, format_pickle(secret, passphrase), 0o600)
    except FileExistsError:
        raise
    except OSError as error:
        cause = "no such folder" if isinstance(error, FileNotFoundError) else error.strerror
        text = f"{path}: {_LEGACY} is not there, and a new one can't be made ({cause}): {REMOUNT}"
        raise ConfigError(text) from None
    return secret


def _passphrase(crypto: CryptoSettings) -> bytes:
    if crypto.pickle_key_path is None:
        return (crypto.pickle_key or "").encode()
    path, what = crypto.pickle_key_path, f"the passphrase of {_LEGACY}"
    text = _read(path, MAX_PASSPHRASE, what)
    if text is None:
        raise _not_there(path, what)
    return text.removesuffix(b"\n").removesuffix(b"\r")


def _not_there(path: Path, what: str) -> ConfigError:
    hint = "is its folder mounted? Relative paths count from where Ostiary starts"
    return ConfigError(f"{path}: {what} is not there: {hint}")


def _read(path: Path, most: int, what: str) -> bytes | None:
    """Return the bytes, None where there is no such file."""
    try:
        with path.open("rb") as file:
            text = file.read(most + 1)
    except FileNotFoundError:
        return None
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
