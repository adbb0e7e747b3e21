"""The section of a `filetype` engine: rules about what a file is."""

from typing import Literal

from ostiary.config.engines.common import CommonSettings
from ostiary.config.fields import MimeType


class FileTypeSettings(CommonSettings):
    """Rules about what a file is, whatever it is called (docs/topics/file-types.md)."""

    type: Literal["filetype"]
    """Which engine it is."""

    allow: tuple[MimeType, ...] | None = None
    """The only types that pass, of the file and of all that lies in the same bytes; `image/*` stands for
    all images. null: all."""

    block: tuple[MimeType, ...] = ()
    """Types that never pass, of the file or of anything that lies in the same bytes; before `allow`."""

    trailing_data: Literal["allow", "block"] = "block"
    """Whether a file may hold another one: an archive, a program, a page or a PDF behind an image, an
    archive at the end of anything. Photos with a film behind them pass."""
