"""Where the control socket is: as configured, or beside the ledger.

Server and commands read the same configuration, and so come to the same path. Pure.
"""

from pathlib import Path
from typing import Final, NamedTuple

from ostiary.config.operations import ControlSettings
from ostiary.config.stores import LedgerSettings

NAME: Final = "control.sock"

_DEFAULT_FOLDER: Final = Path("/var/lib/ostiary")
_SQLITE: Final = "sqlite:///"


class Location(NamedTuple):
    """A path, and whether the operator chose it: then the server does not go without it."""

    path: Path
    required: bool


def location(control: ControlSettings, ledger: LedgerSettings) -> Location:
    """Return where the socket is; with a ledger that is no file of this machine, in the usual folder."""
    if control.socket is not None:
        return Location(control.socket, required=True)
    return Location(_folder(ledger.url) / NAME, required=False)


def _folder(url: str) -> Path:
    """Return the folder of an SQLite file; the URL's scheme counts in any case (RFC 3986, 3.1)."""
    scheme, file = url[: len(_SQLITE)].lower(), url[len(_SQLITE) :].partition("?")[0]
    if scheme != _SQLITE or not file or file.startswith(":"):
        return _DEFAULT_FOLDER
    return Path(file).parent
