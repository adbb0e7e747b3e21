"""Where the demo happens: one temporary folder, one environment, and the duty to leave nothing.

The folders of all servers lie inside this one, since they follow TMPDIR. `clear` stops what was
registered, then ends every child that is left (a signal can arrive between the start of a
process and the moment somebody remembers it), then removes the folder.
"""

import ctypes
import os
import re
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from peers.synapse import ROOT

_SUBREAPER: Final = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
_GRACE: Final = 1.0  # seconds in which children whose parent has gone end by themselves
_PATIENCE: Final = 5.0  # seconds after which `clear` gives up on a process that even SIGKILL leaves
_POLL: Final = 0.02
_STAT: Final = re.compile(r"(\d+) \(.*\) \S (\d+) ", re.DOTALL)


class Place:
    """The folder and what goes on in it: `enter` before anything starts, `clear` in the end."""

    def __init__(self) -> None:
        # The name comes before the folder: there is no moment at which we don't know what to remove.
        self.folder = Path(tempfile.gettempdir()) / f"ostiary-demo-{secrets.token_hex(4)}"
        self.peers = ExitStack()

    def enter(self) -> None:
        """Make the folder, and let this process and its children use nothing else."""
        self.folder.mkdir(mode=0o700)
        tempfile.tempdir = os.environ["TMPDIR"] = str(self.folder)
        os.environ["PYTHONUTF8"] = "1"  # whatever the locale: Synapse reads its own files by it
        for name in [name for name in os.environ if _is_foreign(name)]:
            del os.environ[name]
        os.environ["PATH"] = f"{ROOT / '.peers/bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        _adopt_orphans()

    def clear(self) -> bool:
        """Stop everything and remove the folder; say whether nothing is left."""
        with suppress(Exception):  # one peer that can't be stopped in order must not save the others
            self.peers.close()
        _end_children()
        shutil.rmtree(self.folder, ignore_errors=True)
        return not self.folder.exists() and not list(_children())


def _is_foreign(name: str) -> bool:
    """Say whether a variable would reconfigure Ostiary, or send our requests through a proxy."""
    return name.startswith("OSTIARY__") or name.lower().endswith("_proxy")


def _adopt_orphans() -> None:
    """Become the parent of grandchildren whose own parent dies first (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def _end_children() -> None:
    started = time.monotonic()
    while (left := list(_children())) and time.monotonic() - started < _PATIENCE:
        for child in left:
            if time.monotonic() - started > _GRACE:
                _kill(child)
            with suppress(ChildProcessError):
                os.waitpid(child, os.WNOHANG)
        time.sleep(_POLL)


def _kill(child: int) -> None:
    with suppress(ProcessLookupError):
        if os.getpgid(child) == child:
            os.killpg(child, signal.SIGKILL)
        else:
            os.kill(child, signal.SIGKILL)


def _children() -> Iterator[int]:
    """Yield the ID of each child of ours, those included that ended and were not waited for."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            found = _STAT.match(path.read_text(errors="replace"))
            if found and int(found[2]) == os.getpid():
                yield int(found[1])
