"""What `ostiary scan` found, as lines for a person or JSON for a program, and as an exit status.

Nothing of a file name reaches a terminal unescaped, and nothing of it is ever changed in JSON.
"""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ostiary.model import Result, Verdict

CLEAN, NOT_CLEAN, COULD_NOT_SCAN = 0, 1, 2
"""The exit statuses of `ostiary scan`, and what a whole run makes of them: the worst that is known."""

_STYLES: Final = {Result.CLEAN: "green", Result.INFECTED: "bold red", Result.FORBIDDEN: "red"}


@dataclass(frozen=True, slots=True)
class Scanned:
    """What became of one target."""

    target: str
    verdict: Verdict

    @property
    def exit_code(self) -> int:
        """What this one alone would make of the exit status."""
        if self.verdict.result is Result.CLEAN:
            return CLEAN
        known_bad = self.verdict.result in {Result.INFECTED, Result.FORBIDDEN}
        return NOT_CLEAN if known_bad else COULD_NOT_SCAN


def failed(reason: str) -> Verdict:
    """Return the verdict on what could not even be read."""
    return Verdict(Result.ERROR, release=False, info=f"could not scan: {reason}", detected_type="")


class Printer:
    """Prints a line per target, a progress bar where somebody watches, and in the end the sum."""

    def __init__(self, *, as_json: bool, total: int) -> None:
        self._as_json = as_json
        self._codes: set[int] = set()
        self._results: Counter[Result] = Counter()
        self._out = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
        self._screen = Console(stderr=True, highlight=False, emoji=False)
        columns = (TextColumn("scanning"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        watched = self._screen.is_terminal and total > 1
        self._progress = Progress(*columns, console=self._screen, transient=True, disable=not watched)
        self._task = self._progress.add_task("", total=total)

    @property
    def exit_code(self) -> int:
        """The exit status of the run so far."""
        return next((code for code in (NOT_CLEAN, COULD_NOT_SCAN) if code in self._codes), CLEAN)

    def show(self, scanned: Scanned) -> None:
        """Print one result."""
        verdict = scanned.verdict
        self._codes.add(scanned.exit_code)
        self._results[verdict.result] += 1
        self._progress.advance(self._task)
        if self._as_json:
            print(json.dumps(_record(scanned)), flush=True)  # noqa: T201
            return
        self._out.print(f"{verdict.result.value:<11} ", style=_STYLES.get(verdict.result, "yellow"), end="")
        why = "" if verdict.result is Result.CLEAN else f": {printable(verdict.info)}"
        self._out.print(printable(scanned.target) + why)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        total = self._results.total()
        if total != 1 and not self._as_json:
            sums = ", ".join(f"{count} {result.value}" for result, count in sorted(self._results.items()))
            print(f"{total} files" + (f": {sums}" if sums else ""), file=sys.stderr)  # noqa: T201


def _record(scanned: Scanned) -> dict[str, object]:
    verdict = scanned.verdict
    return {
        "target": scanned.target,
        "clean": verdict.result is Result.CLEAN,
        "result": verdict.result.value,
        "info": verdict.info,
        "engine": verdict.engine,
        "name": verdict.name,
        "type": verdict.detected_type or None,
    }


def printable(text: str) -> str:
    """Return the text such that it can't steer the terminal, and every terminal can show it."""
    encoding = sys.stdout.encoding or "ascii"
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown.encode(encoding, "backslashreplace").decode(encoding)
