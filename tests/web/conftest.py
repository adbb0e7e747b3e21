"""What the tests of the web share: a running front."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.web.door import Door, opened


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """Return a running front whose engine calls everything clean; afterwards nothing may be held."""
    async with opened(tmp_path) as running:
        yield running
        assert running.quiet
