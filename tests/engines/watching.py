"""How tests of engines that watch their files wait, and how files change in real life."""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

import ostiary.engines.watched_files


def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have files looked at much more often than in real life."""
    monkeypatch.setattr(ostiary.engines.watched_files, "INTERVAL", 0.02)


def rewrite(path: Path, data: bytes) -> None:
    """Write over the file in its place, as many editors do."""
    path.write_bytes(data)


def replace(path: Path, data: bytes) -> None:
    """Write another file and rename it."""
    other = path.with_name(".other")
    other.write_bytes(data)
    other.rename(path)


def swap(path: Path, data: bytes) -> None:
    """Change it as Kubernetes does a ConfigMap: one link to a folder of files is replaced."""
    folder = path.parent / "..data"
    new = path.parent / f"..{os.urandom(4).hex()}"
    new.mkdir()
    (new / path.name).write_bytes(data)
    link = path.parent / "..data_tmp"
    link.symlink_to(new.name)
    link.rename(folder)
    if not path.is_symlink():
        path.unlink()
        path.symlink_to(Path("..data", path.name))


def keeping_times(path: Path, data: bytes) -> None:
    """Copy over it a file of the same age, as `cp -p` does: of the times only ctime tells."""
    other = path.with_name(".other")
    other.write_bytes(data)
    shutil.copystat(path, other)
    shutil.copy2(other, path)
    other.unlink()


WAYS: Final[dict[str, Callable[[Path, bytes], None]]] = {
    "rewrite": rewrite,
    "replace": replace,
    "swap": swap,
    "keeping times": keeping_times,
}


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; TimeoutError after some seconds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  (nobody tells us)
            await asyncio.sleep(0.01)
