"""The threat model against the tests: each attack has one, and each test of an attack stands there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "topics" / "threat-model.md").read_text(encoding="utf-8")
ATTACKS: Final = ROOT / "tests" / "attacks"
_CITED: Final = re.compile(r"`([\w/.]+\.py)::(test_\w+)`")


def cited(text: str) -> Iterator[tuple[Path, str]]:
    """Yield file and name of each test that a text cites."""
    for place, name in _CITED.findall(text):
        yield (ROOT / place if "/" in place else ATTACKS / place), name


def defined(path: Path) -> set[str]:
    """Return the names of a file's tests."""
    return set(re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE))


def rows() -> list[str]:
    """Return the rows of the tables of attacks."""
    section = PAGE[PAGE.index("## Attacks") : PAGE.index("## What a clock tells")]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith("| attack |")]


def test_every_attack_has_a_test_that_exists() -> None:
    """Each row says what the attack is, how it is met, and names at least one test, which is there."""
    assert len(rows()) > 50
    for row in rows():
        attack, met, tests, _ = (cell.strip() for cell in row.strip("|").split(" |"))
        assert attack, row
        assert met, row
        assert _CITED.sub("", tests).strip(", ") == "", row
        found = list(cited(tests))
        assert found, row
        for path, name in found:
            assert path.is_file(), f"{attack}: {path}"
            assert name in defined(path), f"{attack}: {name}"


def test_every_test_of_an_attack_stands_in_the_table() -> None:
    """Nothing is tried that the page does not tell of."""
    written = {(path, name) for row in rows() for path, name in cited(row)}
    for path in sorted(ATTACKS.glob("test_*.py")):
        assert {name for name in defined(path) if (path, name) not in written} == set()
