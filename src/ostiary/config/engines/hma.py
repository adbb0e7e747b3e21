"""The section of an `hma` engine: Hasher-Matcher-Actioner over HTTP."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from ostiary.config.engines.common import CommonSettings, Concurrency, distinct
from ostiary.config.section import Kind
from ostiary.config.urls import BaseUrl


class HmaSettings(CommonSettings):
    """A Hasher-Matcher-Actioner."""

    type: Literal["hma"]
    """Which engine it is."""

    url: BaseUrl
    """Where it listens; it needs the roles hasher and matcher. `https` checks its certificate."""

    content_types: Annotated[
        tuple[Literal["photo", "video"], ...], AfterValidator(distinct), Kind("list of photo, video")
    ] = ("photo", "video")
    """What it is asked about; a type that is not enabled there would make an error of each such file."""

    concurrency: Concurrency = 8
    """Files that it is asked about at the same time."""
