"""The `crypto` section: the key that clients encrypt their requests to.

Holds paths, and a legacy scanner's passphrase, which no `repr` and no error text shows.
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from ostiary.config.fields import FilePath, Text
from ostiary.config.section import NotYet, Section, complaint


def _no_pickle(value: Path | None) -> Path | None:
    if value is not None:
        raise complaint(
            "reading a legacy scanner's key file is not in this release; without it Ostiary makes a new key "
            "at crypto.request_secret_path, and clients that keep the old public key fail until they fetch "
            "the new one"
        )
    return value


class CryptoSettings(Section):
    """The key pair for encrypted requests."""

    request_secret_path: FilePath = Path("/etc/ostiary/request_secret")
    """The file of the private key: padded standard base64 of 32 bytes. Made at first start where
    it is missing."""

    pickle_path: Annotated[FilePath | None, AfterValidator(_no_pickle), NotYet(refused=True)] = None
    """A legacy scanner's key file."""

    pickle_key: Annotated[Text | None, Field(repr=False), NotYet()] = None
    """The passphrase of that file."""
