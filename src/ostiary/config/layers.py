"""Layers of configuration, the file's and the environment's, and how one lies over the other. Pure.

A layer is values with the place that each came from, so that every complaint can name it. The
environment wins key by key; a key whose value is itself a list or a mapping is replaced whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ostiary.config.document import Value
from ostiary.config.section import KeyPath, shown_name

_SECTION_DEPTH = 2  # section.key: what lies deeper belongs to the key's value


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something is set: a line of a file, or (line 0) a variable or a file as a whole."""

    line: int
    source: str

    def __str__(self) -> str:
        """Return it as compilers do."""
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the configuration."""

    place: Place
    path: KeyPath
    text: str

    def __str__(self) -> str:
        """Return its line in the error's message."""
        key = shown_path(self.path)
        return f"{self.place}: {key}: {self.text}" if key else f"{self.place}: {self.text}"


@dataclass(frozen=True, slots=True)
class Layer:
    """Values, the places of their keys, and what is wrong already."""

    data: Mapping[str, Value] = field(default_factory=dict)
    places: Mapping[KeyPath, Place] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def place(self, path: KeyPath) -> Place:
        """Return the place of the key, or else of the nearest thing around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(0, "configuration"))


def shown_path(path: KeyPath) -> str:
    """Return a path as the reference writes it, down to the key and no deeper.

    What lies inside a value is not shown: a passphrase in braces is a mapping to YAML.
    """
    depth = _SECTION_DEPTH
    if path[:1] == ("engines",):
        depth = _SECTION_DEPTH + (2 if path[2:3] == ("proof",) else 1)
    text = ""
    for position, part in enumerate(path):
        if isinstance(part, int):
            text += f"[{part}]"
        elif position < depth:
            text += f".{shown_name(part)}" if text else shown_name(part)
        else:
            break
    return text


def with_one_download(layer: Layer) -> Layer:
    """Return the layer with `proxy:`, the other name of `download:`, merged into it."""
    data = dict(layer.data)
    proxy, download = data.pop("proxy", None), data.get("download") or {}
    if not isinstance(proxy, dict | None):
        text = "expected a section (it is another name of download); is it download.proxy?"
        problem = Problem(layer.place(("proxy",)), ("proxy",), text)
        return replace(layer, data=data, problems=(*layer.problems, problem))
    if proxy is None or not isinstance(download, dict):
        return replace(layer, data=data)
    twice = [
        Problem(layer.place(("proxy", key)), ("proxy", key), f"set in {layer.place(('download', key))} too")
        for key in proxy
        if key in download
    ]
    moved = {
        ("download", *path[1:]): place
        for path, place in layer.places.items()
        if path[:1] == ("proxy",) and (len(path) > 1 or ("download",) not in layer.places)
    }
    return Layer(
        data={**data, "download": {**proxy, **download}},
        places={**moved, **layer.places},
        problems=(*layer.problems, *twice),
    )


def over(top: Layer, bottom: Layer) -> Layer:
    """Return one layer with the values of `top` where it has any."""
    data = dict(bottom.data)
    places = dict(bottom.places)
    problems = [*bottom.problems, *top.problems]
    for name, value in top.data.items():
        below = data.get(name)
        if isinstance(value, dict) and not isinstance(below, dict | None):  # or it would vanish unseen
            problems.append(Problem(bottom.place((name,)), (name,), "expected a section with keys"))
        hidden: set[KeyPath] = {(name,)}
        if isinstance(value, dict) and isinstance(below, dict):
            data[name] = {**below, **value}
            hidden = {(name, key) for key in value}
        else:
            data[name] = value
        places = {
            path: place for path, place in places.items() if path[:1] not in hidden and path[:2] not in hidden
        }
    return Layer(data, {**places, **top.places}, tuple(problems))
