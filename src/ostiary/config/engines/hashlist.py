"""The section of a `hashlist` engine: files known by their SHA-256."""

from typing import Literal

from ostiary.config.engines.common import CommonSettings
from ostiary.config.fields import FilePath


class HashListSettings(CommonSettings):
    """A list of SHA-256 digests of files that never pass."""

    type: Literal["hashlist"]
    """Which engine it is."""

    path: FilePath
    """The list: a hexadecimal SHA-256 and an optional name on each line, `#` begins a comment."""
