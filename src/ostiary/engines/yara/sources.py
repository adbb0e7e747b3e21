"""Reads YARA rule files: the built-in ones, an operator's file, or a folder of them.

Every file gets a namespace of its own, so that two files may use the same rule name. Sizes and
numbers are bounded; what can't be read is a ConfigError that names it. Nothing is compiled here.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from ostiary.errors import ConfigError

BUILTIN: Final = "builtin"
"""What `rules` calls the rules that come with Ostiary (docs/reference/rules.md)."""

FILE_LIMIT: Final = 16 << 20
"""Bytes in one rule file."""

TOTAL_LIMIT: Final = 64 << 20
"""Bytes in all rule files together."""

COUNT_LIMIT: Final = 2000
"""Rule files together."""

_SUFFIXES: Final = frozenset({".yar", ".yara"})


@dataclass(frozen=True, slots=True)
class RuleSource:
    """One rule file: `origin` is its path (or `builtin/<file>`), as messages show it."""

    namespace: str
    origin: str
    text: str


def read_sources(rules: Sequence[str | Path]) -> tuple[RuleSource, ...]:
    """Return all rule files in the order given, folders sorted by path. Blocks; ConfigError."""
    sources: list[RuleSource] = []
    total = 0
    for origin, data in _files(rules):
        total += len(data)
        if total > TOTAL_LIMIT or len(sources) == COUNT_LIMIT:
            raise ConfigError(f"{origin}: too many rules: at most {COUNT_LIMIT} files, {TOTAL_LIMIT} bytes")
        sources.append(RuleSource(f"file{len(sources)}", origin, _decoded(origin, data)))
    if not sources:
        raise ConfigError("a yara engine needs rules: `builtin`, a file, or a folder of *.yar files")
    return tuple(sources)


def digest(sources: Sequence[RuleSource]) -> str:
    """Return a digest (32 hex digits) of the rules, wherever their files lie: replicas agree on it."""
    state = hashlib.sha256()
    for source in sources:
        data = source.text.encode()
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()[:32]


def rule_files(rules: Sequence[str | Path]) -> Iterator[Path]:
    """Yield the files that the operator's rules are in, as they are now. Blocks; ConfigError."""
    for entry in rules:
        if entry != BUILTIN:
            yield from _files_at(Path(entry))


def _files(rules: Sequence[str | Path]) -> Iterator[tuple[str, bytes]]:
    for entry in rules:
        if entry == BUILTIN:
            yield from _builtin()
            continue
        for file in _files_at(Path(entry)):
            yield str(file), _read(file)


def _files_at(path: Path) -> list[Path]:
    return _in_folder(path) if path.is_dir() else [path]


def _builtin() -> Iterator[tuple[str, bytes]]:
    folder = resources.files("ostiary.engines.yara") / "rules"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".yar"):
            yield f"{BUILTIN}/{file.name}", file.read_bytes()


def _in_folder(folder: Path) -> list[Path]:
    """Return the rule files under a folder, links to files included.

    Links to folders are not followed (no loops), nor is anything hidden: a Kubernetes ConfigMap
    mounts each file a second time under `..data`.
    """
    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    files = sorted(file for file in found if file.suffix in _SUFFIXES)
    if not files:
        raise ConfigError(f"{folder}: no *.yar or *.yara file in this folder")
    return files


def _refuse(error: OSError) -> None:
    raise ConfigError(f"{error.filename}: {error.strerror}")


def _read(file: Path) -> bytes:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hold us
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(f"{file}: no regular file")
            data = stream.read(FILE_LIMIT + 1)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    if len(data) > FILE_LIMIT:
        raise ConfigError(f"{file}: over {FILE_LIMIT} bytes")
    return data


def _decoded(origin: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{origin}, line {line}: not UTF-8") from None
