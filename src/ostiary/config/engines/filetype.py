"""The section of a `filetype` engine: rules about what a file is."""

from typing import Literal

from ostiary.config.engines.common import CommonSettings


class FileTypeSettings(CommonSettings):
    """Rules about what a file is, whatever it is called."""

    type: Literal["filetype"]
    """Which engine it is."""
