"""Where the control socket is: the same place for a server and for the commands."""

from pathlib import Path

import pytest

from ostiary.config.operations import ControlSettings
from ostiary.config.stores import LedgerSettings
from ostiary.control.location import location


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("sqlite:////var/lib/ostiary/ledger.db", "/var/lib/ostiary"),
        ("sqlite:////srv/a%20b/x.db?mode=rw", "/srv/a%20b"),
        ("SQLite:////srv/X.db", "/srv"),
        ("sqlite:///x.db", "."),
        ("sqlite:///data/x.db", "data"),
        ("sqlite://", "/var/lib/ostiary"),
        ("sqlite:///:memory:", "/var/lib/ostiary"),
        ("postgresql://user:pass@db/ostiary", "/var/lib/ostiary"),
    ],
)
def test_beside_the_ledger(url: str, folder: str) -> None:
    """A file's own folder; where the ledger is no file here, the usual one. It is not required."""
    found = location(ControlSettings(), LedgerSettings(url=url))
    assert found == (Path(folder) / "control.sock", False)


def test_as_configured() -> None:
    """What the operator chose is required, wherever the ledger is."""
    chosen = ControlSettings(socket=Path("/run/ostiary.sock"))
    assert location(chosen, LedgerSettings()) == (Path("/run/ostiary.sock"), True)


def test_the_default() -> None:
    """With no configuration at all."""
    assert location(ControlSettings(), LedgerSettings()).path == Path("/var/lib/ostiary/control.sock")
