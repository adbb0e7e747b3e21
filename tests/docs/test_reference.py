"""The documents say what the code does: nothing undocumented, nothing documented that is not there."""

import re
from pathlib import Path

import pytest
import typer

from ostiary.cli import cli
from ostiary.metrics import ERROR_KINDS, Metrics
from ostiary.model import Cause, Result
from ostiary.web import errors
from ostiary.web.routes import Route

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = [ROOT / name for name in ("README.md", "HACKING.md", "CHANGELOG.md")] + sorted(
    ROOT.glob("docs/**/*.md")
)


def test_every_metric_is_documented_and_no_other() -> None:
    """The table of metrics is the registry's content."""
    page = (REFERENCE / "metrics.md").read_text()
    metrics = Metrics()
    watched = ("requests_in_flight", "requests_waiting", "memory_reserved_bytes", "disk_reserved_bytes")
    for name in (*watched, "library_bytes", "library_copies"):
        metrics.watch(name, "as app.py does", lambda: 0)
    for name in ("trusted", "archives", "largest_bytes", "signature_age_seconds", "signatures_old"):
        metrics.watch_engines(f"engine_{name}", "as gauges.py does", {"clamd": lambda: 0})
    exposed = set(re.findall(r"^# TYPE (content_scanner_\w+)", metrics.exposition().decode(), re.MULTILINE))
    assert set(re.findall(r"^\| `(content_scanner_\w+)", page, re.MULTILINE)) == exposed
    assert set(re.findall(r"^\| `(?!content_scanner)(\w+)` \|", page, re.MULTILINE)) == set(ERROR_KINDS)
    for result in Result:
        assert f"`{result.value}`" in page


def test_every_command_is_documented() -> None:
    """The reference has each command and each of its options."""
    page = (REFERENCE / "commands.md").read_text()
    group = typer.main.get_group(cli)
    assert set(re.findall(r"^\| `ostiary (\w+)", page, re.MULTILINE)) == set(group.commands)
    options = {option for command in group.commands.values() for p in command.params for option in p.opts}
    for option in options:
        if option.startswith("--"):
            assert option in page, option


def test_every_route_and_reason_is_documented() -> None:
    """The API page names each route, each reason and each error of the table."""
    page = (REFERENCE / "api.md").read_text()
    for route in Route:
        assert re.search(rf"`(GET|POST) /?{route.value}\b", page), route
    for status, reason, _, errcode in errors._TABLE.values():
        assert f"| {status} | `{reason}`" in page or f"| {status} | `M_MISSING_TOKEN`, `{reason}`" in page
        assert errcode is None or f"`{errcode}`" in page


def test_every_cause_is_documented() -> None:
    """The page on verdicts explains each cause that this release knows."""
    page = (ROOT / "docs" / "topics" / "verdicts.md").read_text()
    for cause in Cause:
        if cause is not Cause.UNTRUSTED:  # comes with the proof of scan
            assert f"`{cause.value}`" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page points at a file or folder of this repository."""
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_readmes_commands_exist() -> None:
    """Each `make` target that the README names is one."""
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`?make ([a-z]+)", (ROOT / "README.md").read_text())):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
