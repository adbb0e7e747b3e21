"""The page on ICAP has the presets as they are, and its advice is what the errors say."""

import re
from pathlib import Path

from ostiary.wire.icap.presets import PRESETS

PAGE = Path(__file__).parents[2] / "docs" / "setup" / "icap.md"


def rows() -> list[str]:
    """Return the table of presets, as the page should have it."""
    found = []
    for name, preset in PRESETS.items():
        headers = (
            "all of those below"
            if name == "generic"
            else ", ".join(f"`{one}`" for one in sorted(preset.headers))
        )
        found.append(f"| `{name}` | {preset.product} | {headers} | {preset.source} |")
    return found


def test_the_presets_are_documented() -> None:
    """Each row is the table's in the code: product, headers, source."""
    page = PAGE.read_text()
    assert re.findall(r"^\| `[a-z-]+` \| .* \| .* \| .* \|$", page, re.MULTILINE) == rows()


def test_the_arguments_of_c_icap_are_documented() -> None:
    """What goes into the URL is no secret."""
    arguments = "&".join(f"{name}={value}" for name, value in PRESETS["c-icap"].arguments)
    assert f"`{arguments}`" in PAGE.read_text()
