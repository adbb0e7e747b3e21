"""What processes of ours are given when they start."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ostiary.engines.child_process import command, environment


def test_no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process imports what we import, and nothing of the folder it runs in; it has none of our settings."""
    monkeypatch.setenv("OSTIARY__SYNAPSE__TOKEN", "syt_secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:password@proxy")
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    words = command("json.tool", "--compact")
    done = subprocess.run(  # noqa: TID251
        words, input=b"[1, 2]", capture_output=True, env=environment(), cwd=tmp_path, check=True
    )
    assert json.loads(done.stdout) == [1, 2]
    assert environment().keys() <= {"LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
    assert words[0] == sys.executable
