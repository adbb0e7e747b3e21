"""The table: what was asked, what came back, and why. Also as a picture for the README.

`.venv/bin/python -m demo --picture docs/demo.svg` makes that picture: this table, nothing else.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from demo.case import Row
from demo.screen import WIDEST

_SVG: Final = """\
<svg viewBox="0 0 {terminal_width} {terminal_height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px ui-monospace, monospace; line-height: {line_height}px; }}
{styles}
</style>
<clipPath id="{unique_id}-clip-terminal">
<rect width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
<rect fill="#0c0c0c" width="{terminal_width}" height="{terminal_height}" rx="8"/>
<g transform="translate(8, 8)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def table_of(rows: Sequence[Row]) -> Table:
    """Return the table, a section a file; wrong answers stand out."""
    table = Table(title="What was asked, what came back, and why", title_style="bold")
    for heading in ("Asked", "Answer", "Why"):
        table.add_column(heading)
    table.add_column("ms", justify="right", no_wrap=True)
    for subject, group in groupby(rows, key=lambda row: row.case.subject):
        table.add_row(Text(subject, "bold"))
        for row in group:
            table.add_row(*_cells(row), f"{row.milliseconds:.0f}")
        table.add_section()
    return table


def _cells(row: Row) -> tuple[Text, Text, Text]:
    asked = Text("  " + row.case.asked)
    if row.seen is None:
        return asked, Text(f"WRONG: {row.problem}", "bold white on red"), Text("see below")
    style = "green" if row.seen.good else "red"
    return asked, Text(row.seen.came_back, style), Text(row.seen.why)


def save_picture(rows: Sequence[Row], file: Path) -> None:
    """Write the table as an SVG that loads nothing from elsewhere."""
    with Path("/dev/null").open("w") as nowhere:
        console = Console(width=WIDEST, record=True, file=nowhere, force_terminal=True, highlight=False)
        console.print(table_of(rows))
        console.save_svg(str(file), title="", code_format=_SVG, unique_id="ostiary")
