"""The `engines` list: who looks at the bytes. All must call a file clean.

One file and one class a type, told apart by `type`.
"""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Discriminator, Tag

from ostiary.config.engines.clamd import ClamdSettings
from ostiary.config.engines.common import CommonSettings
from ostiary.config.engines.filetype import FileTypeSettings
from ostiary.config.engines.hashlist import HashListSettings
from ostiary.config.engines.hma import HmaSettings
from ostiary.config.engines.icap import IcapSettings
from ostiary.config.engines.perceptual import PerceptualSettings
from ostiary.config.engines.script import ScriptSettings
from ostiary.config.engines.yara import YaraSettings
from ostiary.config.section import complaint, shown

__all__ = [
    "ENGINES",
    "ClamdSettings",
    "CommonSettings",
    "EngineSettings",
    "FileTypeSettings",
    "HashListSettings",
    "HmaSettings",
    "IcapSettings",
    "PerceptualSettings",
    "ScriptSettings",
    "YaraSettings",
]

ENGINES: Final[dict[str, type[CommonSettings]]] = {
    "clamd": ClamdSettings,
    "icap": IcapSettings,
    "yara": YaraSettings,
    "script": ScriptSettings,
    "hashlist": HashListSettings,
    "perceptual": PerceptualSettings,
    "hma": HmaSettings,
    "filetype": FileTypeSettings,
}
"""The section of each engine type."""


def _of_a_type(value: Any) -> Any:  # noqa: ANN401  (whatever a file holds)
    if isinstance(value, CommonSettings):
        return value
    if not isinstance(value, dict):
        raise complaint("expected a mapping with a type, as {type: yara}")
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in ENGINES:
        got = "is missing" if kind is None else f"{shown(kind)} is none"
        raise complaint(f"{got}: one of {', '.join(ENGINES)}", "type")
    return value


def _engine_tag(value: Any) -> str:  # noqa: ANN401
    return f"={value['type'] if isinstance(value, dict) else value.type}"


EngineSettings = Annotated[
    Annotated[ClamdSettings, Tag("=clamd")]
    | Annotated[IcapSettings, Tag("=icap")]
    | Annotated[YaraSettings, Tag("=yara")]
    | Annotated[ScriptSettings, Tag("=script")]
    | Annotated[HashListSettings, Tag("=hashlist")]
    | Annotated[PerceptualSettings, Tag("=perceptual")]
    | Annotated[HmaSettings, Tag("=hma")]
    | Annotated[FileTypeSettings, Tag("=filetype")],
    Discriminator(_engine_tag),
    BeforeValidator(_of_a_type),
]
"""One engine, of the type that its `type` names."""
