"""The environment as a layer: `OSTIARY__WEB__PORT=8081` is `web.port`, its value read as YAML. Pure.

Names count in either case. A variable names a section or one key; lists and mappings are given
whole, as YAML. An empty variable counts as not set: compose files pass those on, and it must not
switch a rule off. Names with one underscore are not ours: Kubernetes sets OSTIARY_PORT and others
for a Service called ostiary.
"""

from collections.abc import Mapping
from typing import Final

from ostiary.config.document import Value, parse
from ostiary.config.layers import Layer, Place, Problem
from ostiary.config.section import KeyPath, shown_name

PREFIX: Final = "OSTIARY__"

_DEPTH: Final = 2
_FORM: Final = (
    f"no such key: a name is {PREFIX}SECTION or {PREFIX}SECTION__KEY; "
    "lists and mappings are given whole, as YAML"
)


def read_environment(environ: Mapping[str, str]) -> Layer:
    """Return what the variables set. Where both a section and one of its keys are, the key's counts."""
    data: dict[str, Value] = {}
    places: dict[KeyPath, Place] = {}
    problems: list[Problem] = []
    for path, names in sorted(_variables(environ).items(), key=lambda item: (len(item[0]), item[0])):
        place = Place(0, shown_name(names[0]))
        if not all(path) or len(path) > (1 if path[0] == "engines" else _DEPTH):
            problems.append(Problem(place, (), _FORM))
            continue
        problems += [Problem(place, path, f"set in {shown_name(name)} too") for name in names[1:]]
        document = parse(environ[names[0]])
        problems += [Problem(place, (*path, *fault.path), fault.text) for fault in document.faults]
        _put(data, path, document.data)
        places.setdefault(path[:1], place)
        places |= {(*path, *inner): place for inner in [(), *document.lines]}
    return Layer(data, places, tuple(problems))


def _variables(environ: Mapping[str, str]) -> dict[tuple[str, ...], list[str]]:
    """Return the names of our variables by the key that they name, in lower case."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(environ):
        if name.isascii() and name.upper().startswith(PREFIX) and environ[name].strip():
            found.setdefault(tuple(name[len(PREFIX) :].lower().split("__")), []).append(name)
    return found


def _put(data: dict[str, Value], path: tuple[str, ...], value: Value) -> None:
    if len(path) == 1:
        data[path[0]] = value
        return
    section = data.setdefault(path[0], {})
    if isinstance(section, dict):  # else the section's variable is wrong, and is told so
        section[path[1]] = value
