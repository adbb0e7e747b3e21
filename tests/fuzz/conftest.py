"""What the fuzzers share: a running front, and a table of figures at the end of a run."""

import logging
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Final

import pytest
import structlog
from hypothesis import settings

from tests.web.door import Door, opened

_COUNTS: Final = re.compile(r"(\d+) passing, (\d+) failing")
_FIGURES: Final = pytest.StashKey[dict[str, list[float]]]()
"""For each file: examples, seconds, tests that failed."""


@pytest.fixture(scope="module")
def quiet_log() -> Iterator[None]:
    """Write no line for each refusal, of which there are many thousands; bugs are still logged."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.configure(**before)


@pytest.fixture(scope="module")
async def door(quiet_log: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """Return a running front for all examples of a file; afterwards nothing may be held."""
    directory: Path = tmp_path_factory.mktemp("spool")
    async with opened(directory, idle=5, max_size=1 << 20) as running:
        yield running
        assert running.quiet


def pytest_configure(config: pytest.Config) -> None:
    """Make room for the figures."""
    figures: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0])
    config.stash[_FIGURES] = figures


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what a fuzzer did."""
    report = yield
    if call.when == "call" and item.path.parent == Path(__file__).parent:
        figures = item.config.stash[_FIGURES][item.path.stem.removeprefix("test_")]
        counts = _COUNTS.findall(getattr(item, "hypothesis_statistics", ""))
        figures[0] += sum(int(number) for found in counts for number in found)
        figures[1] += call.duration
        figures[2] += report.failed
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the table that docs/development/fuzzing.md has."""
    figures = config.stash[_FIGURES]
    if not figures or settings.get_current_profile_name() != "soak":
        return
    terminalreporter.section("fuzzing")
    terminalreporter.line("| surface | examples | seconds | findings |")
    terminalreporter.line("|---|---|---|---|")
    for surface, (examples, seconds, findings) in sorted(figures.items()):
        terminalreporter.line(f"| {surface} | {examples:.0f} | {seconds:.0f} | {findings:.0f} |")
