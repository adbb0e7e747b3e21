"""What the attacks share: a gateway that remembers; afterwards nothing may be held."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from ostiary import logs
from tests.attacks.house import remembering
from tests.web.door import Door


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """Return a running front with a library, whose engine calls everything clean."""
    async with remembering(tmp_path) as running:
        yield running
        assert running.quiet


@pytest.fixture(params=["console", "json"])
def log_style(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Log to standard error as the gateway does at level debug, in each of its styles, for one test."""
    configure = structlog.configure
    monkeypatch.setattr(
        structlog, "configure", lambda **how: configure(**{**how, "cache_logger_on_first_use": False})
    )
    logs.configure("debug", request.param)
    yield request.param
    structlog.reset_defaults()
