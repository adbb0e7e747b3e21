"""How the demo speaks: sentences, progress, a table.

On a terminal with colour and a spinner; elsewhere in plain lines. Text of servers is never read
as markup.
"""

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

WIDEST: Final = 124
"""Columns of the table, where the terminal has so many."""

_PROSE: Final = 96  # columns of running text


@dataclass(slots=True)
class Step:
    """A piece of work that is under way; `result` is said at its end."""

    result: str = ""


class Screen:
    """Prints; `check` is called before each piece of work and raises where the demo must end."""

    def __init__(self, check: Callable[[], None]) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # logs of servers, in any locale
        measured = Console()
        width = min(measured.width, WIDEST) if measured.is_terminal else WIDEST
        self._console = Console(width=width, highlight=False)
        self._errors = Console(width=width, highlight=False, stderr=True)
        self._prose = min(width, _PROSE)
        self.check = check

    def say(self, text: str) -> None:
        """Print sentences."""
        self._console.print(Text(text), width=self._prose)

    def line(self, text: str) -> None:
        """Print a line to copy: it is never broken."""
        self._console.print(Text(text), soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print sentences that ought not to be overlooked."""
        self._console.print(Text(text, "yellow"), width=self._prose)

    def fail(self, text: str) -> None:
        """Print what went wrong, on standard error."""
        self._errors.print(Text(text, "bold red"), soft_wrap=True)

    def heading(self, text: str) -> None:
        """Begin a chapter."""
        self._console.print()
        self._console.print(Text(text, "bold"))

    @contextmanager
    def working(self, what: str) -> Iterator[Step]:
        """Show that something is being done; at its end, say the step's result and the seconds."""
        self.check()
        step = Step()
        started = time.monotonic()
        terminal = self._console.is_terminal
        if not terminal:
            self.say(f"{what} ...")
        with self._console.status(escape(what)) if terminal else nullcontext():
            yield step
        seconds = time.monotonic() - started
        text = step.result or what
        self._console.print(Text.assemble("  ", (text, "green"), f" ({seconds:.1f} s)"), soft_wrap=True)

    def show_cursor(self) -> None:
        """Give the terminal its cursor back, which a spinner that was cut off has hidden."""
        self._console.show_cursor()

    def table(self, table: Table) -> None:
        """Print a table."""
        self._console.print()
        self._console.print(table)
