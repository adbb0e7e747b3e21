"""Finds the configuration, reads it, lays the environment over it, and says all that is wrong.

The only file here that touches the disk. Every failure is a ConfigError whose message has one line
for each problem, with its place: a line of the file or the name of a variable.
"""

from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Final, get_args

from pydantic import ValidationError

from ostiary.config.document import Value, parse
from ostiary.config.engines import ENGINES
from ostiary.config.environment import read_environment
from ostiary.config.layers import Layer, Place, Problem, over, with_one_download
from ostiary.config.problems import MAX_PROBLEMS, problems_of
from ostiary.config.section import Section
from ostiary.config.settings import Settings, known_keys
from ostiary.config.values import format_size
from ostiary.errors import ConfigError

VARIABLE: Final = "OSTIARY_CONFIG"
"""The variable that names the file."""

MAX_BYTES: Final = 1 << 20
"""The largest file that is read."""

DEFAULT_FILES: Final = (Path("ostiary.yaml"), Path("/etc/ostiary/ostiary.yaml"))
"""Where the file is looked for when nobody names it; the first that exists counts."""


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Return the settings of the file at `path`, with the environment's over them.

    Without `path`: the file that OSTIARY_CONFIG names, or the first of DEFAULT_FILES that exists,
    or none. ConfigError lists every problem.
    """
    file = _file_layer(*_find(path, environ))
    layer = over(with_one_download(read_environment(environ)), with_one_download(file))
    problems = list(layer.problems)
    try:
        settings = Settings.model_validate(without_nulls(layer.data))
    except ValidationError as error:
        problems += [Problem(layer.place(at), at, text) for at, text in problems_of(error, known_keys())]
    else:
        if not problems:
            return settings
    raise ConfigError(_message(problems))


def read_layer(path: Path) -> Layer:
    """Return what one file holds, its keys and values unchecked; ConfigError if it is no YAML of ours."""
    layer = _file_layer(*_find(path, {}))
    if layer.problems:
        raise ConfigError(_message(list(layer.problems)))
    return layer


def source(path: Path | None, environ: Mapping[str, str]) -> str:
    """Say which file `load` reads; ConfigError as there."""
    name, data = _find(path, environ)
    if data or path or environ.get(VARIABLE):
        return name
    return f"no file ({' and '.join(map(str, DEFAULT_FILES))} are not there): defaults and environment"


def _message(problems: list[Problem]) -> str:
    """Return one line a problem: the file's in the order of its lines, then the variables'."""
    ordered = sorted(problems, key=lambda problem: (not problem.place.line, problem.place))
    lines = list(dict.fromkeys(str(problem) for problem in ordered))
    if len(lines) > MAX_PROBLEMS:
        lines[MAX_PROBLEMS:] = [f"and {len(lines) - MAX_PROBLEMS} problems more"]
    return "\n".join(lines)


def _find(path: Path | None, environ: Mapping[str, str]) -> tuple[str, bytes]:
    """Return the file's name and its bytes; empty where there is none and nobody named one."""
    named = path or (Path(environ[VARIABLE]) if environ.get(VARIABLE) else None)
    for candidate in (named,) if named else DEFAULT_FILES:
        try:
            with candidate.open("rb") as file:
                return shown_file(candidate), file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            if named is None and isinstance(error, FileNotFoundError):
                continue
            reason = error.strerror if isinstance(error, OSError) else None
            raise ConfigError(f"{shown_file(candidate)}: can't be read: {reason or 'no such path'}") from None
    return "configuration", b""


def shown_file(path: Path) -> str:
    """Return the file's path as messages show it: whole, on one line."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(path))


def _file_layer(name: str, content: bytes) -> Layer:
    """Return what the file holds; its problems name their lines."""
    whole = Place(0, name)
    if len(content) > MAX_BYTES:
        return Layer({}, {(): whole}, (Problem(whole, (), f"larger than {format_size(MAX_BYTES)}"),))
    try:
        document = parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        place = Place(content.count(b"\n", 0, error.start) + 1, name)
        return Layer({}, {(): whole}, (Problem(place, (), "not UTF-8"),))
    problems = [Problem(Place(fault.line, name), fault.path, fault.text) for fault in document.faults]
    data = document.data
    if not isinstance(data, dict | None):
        problems.append(Problem(Place(document.lines[()], name), (), "expected sections with keys"))
    places = {path: Place(line, name) for path, line in document.lines.items()}
    return Layer(data if isinstance(data, dict) else {}, {**places, (): whole}, tuple(problems))


def without_nulls(data: Mapping[str, Value]) -> dict[str, Value]:
    """Return the data without the keys that are null, except where null is a value of its own.

    A section or a key that holds nothing (its lines commented out, or null in a legacy scanner's
    file) has its default.
    """
    found = _keys_without_nulls(data, Settings)
    for name, value in found.items():
        field = Settings.model_fields.get(name)
        if field is not None and isinstance(value, dict):
            section = field.annotation
            if isinstance(section, type) and issubclass(section, Section):
                found[name] = _keys_without_nulls(value, section)
    engines = found.get("engines")
    if isinstance(engines, list):
        found["engines"] = [_engine_without_nulls(engine) for engine in engines]
    return found


def _engine_without_nulls(engine: Value) -> Value:
    kind = engine.get("type") if isinstance(engine, dict) else None
    if isinstance(engine, dict) and isinstance(kind, str) and kind in ENGINES:
        return _keys_without_nulls(engine, ENGINES[kind])
    return engine


def _keys_without_nulls(data: Mapping[str, Value], section: type[Section]) -> dict[str, Value]:
    def counts(name: str, value: Value) -> bool:
        field = section.model_fields.get(name)
        return value is not None or field is None or NoneType in get_args(field.annotation)

    return {name: value for name, value in data.items() if counts(name, value)}
