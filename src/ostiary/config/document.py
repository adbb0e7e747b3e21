"""YAML text to plain values, with the line of every key. Pure, and bounded in every direction.

Only what YAML itself has is read: texts, numbers, flags, null, lists and mappings. Aliases and
merge keys count as often as they expand. Whatever YAML 1.1 and 1.2 read differently as a number
(0100, 1:30, 0x1F) and dates stay texts. Faults are values with a line; their texts repeat nothing
that may be a secret: a passphrase that starts with `*`, `&` or `!` is an alias or a tag to YAML.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import yaml
from yaml.reader import ReaderError

from ostiary.config.section import KeyPath

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"

MAX_CHARACTERS: Final = 1 << 20
MAX_NODES: Final = 20_000
MAX_DEPTH: Final = 20

_TAG: Final = "tag:yaml.org,2002:"
_PLAIN_TAGS: Final = frozenset(
    _TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge")
)
_WHOLE: Final = re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,39})")
_FRACTION: Final = re.compile(r"[-+]?(?=\.?[0-9])[0-9_]{0,40}\.[0-9_]{0,40}(?:[eE][-+][0-9]{1,3})?")
_SPECIAL: Final = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_TRUE: Final = frozenset({"true", "yes", "on"})
_FALSE: Final = frozenset({"false", "no", "off"})
_QUOTES_PUNCTUATION_ONLY: Final = re.compile(r"[^'\"]*(?:'(?:<[a-z ]+>|[^\w'])'[^'\"]*)*")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a document, and where; `line` counts from one."""

    line: int
    path: KeyPath
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """What a text holds, the line of every key and entry, and what is wrong with it.

    A text that is no YAML at all has None for `data`, and one fault. A key that is set twice keeps
    its first value.
    """

    data: Value
    lines: dict[KeyPath, int]
    faults: tuple[Fault, ...]


def parse(text: str) -> Document:
    """Read one YAML document. Never raises for a text, whatever it holds."""
    if len(text) > MAX_CHARACTERS:
        return _broken(Fault(1, (), f"longer than {MAX_CHARACTERS} characters"))
    try:
        node = yaml.compose(text, Loader=_Loader)
        reading = _Reading()
        data = reading.value(node, ()) if node is not None else None
    except _TooMuchError as error:
        return _broken(Fault(error.line, (), error.text))
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return _broken(Fault(line, (), "not YAML: it holds a control character"))
    except yaml.MarkedYAMLError as error:
        return _broken(_syntax_fault(error))
    except (ValueError, OverflowError):  # \U escapes and %YAML versions out of Python's range
        return _broken(Fault(1, (), "not YAML: it holds an escape or a number out of range"))
    return Document(data, reading.lines, tuple(reading.faults))


def _broken(fault: Fault) -> Document:
    return Document(None, {}, (fault,))


def _syntax_fault(error: yaml.MarkedYAMLError) -> Fault:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context or ""
    if problem.startswith("found character '\\t'"):
        problem = "a tab: indent with spaces"
    elif not _QUOTES_PUNCTUATION_ONLY.fullmatch(problem):
        problem = re.split("['\"]", problem, maxsplit=1)[0].strip()
    return Fault(mark.line + 1 if mark else 1, (), f"not YAML: {problem}")


class _TooMuchError(Exception):
    """More than we read: `text` says of what, in which `line`."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


@dataclass(slots=True)
class _Budget:
    """Nodes seen and levels entered, so that neither recursion nor expansion runs away."""

    nodes: int = 0
    depth: int = 0

    def enter(self, line: int) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _TooMuchError(line, f"nested deeper than {MAX_DEPTH} levels")
        self.count(line)

    def count(self, line: int) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _TooMuchError(line, f"more than {MAX_NODES} values, aliases expanded")

    def leave(self) -> None:
        self.depth -= 1


class _Loader(yaml.SafeLoader):
    """PyYAML's composer, which would otherwise recurse as deep as the text says."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._budget = _Budget()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401  (PyYAML's signature)
        line: int = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]  # PyYAML has none
        self._budget.enter(line)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._budget.leave()
        return node


@dataclass(slots=True)
class _Reading:
    """Turns nodes into values and notes lines and faults on the way."""

    lines: dict[KeyPath, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    budget: _Budget = field(default_factory=_Budget)

    def value(self, node: yaml.Node, path: KeyPath) -> Value:
        """Return what the node holds; None, and a fault, where it holds nothing of ours."""
        line = node.start_mark.line + 1
        self.budget.enter(line)
        self.lines.setdefault(path, line)
        found: Value = None
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            found = self._mapping(node, path)
        elif isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            found = [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        elif isinstance(node, yaml.ScalarNode) and node.tag in _PLAIN_TAGS:
            found = _scalar(node)
        else:
            self.faults.append(Fault(line, path, "a tag that is not allowed here (a text goes in quotes)"))
        self.budget.leave()
        return found

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for key_node, value_node, merged in self._pairs(node, path):
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in _PLAIN_TAGS:
                self.faults.append(Fault(line, path, "a key is a plain text"))
                continue
            key = str(key_node.value)
            if key not in found:
                self.lines[*path, key] = line
                found[key] = self.value(value_node, (*path, key))
            elif not merged:
                text = f"set twice, first in line {self.lines[*path, key]}"
                self.faults.append(Fault(line, (*path, key), text))
        return found

    def _pairs(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[yaml.Node, yaml.Node, bool]]:
        """Yield the mapping's own keys, then those that merge keys (`<<`) bring in."""
        merges: list[yaml.Node] = []
        for key, value in node.value:
            self.budget.count(key.start_mark.line + 1)
            if key.tag == _TAG + "merge":
                merges += value.value if isinstance(value, yaml.SequenceNode) else [value]
            else:
                yield key, value, False
        for source in merges:
            line = source.start_mark.line + 1
            self.budget.enter(line)
            if isinstance(source, yaml.MappingNode):
                yield from ((key, value, True) for key, value, _ in self._pairs(source, path))
            else:
                self.faults.append(Fault(line, path, "a merge key (<<) takes mappings"))
            self.budget.leave()


def _scalar(node: yaml.ScalarNode) -> Value:
    """Return the scalar as the type that YAML resolved it to; a text where we read it otherwise."""
    text, kind = str(node.value), node.tag.removeprefix(_TAG)
    lowered = text.lower()
    if kind == "null" and lowered in {"", "~", "null"}:
        return None
    if kind == "bool" and lowered in _TRUE | _FALSE:
        return lowered in _TRUE
    if kind == "int" and _WHOLE.fullmatch(text):
        return int(text.replace("_", ""))
    if kind == "float":
        if lowered in _SPECIAL:
            return float(_SPECIAL[lowered])
        if _FRACTION.fullmatch(text):
            return float(text.replace("_", ""))
    return text
