"""How `ostiary verdicts` prints: a table on a terminal, lines for a pipe, JSON for a program.

Nothing of a signature's or an engine's own words reaches a terminal unescaped.
"""

import json
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ostiary.cli.results import printable
from ostiary.control.verdict_messages import Shown, Summary, Word
from ostiary.model import Result

_STYLES: Final = {Result.CLEAN: "green", Result.INFECTED: "bold red", Result.FORBIDDEN: "red"}
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_AT_LEAST: Final = 2  # of a unit, before the next smaller one says it better
_WIDE: Final = 1000  # columns: the terminal breaks long lines, so that a digest can be copied whole


def print_list(found: Sequence[Summary], *, as_json: bool) -> None:
    """Print the entries, and on a terminal what their epochs are."""
    if as_json:
        for one in found:
            print(one.model_dump_json())  # noqa: T201
        return
    if sys.stdout.isatty():  # not rich's word on it: FORCE_COLOR must not change what a script reads
        _print_table(found, Console(highlight=False, markup=False, emoji=False, width=_WIDE))
        return
    for one in found:
        fields = one.digest, verdict(one), f"{one.age:.0f}", _left(one, f"{one.left:.0f}"), _epoch(one)
        print("\t".join(printable(field) for field in fields))  # noqa: T201


def _print_table(found: Sequence[Summary], console: Console) -> None:
    if not found:
        return
    table = Table(box=None, pad_edge=False)
    for name in ("verdict", "age", "left", "epoch", "digest"):
        table.add_column(name, no_wrap=True)
    for one in found:
        style = _STYLES.get(one.result, "yellow")
        cells = verdict(one), duration(one.age), _left(one, duration(one.left)), _epoch(one), one.digest
        first, *rest = (printable(cell) for cell in cells)
        table.add_row(Text(first, style=style), *map(Text, rest))
    console.print(table)
    for epoch, versions in sorted({_epoch(one): one.versions for one in found if one.versions}.items()):
        made_by = ", ".join(f"{engine} {version}" for engine, version in sorted(versions.items()))
        console.print(printable(f"epoch {epoch}: {made_by}"), soft_wrap=True)


def print_shown(shown: Shown, summary: Summary, *, as_json: bool) -> None:
    """Print all that is known of one target."""
    if as_json:
        print(shown.model_dump_json())  # noqa: T201
        return
    made = (datetime.now().astimezone() - timedelta(seconds=summary.age)).isoformat(" ", "seconds")
    lines = [
        ("verdict", verdict(summary)),
        ("counts", "yes" if summary.counts else "no: it is inspected again at its next request"),
        ("made", f"{made}, {duration(summary.age)} ago"),
        ("left", duration(summary.left)),
    ]
    if shown.type is not None:
        lines.append(("type", ", with ".join((shown.type, *(shown.embedded or ())))))
    lines += [(f"engine {word.engine}", _said(word)) for word in shown.words]
    print(summary.digest)  # noqa: T201
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        print(printable(f"  {name:<{width}}  {text}"))  # noqa: T201


def verdict(one: Summary) -> str:
    """Return a verdict in a few words."""
    words = [one.result.value]
    if one.name is not None:
        words.append(one.name)
    if one.engine is not None:
        words.append(f"by {one.engine}")
    text = " ".join(words)
    return f"{text}, served" if one.served and one.result is not Result.CLEAN else text


def duration(seconds: float) -> str:
    """Return a time span as a person says it."""
    for size, unit in _UNITS:
        if seconds >= _AT_LEAST * size or size == 1:
            return f"{seconds / size:.0f} {unit}"
    raise AssertionError("there is always a second")


def _left(one: Summary, text: str) -> str:
    return text if one.counts else "stale"


def _epoch(one: Summary) -> str:
    """Return a short name for the engines' versions; `-` where no engine had a say."""
    if not one.versions:
        return "-"
    return blake2b(json.dumps(one.versions, sort_keys=True).encode(), digest_size=4).hexdigest()


def _said(word: Word) -> str:
    """Return what an engine said, and what its word weighs."""
    text = " ".join([word.finding, *([word.name] if word.name else [])])
    if word.detail:
        text += f" ({word.detail})"
    weight = ["shadow"] if word.shadow else ["required" if word.required else "not required"]
    if word.keep is not None:
        weight.append(f"kept {duration(word.keep)} at most")
    return f"{text}; {', '.join(weight)}; version {word.version or 'unknown'}"
