"""How the engines' own processes are started: Python with one module of ours, and none of our secrets."""

import os
import sys


def command(module: str, *arguments: str) -> list[str]:
    """Return the words that run a module of ours; nothing of the working folder or the user is imported."""
    return [sys.executable, "-P", "-s", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Return what the process needs to import what we import, and none of our settings."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PYTHONHOME") if name in os.environ}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**kept, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
