"""What the sections of the configuration are made of: a frozen base, markers, and complaints.

Holds no key of its own. A complaint's text is written here for the operator and shown as it is, so
whoever raises one keeps secrets out of it; `shown` is for values that are none.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

KeyPath = tuple[str | int, ...]
"""Where a key stands: names, and positions in lists."""

COMPLAINT: Final = "ostiary"
"""The type of our own errors among pydantic's."""

_SHOWN: Final = 40  # characters of a value that an error text repeats


class Section(BaseModel):
    """A frozen section that refuses keys it does not know. Each key's docstring is its reference."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # a traceback must not print a passphrase
    )


@dataclass(frozen=True, slots=True)
class NotYet:
    """Marks a key, or a whole section, that this release reads and does not act on.

    Whoever sets it hears of it (`ostiary.config.settings.inert`), except where the value is one of
    `unless`, which describe what this release does anyhow, or the key is `quiet`, because files of
    the Matrix Content Scanner carry it and nothing is weaker without it.
    """

    unless: tuple[object, ...] = field(default=())
    quiet: bool = False

    def speaks(self, value: object) -> bool:
        """Say whether an operator who set this value must hear that it has no effect."""
        return value is not None and not self.quiet and value not in self.unless

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Say it in the JSON schema too."""
        schema = handler(core)
        schema["$comment"] = "Not in this release: accepted, without effect."
        return schema


@dataclass(frozen=True, slots=True)
class Kind:
    """What the reference calls the type that carries this marker."""

    name: str


def complaint(text: str, *key: str | int) -> PydanticCustomError:
    """Return the error for a value; with `key`, for a key inside the section that is checked."""
    return complaints([(key, text)])


def complaints(found: Iterable[tuple[KeyPath, str]]) -> PydanticCustomError:
    """Return one error that holds several: each a path, relative to what is checked, and a text."""
    problems = list(found)
    text = "; ".join(text for _, text in problems)
    return PydanticCustomError(COMPLAINT, "{text}", {"text": text, "problems": problems})


def shown(value: Any) -> str:  # noqa: ANN401  (whatever a file holds)
    """Return a value as an error text may repeat it: one short line, as YAML writes it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return f'"{shown_name(value)}"'
        case float():
            return repr(value)
        case int():
            return str(value) if value.bit_length() <= 4 * _SHOWN else "a huge number"
        case list() | tuple():
            return "a list"
        case _:
            return "a mapping"


def shown_name(text: str) -> str:
    """Return a text on one line, without control characters, cut where it is long."""
    cut = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in cut)
