"""The tables of docs/reference/configuration.md, from the sections themselves. Pure.

`python -m ostiary.config.reference FILE` writes them into the page, between its two markers.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from ostiary.config.engines import ENGINES
from ostiary.config.engines.common import CommonSettings
from ostiary.config.section import Kind, NotYet, Section
from ostiary.config.settings import Settings, not_yet
from ostiary.config.values import format_duration, format_size

BEGIN: Final = "<!-- The tables below are generated: python -m ostiary.config.reference FILE -->"
END: Final = "<!-- The tables end here. -->"

_TYPE: Final = (
    f"| `type` | {', '.join(f'`{kind}`' for kind in ENGINES)} | required | yes | Which engine it is. |"
)
_HEAD: Final = "| key | type | default | in force | meaning |\n|---|---|---|---|---|"


def tables() -> str:
    """Return every section's heading, sentence and table, as Markdown."""
    parts: list[str] = []
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            rows = _rows(f"{name}.", section, not_yet(field.metadata))
            parts += [f"## {name}", _sentence(section.__doc__), "\n".join([_HEAD, *rows])]
        else:
            parts += [f"## {name}", _sentence(field.description), *_engine_tables()]
    return "\n\n".join(parts)


def _engine_tables() -> Iterator[str]:
    every = ("type", *CommonSettings.model_fields)
    yield "### Every engine"
    yield "\n".join([_HEAD, _TYPE, *_rows("", CommonSettings, None)])
    for kind, section in ENGINES.items():
        yield f"### {kind}"
        yield _sentence(section.__doc__)
        yield "\n".join([_HEAD, *_rows("", section, None, without=every)])


def _rows(
    prefix: str, section: type[Section], whole: NotYet | None, without: Sequence[str] = ()
) -> Iterator[str]:
    for name, field in section.model_fields.items():
        if name in without:
            continue
        cells = (
            f"`{prefix}{name}`",
            _type(field.annotation, field.metadata),
            _default(field),
            _force(not_yet(field.metadata) or whole),
            _sentence(field.description),
        )
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def _force(marker: NotYet | None) -> str:
    return "yes" if marker is None else "no"


def _type(annotation: Any, metadata: Sequence[object]) -> str:  # noqa: ANN401  (any annotation)
    """Return a type as operators know it, with its bounds."""
    metadata = [
        *metadata,
        *(inner for field in metadata if isinstance(field, FieldInfo) for inner in field.metadata),
    ]
    bounds = [
        getattr(marker, bound) for bound in ("ge", "le") for marker in metadata if hasattr(marker, bound)
    ]
    suffix = f", {bounds[0]} to {bounds[1]}" if len(bounds) > 1 else ""
    kinds = [marker.name for marker in metadata if isinstance(marker, Kind)]
    if kinds:
        return kinds[-1] + ("" if kinds[-1] == "port" else suffix)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(args[0], args[1:])
    if origin is Literal:
        return ", ".join(f"`{_plain(value)}`" for value in args)
    if origin in {tuple, frozenset}:
        kind, _, bounds_of_each = _type(args[0], ()).partition(", ")
        return f"list of {kind}s" + (f", {bounds_of_each}" if bounds_of_each else "")
    return " or ".join("null" if arg is NoneType else _type(arg, ()) for arg in args) + suffix


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    kind = _type(field.annotation, field.metadata)
    if isinstance(value, float) and kind.startswith("duration"):
        return f"`{format_duration(value)}`"
    if isinstance(value, int) and kind.startswith("size"):
        return f"`{format_size(value)}`"
    return "none" if value is None else f"`{_plain(value)}`"


def _plain(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case tuple() | frozenset():
            return f"[{', '.join(_plain(item) for item in value)}]"
        case str() | int() | float() | Path():
            return str(value)
        case _:
            return "{}"


def written_into(page: str) -> str:
    """Return the page with today's tables between its markers."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.partition(END)[2]}"


def write(page: Path) -> None:
    """Bring the page's tables up to date."""
    page.write_text(written_into(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
