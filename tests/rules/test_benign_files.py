"""The built-in rules over files as they lie around: the Python installation and /usr/share."""

import os
import random
import site
import sysconfig
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import pytest
import yara_x

from ostiary.engines.yara.sources import BUILTIN, read_sources
from ostiary.engines.yara.worker import MATCH_LIMIT

FILES: Final = 1000
"""Files taken from each place, by lot; the lot is the same in every run."""

LISTED: Final = 50_000
"""Files listed in each place."""

SIZE: Final = 32 << 20
PLACES: Final = {
    "standard library": [sysconfig.get_path("stdlib")],
    "site-packages": site.getsitepackages(),
    "usr share": ["/usr/share"],
}
TRUE_FINDINGS: Final = ("clamav-testfiles",)
"""Folders made to be found: ClamAV's test program in many wrappings."""


@pytest.fixture(scope="module")
def scanner() -> yara_x.Scanner:
    """Return a scanner with all built-in rules."""
    compiler = yara_x.Compiler(includes_enabled=False)
    for source in read_sources([BUILTIN]):
        compiler.new_namespace(source.namespace)
        compiler.add_source(source.text, origin=source.origin)
    scanner = yara_x.Scanner(compiler.build())
    scanner.max_matches_per_pattern(MATCH_LIMIT)
    return scanner


def _files(places: list[str]) -> Iterator[Path]:
    for place in places:
        for parent, folders, names in os.walk(place):
            folders[:] = sorted(folder for folder in folders if folder not in TRUE_FINDINGS)
            for name in sorted(names):
                path = Path(parent, name)
                if path.is_file() and not path.is_symlink() and path.stat().st_size <= SIZE:
                    yield path


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_found_in_installed_files(scanner: yara_x.Scanner, place: str) -> None:
    """A thousand files by lot from each place: source, web pages, images, fonts, programs, archives."""
    listed = list(islice(_files(PLACES[place]), LISTED))
    assert listed
    chosen = random.Random(0).sample(listed, min(FILES, len(listed)))  # noqa: S311  (the same lot in every run)
    found = {str(path): scanner.scan_file(str(path)).matching_rules for path in chosen}
    assert {path: [rule.identifier for rule in rules] for path, rules in found.items() if rules} == {}
