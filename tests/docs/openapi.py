"""The OpenAPI file as the tests read it; nothing here needs a running gateway."""

from pathlib import Path
from typing import Any, Final

import yaml

OPENAPI: Final = Path(__file__).parents[2] / "docs" / "reference" / "openapi.yaml"

DESCRIPTION: Final[dict[str, Any]] = yaml.safe_load(OPENAPI.read_text())
"""What the file says, its references unresolved."""

EXAMPLES: Final[dict[str, Any]] = DESCRIPTION["components"]["requestBodies"]["Attachment"]["content"][
    "application/json"
]["examples"]
"""Bodies for an encrypted attachment, plain and sealed."""

EXAMPLE: Final[dict[str, Any]] = EXAMPLES["plain"]["value"]["file"]
"""The attachment that both are about."""
