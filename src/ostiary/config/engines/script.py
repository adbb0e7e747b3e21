"""The section of a `script` engine."""

from typing import Literal

from ostiary.config.engines.common import CommonSettings, Concurrency
from ostiary.config.fields import FilePath


class ScriptSettings(CommonSettings):
    """A program of the operator's, as `scan.script`."""

    type: Literal["script"]
    """Which engine it is."""

    path: FilePath
    """The program, called as `scan.script` is."""

    concurrency: Concurrency = 4
    """Programs at the same time."""
