"""The section of a `perceptual` engine: images that look like known ones (PDQ)."""

from typing import Annotated, Literal

from pydantic import Field

from ostiary.config.engines.common import CommonSettings, Concurrency
from ostiary.config.fields import FilePath, Whole


class PerceptualSettings(CommonSettings):
    """A list of PDQ hashes of images that never pass."""

    type: Literal["perceptual"]
    """Which engine it is."""

    path: FilePath
    """The list: a hexadecimal PDQ hash and an optional name on each line, `#` begins a comment."""

    distance: Annotated[Whole, Field(ge=0, le=127)] = 31
    """How many of the 256 bits may differ."""

    concurrency: Concurrency | None = None
    """Images that it decodes at the same time; null: one for each CPU."""
