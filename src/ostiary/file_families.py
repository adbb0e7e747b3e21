"""Which file types belong together. Pure."""

from collections.abc import Iterable
from typing import Final

_ARCHIVES: Final = frozenset({
    "application/epub+zip",
    "application/gzip",
    "application/java-archive",
    "application/ms-tnef",
    "application/mbox",
    "application/vnd.android.package-archive",
    "application/vnd.debian.binary-package",
    "application/vnd.ms-cab-compressed",
    "application/vnd.ms-outlook",
    "application/vnd.ms-htmlhelp",
    "application/vnd.rar",
    "application/x-7z-compressed",
    "application/x-ace",
    "application/x-ace-compressed",
    "application/x-alz",
    "application/x-archive",
    "application/x-arj",
    "application/x-bzip",
    "application/x-bzip2",
    "application/x-cab",
    "application/x-compress",
    "application/x-cpio",
    "application/x-debian-package",
    "application/x-dmg",
    "application/x-apple-diskimage",
    "application/x-egg",
    "application/x-gtar",
    "application/x-gzip",
    "application/x-iso9660-image",
    "application/x-java-archive",
    "application/x-lha",
    "application/x-lharc",
    "application/x-lz4",
    "application/x-lzh",
    "application/x-lzh-compressed",
    "application/x-lzip",
    "application/x-lzma",
    "application/x-ms-wim",
    "application/x-rar",
    "application/x-rar-compressed",
    "application/x-rpm",
    "application/x-stuffit",
    "application/x-tar",
    "application/x-xar",
    "application/x-xz",
    "application/x-zip",
    "application/x-zip-compressed",
    "application/x-zoo",
    "application/x-zstd",
    "application/zip",
    "application/zstd",
    "message/rfc822",
})  # fmt: skip

_FAMILIES: Final = (
    "application/vnd.oasis.opendocument.",
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.sun.xml.",
)


def holds_files(types: Iterable[str]) -> bool:
    """Say whether one of the types is an archive, or built on one: other files may be inside."""
    return any(
        name in _ARCHIVES or name.startswith(_FAMILIES) or name.endswith(("+zip", ".macroenabled.12"))
        for name in types
    )
