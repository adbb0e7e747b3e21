"""No core dumps: they would hold keys, tokens and plaintexts, and lie about on disk."""

import resource
from typing import Final

_NOT_EVEN_TO_A_PROGRAM: Final = 1
"""Bytes: too few for any file. And the one limit by which Linux hands no dump to a program either: where
`core_pattern` names one, 0 and all others are ignored (core(5); fs/coredump.c)."""


def forbid_core_dumps() -> None:
    """Let this process and its children leave no core dump, as files or by way of a program."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if most == 0 else _NOT_EVEN_TO_A_PROGRAM  # nobody may raise what was set to 0 before us
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
