"""What `ostiary check` says: findings, printed as they come, or all of them as JSON in the end."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from rich.console import Console


class Level(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


_STYLES: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILED: "bold red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination: what was looked at, what was seen, and what to do about it."""

    level: Level
    what: str
    seen: str
    advice: str = ""


class Examination:
    """Prints findings as they come, or all of them as JSON in the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._findings: list[Finding] = []
        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)

    def show(self, finding: Finding) -> None:
        """Take a finding."""
        self._findings.append(finding)
        if self._as_json:
            return
        self._console.print(f"{finding.level.value:<8} ", style=_STYLES[finding.level], end="")
        self._console.print(f"{finding.what:<14}  {finding.seen}")
        if finding.advice:
            self._console.print(f"{'':<23}  -> {finding.advice}", style="dim")

    def close(self) -> int:
        """Say what failed, and return the exit status: 1 if anything did."""
        failed = [finding.what for finding in self._findings if finding.level is Level.FAILED]
        if self._as_json:
            report = {"ok": not failed, "findings": [asdict(finding) for finding in self._findings]}
            print(json.dumps(report, indent=2))  # noqa: T201
        else:
            self._console.print(f"\nfailed: {', '.join(failed)}" if failed else "\nnothing failed")
        return int(bool(failed))
