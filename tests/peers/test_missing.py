"""What becomes of a test whose real component is missing, seen from outside: pytest runs in a child."""

import sys
from pathlib import Path

import pytest

from peers.processes import ChildProcess

ROOT = Path(__file__).parents[2]


def run_without_synapse(tmp_path: Path, test: str, *, ci: str) -> str:
    """Run one test where there is no Synapse; return what pytest printed."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        f"tests/peers/test_synapse.py::{test}",
    ]
    environment = {"CI": ci, "OSTIARY_SYNAPSE_PYTHON": str(tmp_path / "nothing-here")}
    with ChildProcess(command, log=tmp_path / "log", folder=ROOT, environment=environment) as child:
        child.wait()
        return (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "test",
    ["test_whoami_names_the_user", "test_options_change_the_server"],
    ids=["needed by a fixture", "needed by the marker"],
)
def test_missing_is_skipped_at_the_desk_and_fails_in_ci(tmp_path: Path, test: str) -> None:
    """Elsewhere the test is skipped with the reason; in CI, where nothing may be missing, it fails."""
    skipped = run_without_synapse(tmp_path, test, ci="")
    assert "1 skipped in" in skipped
    assert "missing here: synapse; `make test` says how to get it" in skipped
    (tmp_path / "log").unlink()
    failed = run_without_synapse(tmp_path, test, ci="true")
    assert "1 error in" in failed
    assert "missing here: synapse" in failed
