"""A configuration on its way from a legacy scanner's form to ours: values, origins and notes. Pure.

What `ostiary.config.migration` writes on. Knows how a key and its value may be shown: nothing here
repeats a value that may be a secret.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ostiary.config.document import Value
from ostiary.config.section import KeyPath, Section, shown, shown_name
from ostiary.config.settings import Settings

Key = tuple[str, str]
"""Section and key of ours."""

ENGINES: Final[Key] = ("engines", "")
"""The list of engines, the one section without keys."""

FINAL: Final = frozenset(
    {("scan", "script"), ("scan", "allowed_mimetypes"), ("scan", "blocked_mimetypes"), ENGINES}
)
"""Keys without which less would be scanned or refused: nobody can insist on leaving one out."""

MAX_UNKNOWN: Final = 100
"""Unknown keys that are named; the rest is counted."""

_LONGEST_VALUE: Final = 60


class Change(StrEnum):
    """What became of a key; the value is what the report calls it."""

    KEPT = "kept"
    RENAMED = "renamed"
    CONVERTED = "converted"
    DROPPED = "dropped"
    ADDED = "added"
    DEFAULT = "default"
    ATTENTION = "attention"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the report. `line` is the old file's, 0 where there is none; `final`: see the head."""

    change: Change
    line: int
    text: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Old:
    """Where a value of ours comes from; `before` is what a converted value was."""

    path: KeyPath
    line: int
    before: Value = None

    @property
    def name(self) -> str:
        """Return the old key as a note names it."""
        return ".".join(shown_name(str(part)) for part in self.path)


@dataclass(slots=True)
class Draft:
    """The new values so far, each with its origin (none: ours), and the notes that are no key's own."""

    values: dict[Key, Value] = field(default_factory=dict)
    origins: dict[Key, Old] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    unknown: int = 0

    def note(self, change: Change, text: str, line: int = 0, *, final: bool = False) -> None:
        """Say something that no key of the new file tells."""
        self.notes.append(Note(change, line, text, final))

    def take(self, key: Key, value: Value, old: Old) -> None:
        """Set a key of ours; a second value for the same is undecided."""
        if key in self.values:
            first = self.origins[key]
            text = f"{old.name}: {name_of(key)} is set by {first.name} too, in line {first.line}: keep one"
            self.note(Change.UNDECIDED, text, old.line, final=key in FINAL)
        else:
            self.values[key], self.origins[key] = value, old

    def document(self) -> dict[str, Value]:
        """Return the values as sections, in our order."""
        found: dict[str, Value] = {}
        for section in Settings.model_fields:
            if section == "engines" and ENGINES in self.values:
                found[section] = self.values[ENGINES]
            keys = {name: value for (where, name), value in self.values.items() if where == section and name}
            if keys:
                found[section] = keys
        return found

    def key_notes(self) -> Iterator[Note]:
        """Yield what became of each key that is still here."""
        for key, old in self.origins.items():
            value = shown_value(key, self.values[key])
            change = Change.KEPT if old.path in {key, ("engines",)} else Change.RENAMED
            name = name_of(key) if change is Change.KEPT else f"{old.name} -> {name_of(key)}"
            if old.before is not None:
                change, value = Change.CONVERTED, f"{shown_value(key, old.before)} -> {value}"
            if not old.line:
                change = Change.ADDED
            yield Note(change, old.line, f"{name}: {value}" if value else name)
        if self.unknown > MAX_UNKNOWN:
            yield Note(Change.UNDECIDED, 0, f"and {self.unknown - MAX_UNKNOWN} unknown keys more")


def remark_on(key: Key, old: Old) -> str:
    """Return what the new file says behind a key, nothing where it is what it was."""
    if old.before is not None and old.path == key:
        return f"was {shown_value(key, old.before)}"
    return f"was {old.name}" if old.line and old.path not in {key, ("engines",)} else ""


def name_of(key: Key) -> str:
    """Return a key as the reference writes it."""
    return ".".join(filter(None, key))


def shown_value(key: Key, value: Value) -> str:
    """Return the value as the report may show it, nothing where it may be a secret."""
    section = Settings.model_fields[key[0]].annotation
    if key == ENGINES or not isinstance(section, type) or not issubclass(section, Section):
        return ""
    if not section.model_fields[key[1]].repr:
        return ""
    if isinstance(value, str):
        return shown_name(value) if value.isprintable() and value == value.strip() else shown(value)
    if not isinstance(value, list):
        return shown(value)
    text = f"[{', '.join(shown_value(key, item) for item in value)}]"
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."
