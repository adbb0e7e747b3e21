"""The request secret on disk: base64 of 32 bytes, mode 0600, made whole or not at all.

Its public half is what clients seal `encrypted_body` to. The file is written under another name
and linked into place, so two processes that start together end up with the same secret.
"""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from ostiary.errors import ConfigError
from ostiary.matrix.envelope import format_secret, generate_secret, parse_secret

_LONGEST: Final = 4096
_OTHERS: Final = 0o077


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
    try:
        path.parent.mkdir(exist_ok=True)  # /etc/ostiary, at a first start; a mistyped path has no parent
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".ostiary-secret-")  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(format_secret(secret))
                file.flush()
                os.fsync(file.fileno())
            os.link(name, path)  # unlike a rename, it never replaces an older secret
        finally:
            os.unlink(name)  # noqa: PTH108  (mkstemp gives a string)
    except FileExistsError:
        raise
    except OSError as error:
        raise ConfigError(
            f"{path}: the request secret can't be written ({error.strerror}): make its folder, "
            "or set crypto.request_secret_path to a place that the gateway may write to"
        ) from None
    return secret


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
