"""What a clamd was told: the lines of its clamd.conf (clamd.conf(5)) that decide what it would not see.

An operator's file, read strictly and bounded all the same: what can't be understood is as if the file
could not be seen, so that no limit is believed that was never set. Where a line stands twice, the
one that lets clamd see less counts.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ostiary.engines.unpacking.account import CLAMAV

FILE_LIMIT: Final = 1 << 18
"""Bytes of a clamd.conf; Debian's has some 2,000."""

UNLIMITED_FILE: Final = (1 << 31) - 1
"""Bytes of a file that clamd scans at most, also with MaxFileSize 0."""

UNLIMITED: Final = 1 << 40
"""What stands for a limit that is switched off (0): more than we unpack anyhow."""

_LINE: Final = re.compile(r"[ \t]*([A-Za-z][A-Za-z0-9]{0,63})(?:[ \t]+(.*?))?[ \t]*", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_SIZE: Final = re.compile(r"([0-9]{1,15})([KkMmGg]?)", re.ASCII)
_UNITS: Final = {"": 0, "k": 10, "m": 20, "g": 30}
_FLAGS: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class ClamdConfig:
    """The options that matter to us, with clamd 1.4's defaults; sizes in bytes, times in seconds."""

    database_directory: str = "/var/lib/clamav"
    self_check: int = 600
    max_file_size: int = CLAMAV.file_size
    max_scan_size: int = CLAMAV.scan_size
    max_files: int = CLAMAV.files
    max_recursion: int = CLAMAV.recursion
    max_scan_time: float = 120.0
    stream_max_length: int = 100 << 20
    max_threads: int = 10
    read_timeout: int = 120
    alert_exceeds_max: bool = False
    alert_encrypted: bool = False
    alert_macros: bool = False
    local_sockets: tuple[str, ...] = field(default=())


def parse_config(text: str) -> ClamdConfig:
    """Return what the text of a clamd.conf says; ValueError, naming the line, where it can't be told."""
    options: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} is no option")
        options.setdefault(match[1], []).append(_unquoted(match[2] or ""))
    return _config(options)


def read_config(path: Path) -> ClamdConfig:
    """Return what the file says; ValueError or OSError if it can't be read. Blocks."""
    with path.open("rb") as file:
        data = file.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise ValueError(f"has more than {FILE_LIMIT} bytes")
    return parse_config(data.decode("utf-8"))


def _unquoted(value: str) -> str:
    """Return the value without the quotes that clamd takes off."""
    if value.startswith('"'):
        end = value.find('"', 1)
        if end < 0:
            raise ValueError("a quote is not closed")
        return value[1:end]
    return value


def _config(options: dict[str, list[str]]) -> ClamdConfig:
    new = ClamdConfig()
    encrypted = _flag(options, "AlertEncrypted") or (
        _flag(options, "AlertEncryptedArchive") and _flag(options, "AlertEncryptedDoc")
    )
    folders = options.get("DatabaseDirectory", [new.database_directory])
    if len(set(folders)) > 1 or not folders[0].startswith("/"):
        raise ValueError("DatabaseDirectory is not one absolute path")
    return ClamdConfig(
        database_directory=folders[0],
        self_check=max(_numbers(options, "SelfCheck", new.self_check)),
        max_file_size=min(_size(options, "MaxFileSize", new.max_file_size), UNLIMITED_FILE),
        max_scan_size=_size(options, "MaxScanSize", new.max_scan_size),
        max_files=min(_numbers(options, "MaxFiles", new.max_files)) or UNLIMITED,
        max_recursion=min(_numbers(options, "MaxRecursion", new.max_recursion)) or new.max_recursion,
        max_scan_time=_size(options, "MaxScanTime", round(new.max_scan_time * 1000)) / 1000,
        stream_max_length=_size(options, "StreamMaxLength", new.stream_max_length),
        max_threads=min(_numbers(options, "MaxThreads", new.max_threads)),
        read_timeout=min(_numbers(options, "ReadTimeout", new.read_timeout)),
        alert_exceeds_max=_flag(options, "AlertExceedsMax"),
        alert_encrypted=encrypted,
        alert_macros=_flag(options, "AlertOLE2Macros"),
        local_sockets=tuple(options.get("LocalSocket", ())),
    )


def _flag(options: dict[str, list[str]], name: str) -> bool:
    """Return whether it is switched on; all that we look at are off by default."""
    values = options.get(name, ["no"])
    if not all(value.lower() in _FLAGS for value in values):
        raise ValueError(f"{name} is neither yes nor no")
    return all(_FLAGS[value.lower()] for value in values)


def _numbers(options: dict[str, list[str]], name: str, default: int) -> list[int]:
    values = options.get(name)
    if values is None:
        return [default]
    if not all(_NUMBER.fullmatch(value) for value in values):
        raise ValueError(f"{name} is no number")
    return [int(value) for value in values]


def _size(options: dict[str, list[str]], name: str, default: int) -> int:
    """Return the smallest size that is set; UNLIMITED for 0, which switches a limit off."""
    values = options.get(name)
    if values is None:
        return default
    matches = [_SIZE.fullmatch(value) for value in values]
    sizes = [int(match[1]) << _UNITS[match[2].lower()] for match in matches if match is not None]
    if len(sizes) < len(values):
        raise ValueError(f"{name} is no size")
    return min(size or UNLIMITED for size in sizes)
