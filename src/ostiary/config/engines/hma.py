"""The section of an `hma` engine: Hasher-Matcher-Actioner over HTTP."""

from typing import Literal

from ostiary.config.engines.common import CommonSettings, Concurrency
from ostiary.config.urls import BaseUrl


class HmaSettings(CommonSettings):
    """A Hasher-Matcher-Actioner."""

    type: Literal["hma"]
    """Which engine it is."""

    url: BaseUrl
    """Where it listens."""

    concurrency: Concurrency = 8
    """Files that it is asked about at the same time."""
