"""New files: whole or not at all, never over another, with no more rights than asked for."""

import errno
import os
import stat
from pathlib import Path

import pytest

from ostiary.new_file import write_new


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_is_written(tmp_path: Path, mode: int) -> None:
    """Content and rights, the umask aside, and nothing else in the folder."""
    before = os.umask(0o027)
    try:
        write_new(tmp_path / "file", b"content", mode)
    finally:
        os.umask(before)
    assert (tmp_path / "file").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode & ~0o027
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_nothing_is_replaced(tmp_path: Path, kind: str) -> None:
    """Whatever is in the place stays, also a link that leads nowhere."""
    path = tmp_path / "file"
    if kind == "link":
        path.symlink_to("nowhere")
    elif kind == "folder":
        path.mkdir()
    else:
        path.touch()
    with pytest.raises(FileExistsError):
        write_new(path, b"content", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert kind != "file" or path.read_bytes() == b""


@pytest.mark.parametrize("step", ["fsync", "link"])
def test_a_disk_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """An error on the way: no half a file."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write_new(tmp_path / "file", b"content", 0o600)
    assert list(tmp_path.iterdir()) == []
