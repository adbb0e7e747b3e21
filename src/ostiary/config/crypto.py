"""The `crypto` section: the key that clients encrypt their requests to.

Holds paths, and a legacy scanner's passphrase, which no `repr` and no error text shows.
"""

from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from ostiary.config.fields import FilePath
from ostiary.config.section import Kind, Section, complaint

MAX_PASSPHRASE: Final = 4096
"""Bytes of a passphrase in UTF-8."""


def _passphrase(value: str) -> str:
    """Take any text, empty or of several lines too: a legacy scanner did."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise complaint("no passphrase can hold these characters") from None
    if size > MAX_PASSPHRASE:
        raise complaint(f"longer than {MAX_PASSPHRASE} bytes")
    return value


Passphrase = Annotated[str, AfterValidator(_passphrase), Kind("text")]


class CryptoSettings(Section):
    """The key pair for encrypted requests."""

    request_secret_path: FilePath = Path("/etc/ostiary/request_secret")
    """The file of the private key: padded standard base64 of 32 bytes. Made at first start where it
    is missing, except where replicas must share it (`result_cache.type: redis`, a PostgreSQL
    `ledger.url`). Not used when there is a `crypto.pickle_path`."""

    pickle_path: FilePath | None = None
    """A legacy scanner's key file, read as it is. Made at first start where it is missing, as that
    scanner did, but for replicas as above. Needs `crypto.pickle_key` or `crypto.pickle_key_path`."""

    pickle_key: Annotated[Passphrase | None, Field(repr=False)] = None
    """The passphrase of that file."""

    pickle_key_path: FilePath | None = None
    """A file with the passphrase of that file; one line break at its end does not count."""

    @model_validator(mode="after")
    def _whole_pickle(self) -> Self:
        given = [name for name in ("pickle_key", "pickle_key_path") if getattr(self, name) is not None]
        if self.pickle_path is not None and not given:
            text = "needs its passphrase: set crypto.pickle_key or crypto.pickle_key_path"
            raise complaint(text, "pickle_path")
        if self.pickle_path is None and given:
            text = "a passphrase without a key file: set crypto.pickle_path, or remove this"
            raise complaint(text, given[0])
        if len(given) > 1:
            raise complaint("crypto.pickle_key is set too: use the one or the other", "pickle_key_path")
        return self
