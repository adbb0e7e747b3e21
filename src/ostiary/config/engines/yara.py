"""The section of a `yara` engine."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from ostiary.config.engines.common import CommonSettings, Concurrency, distinct
from ostiary.config.fields import Text
from ostiary.config.section import Kind

Rules = Annotated[tuple[Text, ...], AfterValidator(distinct), Kind("list of paths, or builtin")]


class YaraSettings(CommonSettings):
    """YARA rules, run by YARA-X in scan processes of ours."""

    type: Literal["yara"]
    """Which engine it is."""

    rules: Rules = ("builtin",)
    """Rule files and folders of them; `builtin`: the rules that come with Ostiary."""

    concurrency: Concurrency | None = None
    """Files that it scans at the same time; null: one for each CPU."""
