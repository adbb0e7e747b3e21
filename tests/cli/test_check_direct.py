"""`ostiary check` in direct mode, where there is no homeserver to ask."""

import json
from pathlib import Path

from tests.cli.test_commands import config, ostiary


def test_check_in_direct_mode(tmp_path: Path) -> None:
    """It says so, asks nobody, and names what strangers will not get."""
    download = {"allow_direct": True, "additional_headers": {"x-secret": "hush"}}
    done = ostiary("check", "-c", config(tmp_path, download=download), "--json", folder=tmp_path)
    findings = [tuple(found.values())[:3] for found in json.loads(done.stdout)["findings"]]
    assert done.returncode == 0, done.stdout
    assert ("ok", "homeserver") in [(level, what) for level, what, seen in findings if "direct mode" in seen]
    assert any(level == "warning" and "additional_headers" in seen for level, _, seen in findings)
    assert "hush" not in done.stdout


def test_check_without_authorities(tmp_path: Path) -> None:
    """Where the system can verify no certificate, every fetch would fail: that is a failure now."""
    empty = tmp_path / "empty"
    empty.mkdir()
    path = config(tmp_path, download={"allow_direct": True})
    environment = {"SSL_CERT_FILE": str(tmp_path / "none"), "SSL_CERT_DIR": str(empty)}
    done = ostiary("check", "-c", path, folder=tmp_path, environment=environment)
    assert done.returncode == 1
    assert "ca-certificates" in done.stdout


def test_check_without_anybody_to_ask(tmp_path: Path) -> None:
    """Neither a homeserver nor direct mode: the gateway can't serve."""
    done = ostiary("check", "-c", config(tmp_path), folder=tmp_path)
    assert done.returncode == 1
    assert "failed: homeserver" in done.stdout
