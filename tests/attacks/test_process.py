"""What a crash, or a neighbour on the machine, finds of the gateway's process and files."""

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from ostiary.core_dumps import forbid_core_dumps
from peers.gateway import Gateway
from tests.matrix.fake_homeserver import FakeHomeserver

CRASH: Final = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
from ostiary.core_dumps import forbid_core_dumps
if sys.argv[1] == "forbidden":
    forbid_core_dumps()
if os.fork() == 0:
    os.abort()
sys.exit(os.WCOREDUMP(os.wait()[1]))
"""


def dumped(how: str, folder: Path) -> bool:
    """Crash a process whose limits allowed everything before; say whether its core was dumped anywhere."""
    command = [sys.executable, "-c", CRASH, how]
    return bool(subprocess.run(command, cwd=folder, check=False).returncode)  # noqa: TID251  (no loop here)


def test_a_crash_leaves_no_core(tmp_path: Path) -> None:
    """A process that forbids core dumps leaves none when it or a child of it crashes."""
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
        pytest.skip("this machine lets nobody dump core")
    assert not dumped("forbidden", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_limit_is_the_one_that_pipes_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    """0 would still hand a core to the program in core_pattern; what was 0 before us stays so."""
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    for most in (resource.RLIM_INFINITY, 4096, 0):
        monkeypatch.setattr(resource, "getrlimit", lambda _, most=most: (0, most))
        forbid_core_dumps()
    assert set_to == [(1, 1), (1, 1), (0, 0)]


async def test_a_running_gateway_shows_nothing_to_its_neighbours() -> None:
    """`ostiary serve` allows no core dump, and its secret and its folders are for its own user alone."""
    async with FakeHomeserver() as homeserver:
        with Gateway(homeserver.url) as gateway:
            pid = gateway.child.pid
            assert max(resource.prlimit(pid, resource.RLIMIT_CORE)) <= 1
            secret = gateway.folder / "request_secret"
            assert stat.S_IMODE(secret.stat().st_mode) == 0o600
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            assert secret.read_bytes().strip() not in command
            names = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]  # noqa: PTH115
            assert not any(name.startswith("/tmp/ostiary-script") for name in names)  # noqa: S108
