"""The table: what was asked, what came back, and why. Also as a picture for the README.

`.venv/bin/python -m demo --picture docs/demo.svg` makes that picture: this table, nothing else.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from demo.case import Row
from demo.checks import Tone
from demo.screen import WIDEST

_STYLES: Final = {Tone.PASSED: "green", Tone.HELD_BACK: "red", Tone.DANGEROUS: "yellow"}
_SVG: Final = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px ui-monospace, monospace; line-height: {line_height}px; }}
{styles}
</style>
<defs>
{lines}
</defs>
<rect fill="#0c0c0c" width="{width}" height="{height}" rx="8"/>
<g transform="translate({terminal_x}, {terminal_y})">
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


def _cells(row: Row) -> tuple[Padding, Text, Text]:
    asked = Padding(row.case.asked, (0, 0, 0, 2))
    if row.seen is None:
        return asked, Text(f"WRONG: {row.problem}", "bold white on red"), Text("see below")
    return asked, Text(row.seen.came_back, _STYLES[row.seen.tone]), Text(row.seen.why)


def save_picture(rows: Sequence[Row], file: Path) -> None:
    """Write the table as an SVG that loads nothing from elsewhere."""
    with Path("/dev/null").open("w") as nowhere:
        console = Console(width=WIDEST, record=True, file=nowhere, force_terminal=True, highlight=False)
        console.print(table_of(rows))
        picture = console.export_svg(title="", code_format=_SVG, unique_id="ostiary")
    file.write_text(picture.replace("&#160;", "\u00a0"), encoding="utf-8")  # a third of the size
