"""The sections `scan` and `policy`: what is scanned, within what bounds, and what becomes of it."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from ostiary.config.fields import FilePath, MimeType, OnUnscannable, Text, Whole
from ostiary.config.section import NotYet, Section, complaint, shown
from ostiary.config.values import PositiveDuration, PositiveSize

ErrorExitCode = Annotated[Whole, Field(ge=1, le=255)]  # 0 is clean, always


def _no_number(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):  # 1 equals True, and would pass
        raise complaint(f"{shown(value)} is not one of uploads, true or false")
    return value


class ScanSettings(Section):
    """What is scanned, within what bounds, and what becomes of a file that can't be."""

    script: FilePath | None = None
    """A program that is given a file's path and answers with its exit code: 0 clean, one of
    `scan.error_exit_codes` could not scan, anything else not clean. Without `engines` it decides
    alone; with `engines` it is one more. It may take as long as `scan.timeout`."""

    temp_directory: FilePath = Path("/tmp")  # noqa: S108  (the documented default; files there are unlinked or 0600)
    """Where spooled files live, and the files that a script reads: mode 0600, in a folder of their
    own, always removed."""

    removal_command: Text = "rm"
    """What removes the file that a script has read, such as `shred -u`: run without a shell, the path is
    its last argument. With `rm`, or where the command is not installed, Ostiary removes it itself."""

    allowed_mimetypes: tuple[MimeType, ...] | None = None
    """The only types that pass, as detected from the bytes, of the file and of all that lies in it
    (docs/topics/file-types.md); `image/*` stands for all images. null: all. Not
    together with `scan.blocked_mimetypes`."""

    blocked_mimetypes: tuple[MimeType, ...] | None = None
    """Types that never pass, as detected from the bytes, of the file or of anything that lies in it;
    `application/vnd.ms-*` stands for all that begin so. Not together with `scan.allowed_mimetypes`."""

    max_size: PositiveSize = 100_000_000
    """The largest file that is scanned."""

    on_oversize: OnUnscannable = "block"
    """What becomes of a larger file; `serve`: it passes unscanned, logged and counted."""

    scan_on_error: OnUnscannable = "block"
    """What becomes of a file when an engine fails or takes too long; `serve`: it passes unscanned,
    logged and counted."""

    timeout: PositiveDuration = 60.0
    """The time for one file's whole inspection."""

    error_exit_codes: frozenset[ErrorExitCode] = frozenset({2})
    """Exit codes by which a script says that it could not scan, 1 to 255. Neither 0, which is
    clean, nor any other code, which is not clean, can be given another meaning."""

    remove_metadata: Annotated[
        Literal["uploads", True, False], BeforeValidator(_no_number), NotYet(unless=(False,))
    ] = "uploads"
    """Whether EXIF and its friends are removed from unencrypted images, without loss: from
    uploads, from uploads and downloads (true), or from none (false)."""

    on_metadata_error: Annotated[Literal["keep", "block"], NotYet(unless=("keep",))] = "keep"
    """What becomes of an image whose metadata can't be removed."""

    @model_validator(mode="after")
    def _one_list_of_types(self) -> Self:
        if self.allowed_mimetypes is not None and self.blocked_mimetypes is not None:
            text = "scan.allowed_mimetypes is set too: use the one or the other"
            raise complaint(text, "blocked_mimetypes")
        return self


class PolicySettings(Section):
    """What becomes of files that can't be scanned for a reason that lies in the file."""

    encrypted_archive: OnUnscannable = "block"
    """An archive with a password of its own."""

    macro: OnUnscannable = "block"
    """A document with macros, where an engine reports them as such."""

    limit: OnUnscannable = "block"
    """A file that reaches an engine's limits: too deep, too many parts, too large unpacked."""
